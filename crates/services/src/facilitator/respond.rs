use core::time::Duration;

use seamline_core::{Address, Amount, B256};
use seamline_evm::x402::{Reason, SettleResponse};
use serde_json::json;

use super::budget::Full;
use super::shared::Core;
use super::subject::Subject;

/// What was asked for was settled; a `transaction` of `None` says that nothing was due.
pub(super) fn settled(core: &Core, subject: &Subject, transaction: Option<B256>) -> SettleResponse {
    let payer = subject.authorization.payer();
    SettleResponse::settled(&core.network, payer, transaction, subject.amount)
}

/// Nothing was settled.
pub(super) fn refused(core: &Core, reason: Reason, payer: Option<Address>) -> SettleResponse {
    let mut response = SettleResponse::failed(&core.network, payer, reason, None);
    response.amount = Some(Amount::ZERO.to_string());
    response
}

/// A failed answer without its reason.
pub(super) fn blank(core: &Core, subject: &Subject) -> SettleResponse {
    let payer = subject.authorization.payer();
    let pending = Reason::SettlementPending;
    let mut response = SettleResponse::failed(&core.network, Some(payer), pending, None);
    response.amount = Some(subject.amount.to_string());
    response
}

/// Ask again: a transaction may still settle it.
pub(super) fn pending(core: &Core, subject: &Subject, transaction: Option<B256>) -> SettleResponse {
    let mut response = blank(core, subject);
    response.transaction = transaction.map(|hash| hash.to_string()).unwrap_or_default();
    response
}

/// It is not taken on; nothing was signed.
pub(super) fn full(core: &Core, subject: &Subject, full: Full) -> SettleResponse {
    let mut response = blank(core, subject);
    response.error_reason = Some(Reason::Other(full.code().to_owned()));
    response.extra = full.retry_after().map(retry_after);
    response
}

/// The hint of a `Retry-After` header, in a body whose status is 200.
pub(crate) fn retry_after(wait: Duration) -> serde_json::Value {
    json!({ "retryAfterSeconds": wait.as_secs().max(1) })
}

//! Another settlement that spent the same authorization.

use seamline_core::{Amount, B256};
use seamline_evm::chain::SettlementFacts;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse};
use serde_json::json;

use crate::facilitator::respond;
use crate::facilitator::settlement::Settlement;
use crate::facilitator::shared::Core;
use crate::facilitator::subject::Subject;

/// The nonce is spent, and by what as far as it is known: a seller who is refused learns what it was
/// paid instead (`spec/payment.md`, "Settlement by the facilitator", rule 8).
pub(super) fn refuse(core: &Core, subject: &Subject, known: Option<SpentBy>) -> SettleResponse {
    let mut response = respond::blank(core, subject);
    response.error_reason = Some(subject.spent());
    response.extra = known.map(
        |SpentBy {
             amount,
             transaction,
         }| {
            let transaction = transaction.map(|hash| hash.to_string());
            json!({ "spentBy": { "amount": amount.to_string(), "transaction": transaction } })
        },
    );
    response
}

/// A settlement of the same authorization, to the same seller, at another amount.
pub(super) struct SpentBy {
    amount: Amount,
    /// Where there is one already.
    transaction: Option<B256>,
}

impl SpentBy {
    /// A settlement of this store; `None` where it moved nothing, or another authorization.
    pub(super) fn remembered(core: &Core, subject: &Subject, known: &Settlement) -> Option<Self> {
        if known.response().is_some_and(|response| !response.success) {
            return None;
        }
        let request = FacilitatorRequest::parse(known.request.as_bytes()).ok()?;
        let other = Subject::of(&request, core.chain_id).ok()?;
        let digest = |subject: &Subject| subject.authorization.digest(core.chain_id);
        (digest(&other) == digest(subject)).then(|| Self {
            amount: other.amount,
            transaction: known.newest(),
        })
    }

    /// A settlement that the chain shows; `None` where another was paid.
    pub(super) fn on_chain(subject: &Subject, facts: &SettlementFacts) -> Option<Self> {
        (facts.pay_to == subject.authorization.pay_to()).then_some(Self {
            amount: facts.amount,
            transaction: Some(facts.transaction),
        })
    }
}

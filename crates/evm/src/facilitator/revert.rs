//! What the proxy and Permit2 say when they revert.

use alloy_sol_types::SolError as _;

use crate::bindings::{IPermit2, IUptoProxy};
use crate::x402::Reason;

/// The reason for the bytes of a revert, or `None` where they do not name one: empty, unknown, or
/// the token's own `Error(string)`, which Permit2 replaces by `TRANSFER_FROM_FAILED`.
pub(super) fn reason(data: &[u8]) -> Option<Reason> {
    let selector: [u8; 4] = data.get(..4)?.try_into().ok()?;
    let by_selector = [
        (
            IUptoProxy::InvalidAmount::SELECTOR,
            Reason::Permit2InvalidAmount,
        ),
        (
            IUptoProxy::InvalidDestination::SELECTOR,
            Reason::Permit2InvalidDestination,
        ),
        (
            IUptoProxy::InvalidOwner::SELECTOR,
            Reason::Permit2InvalidOwner,
        ),
        (
            IUptoProxy::PaymentTooEarly::SELECTOR,
            Reason::Permit2PaymentTooEarly,
        ),
        (
            IUptoProxy::Permit2612AmountMismatch::SELECTOR,
            Reason::Permit2612AmountMismatch,
        ),
        (
            IUptoProxy::UnauthorizedFacilitator::SELECTOR,
            Reason::UptoUnauthorizedFacilitator,
        ),
        (
            IUptoProxy::AmountExceedsPermitted::SELECTOR,
            Reason::UptoAmountExceedsPermitted,
        ),
        (
            IPermit2::InvalidAmount::SELECTOR,
            Reason::UptoAmountExceedsPermitted,
        ),
        (
            IPermit2::InvalidNonce::SELECTOR,
            Reason::Permit2InvalidNonce,
        ),
        (
            IPermit2::SignatureExpired::SELECTOR,
            Reason::Permit2DeadlineExpired,
        ),
        (
            IPermit2::InvalidSigner::SELECTOR,
            Reason::InvalidPermit2Signature,
        ),
        (
            IPermit2::InvalidSignature::SELECTOR,
            Reason::InvalidPermit2Signature,
        ),
        (
            IPermit2::InvalidSignatureLength::SELECTOR,
            Reason::InvalidPermit2Signature,
        ),
        (
            IPermit2::InvalidContractSignature::SELECTOR,
            Reason::InvalidPermit2Signature,
        ),
    ];
    by_selector
        .into_iter()
        .find_map(|(known, reason)| (known == selector).then_some(reason))
}

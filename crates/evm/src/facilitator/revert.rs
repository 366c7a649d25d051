//! What tokens, proxies and Permit2 say when they revert.

use alloy_primitives::U256;
use alloy_sol_types::{Revert, SolError as _};

use super::VerifyPlan;
use super::conclude::bad_signature;
use crate::bindings::{IPermit2, ITokenErrors, IUptoProxy};
use crate::scheme::{Authorization, Method};
use crate::x402::Reason;

/// The reason for the bytes of a revert, or `None` where they do not name one: empty, unknown, or over
/// Permit2 the token's own words, which Permit2 replaces by `TRANSFER_FROM_FAILED`.
pub(super) fn reason(plan: &VerifyPlan, data: &[u8]) -> Option<Reason> {
    let selector: [u8; 4] = data.get(..4)?.try_into().ok()?;
    match plan.authorization.method() {
        Method::Permit2 => permit2(plan, selector),
        Method::Eip3009 => token(plan, selector, data),
    }
}

/// The reason for a revert that neither its bytes nor a diagnosis explain.
pub(super) const fn unnamed(plan: &VerifyPlan) -> Reason {
    match plan.authorization.method() {
        Method::Eip3009 => Reason::InvalidExactEvmTransactionSimulationFailed,
        Method::Permit2 => Reason::Permit2SimulationFailed,
    }
}

fn permit2(plan: &VerifyPlan, selector: [u8; 4]) -> Option<Reason> {
    let too_much = match plan.authorization {
        Authorization::Upto(_) => Reason::UptoAmountExceedsPermitted,
        Authorization::Eip3009(_) | Authorization::ExactPermit2(_) => Reason::Permit2AmountMismatch,
    };
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
        (IPermit2::InvalidAmount::SELECTOR, too_much),
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
    find(by_selector, selector)
}

fn token(plan: &VerifyPlan, selector: [u8; 4], data: &[u8]) -> Option<Reason> {
    if selector == Revert::SELECTOR {
        let said = Revert::abi_decode_validate(data).ok()?;
        return words(&said.reason);
    }
    if selector == ITokenErrors::ERC3009InvalidAuthorizationTime::SELECTOR {
        // One error for both ends, and our clock passed both rules: the chain's stands past the
        // nearer one.
        let now = U256::from(plan.now.as_secs());
        let since = now.saturating_sub(plan.authorization.valid_after());
        let left = plan.authorization.expiry().saturating_sub(now);
        return Some(if since < left {
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter
        } else {
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore
        });
    }
    let signature = bad_signature(plan);
    let by_selector = [
        (
            ITokenErrors::ERC3009InvalidSignature::SELECTOR,
            signature.clone(),
        ),
        (
            ITokenErrors::ECDSAInvalidSignature::SELECTOR,
            signature.clone(),
        ),
        (
            ITokenErrors::ECDSAInvalidSignatureLength::SELECTOR,
            signature.clone(),
        ),
        (ITokenErrors::ECDSAInvalidSignatureS::SELECTOR, signature),
        (
            ITokenErrors::ERC3009UsedAuthorization::SELECTOR,
            Reason::InvalidExactEvmNonceAlreadyUsed,
        ),
        (
            ITokenErrors::AuthorizationUsedOrCanceled::SELECTOR,
            Reason::InvalidExactEvmNonceAlreadyUsed,
        ),
        (
            ITokenErrors::ERC20InsufficientBalance::SELECTOR,
            Reason::InvalidExactEvmInsufficientBalance,
        ),
    ];
    find(by_selector, selector)
}

/// FiatToken and its relatives revert with words; the fragments are those that official facilitators
/// look for.
fn words(said: &str) -> Option<Reason> {
    let by_fragment = [
        (
            "authorization is expired",
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
        ),
        (
            "not yet valid",
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter,
        ),
        ("is used", Reason::InvalidExactEvmNonceAlreadyUsed),
        (
            "transfer amount exceeds balance",
            Reason::InvalidExactEvmInsufficientBalance,
        ),
        ("invalid signature", Reason::InvalidExactEvmPayloadSignature),
    ];
    by_fragment
        .into_iter()
        .find_map(|(fragment, reason)| said.contains(fragment).then_some(reason))
}

fn find(known: impl IntoIterator<Item = ([u8; 4], Reason)>, selector: [u8; 4]) -> Option<Reason> {
    let mut known = known.into_iter();
    known.find_map(|(known, reason)| (known == selector).then_some(reason))
}

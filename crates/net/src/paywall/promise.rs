//! What a payment promises, whatever its scheme.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::scheme::{Authorization, Method};
use seamline_evm::x402::{Offer, OfferTerms, PaymentPayload, Reason};

use super::local::LocalScheme;

/// A promise of a payer.
#[derive(Clone)]
pub(super) struct Promise {
    /// What can be charged once.
    pub(super) key: B256,
    pub(super) payer: Address,
    /// The most that can be charged.
    pub(super) max: Amount,
    pub(super) auth_nonce: B256,
    /// Until when it can be charged.
    pub(super) deadline: Timestamp,
    /// The reason for a second use.
    pub(super) spent: Reason,
    /// The reason for a use too late.
    pub(super) expired: Reason,
}

/// How long a reservation outlives the offer's own lifetime, against clocks that differ.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

impl Promise {
    /// Reads an authorization that a facilitator settles.
    pub(super) fn of_authorization(
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        let terms = offer.terms();
        let chain_id = terms.chain_id().ok_or(Reason::InvalidNetwork)?;
        let authorization = Authorization::of(payload)?;
        let (spent, expired) = match authorization.method() {
            Method::Eip3009 => (
                Reason::InvalidExactEvmNonceAlreadyUsed,
                Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
            ),
            Method::Permit2 => (Reason::Permit2InvalidNonce, Reason::Permit2DeadlineExpired),
        };
        agree(&authorization, terms)?;
        // A payer may sign for a century; what is kept for it may not.
        let lifetime = Duration::from_secs(terms.max_timeout_seconds).saturating_add(CLOCK_SLACK);
        let signed = Timestamp::from_secs(authorization.deadline_s());
        let too_much = |_| Reason::InvalidPaymentRequirements;
        Ok(Self {
            key: authorization.key(chain_id),
            payer: authorization.payer(),
            max: Amount::try_from(authorization.amount()).map_err(too_much)?,
            auth_nonce: authorization.auth_nonce(),
            deadline: signed.min(now.saturating_add(lifetime)),
            spent,
            expired,
        })
    }

    /// Reads a promise that `scheme` keeps the books of.
    pub(super) fn of_local(
        scheme: &Arc<dyn LocalScheme>,
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        let promise = scheme.promise(payload, offer, now)?;
        Ok(Self {
            key: promise.key,
            payer: promise.payer,
            max: promise.max,
            auth_nonce: promise.auth_nonce,
            deadline: promise.expires,
            spent: Reason::InvalidTransactionState,
            expired: Reason::InvalidTransactionState,
        })
    }
}

/// Whether the authorization says what the offer says, before a facilitator is asked: the recipient,
/// the token and the amount, which for `upto` is the ceiling.
fn agree(authorization: &Authorization, terms: &OfferTerms) -> Result<(), Reason> {
    let is_transfer = authorization.method() == Method::Eip3009;
    let (recipient, token, amount) = if is_transfer {
        (
            Reason::InvalidExactEvmPayloadRecipientMismatch,
            Reason::InvalidPaymentRequirements,
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        )
    } else {
        (
            Reason::InvalidPermit2RecipientMismatch,
            Reason::Permit2TokenMismatch,
            Reason::Permit2AmountMismatch,
        )
    };
    let promised = Amount::try_from(authorization.amount()).ok();
    let checks = [
        (
            terms.pay_to_address() == Some(authorization.pay_to()),
            recipient,
        ),
        (terms.asset_address() == Some(authorization.asset()), token),
        (promised.is_some() && promised == terms.amount(), amount),
    ];
    let failed = checks.into_iter().find(|(agrees, _)| !agrees);
    failed.map_or(Ok(()), |(_, reason)| Err(reason))
}

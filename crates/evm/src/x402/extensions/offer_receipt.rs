//! The extension `offer-receipt`: a seller signs what it offers, and that it was paid.
//!
//! A signature over the offer survives a rewritten 402, for a payer that knows whom it means to pay: a
//! statement signed by its own `payTo` proves only that the holder of that address made the offer. The statements are EIP-712 typed data under the domain
//! `{name: "x402 offer" | "x402 receipt", version: "1", chainId: 1}`: chain id 1 always, whatever
//! chain is paid on. Statements as JWS are read and reported as unsupported: their keys are named by
//! DID URLs, which would have to be fetched.

mod statement;
mod wire;

use alloy_primitives::{Address, B256};
use seamline_core::Timestamp;
use serde_json::Value;

pub use statement::{OfferStatement, ReceiptStatement};
pub use wire::{Signed, declaration, offers_of, receipt_extension, receipt_of};

use crate::x402::{Offer, address};

/// Key of the extension.
pub const KEY: &str = "offer-receipt";
/// Most signed offers that are looked at: a 402 has a few offers.
pub const MAX_OFFERS: usize = 32;
/// How far a receipt's time may lie in the future, in seconds, against clocks that differ.
const CLOCK_SLACK_S: u64 = 300;

/// Why a signed statement proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// There is no statement, or none about this offer.
    #[error("the seller signed nothing about this")]
    Missing,
    /// The statement is in a format that is not verified here.
    #[error("statements of format `{observed}` are not verified")]
    UnsupportedFormat {
        /// The format.
        observed: String,
    },
    /// A member is missing or of another type.
    #[error("member `{0}` of the statement is missing or malformed")]
    Malformed(&'static str),
    /// The statement is about something else.
    #[error("the statement's `{0}` differs")]
    Differs(&'static str),
    /// The offer is no longer valid.
    #[error("the signed offer was valid until {valid_until_s}")]
    Expired {
        /// Last second at which it was valid, Unix seconds.
        valid_until_s: u64,
    },
    /// The signature is malformed, or recovers to no key.
    #[error("the statement's signature is malformed")]
    Signature,
    /// Somebody else signed.
    #[error("the statement was signed by {observed}, who is not allowed to")]
    Signer {
        /// Who signed.
        observed: Address,
    },
}

/// What a receipt must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid<'a> {
    /// Chain as CAIP-2.
    pub network: &'a str,
    /// What was bought.
    pub resource_url: &'a str,
    /// Who paid.
    pub payer: Address,
    /// The settlement's transaction, where it is known; a receipt need not name one.
    pub transaction: Option<B256>,
}

/// Looks for the statement by which the seller signed `offer` of `resource_url`, among all of a 402's
/// `extensions`; the hints of places are ignored. Returns who signed: the offer's `payTo`, or one of
/// `allowed`.
///
/// # Errors
///
/// The [`Finding`] about a statement of this offer, else about the first one of another kind.
pub fn verify_offer(
    extensions: Option<&Value>,
    offer: &Offer,
    resource_url: &str,
    allowed: &[Address],
    now: Timestamp,
) -> Result<Address, Finding> {
    let mut found = Finding::Missing;
    for statement in offers_of(extensions) {
        let checked = statement.and_then(|signed| {
            let (terms, said) = (offer.terms(), &signed.statement);
            said.matches(terms, resource_url)?;
            match said.valid_until_s {
                Some(valid_until_s) if valid_until_s < now.as_secs() => {
                    return Err(Finding::Expired { valid_until_s });
                }
                Some(_) | None => {}
            }
            signer(signed.signer()?, terms.pay_to_address(), allowed)
        });
        match checked {
            Ok(signer) => return Ok(signer),
            Err(worse) => found = nearer(found, worse),
        }
    }
    Err(found)
}

/// Checks the receipt in the `extensions` of a settlement's answer. Returns who signed: `pay_to`, or
/// one of `allowed`.
///
/// # Errors
///
/// A [`Finding`].
pub fn verify_receipt(
    extensions: Option<&Value>,
    paid: &Paid<'_>,
    pay_to: Address,
    allowed: &[Address],
    now: Timestamp,
) -> Result<Address, Finding> {
    let signed = receipt_of(extensions).ok_or(Finding::Missing)??;
    let said = &signed.statement;
    let transaction = match (&said.transaction, paid.transaction) {
        (Some(said), Some(paid)) => same_hash(said, paid),
        (Some(_) | None, None) | (None, Some(_)) => true,
    };
    let latest = now.as_secs().saturating_add(CLOCK_SLACK_S);
    let checks = [
        ("network", said.network == paid.network),
        ("resourceUrl", said.resource_url == paid.resource_url),
        ("payer", address(&said.payer) == Some(paid.payer)),
        ("transaction", transaction),
        ("issuedAt", said.issued_at_s <= latest),
    ];
    if let Some((differs, _)) = checks.into_iter().find(|(_, same)| !same) {
        return Err(Finding::Differs(differs));
    }
    signer(signed.signer()?, Some(pay_to), allowed)
}

fn signer(
    observed: Address,
    pay_to: Option<Address>,
    allowed: &[Address],
) -> Result<Address, Finding> {
    if pay_to == Some(observed) || allowed.contains(&observed) {
        Ok(observed)
    } else {
        Err(Finding::Signer { observed })
    }
}

/// The finding that says more about the offer in question: one about another offer says least.
fn nearer(old: Finding, new: Finding) -> Finding {
    let rank = |finding: &Finding| match finding {
        Finding::Missing => 0,
        Finding::Differs(_) => 1,
        Finding::UnsupportedFormat { .. } => 2,
        Finding::Malformed(_) => 3,
        Finding::Expired { .. } => 4,
        Finding::Signature => 5,
        Finding::Signer { .. } => 6,
    };
    if rank(&new) > rank(&old) { new } else { old }
}

fn same_hash(text: &str, hash: B256) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    hex::decode_to_array::<_, 32>(digits).is_ok_and(|bytes| bytes == hash.0)
}

#[cfg(test)]
mod tests;

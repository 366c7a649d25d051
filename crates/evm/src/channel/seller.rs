//! What a seller accepts, charges and claims.
//!
//! A request goes through [`Channel::begin`] before anything is computed, [`Channel::confirm`] where
//! the facilitator had to be asked, and [`Channel::commit`] with what it cost, or
//! [`Channel::cancel`]. One request at a time holds a channel. What `commit` changed is stored
//! durably before the payer gets the answer: a charge that is forgotten is forgone. The
//! [`Collector`] says when to claim what was charged, and when to have it paid out.
//!
//! A seller that loses its books loses at most what it had not claimed; one that crashes between two
//! requests loses nothing; one that crashes within a request loses at most that request's amount.

mod channel;
mod collector;
mod record;
mod refund;
mod view;

use alloy_primitives::Address;

use super::{CorrectiveState, Payload, SCHEME, Terms};
use crate::Malformed;
use crate::x402::{Offer, OfferTerms, PaymentPayload, Reason, VERSION};

pub use channel::{Channel, Charged, Step};
pub use collector::{Action, ClaimRules, Collector, Event};

/// What a seller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How old the mirror of the chain may be for a voucher to be judged by it, in seconds.
    pub mirror_ttl_s: u64,
    /// Whether a deposit below the offer's `minDeposit` is refused; otherwise that is a wish.
    pub enforce_min_deposit: bool,
}

/// What a payer sends, and the offer that it answers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The scheme's part of the payment.
    pub payload: &'a Payload,
    /// The offer.
    pub terms: &'a Terms,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decline {
    /// The payer's books differ: these are the seller's, for a corrective 402.
    Corrective(Box<CorrectiveState>),
    /// It is refused.
    Refused(Reason),
}

impl Default for Rules {
    /// Sixty seconds, as the official servers have it: the shortest withdrawal takes nine hundred.
    fn default() -> Self {
        Self {
            mirror_ttl_s: 60,
            enforce_min_deposit: false,
        }
    }
}

impl Decline {
    /// The reason of the 402.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Corrective(_) => Reason::InvalidBatchSettlementEvmCumulativeAmountMismatch,
            Self::Refused(reason) => reason.clone(),
        }
    }
}

/// Wraps what a seller sends to its facilitator, as an answer to `offer`.
///
/// # Errors
///
/// [`Malformed::Size`] where it is larger than a header may be.
pub fn envelope(payload: &Payload, offer: &Offer) -> Result<PaymentPayload, Malformed> {
    let (payload, offer) = (payload.write(), offer.raw());
    let message = format!(r#"{{"x402Version":{VERSION},"payload":{payload},"accepted":{offer}}}"#);
    PaymentPayload::parse(message.as_bytes())
}

/// The requirement under which claims and payouts are sent to a facilitator, as the official
/// channel managers write it: nothing is asked of a payer.
pub fn seller_offer(network: &str, receiver: Address, token: Address) -> Offer {
    Offer::new(OfferTerms {
        scheme: SCHEME.to_owned(),
        network: network.to_owned(),
        asset: token.to_string(),
        amount: "0".to_owned(),
        pay_to: receiver.to_string(),
        max_timeout_seconds: 0,
        extra: serde_json::Map::new(),
    })
}

#[cfg(test)]
mod tests;

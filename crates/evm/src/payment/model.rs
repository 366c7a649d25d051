use core::time::Duration;

use alloy_primitives::{Address, B256};
use seamline_core::Amount;

use crate::chain::{Block, ChainFacts, SettlementFacts};
use crate::scheme::{Method, Scheme, SignedAuthorization};
use crate::x402::{Reason, SettleResponse};

/// The terms of one signed authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The scheme.
    pub scheme: Scheme,
    /// What moves the token.
    pub method: Method,
    /// What the chain spends once ([`crate::scheme::payment_key`]): all authorizations of a payment
    /// share it, or two of them could settle.
    pub key: B256,
    /// The nonce: `H_bind` of the call, or of its leg.
    pub auth_nonce: B256,
    /// The digest that was signed: names the authorization.
    pub digest: B256,
    /// Recipient.
    pub pay_to: Address,
    /// The most that may be taken, base units.
    pub amount: Amount,
    /// Last second at which it can be settled, Unix seconds.
    pub deadline_s: u64,
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is signed.
    New,
    /// Signed, not yet in the journal.
    Signed,
    /// In the journal, not yet sent.
    Authorized,
    /// Sent; no answer yet.
    Sent,
    /// The node says that it settled (or that nothing was due); the chain does not show it yet.
    Submitted {
        /// The transaction that the node named.
        transaction: Option<B256>,
    },
    /// Sent, and nobody knows. The amount stays reserved.
    Unknown {
        /// The reason, where the node refused the payment. A refusal is no proof: whoever holds
        /// the authorization can still settle it.
        refused: Option<Reason>,
    },
    /// The chain shows the settlement.
    Settled(SettlementFacts),
    /// It can never be settled: the nonce was unspent at this block, which is after the deadline.
    NotSettled(Block),
    /// It was never sent, and was given up.
    Abandoned,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An authorization was signed: the first, or for a fallback node one of the same nonce.
    Signed(Terms),
    /// The journal holds it durably.
    AuthorizationStored,
    /// It is about to leave: given before the first byte is written, because a half-sent request
    /// is a sent one. Where this is refused, nothing may be sent.
    Sent,
    /// The presentation that was begun did not leave: the connection failed before its first byte.
    NotSent,
    /// The call ends before anything was sent.
    GivenUp,
    /// The answer came with a settlement response.
    ReplyOk(Box<SettleResponse>),
    /// An answer came that says nothing about the settlement, or does not read: there is nothing to
    /// present again for.
    ReplyMute,
    /// No answer, or one that broke off: the same bytes may bring it.
    ReplyLost,
    /// The node refused the payment.
    ReplyRefused(Reason),
    /// What the chain says ([`crate::chain::facts`]).
    ChainSays(ChainFacts),
    /// The chain could not be asked.
    ChainSilent,
    /// A wait is over, or the deadline has passed.
    Woken,
}

/// What to do next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the authorization with this digest to the journal, durably; then
    /// [`Event::AuthorizationStored`].
    Store(B256),
    /// Send the authorization with this digest, once [`Event::Sent`] was accepted.
    Send(B256),
    /// Present the same bytes again, once [`Event::Sent`] was accepted; the caller keeps the pause
    /// that the node asked for. After a settlement this costs nothing and can bring the answer.
    ResendSame(B256),
    /// Ask [`crate::chain::facts`]; then [`Event::ChainSays`] or [`Event::ChainSilent`].
    AskChain,
    /// Wait this long, then [`Event::Woken`]. A call that ends meanwhile keeps it for later: the
    /// payment goes on after the answer was delivered.
    Wait(Duration),
    /// The call may report [`Payment::state`](super::Payment::state). Final unless that is [`State::Unknown`] or
    /// [`State::Submitted`]: then the books keep the reservation and an amendment follows.
    Conclude,
}

/// An event that the payment's state does not allow: a bug of the caller, refused so that it
/// cannot cost money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The payment has come to its end.
    #[error("the payment has come to its end")]
    Concluded,
    /// Another nonce than the payment's, or the same number where the chain counts it apart: another
    /// chain, another method, for ERC-3009 another token.
    #[error("a call signs one nonce only")]
    OtherNonce,
    /// The event belongs to another state.
    #[error("the event does not belong to the payment's state")]
    OutOfOrder,
}

impl State {
    /// The stable word in journals and receipts.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::New | Self::Abandoned => "none",
            Self::Signed | Self::Authorized => "authorized",
            Self::Sent | Self::Unknown { .. } => "unknown",
            Self::Submitted { .. } => "submitted",
            Self::Settled(_) => "settled",
            Self::NotSettled(_) => "not_settled",
        }
    }
}

impl From<&SignedAuthorization> for Terms {
    fn from(authorization: &SignedAuthorization) -> Self {
        Self {
            scheme: authorization.scheme,
            method: authorization.method,
            key: authorization.key,
            auth_nonce: authorization.auth_nonce,
            digest: authorization.digest,
            pay_to: authorization.pay_to,
            amount: authorization.amount,
            deadline_s: authorization.deadline_s,
        }
    }
}

//! What the machine is told, and what it asks for.

use core::time::Duration;

use seamline_core::B256;
use seamline_evm::x402::{Reason, SettleResponse};

use super::{Attempt, Place};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A transaction was signed under an account nonce that the store gave.
    Signed(Attempt),
    /// An endpoint answered to a transaction.
    Offered(B256, Reply),
    /// A transaction receipt of an attempt.
    Mined {
        transaction: B256,
        block: Place,
        /// The answer to the request, if this is the end: success, or failure with a reason.
        response: SettleResponse,
        /// The block is as deep as an answer needs.
        confirmed: bool,
    },
    /// No attempt has a transaction receipt. `passed`: the account's sequence is beyond the last
    /// attempt.
    Absent { passed: bool },
    /// What the chain says about the authorization itself.
    Inspected(Inspection),
    /// The settlement cannot be signed anew, for this reason.
    Refused(Reason),
    /// The block of the end left the chain.
    Vanished,
    /// The block of the end is as deep as it must be.
    Final,
}

/// What an endpoint says to a transaction, classified by the classification of endpoints' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It has it.
    Taken,
    /// The account cannot pay for the gas.
    NoFunds,
    /// It wants higher fees.
    Underpriced,
    /// The account nonce is taken, perhaps by this very transaction.
    NonceTaken,
    /// An earlier transaction is missing, the pool is full, or nobody answered: try again.
    Later,
    /// It refuses the transaction and does not know it.
    Refused,
}

/// What the chain says about an authorization.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an answer is what most of them end with"
)]
pub(crate) enum Inspection {
    /// It could still be settled before its deadline.
    Unspent {
        /// The reason after it.
        expired: Reason,
    },
    /// Exactly this was settled, by this transaction.
    Settled {
        response: SettleResponse,
        block: Place,
        /// The block is as deep as an answer needs.
        confirmed: bool,
    },
    /// It is spent, and not by what was looked for.
    Spent {
        /// Why it cannot be settled any more.
        reason: Reason,
    },
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write the record; nothing that follows may happen before it is durable.
    Persist,
    /// Send, or send again, this transaction.
    Send(B256),
    /// Sign the last transaction anew with higher fees.
    Bump,
    /// Sign a transaction that does nothing, at the same account nonce.
    Cancel,
    /// Take a new account nonce: no earlier transaction can be in a block any more.
    SignAnew,
    /// Ask the chain about the authorization, and feed [`Event::Inspected`].
    Inspect,
    /// Tell those who wait.
    Answer,
    /// Remove the record: nothing was settled and nothing of it can be; answer with this reason.
    Forget(Reason),
}

/// How long the machine waits for what. Limits of this process, not of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// A transaction that waits this long is replaced by one with higher fees.
    pub(crate) bump_after: Duration,
    /// The same bytes are sent again this often.
    pub(crate) resend: Duration,
    /// How long an account nonce must be gone, without a transaction receipt, before its
    /// transaction counts as displaced: endpoints count a transaction before they show its receipt.
    pub(crate) displaced: Duration,
    /// How long an endpoint may refuse a transaction before its account nonce is given to one that
    /// does nothing.
    pub(crate) refused: Duration,
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Time of this process, from any beginning, never backwards.
    pub(crate) elapsed: Duration,
    /// Time of the newest block, Unix seconds.
    pub(crate) chain_s: u64,
}

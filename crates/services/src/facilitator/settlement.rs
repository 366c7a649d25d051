//! The life of one settlement, as a synchronous state machine (x402 §3.1, appendix D).
//!
//! ```text
//! new ──sign──▶ broadcasting ──taken──▶ pending ──▶ settled | reverted | replaced | expired
//!                    ▲                     │  ▲                │
//!                    └────── bumped ───────┘  └── block gone ──┘
//! ```
//!
//! `new` is the absence of a record. Every transaction is in the record before it is sent, so that
//! a crash at any point leaves either nothing or something that sending again completes. The
//! machine asks for [`Action`]s; it performs none.

mod gas;
mod migrate;
mod react;
mod transaction;
mod words;

use core::fmt;
use core::time::Duration;

use seamline_core::{Address, B256};
use seamline_evm::x402::{Reason, SettleResponse};
use serde::{Deserialize, Serialize};

pub use self::gas::GasUse;
pub(crate) use self::transaction::{Attempt, Call, Purpose};
pub(crate) use self::words::{Action, Event, Inspection, Now, Pace, Reply};

/// One settlement: what the store keeps.
///
/// # Security
///
/// Holds a signed authorization; it has no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// Layout of this record.
    pub(crate) version: u32,
    /// What the chain spends once for this payment.
    pub(crate) key: B256,
    /// What makes two requests for it the same settlement.
    pub(crate) fingerprint: B256,
    /// The request as it came; empty for a transaction that only fills a gap.
    pub(crate) request: String,
    /// Last second at which the authorization settles, Unix seconds.
    pub(crate) deadline_s: u64,
    /// The account whose transactions these are.
    pub(crate) signer: Address,
    /// A failed answer to the request without its reason: who pays, on which chain.
    pub(crate) blank: SettleResponse,
    /// What its transactions do; absent in records of an older layout.
    pub(crate) call: Option<Call>,
    /// Every transaction that was signed for it, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// How far it has come.
    pub(crate) stage: Stage,
    /// What it costs, and whose budget; absent in records of an older layout.
    #[serde(default)]
    pub(crate) gas: Option<GasUse>,
    /// What whoever wanted the call done keeps with it; absent for payments.
    #[serde(default)]
    pub(crate) memo: Option<String>,
    /// When it was begun, Unix seconds; 0 in records of an older layout.
    #[serde(default)]
    pub(crate) began_s: u64,
    /// Who carries it.
    pub(crate) lease: Lease,
    /// Pace of this process; forgotten with it.
    #[serde(skip)]
    watch: Watch,
}

/// Who may write a settlement: a store refuses writes under an older fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The replica.
    pub owner: u64,
    /// Grows with every change of the owner.
    pub fence: u64,
}

/// The stages that are written; `new` is the absence of a record.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "an answer is what most of them end with"
)]
pub(crate) enum Stage {
    /// Signed, perhaps sent, perhaps in a block.
    Broadcasting,
    /// An endpoint has said that it has the transaction.
    Pending,
    /// Over: the answer to every further request, unless its block goes away.
    Done {
        end: End,
        /// The answer.
        response: SettleResponse,
        /// Block of the transaction; absent where there is none.
        block: Option<Place>,
        /// The block is deep enough: nothing is watched any more.
        settled_for_good: bool,
    },
}

/// How a settlement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// A transaction of ours moved the money.
    Settled,
    /// A transaction of ours failed on chain.
    Reverted,
    /// Somebody else's transaction moved exactly this money.
    Replaced,
    /// The authorization ran out unspent.
    Expired,
}

/// A place on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Number of the block.
    pub(crate) number: u64,
    /// Hash of the block.
    pub(crate) hash: B256,
}

/// What this process remembers about the pace of a settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Watch {
    signed: Option<Duration>,
    sent: Option<Duration>,
    passed: Option<Duration>,
    refused: Option<Duration>,
    inspected: Option<Duration>,
    spent: Option<Duration>,
    /// What an inspection was asked for, so that its answer has one meaning.
    question: Option<Question>,
}

/// Why the chain was asked about an authorization.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "an answer is what most of them end with"
)]
enum Question {
    /// The last transaction seems displaced.
    Displaced,
    /// The deadline has passed.
    Expired,
    /// A transaction of ours reverted: this is the answer unless somebody else settled.
    Reverted(SettleResponse, Place),
    /// A transaction that does nothing took the account nonce.
    Cancelled(Place),
}

impl Eq for Question {}

impl Settlement {
    /// Begins a settlement; nothing is signed yet.
    pub(crate) fn new(
        key: B256,
        fingerprint: B256,
        request: String,
        deadline_s: u64,
        signer: Address,
        call: Option<Call>,
        blank: SettleResponse,
        lease: Lease,
    ) -> Self {
        Self {
            version: VERSION,
            key,
            fingerprint,
            request,
            deadline_s,
            signer,
            blank,
            call,
            attempts: Vec::new(),
            stage: Stage::Broadcasting,
            gas: None,
            memo: None,
            began_s: 0,
            lease,
            watch: Watch::default(),
        }
    }

    /// What the chain spends once for this payment.
    pub const fn key(&self) -> B256 {
        self.key
    }

    /// The account whose transactions these are.
    pub const fn signer(&self) -> Address {
        self.signer
    }

    /// Last second at which the authorization settles, Unix seconds.
    pub const fn deadline_s(&self) -> u64 {
        self.deadline_s
    }

    /// Until when a store keeps it once it is finished, Unix seconds: the deadline, or
    /// thirty days after its beginning where the payer named a later one. By then the chain
    /// itself has long refused the nonce, or was never going to spend it.
    pub const fn keep_until_s(&self) -> u64 {
        if self.began_s == 0 {
            return self.deadline_s;
        }
        let longest = self.began_s.saturating_add(KEEP_FINISHED_S);
        if self.deadline_s < longest {
            self.deadline_s
        } else {
            longest
        }
    }

    /// The gas that it counts as; `None` where it counts nothing.
    pub const fn gas(&self) -> Option<GasUse> {
        self.gas
    }

    /// Who carries it.
    pub const fn lease(&self) -> Lease {
        self.lease
    }

    /// Takes the lease that a store keeps beside the record.
    pub(crate) const fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// Gives it to another owner, under a new fence.
    pub fn hand_over(&mut self, owner: u64) {
        self.lease = Lease {
            owner,
            fence: self.lease.fence.saturating_add(1),
        };
    }

    /// The account nonce of the newest transaction.
    pub fn account_nonce(&self) -> Option<u64> {
        self.attempts.last().map(|attempt| attempt.account_nonce)
    }

    /// The account nonce that no other settlement of the signer may have: that of an open one.
    pub fn held_nonce(&self) -> Option<u64> {
        match self.stage {
            Stage::Broadcasting | Stage::Pending => self.account_nonce(),
            Stage::Done { .. } => None,
        }
    }

    /// Names the signer of a record whose layout did not.
    pub(crate) fn adopt_signer(&mut self, signer: Address) {
        if self.signer.is_zero() {
            self.signer = signer;
        }
    }

    /// Whether anything about it is still to be watched.
    pub const fn is_unfinished(&self) -> bool {
        match &self.stage {
            Stage::Broadcasting | Stage::Pending => true,
            Stage::Done {
                settled_for_good, ..
            } => !*settled_for_good,
        }
    }

    /// The JSON that a store keeps.
    ///
    /// # Errors
    ///
    /// Never in practice: every member has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, super::StoreError> {
        serde_json::to_vec(self).map_err(|_| super::StoreError::Corrupt)
    }

    /// Reads what [`Settlement::encode`] or an older version wrote.
    ///
    /// # Errors
    ///
    /// [`super::StoreError::Corrupt`].
    pub fn decode(key: B256, bytes: &[u8]) -> Result<Self, super::StoreError> {
        migrate::decode(key, bytes).ok_or(super::StoreError::Corrupt)
    }

    /// The answer, where it is over.
    pub(crate) const fn response(&self) -> Option<&SettleResponse> {
        match &self.stage {
            Stage::Broadcasting | Stage::Pending => None,
            Stage::Done { response, .. } => Some(response),
        }
    }

    /// The newest transaction that settles.
    pub(crate) fn newest(&self) -> Option<B256> {
        let settles = |attempt: &&Attempt| attempt.purpose == Purpose::Settle;
        let newest = self.attempts.iter().rev().find(settles);
        newest.map(|attempt| attempt.transaction)
    }

    /// A failed answer to its request.
    pub(crate) fn failure(&self, reason: Reason) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(reason),
            ..self.blank.clone()
        }
    }

    /// Whether it only fills a gap in the account's sequence.
    pub(crate) const fn is_filler(&self) -> bool {
        self.request.is_empty()
    }

    pub(crate) fn attempt(&self, transaction: B256) -> Option<&Attempt> {
        let mut attempts = self.attempts.iter();
        attempts.find(|attempt| attempt.transaction == transaction)
    }
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement")
            .field("key", &self.key)
            .field("account_nonce", &self.account_nonce())
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// How long a finished record is kept at most: a month. A payer may name a deadline in a thousand
/// years, and shall not fill the store with it.
const KEEP_FINISHED_S: u64 = 30 * 24 * 60 * 60;

/// The layout that this version writes.
const VERSION: u32 = 3;

#[cfg(test)]
mod tests;

//! The life of one record on chain, a batch or an individual settlement, as a synchronous state
//! machine.
//!
//! ```text
//! sealed ──blob stored──▶ stored ──signed──▶ sent ──mined──▶ settled ──deep──▶ final
//!                           ▲  ▲               │  ◀── block gone ──┘
//!                           │  └──── dropped ──┤
//!                           └─ nobody did it ─ failed on chain ──found──▶ settled
//! ```
//!
//! Each stage is written before the step after it begins, and each step can be done again: blobs are
//! named by their content, transactions by their job and attempt. So a crash at any point leaves
//! something that going on completes.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall as _;
use serde::{Deserialize, Serialize};

use super::{SettlementData, individual_blob};
use crate::bindings::ISettlement;
use crate::merkle::{Leaf, StandardMerkleTree};

/// One record to be made on chain, with everything that making it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What it records: the root of a batch, or the id of an inference.
    pub id: B256,
    /// Whether it is a batch.
    pub kind: JobKind,
    /// Its answers; one where it is individual.
    #[serde(with = "items")]
    pub items: Vec<SettlementData>,
    /// When it was made, Unix seconds.
    pub created_s: u64,
    /// How far it has come.
    pub stage: Stage,
    /// Transactions given up before the one of now.
    pub attempt: u32,
    /// Steps that failed in a row.
    pub failures: u32,
    /// Nothing is done before, Unix seconds.
    pub rest_until_s: u64,
    /// Grows with every write: a store refuses a write that has not seen the one before it.
    pub version: u64,
}

/// What a job makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// `batchSettle`.
    Batch,
    /// `settleIndividual`.
    Individual,
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Its answers are fixed; the blob may or may not be stored.
    Sealed,
    /// The blob is stored and was read back.
    Stored {
        /// Identifier of the blob.
        blob: String,
    },
    /// A transaction was signed, and perhaps sent.
    Sent {
        /// Identifier of the blob.
        blob: String,
        /// Its hash; another one where it was replaced by one with higher fees.
        transaction: B256,
    },
    /// A block holds it.
    Settled {
        /// Identifier of the blob.
        blob: String,
        /// Hash of the transaction.
        transaction: B256,
        /// Number of the block.
        block_number: u64,
        /// Hash of the block.
        block_hash: B256,
        /// The block is deep enough: nothing is watched any more.
        is_final: bool,
    },
    /// It will not be made.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// Why a job is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The contract settles an answer on its own for an hour only.
    #[error("the contract no longer takes an answer of this age on its own")]
    TooOld,
}

/// What became of a transaction, as its sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Signed and remembered, perhaps sent.
    Pending {
        /// Its hash.
        transaction: B256,
    },
    /// In a block.
    Mined {
        /// Its hash.
        transaction: B256,
        /// Number of the block.
        block_number: u64,
        /// Hash of the block.
        block_hash: B256,
        /// Whether it did what it is for.
        succeeded: bool,
        /// Whether the sender no longer watches the block.
        is_final: bool,
    },
    /// Not in a block, and never will be.
    Dropped,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// Its blob is stored, and reads back as it was.
    BlobStored(String),
    /// A step failed for now: the blob store, the chain, or the sender does not answer, or the chain
    /// would refuse the transaction.
    Delayed,
    /// The sender said where its transaction is.
    Sender(Standing),
    /// The chain was asked for the record, after a transaction did not make it.
    Looked(Option<Standing>),
}

/// What is to be done for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// Write it, before anything that follows.
    Persist,
    /// Store its blob and read it back.
    StoreBlob,
    /// Let the sender carry the transaction of [`Job::key`].
    Send,
    /// Ask the sender again after a while.
    Watch,
    /// Ask the chain whether somebody else made the record.
    Look,
    /// Go on at [`Job::rest_until_s`].
    Rest,
}

/// When answers that wait become a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRule {
    /// Answers of one batch at most; OpenGradient's facilitator: 20.
    pub max_items: usize,
    /// Seconds since the newest answer; 300.
    pub idle_s: u64,
    /// Seconds since the oldest answer; 900.
    pub longest_s: u64,
}

/// Answers that wait for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many.
    pub waiting: usize,
    /// When the oldest came, Unix seconds.
    pub oldest_s: u64,
    /// When the newest came, Unix seconds.
    pub newest_s: u64,
}

/// The hour in which the contract takes an answer on its own, less two minutes to be mined in.
pub const INDIVIDUAL_MAX_AGE_S: u64 = 3600 - 120;

/// First pause after a failure, seconds; doubled with each that follows.
const PAUSE_S: u64 = 2;
/// Longest pause, seconds.
const LONGEST_PAUSE_S: u64 = 300;

impl Default for BatchRule {
    fn default() -> Self {
        Self {
            max_items: 20,
            idle_s: 300,
            longest_s: 900,
        }
    }
}

impl BatchRule {
    /// Whether what waits becomes a batch now.
    pub const fn is_due(&self, queue: &Queue, now_s: u64) -> bool {
        queue.waiting > 0
            && (queue.waiting >= self.max_items
                || now_s.saturating_sub(queue.newest_s) >= self.idle_s
                || now_s.saturating_sub(queue.oldest_s) >= self.longest_s)
    }
}

impl Job {
    /// Seals a batch. `None` for no answers or more than a tree takes.
    pub fn batch(items: Vec<SettlementData>, now_s: u64) -> Option<Self> {
        let root = tree(&items)?.root();
        Some(Self::new(root, JobKind::Batch, items, now_s))
    }

    /// Begins an individual settlement.
    pub fn individual(item: SettlementData, now_s: u64) -> Self {
        let id = item.inference.id();
        Self::new(id, JobKind::Individual, vec![item], now_s)
    }

    fn new(id: B256, kind: JobKind, items: Vec<SettlementData>, now_s: u64) -> Self {
        Self {
            id,
            kind,
            items,
            created_s: now_s,
            stage: Stage::Sealed,
            attempt: 0,
            failures: 0,
            rest_until_s: 0,
            version: 0,
        }
    }

    /// The tree over its answers; of one leaf where it is individual.
    pub fn tree(&self) -> Option<StandardMerkleTree> {
        tree(&self.items)
    }

    /// Names its transaction: a sender sends one for a key, however often it is asked.
    pub fn key(&self) -> B256 {
        keccak256(
            [
                b"seamline/v1/data-settlement".as_slice(),
                self.id.as_slice(),
                &self.attempt.to_be_bytes(),
            ]
            .concat(),
        )
    }

    /// The blob that goes with it. `None` where it has no answers, which no constructor makes.
    pub fn blob_bytes(&self) -> Option<String> {
        match self.kind {
            JobKind::Batch => Some(self.tree()?.dump()),
            JobKind::Individual => {
                let item = self.items.first()?;
                Some(individual_blob(&item.inference, item.content.as_ref()?))
            }
        }
    }

    /// The input of its transaction. `None` where its blob is not stored.
    pub fn calldata(&self) -> Option<Bytes> {
        let blob = Bytes::copy_from_slice(self.blob()?.as_bytes());
        let input = match self.kind {
            JobKind::Batch => ISettlement::batchSettleCall {
                merkleRoot: self.id,
                batchSize: U256::from(self.items.len()),
                walrusBlobId: blob,
            }
            .abi_encode(),
            JobKind::Individual => {
                let item = self.items.first()?;
                ISettlement::settleIndividualCall {
                    teeId: *item.inference.node.as_b256(),
                    inputHash: item.inference.input_hash,
                    outputHash: item.inference.output_hash,
                    timestamp: U256::from(item.inference.timestamp),
                    ethAddress: item.content.as_ref()?.eth_address,
                    walrusBlobId: blob,
                    signature: item.inference.signature.clone(),
                }
                .abi_encode()
            }
        };
        Some(input.into())
    }

    /// Whether anything is to be done for it.
    pub const fn is_open(&self) -> bool {
        match &self.stage {
            Stage::Sealed | Stage::Stored { .. } | Stage::Sent { .. } => true,
            Stage::Settled { is_final, .. } => !*is_final,
            Stage::Failed { .. } => false,
        }
    }

    /// Identifier of its blob, once it is stored.
    pub fn blob(&self) -> Option<&str> {
        match &self.stage {
            Stage::Stored { blob } | Stage::Sent { blob, .. } | Stage::Settled { blob, .. } => {
                Some(blob)
            }
            Stage::Sealed | Stage::Failed { .. } => None,
        }
    }

    /// What is to be done next, where nothing of this process is under way: after a crash, or when
    /// a pause is over.
    pub fn next(&self, now_s: u64) -> Option<JobStep> {
        if self.is_open() && now_s < self.rest_until_s {
            return Some(JobStep::Rest);
        }
        match &self.stage {
            Stage::Sealed => Some(JobStep::StoreBlob),
            Stage::Stored { .. } => Some(JobStep::Send),
            Stage::Sent { .. } => Some(JobStep::Watch),
            Stage::Settled { is_final, .. } => (!*is_final).then_some(JobStep::Watch),
            Stage::Failed { .. } => None,
        }
    }

    /// Takes in what happened, and says what is to be done, in order.
    pub fn on_event(&mut self, event: JobEvent, now_s: u64) -> Vec<JobStep> {
        let before = (self.stage.clone(), self.attempt, self.rest_until_s);
        let look = self.react(event, now_s);
        let mut steps = Vec::new();
        if before != (self.stage.clone(), self.attempt, self.rest_until_s) {
            self.version = self.version.saturating_add(1);
            steps.push(JobStep::Persist);
        }
        if look {
            steps.push(JobStep::Look);
        } else {
            steps.extend(self.next(now_s));
        }
        steps
    }

    /// Returns whether the chain is to be asked for the record.
    fn react(&mut self, event: JobEvent, now_s: u64) -> bool {
        if !self.is_open() {
            return false;
        }
        match (event, self.stage.clone()) {
            (JobEvent::BlobStored(blob), Stage::Sealed) => {
                self.progress(Stage::Stored { blob });
            }
            (JobEvent::Delayed, Stage::Sealed | Stage::Stored { .. }) if self.is_late(now_s) => {
                let failure = Failure::TooOld;
                self.progress(Stage::Failed { failure });
            }
            (JobEvent::Delayed, _) => self.pause(now_s),
            (
                JobEvent::Sender(standing),
                Stage::Stored { blob } | Stage::Sent { blob, .. } | Stage::Settled { blob, .. },
            ) => return self.stand(standing, blob),
            (JobEvent::Looked(found), Stage::Stored { blob } | Stage::Sent { blob, .. }) => {
                match found {
                    Some(
                        standing @ Standing::Mined {
                            succeeded: true, ..
                        },
                    ) => {
                        self.stand(standing, blob);
                    }
                    // Nobody made it: again, with a transaction of another name.
                    Some(_) | None => self.again(blob, now_s),
                }
            }
            (
                JobEvent::BlobStored(_) | JobEvent::Sender(_) | JobEvent::Looked(_),
                Stage::Sealed
                | Stage::Stored { .. }
                | Stage::Sent { .. }
                | Stage::Settled { .. }
                | Stage::Failed { .. },
            ) => {}
        }
        false
    }

    fn stand(&mut self, standing: Standing, blob: String) -> bool {
        match standing {
            Standing::Pending { transaction } => {
                self.progress(Stage::Sent { blob, transaction });
                false
            }
            Standing::Mined {
                transaction,
                block_number,
                block_hash,
                succeeded: true,
                is_final,
            } => {
                self.progress(Stage::Settled {
                    blob,
                    transaction,
                    block_number,
                    block_hash,
                    is_final,
                });
                false
            }
            // Its block may leave the chain yet, and take the failure along.
            Standing::Mined {
                is_final: false, ..
            } => false,
            Standing::Mined { .. } | Standing::Dropped => {
                if matches!(self.stage, Stage::Settled { .. }) {
                    self.stage = Stage::Stored { blob };
                }
                true
            }
        }
    }

    fn again(&mut self, blob: String, now_s: u64) {
        self.attempt = self.attempt.saturating_add(1);
        if self.is_late(now_s) {
            let failure = Failure::TooOld;
            self.stage = Stage::Failed { failure };
        } else {
            self.stage = Stage::Stored { blob };
            self.pause(now_s);
        }
    }

    fn progress(&mut self, stage: Stage) {
        self.stage = stage;
        self.failures = 0;
        self.rest_until_s = 0;
    }

    fn pause(&mut self, now_s: u64) {
        let doubled = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        let pause = PAUSE_S.saturating_mul(doubled).min(LONGEST_PAUSE_S);
        self.failures = self.failures.saturating_add(1).min(32);
        self.rest_until_s = now_s.saturating_add(pause);
    }

    /// Whether the contract would refuse it for its age.
    fn is_late(&self, now_s: u64) -> bool {
        let late = |item: &SettlementData| {
            now_s.saturating_sub(item.inference.timestamp) > INDIVIDUAL_MAX_AGE_S
        };
        self.kind == JobKind::Individual && self.items.iter().any(late)
    }
}

fn tree(items: &[SettlementData]) -> Option<StandardMerkleTree> {
    let leaves: Vec<Leaf> = items.iter().map(|item| item.inference.leaf()).collect();
    StandardMerkleTree::new(leaves)
}

/// Answers as the JSON texts that enclaves send.
mod items {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::settlement::{SettlementData, SettlementType};

    pub(super) fn serialize<S: Serializer>(
        items: &[SettlementData],
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        writer.collect_seq(
            items
                .iter()
                .map(|item| (item.mode().as_str(), item.to_json())),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Vec<SettlementData>, D::Error> {
        let texts = Vec::<(String, String)>::deserialize(reader)?;
        let item = |(mode, text): (String, String)| {
            let mode = SettlementType::of_enclave(&mode).map_err(de::Error::custom)?;
            SettlementData::from_json(mode, text.as_bytes()).map_err(de::Error::custom)
        };
        texts.into_iter().map(item).collect()
    }
}

#[cfg(test)]
mod tests;

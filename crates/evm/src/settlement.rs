//! Data settlement: what an enclave hands to a facilitator about an answer, the batches that a
//! facilitator makes of it, and the proofs that a batch holds an answer.
//!
//! Money is settled by [`crate::facilitator`]; here a chain is told *that* an enclave answered.
//! Wire forms are OpenGradient's; the rules are in `spec/settlement.md`.

mod blob;
mod data;
mod found;
mod job;
mod mode;
mod node;
mod proof;
mod view;
mod witness;

pub use self::blob::{BlobError, Tree, individual_blob};
pub use self::data::{Content, Malformed, SettlementData, SignedInference, number};
pub use self::found::{FoundRoot, batches, individual};
pub use self::job::{
    BatchRule, Failure, INDIVIDUAL_MAX_AGE_S, Job, JobEvent, JobKind, JobStep, Queue, Stage,
    Standing,
};
pub use self::mode::{SettlementType, UnknownType};
pub use self::node::{NodeKey, node_key};
pub use self::proof::{InclusionProof, ProofError};
pub use self::view::{JobStatus, SettlementJob};
pub use self::witness::{Witnessed, witness};

/// Request header that names the mode; a client's word to an enclave, and an enclave's to a
/// facilitator.
pub const TYPE_HEADER: &str = "x-settlement-type";
/// Request header with the data, base64 of JSON.
pub const DATA_HEADER: &str = "x-settlement-data";

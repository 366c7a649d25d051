//! The vocabulary and the pure core of Seamline: ids, amounts and time, canonical request bytes,
//! decisions, hesitations and receipts.
//!
//! Nothing here reads a clock, opens a socket, looks at the environment or uses floating point
//! in a decision or a receipt; the formats are specified in `spec/`.

mod amount;
pub mod binding;
pub mod canonical;
pub mod cbor;
pub mod decision;
mod fault;
pub mod hesitation;
mod ids;
pub mod infer;
pub mod json;
pub mod receipt;
mod time;

pub use alloy_primitives::{Address, B256, U256, keccak256};
pub use amount::{Amount, AmountError};
pub use fault::{Charged, Fault, Retry, SourceClass, chain};
pub use ids::{CallId, NodeId};
pub use time::Timestamp;

/// Computes SHA-256 over the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> B256 {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    B256::from_slice(&hasher.finalize())
}

//! The seam to whoever settles the hashes of inferences on a chain, beside their payments.
//!
//! OpenGradient's callers choose with the header `X-SETTLEMENT-TYPE` what becomes of the proof of
//! their call: nothing, a leaf of a batch, or a transaction of its own.

use core::future::Future;
use core::pin::Pin;

#[cfg(feature = "client")]
mod http;
mod wire;

use bytes::Bytes;
use seamline_core::{Address, B256, NodeId};
use seamline_evm::heartbeat::Heartbeat;
/// What becomes of the hashes of a call.
pub use seamline_evm::settlement::SettlementType as DataMode;

/// A signed inference, as it is settled.
///
/// Has no `Debug`: [`InferenceData::contents`] are a prompt and its answer.
#[expect(
    missing_debug_implementations,
    reason = "prompts and answers never reach logs, and Debug is how they would"
)]
#[derive(Clone, PartialEq, Eq)]
pub struct InferenceData {
    /// Who signed.
    pub tee_id: NodeId,
    /// Keccak-256 of the canonical request.
    pub input_hash: B256,
    /// Keccak-256 of the answer's preimage.
    pub output_hash: B256,
    /// RSA-PSS over [`seamline_core::canonical::message_hash`], as raw bytes.
    pub signature: Vec<u8>,
    /// The time that is signed, Unix seconds.
    pub timestamp_s: u64,
    /// Who paid.
    pub payer: Address,
    /// The payment that the call belongs to, as [`seamline_evm::scheme::Authorization::key`] names it: a
    /// facilitator that asks for payments records nothing without it. `None` where there is none, as
    /// with a channel.
    pub payment: Option<B256>,
    /// Request and answer, as JSON texts: with [`DataMode::Individual`] only.
    pub contents: Option<(Bytes, Bytes)>,
}

/// What a facilitator promises about a settlement of data: nothing of it is on a chain yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataTicket {
    /// By which its progress can be asked for.
    pub job_id: String,
    /// The queue that holds it.
    pub queue: String,
    /// Such as `queued`.
    pub status: String,
    /// The account's nonce that is set aside for its transaction.
    pub queue_nonce: Option<u64>,
    /// Who signs its transaction.
    pub signer: Option<Address>,
    /// Hash of its transaction, where it is signed already.
    pub transaction: Option<B256>,
    /// Id of its blob.
    pub blob_id: Option<String>,
}

/// Takes the hashes of inferences for settlement: in process or over HTTP (`POST /settle_data`).
pub trait DataSettlement: Send + Sync {
    /// Takes one over. `Ok` says that it is durable where it is now, not that it is settled; `None`
    /// comes for [`DataMode::Private`] only, which should not be sent at all.
    ///
    /// # Retries
    ///
    /// Safe: the same inference is one leaf (it has the same signature).
    ///
    /// # Cancellation
    ///
    /// The future may be dropped; whether the inference was taken is unknown then.
    ///
    /// # Errors
    ///
    /// [`DataError`]. The answer to the caller does not depend on it.
    fn settle_data<'a>(
        &'a self,
        mode: DataMode,
        inference: &'a InferenceData,
    ) -> DataFuture<'a, Result<Option<DataTicket>, DataError>>;
}

/// Delivers nodes' heartbeats to the registry, at its own cost: in process or over HTTP
/// (`POST /heartbeat`).
pub trait HeartbeatRelay: Send + Sync {
    /// Delivers one to `registry`; returns the hash of the transaction, as the facilitator writes it.
    ///
    /// # Retries
    ///
    /// Safe: the registry takes a signed time once.
    ///
    /// # Errors
    ///
    /// [`DataError::Refused`] with 400 where it is refused for good, with 429 where the node's last
    /// one is too fresh.
    fn heartbeat<'a>(
        &'a self,
        heartbeat: &'a Heartbeat,
        registry: Address,
    ) -> DataFuture<'a, Result<String, DataError>>;
}

/// What a [`DataSettlement`] returns, later.
pub type DataFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why an inference was not taken for settlement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The other side cannot be reached, or does not answer in time.
    #[error("the facilitator cannot be reached")]
    Unreachable(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// It refused.
    #[error("the facilitator refused with status {0}")]
    Refused(u16),
    /// Its answer is not what the endpoint describes.
    #[error("the facilitator's answer is malformed")]
    Malformed,
}

impl DataError {
    /// Whether the same inference would be refused again: it is malformed, unpaid, too old, or not the
    /// node's. Statuses that say "later" (408, 425, 429) are not final, nor is anything from 500 on.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Refused(status) => {
                matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429)
            }
            Self::Unreachable(_) | Self::Malformed => false,
        }
    }
}

//! The seam to whoever settles the hashes of inferences on a chain, beside their payments.
//!
//! OpenGradient's callers choose with the header `X-SETTLEMENT-TYPE` what becomes of the proof of
//! their call: nothing, a leaf of a batch, or a transaction of its own.

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use bytes::Bytes;
use seamline_core::{Address, B256, NodeId};

/// What becomes of the hashes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataMode {
    /// Nothing leaves the enclave.
    Private,
    /// A leaf of the next batch; what callers get who say nothing.
    Batch,
    /// A transaction of its own, with request and answer published as a blob.
    Individual,
}

impl DataMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Batch => "batch",
            Self::Individual => "individual",
        }
    }

    /// Reads `X-SETTLEMENT-TYPE` as OpenGradient's gateways do: case, spaces, `-` and `_` do not
    /// count, two misspellings are known, and everything else is a batch.
    pub fn of_header(value: Option<&[u8]>) -> Self {
        let plain: Vec<u8> = value
            .unwrap_or_default()
            .iter()
            .filter(|byte| !matches!(byte, b' ' | b'\t' | b'-' | b'_'))
            .map(u8::to_ascii_lowercase)
            .collect();
        match plain.as_slice() {
            b"private" | b"pivate" => Self::Private,
            b"individual" | b"inidvidual" => Self::Individual,
            _ => Self::Batch,
        }
    }
}

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

impl fmt::Display for DataMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_spelled_loosely_and_a_batch_is_what_nobody_refused() {
        for (text, mode) in [
            ("private", DataMode::Private),
            ("PRI-VATE", DataMode::Private),
            (" pivate ", DataMode::Private),
            ("individual", DataMode::Individual),
            ("inid vidual", DataMode::Individual),
            ("In_dividual", DataMode::Individual),
            ("batch", DataMode::Batch),
            ("", DataMode::Batch),
            ("privately", DataMode::Batch),
        ] {
            assert_eq!(DataMode::of_header(Some(text.as_bytes())), mode, "{text}");
        }
        assert_eq!(DataMode::of_header(None), DataMode::Batch);
        assert_eq!(DataMode::of_header(Some(b"\xff")), DataMode::Batch);
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Malformed, SettlementType};

/// A facilitator's answer about data that it was given (`settlementJob` of `POST /settle_data`, and
/// `GET /settle/{jobId}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementJob {
    /// Names the data: `settlement-batch-` or `settlement-individual-`, and the hash of the leaf. The
    /// same data has the same job.
    pub job_id: String,
    /// Name of the queue.
    pub queue: String,
    /// How far it has come.
    pub status: JobStatus,
    /// When the data came, ISO 8601.
    pub created_at: String,
    /// When this last changed, ISO 8601.
    pub updated_at: String,
    /// Where it is on chain, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it will not be on chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement_type: Option<String>,
    /// The account nonce of the transaction. Ours says none: it is taken when the transaction is
    /// signed, so that nothing that fails before leaves a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_nonce: Option<u64>,
    /// The account that settles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer_address: Option<String>,
    /// Hash of the transaction, once one is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<String>,
    /// Identifier of the blob, once it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walrus_blob_id: Option<String>,
}

/// How far a facilitator has come with what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Remembered; it waits for its payment or for its batch.
    Queued,
    /// Its blob is being stored, or its transaction mined.
    Processing,
    /// On chain.
    Succeeded,
    /// It will not be on chain.
    Failed,
}

impl JobStatus {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl SettlementJob {
    /// Names the job of an inference.
    pub fn name(mode: SettlementType, id: &alloy_primitives::B256) -> String {
        format!("settlement-{mode}-{}", hex::encode(id))
    }

    /// Reads the body of an answer to `POST /settle_data`: `None` where nothing is settled, because
    /// the mode is private.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn of_answer(body: &[u8]) -> Result<Option<Self>, Malformed> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            settlement_job: Option<SettlementJob>,
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| Malformed::Json)?;
        Ok(answer.settlement_job)
    }
}

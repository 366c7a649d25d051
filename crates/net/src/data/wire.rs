use bytes::Bytes;
use seamline_evm::settlement::{Content, SettlementData, SettlementJob, SignedInference};

use super::{DataError, DataMode, DataTicket, InferenceData};

impl InferenceData {
    /// As it goes to a facilitator: with its contents in [`DataMode::Individual`] alone.
    ///
    /// # Errors
    ///
    /// [`DataError::Malformed`] where the contents are missing, or no UTF-8.
    pub fn to_wire(&self, mode: DataMode) -> Result<SettlementData, DataError> {
        let Self {
            tee_id,
            input_hash,
            output_hash,
            signature,
            timestamp_s,
            payer,
            payment,
            contents,
        } = self;
        let text = |bytes: &Bytes| {
            let text = core::str::from_utf8(bytes).map_err(|_| DataError::Malformed)?;
            Ok::<_, DataError>(text.to_owned())
        };
        let content = match (mode, contents) {
            (DataMode::Private | DataMode::Batch, _) => None,
            (DataMode::Individual, None) => return Err(DataError::Malformed),
            (DataMode::Individual, Some((input, output))) => Some(Content {
                input: text(input)?,
                output: text(output)?,
                eth_address: *payer,
            }),
        };
        Ok(SettlementData {
            inference: SignedInference {
                node: *tee_id,
                input_hash: *input_hash,
                output_hash: *output_hash,
                signature: signature.clone().into(),
                timestamp: *timestamp_s,
            },
            content,
            payment: *payment,
        })
    }
}

impl DataTicket {
    /// Reads a facilitator's answer.
    pub fn of_job(job: &SettlementJob) -> Self {
        let parsed = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        Self {
            job_id: job.job_id.clone(),
            queue: job.queue.clone(),
            status: job.status.as_str().to_owned(),
            queue_nonce: job.queue_nonce,
            signer: job
                .signer_address
                .as_ref()
                .and_then(|text| text.parse().ok()),
            transaction: parsed(&job.tx_hash),
            blob_id: job.walrus_blob_id.clone(),
        }
    }
}

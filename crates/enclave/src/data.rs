//! Handing the hashes of an answer over for settlement (`X-SETTLEMENT-TYPE`).

use core::time::Duration;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use seamline_core::json::{Object, Value};
use seamline_net::{DataMode, DataSettlement, DataTicket, InferenceData};
use tokio::time::{sleep, timeout};

use crate::call::Call;
use crate::enclave::Enclave;
use crate::frames::Proof;

/// How long a caller waits for the promise of a settlement of its own.
const WAIT: Duration = Duration::from_secs(10);
/// How often a leaf is handed over before it is given up.
const TRIES: u32 = 5;
/// The first pause between two tries, doubled with each.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of an answer's hashes, as far as its caller is told.
pub(crate) enum Handed {
    /// Nothing is said: nothing is to be settled, or the facilitator gathers it.
    Silent,
    /// A settlement of its own is promised.
    Ticket(Box<DataTicket>),
    /// A settlement of its own was asked for and not promised.
    Failed,
}

impl Enclave {
    /// Whether hashes can be settled at all.
    pub(crate) fn settles_data(&self) -> bool {
        self.config.data.is_some()
    }

    /// Hands the hashes of an answer over: at once where the caller waits for its ticket, else in the
    /// background. The answer does not depend on it.
    pub(crate) async fn settle_data(&self, call: &Call, proof: &Proof, answer: &Bytes) -> Handed {
        let Some(desk) = &self.config.data else {
            return Handed::Silent;
        };
        let mut inference = InferenceData {
            tee_id: self.node_id(),
            input_hash: call.input_hash,
            output_hash: proof.output,
            signature: proof.raw.clone(),
            timestamp_s: proof.timestamp_s,
            payer: call.payer,
            payment: call.payment,
            contents: None,
        };
        match call.mode {
            DataMode::Private => Handed::Silent,
            DataMode::Batch => {
                self.tasks.spawn(hand_over(Arc::clone(desk), inference));
                Handed::Silent
            }
            DataMode::Individual => {
                inference.contents = Some((call.request.clone(), answer.clone()));
                let handed = desk.settle_data(DataMode::Individual, &inference);
                match timeout(WAIT, handed).await {
                    Ok(Ok(Some(ticket))) => Handed::Ticket(Box::new(ticket)),
                    Ok(Ok(None)) => Handed::Failed,
                    Ok(Err(err)) => {
                        let error = seamline_core::chain(&err);
                        tracing::warn!(error, "no settlement of an answer's own is promised");
                        Handed::Failed
                    }
                    Err(_) => {
                        tracing::warn!("the promise of a settlement took too long");
                        Handed::Failed
                    }
                }
            }
        }
    }
}

/// Hands a leaf over until it is taken.
async fn hand_over(desk: Arc<dyn DataSettlement>, inference: InferenceData) {
    let mut pause = PAUSE;
    for attempt in 1..=TRIES {
        match desk.settle_data(DataMode::Batch, &inference).await {
            Ok(_) => return,
            Err(err) => {
                let error = seamline_core::chain(&err);
                tracing::warn!(error, "a leaf was not taken for settlement");
            }
        }
        if attempt < TRIES {
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }
    tracing::error!("a leaf is given up: its batch will not hold it");
}

impl Handed {
    /// The headers of an answer with a settlement of its own; none otherwise.
    pub(crate) fn headers(&self, proof: &Proof) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let ticket = match self {
            Self::Silent => return headers,
            Self::Ticket(ticket) => Some(ticket),
            Self::Failed => None,
        };
        let mut say = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        say("x-tee-signature", proof.signature.clone());
        say("x-tee-id", proof.tee_id.clone());
        say("x-tee-timestamp", proof.timestamp_s.to_string());
        say("x-tee-request-hash", format!("0x{}", proof.request_hash));
        say("x-tee-output-hash", format!("0x{}", proof.output_hash));
        say("x-settlement-type", "individual".to_owned());
        let Some(ticket) = ticket else {
            say("x-settlement-status", "failed".to_owned());
            return headers;
        };
        say("x-settlement-job-id", ticket.job_id.clone());
        say("x-settlement-queue", ticket.queue.clone());
        say("x-settlement-status", ticket.status.clone());
        if let Some(nonce) = ticket.queue_nonce {
            say("x-settlement-queue-nonce", nonce.to_string());
        }
        if let Some(signer) = ticket.signer {
            say("x-settlement-signer-address", signer.to_checksum(None));
        }
        if let Some(transaction) = ticket.transaction {
            say("x-settlement-tx-hash", transaction.to_string());
        }
        if let Some(blob) = &ticket.blob_id {
            say("x-settlement-walrus-blob-id", blob.clone());
        }
        headers
    }

    /// The members of a stream's final frame; none where there is no settlement of its own.
    pub(crate) fn members(&self, frame: Object) -> Object {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::from);
        match self {
            Self::Silent => frame,
            Self::Ticket(ticket) => frame
                .with("data_settlement_success", true)
                .with("settlement_type", "individual")
                .with(
                    "data_settlement_transaction_hash",
                    text(ticket.transaction.map(|hash| hash.to_string())),
                )
                .with("data_settlement_blob_id", text(ticket.blob_id.clone()))
                .with("settlement_job_id", ticket.job_id.as_str())
                .with(
                    "settlement_queue_nonce",
                    ticket.queue_nonce.map_or(Value::Null, Value::from),
                ),
            Self::Failed => frame
                .with("data_settlement_success", false)
                .with("data_settlement_error", "the settlement was not promised"),
        }
    }
}

/// The signature as bytes, of its text on the wire.
pub(crate) fn encoded(signature: &[u8]) -> String {
    BASE64.encode(signature)
}

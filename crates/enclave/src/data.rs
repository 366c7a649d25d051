//! Handing the hashes of an answer over for settlement (`X-SETTLEMENT-TYPE`).

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use seamline_core::json::{Object, Value};
use seamline_evm::settlement::INDIVIDUAL_MAX_AGE_S;
use seamline_net::{DataMode, DataSettlement, DataTicket, InferenceData};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::call::Call;
use crate::enclave::Enclave;
use crate::frames::Proof;

/// Says that an answer goes on no record (`none`), or not yet (`pending`).
pub(crate) const DATA_SETTLEMENT: HeaderName =
    HeaderName::from_static("x-seamline-data-settlement");
/// The same in the final frame of a stream.
const DATA_SETTLEMENT_MEMBER: &str = "seamline_data_settlement";

/// How long a caller waits for the promise of a settlement of its own.
const WAIT: Duration = Duration::from_secs(10);
/// How long an answer waits for its leaf to be durable: a facilitator answers within a round trip and a
/// check of a signature.
const LEAF: Duration = Duration::from_secs(2);
/// The first pause between two tries, doubled with each.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a leaf is handed over before it is given up: facilitators take none that is older.
const TAKEN: Duration = Duration::from_secs(INDIVIDUAL_MAX_AGE_S);
/// Leaves that wait in memory: a kilobyte each. Beyond that an answer says that it has none.
const MOST_WAITING: usize = 1_024;

/// What became of an answer's hashes, as far as its caller is told.
pub(crate) enum Handed {
    /// Nothing is said: nothing is to be settled, or the facilitator has the leaf, durably.
    Silent,
    /// The facilitator does not have the leaf yet: it waits in this process's memory.
    Pending,
    /// The answer goes on no record: its leaf was refused, or too many wait.
    Lost,
    /// A settlement of its own is promised.
    Ticket(Box<DataTicket>),
    /// A settlement of its own was asked for and not promised.
    Failed,
}

/// The leaves that were not taken yet.
pub(crate) struct Leaves {
    room: Arc<Semaphore>,
    /// The facilitator let an answer wait in vain: the next ones do not wait until it takes a leaf.
    late: Arc<AtomicBool>,
}

impl Default for Leaves {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MOST_WAITING)),
            late: Arc::default(),
        }
    }
}

impl Enclave {
    /// Whether hashes can be settled at all.
    pub(crate) fn settles_data(&self) -> bool {
        self.config.data.is_some()
    }

    /// Hands the hashes of an answer over, before the answer ends: a leaf is durable at the facilitator
    /// then, or its caller is told that it is not. The answer does not depend on it.
    ///
    /// # Limits
    ///
    /// An answer waits for at most two seconds, and not at all behind one that waited in vain.
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
            DataMode::Batch => self.leaf(desk, inference).await,
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

    /// Hands a leaf over, in a task of its own that outlives the answer where it takes longer.
    async fn leaf(&self, desk: &Arc<dyn DataSettlement>, inference: InferenceData) -> Handed {
        let Ok(place) = Arc::clone(&self.leaves.room).try_acquire_owned() else {
            tracing::error!("a leaf is given up: too many wait for the facilitator");
            return Handed::Lost;
        };
        let (say, mut first) = oneshot::channel();
        let (desk, late) = (Arc::clone(desk), Arc::clone(&self.leaves.late));
        self.tasks.spawn(async move {
            hand_over(desk.as_ref(), &inference, say, &late).await;
            drop(place);
        });
        if self.leaves.late.load(Ordering::Relaxed) {
            return first.try_recv().unwrap_or(Handed::Pending);
        }
        match timeout(LEAF, first).await {
            Ok(said) => said.unwrap_or(Handed::Pending),
            Err(_) => {
                tracing::warn!("the facilitator is late: answers do not wait for their leaves");
                self.leaves.late.store(true, Ordering::Relaxed);
                Handed::Pending
            }
        }
    }
}

/// Hands a leaf over until it is taken or refused; says how the first try went.
async fn hand_over(
    desk: &dyn DataSettlement,
    inference: &InferenceData,
    say: oneshot::Sender<Handed>,
    late: &AtomicBool,
) {
    let mut say = Some(say);
    let mut pause = PAUSE;
    let mut tell = move |handed: Handed| {
        if let Some(say) = say.take() {
            // Nobody waits any more where the receiver is gone.
            drop(say.send(handed));
        }
    };
    let began = Instant::now();
    while began.elapsed() < TAKEN {
        match timeout(WAIT, desk.settle_data(DataMode::Batch, inference)).await {
            Ok(Ok(_)) => {
                late.store(false, Ordering::Relaxed);
                return tell(Handed::Silent);
            }
            Ok(Err(err)) => {
                let error = seamline_core::chain(&err);
                if err.is_final() {
                    tracing::error!(error, "a leaf is refused: its batch will not hold it");
                    return tell(Handed::Lost);
                }
                tracing::warn!(error, "a leaf was not taken for settlement");
            }
            Err(_) => tracing::warn!("a leaf was not taken in time"),
        }
        tell(Handed::Pending);
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
    tracing::error!("a leaf is given up: its batch will not hold it");
}

impl Handed {
    /// What is said of a leaf that the facilitator does not have.
    const fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Silent | Self::Lost | Self::Ticket(_) | Self::Failed => "none",
        }
    }

    /// The headers of an answer with a settlement of its own, or whose leaf the facilitator does not
    /// have; none otherwise.
    pub(crate) fn headers(&self, proof: &Proof) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let ticket = match self {
            Self::Silent => return headers,
            Self::Pending | Self::Lost => {
                let said = HeaderValue::from_static(self.word());
                headers.insert(DATA_SETTLEMENT, said);
                return headers;
            }
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

    /// The members of a stream's final frame; none where there is nothing to say.
    pub(crate) fn members(&self, frame: Object) -> Object {
        let text = |text: Option<String>| text.map_or(Value::Null, Value::from);
        match self {
            Self::Silent => frame,
            Self::Pending | Self::Lost => frame.with(DATA_SETTLEMENT_MEMBER, self.word()),
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

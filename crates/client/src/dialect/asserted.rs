//! What an answer says beside its signature: nobody signed it, so it is held against what is known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use seamline_core::{B256, NodeId};
use seamline_evm::settlement::SettlementType;
use serde::Deserialize;

use crate::error::ClaimFault;

/// What a node says that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

/// Longest answer of a gateway to a request that bounds it with zero.
const UNBOUNDED_TOKENS: u64 = 4_096;

impl Usage {
    /// Whether it can be true of a request of `sent` bytes that asked for at most `max_tokens`: no token is
    /// shorter than a byte, and the frame that a model puts around a message is shorter than the JSON around it.
    pub(crate) fn is_possible(&self, sent: usize, max_tokens: u32) -> bool {
        let sent = u64::try_from(sent).unwrap_or(u64::MAX);
        let most = match max_tokens {
            0 => UNBOUNDED_TOKENS,
            asked => u64::from(asked),
        };
        let (prompt, completion) = (self.prompt_tokens, self.completion_tokens);
        let sum = prompt
            .zip(completion)
            .and_then(|(prompt, completion)| prompt.checked_add(completion));
        let total = self.total_tokens.is_none_or(|total| match sum {
            Some(sum) => total == sum,
            None => total <= sent.saturating_add(most),
        });
        prompt.is_none_or(|it| it <= sent) && completion.is_none_or(|it| it <= most) && total
    }
}

/// The proof of an answer, as its body has it.
pub(crate) struct Proven<'a> {
    pub(crate) node: NodeId,
    pub(crate) request_hash: B256,
    pub(crate) output_hash: B256,
    pub(crate) timestamp_s: u64,
    pub(crate) signature: &'a [u8],
}

/// What an answer says about its way onto the chain.
#[derive(Clone, Default)]
pub(crate) struct Published {
    /// `x-tee-*` and `x-settlement-*`, as they came.
    headers: HeaderMap,
    /// What the last frame of a stream says beside.
    frame: Option<Framed>,
}

/// What the last frame of a stream says about the settlement of its own answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Framed {
    #[serde(rename = "data_settlement_success")]
    success: Option<bool>,
    #[serde(rename = "settlement_type")]
    mode: Option<String>,
    #[serde(rename = "data_settlement_transaction_hash")]
    transaction: Option<String>,
    #[serde(rename = "data_settlement_blob_id")]
    blob: Option<String>,
    #[serde(rename = "settlement_job_id")]
    job: Option<String>,
    #[serde(rename = "data_settlement_error")]
    error: Option<String>,
}

/// What a node says about the record of its answer, as nobody has checked it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// `header` or `frame`.
    pub(crate) via: &'static str,
    pub(crate) transaction: Option<B256>,
    pub(crate) blob: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) failed: bool,
}

impl Framed {
    /// What the frame says, if it says anything.
    pub(crate) fn said(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

impl Published {
    /// Takes what concerns the settlement of data out of an answer's headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let named = |name: &str| name.starts_with("x-tee-") || name.starts_with("x-settlement-");
        let mut kept = HeaderMap::new();
        for (name, value) in headers {
            if named(name.as_str()) {
                kept.append(name.clone(), value.clone());
            }
        }
        Self {
            headers: kept,
            frame: None,
        }
    }

    /// What the last frame of the stream says.
    pub(crate) fn take_frame(&mut self) -> Option<Framed> {
        self.frame.take()
    }

    /// Adds what the last frame of the stream says.
    pub(crate) fn framed(self, frame: Option<Framed>) -> Self {
        Self { frame, ..self }
    }

    /// What is said about the answer's record; of headers and frame what the frame says, which comes last.
    pub(crate) fn said(&self) -> Option<Said> {
        if let Some(frame) = &self.frame {
            return Some(Said {
                via: "frame",
                transaction: frame.transaction.as_deref().and_then(hash),
                blob: frame.blob.clone(),
                job: frame.job.clone(),
                failed: frame.success == Some(false) || frame.error.is_some(),
            });
        }
        let text = |name: &str| self.one(name).map(ToOwned::to_owned);
        let said = Said {
            via: "header",
            transaction: self.one("x-settlement-tx-hash").and_then(hash),
            blob: text("x-settlement-walrus-blob-id"),
            job: text("x-settlement-job-id"),
            failed: self.one("x-settlement-status") == Some("failed"),
        };
        let says =
            said.failed || said.transaction.is_some() || said.blob.is_some() || said.job.is_some();
        says.then_some(said)
    }

    /// Holds the headers against the proof of the same answer, and against what was asked.
    pub(crate) fn check(
        &self,
        proven: &Proven<'_>,
        asked: SettlementType,
    ) -> Result<(), ClaimFault> {
        let says = |name: &str| self.headers.contains_key(name);
        let frame = self.frame.as_ref();
        let framed = frame.is_some_and(|it| it.transaction.is_some() || it.blob.is_some());
        let published = framed
            || says("x-settlement-tx-hash")
            || says("x-settlement-walrus-blob-id")
            || self.names_mode(SettlementType::Individual);
        if published && asked != SettlementType::Individual {
            return Err(ClaimFault::Unasked);
        }
        if self.names_mode(SettlementType::Batch) && asked == SettlementType::Private {
            return Err(ClaimFault::Unasked);
        }
        let transaction = frame.and_then(|it| it.transaction.as_deref());
        let agrees = transaction.is_none_or(|text| {
            let header = self.one("x-settlement-tx-hash");
            hash(text).is_some() && header.is_none_or(|header| hash(header) == hash(text))
        });
        let holds = self.agrees("x-tee-id", |text| NodeId::parse(text) == Some(proven.node))
            && self.agrees("x-tee-request-hash", |text| {
                hash(text) == Some(proven.request_hash)
            })
            && self.agrees("x-tee-output-hash", |text| {
                hash(text) == Some(proven.output_hash)
            })
            && self.agrees("x-tee-timestamp", |text| {
                text.parse() == Ok(proven.timestamp_s)
            })
            && self.agrees("x-tee-signature", |text| {
                STANDARD.decode(text).is_ok_and(|it| it == proven.signature)
            })
            && self.agrees("x-settlement-tx-hash", |text| hash(text).is_some())
            && agrees;
        if holds {
            Ok(())
        } else {
            Err(ClaimFault::Other)
        }
    }

    /// Whether headers or frame say that the answer was handed over in this mode.
    fn names_mode(&self, mode: SettlementType) -> bool {
        let framed = self.frame.as_ref().and_then(|it| it.mode.as_deref());
        let named = [self.one("x-settlement-type"), framed];
        named.into_iter().flatten().any(|it| it == mode.as_str())
    }

    /// Whether each value of a header passes; an absent header has nothing to fail.
    fn agrees(&self, name: &str, test: impl Fn(&str) -> bool) -> bool {
        let mut values = self.headers.get_all(name).iter();
        values.all(|value| value.to_str().is_ok_and(&test))
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn hash(text: &str) -> Option<B256> {
    hex::decode_to_array(text)
        .ok()
        .map(|bytes: [u8; 32]| B256::from(bytes))
}

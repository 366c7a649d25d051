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

/// What the headers of an answer say about its way onto the chain.
#[derive(Clone, Default)]
pub(crate) struct Published {
    /// `x-tee-*` and `x-settlement-*`, as they came.
    headers: HeaderMap,
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
        Self { headers: kept }
    }

    /// The transaction that is said to put the answer on record.
    pub(crate) fn transaction(&self) -> Option<B256> {
        hash(self.one("x-settlement-tx-hash")?)
    }

    /// Holds the headers against the proof of the same answer, and against what was asked.
    pub(crate) fn check(
        &self,
        proven: &Proven<'_>,
        asked: SettlementType,
    ) -> Result<(), ClaimFault> {
        let says = |name: &str| self.headers.contains_key(name);
        let published = says("x-settlement-tx-hash") || says("x-settlement-walrus-blob-id");
        if published && asked != SettlementType::Individual {
            return Err(ClaimFault::Unasked);
        }
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
            && self.agrees("x-settlement-tx-hash", |text| hash(text).is_some());
        if holds {
            Ok(())
        } else {
            Err(ClaimFault::Other)
        }
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

use alloy_primitives::{Address, B256, Bytes, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_core::{NodeId, canonical};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::SettlementType;
use crate::merkle::Leaf;
use crate::x402;

/// What an enclave tells a facilitator about one answer, in the request headers `x-settlement-type`
/// and `x-settlement-data` of `POST /settle_data`.
///
/// A private answer has none: nothing about it leaves the enclave.
#[derive(Clone, PartialEq, Eq)]
pub struct SettlementData {
    /// What the enclave signed.
    pub inference: SignedInference,
    /// Request and answer themselves: present where the answer is settled individually, absent in a
    /// batch.
    pub content: Option<Content>,
    /// The payment that the answer was bought with, as [`crate::scheme::Authorization::key`] names it.
    /// Ours: OpenGradient's gateway names none.
    pub payment: Option<B256>,
}

/// An answer as its enclave signed it: no text, only hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInference {
    /// The node.
    pub node: NodeId,
    /// Hash of the canonical request.
    pub input_hash: B256,
    /// Hash of the answer.
    pub output_hash: B256,
    /// RSA-PSS over `core::canonical::message_hash`.
    pub signature: Bytes,
    /// Time that was signed, Unix seconds.
    pub timestamp: u64,
}

/// What an individual settlement publishes.
///
/// # Security
///
/// The prompt and the answer in the clear, for everybody and for good: it is what the client asked for.
/// Until then they are in no log: this has no `Debug` text of theirs.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The request as the client sent it: a JSON text.
    pub input: String,
    /// The answer: the response body, or the last frame of a stream, a JSON text.
    pub output: String,
    /// Who bought it.
    pub eth_address: Address,
}

/// What is wrong with settlement data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not base64.
    #[error("x-settlement-data is not base64")]
    Base64,
    /// Not one JSON object.
    #[error("x-settlement-data is not a json object")]
    Json,
    /// The member is missing, or is something else.
    #[error("`{0}` is missing or malformed")]
    Member(&'static str),
    /// Longer than [`SettlementData::MAX_BYTES`].
    #[error("the settlement data is too long")]
    TooLong,
}

impl SignedInference {
    /// What the enclave signed: `keccak256(input_hash || output_hash || u256(timestamp))`.
    pub fn message_hash(&self) -> B256 {
        canonical::message_hash(self.input_hash, self.output_hash, self.timestamp)
    }

    /// Its leaf in a batch.
    pub fn leaf(&self) -> Leaf {
        let Self {
            node,
            input_hash,
            output_hash,
            signature,
            timestamp,
        } = self;
        Leaf {
            tee_id: *node.as_b256(),
            input_hash: *input_hash,
            output_hash: *output_hash,
            signature: signature.clone(),
            timestamp: U256::from(*timestamp),
        }
    }

    /// Names it: the hash of its leaf. One signature is one inference.
    pub fn id(&self) -> B256 {
        self.leaf().hash()
    }
}

impl SettlementData {
    /// Longest JSON: a request at the paywall's limit of 1 MiB, and its answer.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// The mode that this is settled in.
    pub const fn mode(&self) -> SettlementType {
        if self.content.is_some() {
            SettlementType::Individual
        } else {
            SettlementType::Batch
        }
    }

    /// Reads the header `x-settlement-data` of a request whose mode is `mode`.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn from_header(mode: SettlementType, value: &str) -> Result<Self, Malformed> {
        if value.len() / 4 > Self::MAX_BYTES / 3 {
            return Err(Malformed::TooLong);
        }
        let json = STANDARD.decode(value.trim());
        Self::from_json(mode, &json.map_err(|_| Malformed::Base64)?)
    }

    /// Reads the JSON of [`SettlementData::from_header`]. Members that it does not know are ignored;
    /// content is looked for in an individual settlement only. Placeholders of OpenGradient's gateway
    /// (no signature, another hash function) are malformed, or fail the signature check.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn from_json(mode: SettlementType, json: &[u8]) -> Result<Self, Malformed> {
        if json.len() > Self::MAX_BYTES {
            return Err(Malformed::TooLong);
        }
        let Wire {
            tee_id,
            input_hash,
            output_hash,
            tee_signature,
            tee_timestamp,
            input,
            output,
            eth_address,
            payment,
        } = serde_json::from_slice(json).map_err(|_| Malformed::Json)?;
        let inference = SignedInference {
            node: NodeId::new(hash(tee_id.as_ref(), "tee_id")?),
            input_hash: hash(input_hash.as_ref(), "input_hash")?,
            output_hash: hash(output_hash.as_ref(), "output_hash")?,
            signature: signature(tee_signature.as_ref())?,
            timestamp: number(tee_timestamp.as_ref()).ok_or(Malformed::Member("tee_timestamp"))?,
        };
        let content = match mode {
            SettlementType::Individual => Some(Content {
                input: document(input, "input")?,
                output: document(output, "output")?,
                eth_address: eth_address
                    .as_ref()
                    .and_then(Value::as_str)
                    .and_then(|text| text.parse().ok())
                    .ok_or(Malformed::Member("eth_address"))?,
            }),
            SettlementType::Private | SettlementType::Batch => None,
        };
        let payment = match &payment {
            None | Some(Value::Null) => None,
            Some(_) => Some(hash(payment.as_ref(), "payment")?),
        };
        Ok(Self {
            inference,
            content,
            payment,
        })
    }

    /// The JSON, compact, with OpenGradient's members.
    pub fn to_json(&self) -> String {
        let Self {
            inference,
            content,
            payment,
        } = self;
        let mut members = vec![
            ("tee_id", json!(inference.node.to_string()).to_string()),
            (
                "input_hash",
                json!(hex::encode(inference.input_hash)).to_string(),
            ),
            (
                "output_hash",
                json!(hex::encode(inference.output_hash)).to_string(),
            ),
            (
                "tee_signature",
                json!(STANDARD.encode(&inference.signature)).to_string(),
            ),
            ("tee_timestamp", inference.timestamp.to_string()),
        ];
        match content {
            None => members.push(("timestamp", inference.timestamp.to_string())),
            Some(Content {
                input,
                output,
                eth_address,
            }) => members.extend([
                ("input", input.clone()),
                ("output", output.clone()),
                (
                    "timestamp",
                    json!(inference.timestamp.to_string()).to_string(),
                ),
                ("eth_address", json!(eth_address.to_string()).to_string()),
            ]),
        }
        if let Some(payment) = payment {
            members.push(("payment", json!(payment.to_string()).to_string()));
        }
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// The value of the header `x-settlement-data`.
    pub fn to_header(&self) -> String {
        x402::encode_header(self.to_json().as_bytes())
    }
}

impl core::fmt::Debug for SettlementData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SettlementData")
            .field("inference", &self.inference)
            .field("mode", &self.mode())
            .field("payment", &self.payment)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content")
            .field("eth_address", &self.eth_address)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Wire {
    tee_id: Option<Value>,
    input_hash: Option<Value>,
    output_hash: Option<Value>,
    tee_signature: Option<Value>,
    tee_timestamp: Option<Value>,
    input: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    eth_address: Option<Value>,
    payment: Option<Value>,
}

/// 64 hexadecimal digits, with or without `0x`.
fn hash(member: Option<&Value>, name: &'static str) -> Result<B256, Malformed> {
    let text = member.and_then(Value::as_str);
    text.and_then(|text| hex::decode_to_array(text).ok())
        .map(|bytes: [u8; 32]| B256::from(bytes))
        .ok_or(Malformed::Member(name))
}

fn signature(member: Option<&Value>) -> Result<Bytes, Malformed> {
    let text = member.and_then(Value::as_str);
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    bytes
        .filter(|bytes| SIGNATURE_BYTES.contains(&bytes.len()))
        .map(Bytes::from)
        .ok_or(Malformed::Member("tee_signature"))
}

/// Reads a number, its decimal digits, or `0x` and its hexadecimal digits; `None` for anything else.
pub fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|it| it.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).ok()
            }
            None if text.bytes().all(|it| it.is_ascii_digit()) => text.parse().ok(),
            Some(_) | None => None,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn document(member: Option<Box<RawValue>>, name: &'static str) -> Result<String, Malformed> {
    member
        .map(|text| text.get().to_owned())
        .filter(|text| text != "null")
        .ok_or(Malformed::Member(name))
}

/// RSA-2048 to RSA-4096.
const SIGNATURE_BYTES: core::ops::RangeInclusive<usize> = 256..=512;

#[cfg(test)]
mod tests;

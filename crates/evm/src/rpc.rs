//! The seam to a chain: batched JSON-RPC calls, and the reading of their untrusted results.

mod ended;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

/// The answer to one batch: one result for each call, in the order of the calls.
pub type BatchFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Result<Value, RpcError>>, TransportError>> + Send + 'a>>;

/// A JSON-RPC endpoint of an EVM chain.
///
/// `net` implements it over HTTP, the embedded chain in process, tests from a script. An
/// implementation returns exactly one result per call, in the order of the calls; readers here
/// refuse a batch of another length.
pub trait Rpc: Send + Sync {
    /// Sends `calls` as one JSON-RPC batch.
    ///
    /// # Retries
    ///
    /// The implementation does not retry: `eth_sendRawTransaction` may be among the calls.
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a>;
}

/// One JSON-RPC call.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcCall {
    /// Method name, such as `eth_call`.
    pub method: Cow<'static, str>,
    /// Positional parameters: a JSON array.
    pub params: Value,
}

/// Where a state read looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest block.
    Latest,
    /// The newest block with the transactions that wait for the next one.
    Pending,
    /// The block of this number.
    Number(u64),
}

/// What a node answered instead of a result (JSON-RPC 2.0 §5.1).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the chain's endpoint answered error {code}: {message}")]
pub struct RpcError {
    /// JSON-RPC error code; 3 is a revert with data in geth and its relatives.
    pub code: i64,
    /// Text of the peer: shown, never parsed for decisions except to recognise a revert or a halt.
    pub message: String,
    /// The error's `data` member; for a revert, the bytes that the contract reverted with.
    pub data: Option<Value>,
}

/// Why a batch got no answer at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from the chain's endpoint ({kind}): {detail}")]
pub struct TransportError {
    /// What failed.
    pub kind: TransportKind,
    /// Detail for people; never holds a URL with credentials.
    pub detail: String,
}

/// The ways in which a batch gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// The answer was not a JSON-RPC batch answer.
    Malformed,
    /// The endpoint answered with this HTTP status.
    Status(u16),
    /// The deadline passed first.
    Timeout,
    /// The answer exceeded the size limit.
    TooLarge,
    /// No connection.
    Unreachable,
}

impl std::fmt::Display for TransportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed answer"),
            Self::Status(status) => write!(f, "http status {status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::TooLarge => f.write_str("answer too large"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

impl RpcCall {
    /// Makes a call of `method` with positional `params`.
    pub fn new(method: &'static str, params: Value) -> Self {
        Self {
            method: Cow::Borrowed(method),
            params,
        }
    }

    /// `eth_chainId`.
    pub fn chain_id() -> Self {
        Self::new("eth_chainId", json!([]))
    }

    /// `eth_getBlockByNumber` without transaction bodies.
    pub fn block(at: At) -> Self {
        Self::new("eth_getBlockByNumber", json!([at.tag(), false]))
    }

    /// `eth_getCode`.
    pub fn code(address: Address, at: At) -> Self {
        Self::new("eth_getCode", json!([hex(address.as_slice()), at.tag()]))
    }

    /// `eth_getBalance`: native coin in wei.
    pub fn balance(address: Address, at: At) -> Self {
        Self::new("eth_getBalance", json!([hex(address.as_slice()), at.tag()]))
    }

    /// `eth_getTransactionCount`: the account nonce.
    pub fn account_nonce(address: Address, at: At) -> Self {
        Self::new(
            "eth_getTransactionCount",
            json!([hex(address.as_slice()), at.tag()]),
        )
    }

    /// `eth_call` of `to` with `input` and no sender.
    pub fn call(to: Address, input: &[u8], at: At) -> Self {
        let transaction = json!({ "to": hex(to.as_slice()), "data": hex(input) });
        Self::new("eth_call", json!([transaction, at.tag()]))
    }

    /// `eth_call` of `to` with `input`, sent by `from` with at most `gas`.
    pub fn call_from(from: Address, to: Address, input: &[u8], gas: u64, at: At) -> Self {
        let transaction = json!({ "from": hex(from.as_slice()), "to": hex(to.as_slice()), "data": hex(input), "gas": quantity(gas) });
        Self::new("eth_call", json!([transaction, at.tag()]))
    }

    /// `eth_getTransactionReceipt`.
    pub fn transaction_receipt(transaction: B256) -> Self {
        Self::new(
            "eth_getTransactionReceipt",
            json!([hex(transaction.as_slice())]),
        )
    }

    /// `eth_getTransactionByHash`.
    pub fn transaction(transaction: B256) -> Self {
        Self::new(
            "eth_getTransactionByHash",
            json!([hex(transaction.as_slice())]),
        )
    }

    /// `eth_sendRawTransaction`.
    pub fn send_raw_transaction(raw: &[u8]) -> Self {
        Self::new("eth_sendRawTransaction", json!([hex(raw)]))
    }

    /// `eth_feeHistory` over the newest block with its median tip.
    pub fn fee_history() -> Self {
        Self::new("eth_feeHistory", json!(["0x1", "latest", [50]]))
    }
}

impl At {
    fn tag(self) -> String {
        match self {
            Self::Latest => "latest".to_owned(),
            Self::Pending => "pending".to_owned(),
            Self::Number(number) => quantity(number),
        }
    }
}

/// Sends `calls` and checks that every call got its result.
pub(crate) async fn send(
    rpc: &dyn Rpc,
    calls: &[RpcCall],
) -> Result<Vec<Result<Value, RpcError>>, crate::Error> {
    let results = rpc.batch(calls).await?;
    if results.len() == calls.len() {
        Ok(results)
    } else {
        Err(crate::Error::BatchLength {
            sent: calls.len(),
            received: results.len(),
        })
    }
}

/// Writes bytes as `0x` and lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

/// Writes a JSON-RPC quantity.
pub(crate) fn quantity(value: u64) -> String {
    format!("{value:#x}")
}

/// Reads `0x` bytes.
pub(crate) fn decode_hex(text: &str) -> Result<Bytes, crate::Error> {
    let digits = text
        .strip_prefix("0x")
        .ok_or(crate::Error::Answer("bytes without `0x`"))?;
    hex::decode(digits)
        .map(Bytes::from)
        .map_err(|_| crate::Error::Answer("bytes that are not hexadecimal"))
}

/// Reads a JSON string of `0x` bytes.
pub(crate) fn bytes_of(value: &Value) -> Result<Bytes, crate::Error> {
    decode_hex(value.as_str().ok_or(crate::Error::Answer("a string"))?)
}

/// Reads a JSON-RPC quantity below 2^256.
pub(crate) fn u256_of(value: &Value) -> Result<U256, crate::Error> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.strip_prefix("0x").unwrap_or_default();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain {
        return Err(crate::Error::Answer("a quantity"));
    }
    U256::from_str_radix(digits, 16).map_err(|_| crate::Error::Answer("a quantity below 2^256"))
}

/// Reads a JSON-RPC quantity below 2^64.
pub(crate) fn u64_of(value: &Value) -> Result<u64, crate::Error> {
    u64::try_from(u256_of(value)?).map_err(|_| crate::Error::Answer("a quantity below 2^64"))
}

/// Reads a 32-byte hash.
pub(crate) fn b256_of(value: &Value) -> Result<B256, crate::Error> {
    B256::try_from(bytes_of(value)?.as_ref()).map_err(|_| crate::Error::Answer("a hash"))
}

/// Reads an address.
pub(crate) fn address_of(value: &Value) -> Result<Address, crate::Error> {
    Address::try_from(bytes_of(value)?.as_ref()).map_err(|_| crate::Error::Answer("an address"))
}

/// Reads a member of an object.
pub(crate) fn member<'a>(value: &'a Value, name: &'static str) -> Result<&'a Value, crate::Error> {
    value.get(name).ok_or(crate::Error::Answer(name))
}

use core::fmt;
use core::time::Duration;

use http::{HeaderMap, StatusCode};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::{Rpc, RpcCall, RpcError, TransportError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{ClientOptions, Error, HttpClient, http_client};
use crate::limits::{RPC_BATCH_CALLS, RPC_BODY_BYTES};

/// A chain's JSON-RPC endpoint over HTTP: one request per batch.
#[derive(Clone)]
pub struct HttpRpc {
    client: HttpClient,
    url: String,
}

/// How long a batch may take: the slowest call that we make, a search through logs, on a loaded
/// endpoint.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);

impl HttpRpc {
    /// Speaks to the endpoint at `url`. Its response limit should be [`RPC_BODY_BYTES`].
    pub fn new(client: HttpClient, url: impl Into<String>) -> Self {
        let url = url.into();
        Self { client, url }
    }

    /// Speaks to an endpoint on this machine, with limits that fit JSON-RPC.
    ///
    /// # Errors
    ///
    /// [`Error::Build`].
    pub fn loopback(url: impl Into<String>) -> Result<Self, Error> {
        let client = http_client(ClientOptions {
            total_timeout: BATCH_TIMEOUT,
            max_response_bytes: RPC_BODY_BYTES,
            ..ClientOptions::default()
        })?;
        Ok(Self::new(client, url))
    }

    async fn exchange(&self, calls: &[RpcCall]) -> Result<Answers, TransportError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        if calls.len() > RPC_BATCH_CALLS {
            let detail = format!("a batch holds at most {RPC_BATCH_CALLS} calls");
            return Err(transport(TransportKind::TooLarge, detail));
        }
        let body = encode(calls);
        let response = self.client.post_json(&self.url, HeaderMap::new(), body);
        let response = response.await.map_err(|error| failed(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let kind = TransportKind::Status(status.as_u16());
            return Err(transport(kind, "not a json-rpc answer"));
        }
        let body = response
            .into_body()
            .bytes()
            .await
            .map_err(|error| failed(&error))?;
        decode(&body, calls.len())
    }
}

impl Rpc for HttpRpc {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(self.exchange(calls))
    }
}

impl fmt::Debug for HttpRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs of hosted endpoints hold keys.
        f.write_str("HttpRpc")
    }
}

type Answers = Vec<Result<Value, RpcError>>;

/// One element of an answer (JSON-RPC 2.0 §5).
#[derive(Deserialize)]
struct Element {
    jsonrpc: Option<String>,
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
    data: Option<Value>,
}

/// Tells `"result": null`, an answer, from a missing member.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// Ids are the places of the calls.
fn encode(calls: &[RpcCall]) -> String {
    let batch: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(id, RpcCall { method, params })| {
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
        })
        .collect();
    Value::Array(batch).to_string()
}

/// Reads an answer in any order: exactly one element for each of `count` calls.
fn decode(body: &[u8], count: usize) -> Result<Answers, TransportError> {
    let Ok(elements) = serde_json::from_slice::<Vec<Element>>(body) else {
        return Err(refused_whole(body));
    };
    let mut answers: Vec<Option<Result<Value, RpcError>>> = vec![None; count];
    for element in elements {
        let id = element.id.as_ref().and_then(Value::as_u64);
        let place = id.and_then(|id| usize::try_from(id).ok());
        let slot = place.and_then(|place| answers.get_mut(place));
        let Some(slot) = slot else {
            return Err(malformed("an answer to a call that was not made"));
        };
        if slot.replace(read(element)?).is_some() {
            return Err(malformed("two answers to one call"));
        }
    }
    let complete: Option<Answers> = answers.into_iter().collect();
    complete.ok_or_else(|| malformed("a call without an answer"))
}

fn read(element: Element) -> Result<Result<Value, RpcError>, TransportError> {
    let Element {
        jsonrpc,
        id: _,
        result,
        error,
    } = element;
    if jsonrpc.as_deref() != Some("2.0") {
        return Err(malformed("not json-rpc 2.0"));
    }
    match (result, error) {
        (Some(result), None) => Ok(Ok(result)),
        // Endpoints exist that send `"result": null` along with an error.
        (None | Some(Value::Null), Some(error)) => Ok(Err(error.into())),
        (Some(_), Some(_)) => Err(malformed("both a result and an error")),
        (None, None) => Err(malformed("neither a result nor an error")),
    }
}

impl From<ErrorObject> for RpcError {
    fn from(error: ErrorObject) -> Self {
        let ErrorObject {
            code,
            mut message,
            data,
        } = error;
        // The peer's text is shown to people: a line, not a page.
        if let Some((end, _)) = message.char_indices().nth(500) {
            message.truncate(end);
        }
        Self {
            code,
            message,
            data,
        }
    }
}

/// An endpoint that refuses a whole batch answers one error object instead of an array.
fn refused_whole(body: &[u8]) -> TransportError {
    match serde_json::from_slice::<Element>(body) {
        Ok(Element {
            error: Some(error), ..
        }) => {
            let error = RpcError::from(error);
            malformed(&format!("the batch was refused: {error}"))
        }
        Ok(_) | Err(_) => malformed("not a json-rpc batch answer"),
    }
}

fn failed(error: &Error) -> TransportError {
    let kind = match error {
        Error::BodyTooLong { .. } => TransportKind::TooLarge,
        Error::Timeout => TransportKind::Timeout,
        Error::Build(_)
        | Error::Connect(_)
        | Error::Exchange(_)
        | Error::PinMismatch
        | Error::Untrusted
        | Error::Url(_) => TransportKind::Unreachable,
    };
    transport(kind, seamline_core::chain(error))
}

fn malformed(detail: &str) -> TransportError {
    transport(TransportKind::Malformed, detail)
}

fn transport(kind: TransportKind, detail: impl Into<String>) -> TransportError {
    let detail = detail.into();
    TransportError { kind, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str, count: usize) -> TransportKind {
        decode(body.as_bytes(), count).unwrap_err().kind
    }

    #[test]
    fn answers_come_in_any_order() {
        let body = r#"[{"jsonrpc":"2.0","id":1,"result":null},
            {"jsonrpc":"2.0","id":0,"error":{"code":3,"message":"execution reverted","data":"0x"}}]"#;
        let answers = decode(body.as_bytes(), 2).unwrap();
        assert_eq!(answers[0].as_ref().unwrap_err().code, 3);
        assert_eq!(answers[1], Ok(Value::Null));
    }

    #[test]
    fn what_is_not_one_answer_per_call_is_malformed() {
        let ok = r#"{"jsonrpc":"2.0","id":0,"result":"0x1"}"#;
        for body in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            ok.to_owned(),
            format!("[{ok},{ok}]"),
            format!("[{ok}] "),
            r#"[{"jsonrpc":"2.0","id":1,"result":"0x1"}]"#.to_owned(),
            r#"[{"jsonrpc":"2.0","id":"0","result":"0x1"}]"#.to_owned(),
            r#"[{"jsonrpc":"2.0","id":null,"result":"0x1"}]"#.to_owned(),
            r#"[{"jsonrpc":"1.0","id":0,"result":"0x1"}]"#.to_owned(),
            r#"[{"jsonrpc":"2.0","id":0}]"#.to_owned(),
            r#"[{"jsonrpc":"2.0","id":0,"result":1,"error":{"code":1,"message":""}}]"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#.to_owned(),
        ] {
            if body.ends_with(' ') {
                assert!(decode(body.as_bytes(), 1).is_ok(), "trailing space is JSON");
                continue;
            }
            assert_eq!(kind(&body, 1), TransportKind::Malformed, "{body}");
        }
    }

    #[test]
    fn a_peers_text_is_cut() {
        let message = "é".repeat(2_000);
        let body = json!([{"jsonrpc": "2.0", "id": 0, "error": {"code": 1, "message": message}}]);
        let answers = decode(body.to_string().as_bytes(), 1).unwrap();
        let error = answers[0].as_ref().unwrap_err();
        assert_eq!(error.message.chars().count(), 500);
    }

    #[test]
    fn ids_are_places() {
        let batch: Value =
            serde_json::from_str(&encode(&[RpcCall::chain_id(), RpcCall::fee_history()])).unwrap();
        assert_eq!(batch[1]["id"], 1);
        assert_eq!(batch[1]["method"], "eth_feeHistory");
    }
}

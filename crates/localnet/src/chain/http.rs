//! JSON-RPC 2.0 over HTTP POST.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Chain;
use super::rpc::{INVALID_REQUEST, MAX_BATCH, PARSE_ERROR, RpcError, error};

/// Largest request body: eight of the largest transactions, in hexadecimal.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

impl Chain {
    /// Serves JSON-RPC on `listener` until `shutdown` completes; requests that run then are finished.
    ///
    /// # Errors
    /// What the listener reports when it stops working.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        // Without it a small answer waits for the client's delayed acknowledgement, up to 40 ms.
        let listener = listener.tap_io(|stream| {
            if let Err(err) = stream.set_nodelay(true) {
                tracing::debug!(error = %err, "TCP_NODELAY not set");
            }
        });
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
    }

    /// Returns the JSON-RPC endpoint as a router with the one path `/`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }
}

async fn answer(State(chain): State<Chain>, headers: HeaderMap, body: Bytes) -> Response {
    // A page in a browser can send any other type across origins without being asked first.
    if !is_json(&headers) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match tokio::task::spawn_blocking(move || respond(&chain, &body)).await {
        Ok(Some(value)) => axum::Json(value).into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(err) => {
            tracing::error!(error = %err, "json-rpc request failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Answers a request or a batch; `None` where nothing wants an answer.
fn respond(chain: &Chain, body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Err(_) => Some(failed(&Value::Null, error(PARSE_ERROR, "parse error"))),
        Ok(Value::Array(calls)) if calls.is_empty() => {
            Some(failed(&Value::Null, error(INVALID_REQUEST, "empty batch")))
        }
        Ok(Value::Array(calls)) if calls.len() > MAX_BATCH => Some(failed(
            &Value::Null,
            error(
                INVALID_REQUEST,
                format!("batch too large, limit is {MAX_BATCH}"),
            ),
        )),
        Ok(Value::Array(calls)) => {
            let answers: Vec<Value> = calls
                .iter()
                .filter_map(|call| respond_one(chain, call))
                .collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(call) => respond_one(chain, &call),
    }
}

fn respond_one(chain: &Chain, call: &Value) -> Option<Value> {
    let Some((method, id)) = well_formed(call) else {
        return Some(failed(
            &Value::Null,
            error(INVALID_REQUEST, "invalid request"),
        ));
    };
    let result = chain.handle(method, call.get("params").unwrap_or(&Value::Null));
    // A call without id is a notification: it is executed and not answered.
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(err) => failed(id, err),
    })
}

fn well_formed(call: &Value) -> Option<(&str, Option<&Value>)> {
    let fields = call.as_object()?;
    let version = fields.get("jsonrpc").and_then(Value::as_str);
    let id = fields.get("id");
    let id_ok = id.is_none_or(|id| id.is_string() || id.is_number() || id.is_null());
    let method = fields.get("method").and_then(Value::as_str)?;
    (version == Some("2.0") && id_ok).then_some((method, id))
}

fn failed(id: &Value, err: RpcError) -> Value {
    let mut body = json!({ "code": err.code, "message": err.message });
    if let (Some(data), Value::Object(fields)) = (err.data, &mut body) {
        fields.insert("data".to_owned(), data);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": body })
}

use std::sync::Arc;

use aws_lc_rs::rand;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use seamline_core::B256;
use seamline_core::canonical::ChatRequest;
use seamline_net::limits::REQUEST_BODY_BYTES;
use seamline_net::{Meter, PaymentContext, Problem, Shape};

use crate::config::ModelPrice;
use crate::enclave::Enclave;
use crate::error::Error;
use crate::frames::{self, Answer};
use crate::streaming::Streaming;
use crate::upstream::{ChatJob, Finish, JobMessage, Piece, Pieces, ToolCall, UpstreamError, Usage};

/// A chat that has been paid for and understood.
pub(crate) struct Chat {
    /// The model as the request spells it, which answers echo.
    pub(crate) model: String,
    pub(crate) price: ModelPrice,
    pub(crate) input_hash: B256,
    pub(crate) meter: Meter,
    /// Words of the prompt: what a stream that is cut off pays for the prompt, because its tokens
    /// are known at the end only.
    pub(crate) prompt_words: u64,
}

/// `POST /v1/chat/completions`, behind the paywall.
pub(crate) async fn handle(enclave: Arc<Enclave>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_BODY_BYTES).await else {
        let too_long = "the request body is too long or was cut off";
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", too_long);
    };
    let Some(payment) = head.extensions.get::<PaymentContext>() else {
        // The router puts this handler behind the paywall; without one nothing is served.
        return failed("no payment reached the handler");
    };
    // The order is that of OpenGradient's gateway: payment, authorization, media type, body, model.
    if !has_authorization(&head.headers) {
        let detail = "No authorization token provided";
        return Problem::new(StatusCode::UNAUTHORIZED, "no_authorization", detail)
            .into_response_as(Shape::Rfc9457);
    }
    if !is_json(&head.headers) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "Content-Type must be application/json";
        return Problem::new(status, "unsupported_media_type", detail)
            .into_response_as(Shape::Rfc9457);
    }
    let (chat, job) = match understand(&enclave, &payment.meter, &body) {
        Ok(understood) => understood,
        Err(response) => return *response,
    };
    let stream = job.stream;
    let pieces = match enclave.upstream.chat(job).await {
        Ok(pieces) => pieces,
        Err(err) => return upstream_failed(&err),
    };
    let mut response = if stream {
        event_stream(Streaming::new(enclave, chat, pieces))
    } else {
        whole(&enclave, &chat, pieces).await
    };
    if asks_data_settlement(&head.headers) {
        let none = HeaderValue::from_static("none");
        response.headers_mut().insert(DATA_SETTLEMENT, none);
    }
    response
}

/// Says that no data settlement happens, to callers that asked for one with `X-SETTLEMENT-TYPE`.
const DATA_SETTLEMENT: header::HeaderName =
    header::HeaderName::from_static("x-seamline-data-settlement");

fn understand(
    enclave: &Enclave,
    meter: &Meter,
    body: &Bytes,
) -> Result<(Chat, ChatJob), Box<Response>> {
    let request = ChatRequest::parse(body).map_err(|err| {
        let detail = seamline_core::chain(&err);
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail);
        Box::new(problem.into_response_as(Shape::Rfc9457))
    })?;
    let Some((model, price)) = enclave.price_of(request.model()) else {
        let text = format!("Model '{}' is not supported", request.model());
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "unknown_model",
            text,
        )));
    };
    let messages: Vec<JobMessage> = request
        .messages()
        .iter()
        .map(|message| JobMessage {
            role: message.role.name().to_owned(),
            text: message.text.clone(),
        })
        .collect();
    let words = messages.iter().map(|said| words(&said.text));
    let chat = Chat {
        model: request.model().to_owned(),
        price,
        input_hash: request.input_hash(),
        meter: meter.clone(),
        prompt_words: words.fold(0, u64::saturating_add),
    };
    let job = ChatJob {
        model,
        messages,
        max_tokens: enclave.bounded_tokens(request.max_tokens()),
        stream: request.stream(),
        body: body.clone(),
    };
    Ok((chat, job))
}

/// Collects the answer, signs it and sets what it costs.
async fn whole(enclave: &Enclave, chat: &Chat, mut pieces: Pieces) -> Response {
    let mut text = String::new();
    let mut tool_calls = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(Piece::Text(more)) => text.push_str(&more),
            Ok(Piece::ToolCalls(calls)) => tool_calls = calls,
            Ok(Piece::End { finish, usage }) => {
                return signed(enclave, chat, text, &tool_calls, finish, usage)
                    .unwrap_or_else(|err| failed(&seamline_core::chain(&err)));
            }
            Err(err) => return upstream_failed(&err),
        }
    }
    upstream_failed(&UpstreamError::CutOff)
}

fn signed(
    enclave: &Enclave,
    chat: &Chat,
    mut text: String,
    tool_calls: &[ToolCall],
    finish: Finish,
    usage: Option<Usage>,
) -> Result<Response, Error> {
    let id = completion_id()?;
    let preimage = frames::preimage(&text, tool_calls, finish);
    let proof = enclave.prove(chat.input_hash, &preimage)?;
    if enclave.config.faults.altered_text {
        text = alter(&text);
    }
    chat.settle_for(usage);
    let answer = Answer {
        id: &id,
        model: &chat.model,
        text: &text,
        tool_calls,
        finish,
        usage,
        proof: &proof,
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, answer.body()).into_response())
}

/// Words of a text: no tokenizer makes fewer tokens of it. Where there are no spaces, sixteen bytes
/// count as a word.
pub(crate) fn words(text: &str) -> u64 {
    let words = text.split_whitespace().count().max(text.len() / 16);
    u64::try_from(words).unwrap_or(u64::MAX)
}

impl Chat {
    /// Sets the meter for an answer that may be cut off now, after `tokens` of it.
    pub(crate) fn settle_so_far(&self, tokens: u64) {
        self.charge(&Usage {
            prompt_tokens: self.prompt_words,
            completion_tokens: tokens,
        });
    }

    /// Sets the meter, at most to its ceiling: an upstream that counts more than was asked for
    /// costs the node, and cuts no answer off.
    fn charge(&self, usage: &Usage) {
        let cost = self.price.cost(usage);
        self.meter.set(cost.min(self.meter.max()));
    }

    /// Sets the meter for a complete answer. An upstream that does not count gives the answer
    /// away, as OpenGradient's gateway does: nothing that can be shown is no price.
    pub(crate) fn settle_for(&self, usage: Option<Usage>) {
        match usage {
            Some(usage) => self.charge(&usage),
            None => {
                tracing::warn!("the upstream counted no tokens, so the answer is free");
                self.meter.set(seamline_core::Amount::ZERO);
            }
        }
    }
}

fn event_stream(streaming: Streaming) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONNECTION, "keep-alive"),
    ];
    (headers, Body::from_stream(streaming.into_stream())).into_response()
}

/// `chatcmpl-` and a random UUID (RFC 9562, version 4).
fn completion_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| Error::Sign)?;
    let mut number = u128::from_be_bytes(bytes);
    number = (number & !(0xf << 76)) | (0x4 << 76);
    number = (number & !(0x3 << 62)) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let mut id = "chatcmpl".to_owned();
    let mut rest = digits.as_str();
    for len in [8, 4, 4, 4, 12] {
        let (part, others) = rest.split_at_checked(len).unwrap_or((rest, ""));
        id.push('-');
        id.push_str(part);
        rest = others;
    }
    Ok(id)
}

/// Changes the first character, for the fault of the same name.
pub(crate) fn alter(text: &str) -> String {
    let mut characters = text.chars();
    let other = if characters.next() == Some('X') {
        'Y'
    } else {
        'X'
    };
    std::iter::once(other).chain(characters).collect()
}

fn has_authorization(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION);
    value.is_some_and(|value| !value.as_bytes().trim_ascii().is_empty())
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Whether the caller asked for its hashes to be settled on chain, by the loose spelling that
/// OpenGradient's gateway accepts: case, spaces, `-` and `_` do not count.
fn asks_data_settlement(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get("x-settlement-type") else {
        return false;
    };
    let text = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .collect();
    !matches!(plain.as_str(), "private" | "pivate")
}

fn refuse(status: StatusCode, code: &'static str, text: impl Into<String>) -> Response {
    Problem::new(status, code, text).into_response_as(Shape::OpenGradient)
}

fn failed(internal: &str) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(status, "request_failed", "Request processing failed")
        .with_internal(internal)
        .into_response_as(Shape::OpenGradient)
}

/// Maps a failure of the upstream as later gateways of OpenGradient do: its refusals of our own
/// credentials are not the caller's fault, and a limit on requests means "later".
fn upstream_failed(err: &UpstreamError) -> Response {
    let (status, upstream_status, retryable) = match err {
        UpstreamError::Refused { status: 429 } => (503, Some(429), true),
        UpstreamError::Refused {
            status: status @ (401 | 402 | 403 | 407),
        } => (502, Some(*status), false),
        UpstreamError::Refused {
            status: status @ 400..500,
        } => (*status, Some(*status), false),
        UpstreamError::Refused { status } => (502, Some(*status), true),
        UpstreamError::Unreachable | UpstreamError::CutOff => (502, None, true),
        UpstreamError::Malformed { .. } | UpstreamError::UnknownModel => (502, None, false),
    };
    tracing::warn!(status, error = %err, "the upstream failed");
    let body = serde_json::json!({
        "error": "Request processing failed",
        "source": "provider",
        "provider_status": upstream_status,
        "retryable": retryable,
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_uuids() {
        let id = completion_id().unwrap();
        let parts: Vec<&str> = id.split('-').collect();
        let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!((parts[0], lens), ("chatcmpl", vec![8, 8, 4, 4, 4, 12]));
        assert!(parts[3].starts_with('4'), "{id}");
        assert!(parts[4].starts_with(['8', '9', 'a', 'b']), "{id}");
        assert_ne!(id, completion_id().unwrap());
    }

    #[test]
    fn media_types_and_authorizations_are_read_leniently() {
        let with = |name: header::HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        for accepted in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(is_json(&with(header::CONTENT_TYPE, accepted)), "{accepted}");
        }
        for refused in ["text/plain", "application/jsonx", ""] {
            assert!(!is_json(&with(header::CONTENT_TYPE, refused)), "{refused}");
        }
        assert!(has_authorization(&with(header::AUTHORIZATION, "x")));
        assert!(!has_authorization(&with(header::AUTHORIZATION, "  ")));
        assert!(!has_authorization(&HeaderMap::new()));
    }

    #[test]
    fn settlement_types_are_spelled_loosely() {
        let asks = |value: &'static str| {
            let name = header::HeaderName::from_static("x-settlement-type");
            asks_data_settlement(&HeaderMap::from_iter([(
                name,
                HeaderValue::from_static(value),
            )]))
        };
        for private in ["private", "PRIVATE", "pri-vate", "pivate"] {
            assert!(!asks(private), "{private}");
        }
        for data in [
            "batch",
            "Individual",
            "inidvidual",
            "in_dividual",
            "whatever",
        ] {
            assert!(asks(data), "{data}");
        }
        assert!(!asks_data_settlement(&HeaderMap::new()));
    }

    #[test]
    fn altering_changes_one_character() {
        assert_eq!(alter("abc"), "Xbc");
        assert_eq!(alter("Xbc"), "Ybc");
    }
}

//! The two inference routes, behind the paywall.

use std::sync::Arc;

use aws_lc_rs::rand;
use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use seamline_net::limits::REQUEST_BODY_BYTES;
use seamline_net::{DataMode, PaymentContext, Problem, ReadOn, Shape};

use crate::call::{Call, Kind, payment_of, words};
use crate::data::DATA_SETTLEMENT;
use crate::enclave::Enclave;
use crate::error::Error;
use crate::frames::{self, Answer};
use crate::ohttp::Worth;
use crate::price::{CallPrice, Used};
use crate::request::{Asked, Unserved, has_authorization, is_json};
use crate::streaming::Streaming;
use crate::upstream::{ChatJob, Finish, Piece, Pieces, ToolCall, UpstreamError, Usage};

/// `POST /v1/chat/completions` and `POST /v1/completions`.
pub(crate) async fn handle(enclave: Arc<Enclave>, kind: Kind, request: Request) -> Response {
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
    let wish = head.headers.get("x-settlement-type");
    let mode = DataMode::of_header(wish.map(HeaderValue::as_bytes));
    let (call, job) = match understand(&enclave, kind, payment, mode, &body) {
        Ok(understood) => understood,
        Err(response) => return *response,
    };
    let stream = job.stream;
    let price = Worth(call.price);
    let pieces = match enclave.upstream.chat(job).await {
        Ok(pieces) => pieces,
        Err(err) => return upstream_failed(&err),
    };
    let mut response = if stream {
        let read_on = ReadOn(enclave.config.read_on);
        event_stream(read_on, Streaming::new(Arc::clone(&enclave), call, pieces))
    } else {
        whole(&enclave, kind, &call, pieces).await
    };
    response.extensions_mut().insert(price);
    say_unsettled(&enclave, &mut response, wish.is_some(), mode);
    response
}

/// Tells a caller that asked for data settlement where there is none.
pub(crate) fn say_unsettled(
    enclave: &Enclave,
    response: &mut Response,
    wished: bool,
    mode: DataMode,
) {
    if wished && !enclave.settles_data() && mode != DataMode::Private {
        let none = HeaderValue::from_static("none");
        response.headers_mut().insert(DATA_SETTLEMENT, none);
    }
}

fn understand(
    enclave: &Enclave,
    kind: Kind,
    payment: &PaymentContext,
    mode: DataMode,
    body: &Bytes,
) -> Result<(Call, ChatJob), Box<Response>> {
    let asked = Asked::read(kind, body).map_err(|err: Unserved| {
        let (problem, shape) = err.problem();
        Box::new(problem.into_response_as(shape))
    })?;
    let priced = enclave.price_of(&asked.model);
    let priced = priced.map_err(|err| Box::new(refuse_unpriced(err)))?;
    let Some((model, price)) = priced else {
        let text = format!("Model '{}' is not supported", asked.model);
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "unknown_model",
            text,
        )));
    };
    if let Some(reason) = uncovered(enclave, &asked, &price, payment) {
        let refused = refuse(StatusCode::BAD_REQUEST, "unsupported", reason);
        return Err(Box::new(refused));
    }
    let call = Call {
        model: asked.model,
        price,
        input_hash: asked.input_hash,
        meter: payment.meter.clone(),
        payer: payment.payer,
        payment: payment_of(payment),
        mode,
        request: body.clone(),
        prompt_words: asked.prompt_words,
    };
    let job = ChatJob {
        model,
        messages: asked.messages,
        max_tokens: enclave.bounded_tokens(asked.max_tokens),
        stream: asked.stream,
        body: asked.body,
    };
    Ok((call, job))
}

/// Why what is attached is not served: nobody bounds what it costs, or a payment for a sealed request,
/// which nobody could read, bounds it too low.
fn uncovered(
    enclave: &Enclave,
    asked: &Asked,
    price: &CallPrice,
    payment: &PaymentContext,
) -> Option<&'static str> {
    let config = &enclave.config;
    if asked.attached.files > 0 && config.file_tokens.is_none() {
        return Some("files are not taken here");
    }
    let prompt_tokens = config.attached_tokens(asked.attached);
    let cost = price.cost(&Used {
        tokens: Usage {
            prompt_tokens,
            completion_tokens: 0,
        },
        images: 0,
    });
    (cost > payment.meter.max()).then_some("the payment does not cover the images and files")
}

/// Collects the answer, signs it and sets what it costs.
async fn whole(enclave: &Enclave, kind: Kind, call: &Call, mut pieces: Pieces) -> Response {
    let mut made = Made::default();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(Piece::Text(more)) => made.text.push_str(&more),
            Ok(Piece::ToolCalls(calls)) => made.tool_calls = calls,
            Ok(Piece::Images(images)) => made.images.extend(images),
            Ok(Piece::End { finish, usage }) => {
                return match signed(enclave, kind, call, made, finish, usage).await {
                    Ok(response) => response,
                    Err(err) => failed(&seamline_core::chain(&err)),
                };
            }
            Err(err) => return upstream_failed(&err),
        }
    }
    upstream_failed(&UpstreamError::CutOff)
}

/// What an upstream made.
#[derive(Default)]
struct Made {
    text: String,
    tool_calls: Vec<ToolCall>,
    images: Vec<String>,
}

async fn signed(
    enclave: &Enclave,
    kind: Kind,
    call: &Call,
    mut made: Made,
    finish: Finish,
    usage: Option<Usage>,
) -> Result<Response, Error> {
    let id = answer_id(kind)?;
    let finish = match kind {
        Kind::Chat => finish,
        // A completion is text, whatever the model would rather do.
        Kind::Completion if finish == Finish::ToolCalls => Finish::Stop,
        Kind::Completion => finish,
    };
    let preimage = frames::preimage(&made.text, &made.tool_calls, finish);
    let proof = enclave.prove(call.input_hash, &preimage)?;
    let images = u64::try_from(made.images.len()).unwrap_or(u64::MAX);
    call.settle_for(usage, words(&preimage), images);
    if enclave.config.faults.altered_text {
        made.text = alter(&made.text);
    }
    let answer = Answer {
        id: &id,
        model: &call.model,
        text: &made.text,
        tool_calls: &made.tool_calls,
        images: &made.images,
        finish,
        usage,
        cost: call.statement(),
        proof: &proof,
    };
    let body = match kind {
        Kind::Chat => answer.body(),
        Kind::Completion => answer.completion(),
    };
    let mut headers = enclave
        .settle_data(call, &proof, &body)
        .await
        .headers(&proof);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    Ok((headers, body).into_response())
}

fn event_stream(read_on: ReadOn, streaming: Streaming) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONNECTION, "keep-alive"),
    ];
    let body = Body::from_stream(streaming.into_stream());
    (headers, Extension(read_on), body).into_response()
}

/// `chatcmpl-` or `cmpl-` and a random UUID (RFC 9562, version 4).
fn answer_id(kind: Kind) -> Result<String, Error> {
    unique_id(match kind {
        Kind::Chat => "chatcmpl",
        Kind::Completion => "cmpl",
    })
}

/// A prefix, `-` and a random UUID (RFC 9562, version 4).
pub(crate) fn unique_id(prefix: &str) -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| Error::Sign)?;
    let mut number = u128::from_be_bytes(bytes);
    number = (number & !(0xf << 76)) | (0x4 << 76);
    number = (number & !(0x3 << 62)) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let mut id = prefix.to_owned();
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

fn refuse(status: StatusCode, code: &'static str, text: impl Into<String>) -> Response {
    Problem::new(status, code, text).into_response_as(Shape::OpenGradient)
}

fn refuse_unpriced(err: crate::feed::Unpriced) -> Response {
    crate::offer::unpriced(err).into_response_as(Shape::OpenGradient)
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
        for (kind, prefix) in [(Kind::Chat, "chatcmpl"), (Kind::Completion, "cmpl")] {
            let id = answer_id(kind).unwrap();
            let parts: Vec<&str> = id.split('-').collect();
            let lens: Vec<usize> = parts.iter().skip(1).map(|part| part.len()).collect();
            assert_eq!((parts[0], lens), (prefix, vec![8, 4, 4, 4, 12]));
            assert!(parts[3].starts_with('4'), "{id}");
            assert!(parts[4].starts_with(['8', '9', 'a', 'b']), "{id}");
            assert_ne!(id, answer_id(kind).unwrap());
        }
    }

    #[test]
    fn altering_changes_one_character() {
        assert_eq!(alter("abc"), "Xbc");
        assert_eq!(alter("Xbc"), "Ybc");
    }
}

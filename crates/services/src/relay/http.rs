//! The paths of a relay.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use seamline_core::NodeId;
use seamline_net::limits::REQUEST_BODY_BYTES;
use seamline_ohttp::MEDIA_REQUEST;
use serde_json::json;

use super::accounts::token_hash;
use super::carrier::{CarryError, Reply};
use super::carry::{Failed, Format};
use super::pump::Flowing;
use super::{Denied, Relay};
use std::sync::PoisonError;

/// Shortest sealed request: header, encapsulated key, tag.
const SHORTEST: usize = 7 + 32 + 16;

/// The paths of a relay. Put TLS in front: bearer tokens come in clear.
pub fn router(relay: Relay) -> Router {
    Router::new()
        .route("/api/v1/chat/ohttp", post(chat))
        .route("/ohttp/{tee_id}", post(standard))
        .route("/ohttp/{tee_id}/config", get(config))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(relay)
}

async fn chat(State(relay): State<Relay>, headers: HeaderMap, body: Body) -> Response {
    let tee_id = headers.get("x-tee-id").and_then(|it| it.to_str().ok());
    let tee_id = tee_id.unwrap_or_default().to_owned();
    let answer = carry(&relay, &headers, &tee_id, Format::OpenGradient, body).await;
    answer.unwrap_or_else(|refused| refused)
}

async fn standard(
    State(relay): State<Relay>,
    Path(tee_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = carry(&relay, &headers, &tee_id, Format::Rfc9458, body).await;
    answer.unwrap_or_else(|refused| refused)
}

async fn config(
    State(relay): State<Relay>,
    Path(tee_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let token = match account(&relay, &headers) {
        Ok(token) => token,
        Err(refused) => return refused,
    };
    let target = match target(&relay, &tee_id) {
        Ok(target) => target,
        Err(refused) => return refused,
    };
    match relay.config(&token, target).await {
        Ok(config) => ([(header::CONTENT_TYPE, "application/json")], config).into_response(),
        Err(refused) => failed(refused),
    }
}

async fn carry(
    relay: &Relay,
    headers: &HeaderMap,
    tee_id: &str,
    format: Format,
    body: Body,
) -> Result<Response, Response> {
    // 1. Who asks, before anything is looked up or read for them.
    let token = account(relay, headers)?;
    // 2. Where to: a node that is known.
    let target = target(relay, tee_id)?;
    // 3. What: nothing but a sealed request.
    let media_type = headers.get(header::CONTENT_TYPE);
    if media_type.is_none_or(|value| value != MEDIA_REQUEST) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(error(status, "Content-Type must be message/ohttp-req"));
    }
    let body = to_bytes(body, REQUEST_BODY_BYTES).await;
    let body = body.map_err(|_| error(StatusCode::PAYLOAD_TOO_LARGE, "request too large"))?;
    if body.len() < SHORTEST {
        let text = "malformed encapsulated request";
        return Err(error(StatusCode::BAD_REQUEST, text));
    }
    // 4. Within the account's limits, carried and paid. A caller who reads a stream says so, and can stop
    // it before it begins.
    let streams = headers.get("x-ohttp-stream").is_some_and(|it| it == "true");
    let carried = relay.carry(token, target, format, body, streams).await;
    let Flowing { media_type, pieces } = carried.map_err(failed)?;
    tracing::info!(status = 200, "carried");
    let pieces = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

#[expect(clippy::result_large_err, reason = "it is the response")]
fn account(relay: &Relay, headers: &HeaderMap) -> Result<[u8; 32], Response> {
    let value = headers.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer "));
    // The hash is looked up: how long that takes says nothing about tokens.
    let token = token.map(|token| token_hash(token.trim()));
    let books = relay.0.books.lock();
    let books = books.unwrap_or_else(PoisonError::into_inner);
    token
        .filter(|token| books.knows(token))
        .ok_or_else(|| failed(Failed::Denied(Denied::Unknown)))
}

#[expect(clippy::result_large_err, reason = "it is the response")]
fn target(relay: &Relay, tee_id: &str) -> Result<super::Target, Response> {
    let digits = tee_id.strip_prefix("0x").unwrap_or(tee_id);
    let node = hex::decode_to_array::<_, 32>(digits).ok();
    let node = node.map(|node| NodeId::new(node.into()));
    let target = node.and_then(|node| relay.target(node));
    let text = "Selected TEE is not active in the registry";
    target.ok_or_else(|| error(StatusCode::BAD_GATEWAY, text))
}

fn failed(failed: Failed) -> Response {
    let (status, text) = match failed {
        Failed::Denied(Denied::Unknown) => (StatusCode::UNAUTHORIZED, "unknown account"),
        Failed::Denied(Denied::Budget) => (
            StatusCode::PAYMENT_REQUIRED,
            "the account's budget is used up",
        ),
        Failed::Denied(Denied::Rate) => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
        Failed::Denied(Denied::AtOnce) => {
            (StatusCode::TOO_MANY_REQUESTS, "too many requests at a time")
        }
        Failed::Denied(Denied::Books) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the relay cannot keep its books",
        ),
        Failed::Refused(reply) => return refused(reply),
        Failed::Cut => (StatusCode::BAD_GATEWAY, "the node's answer broke off"),
        Failed::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the relay is busy"),
        Failed::Deadline => (StatusCode::GATEWAY_TIMEOUT, "the node took too long"),
        Failed::Carry(CarryError::Node) => (StatusCode::BAD_GATEWAY, "the node does not answer"),
        Failed::Carry(CarryError::Payment) => (StatusCode::BAD_GATEWAY, "the node cannot be paid"),
        Failed::Carry(CarryError::Relay) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the relay cannot pay")
        }
        Failed::Answer => (
            StatusCode::BAD_GATEWAY,
            "the node's answer is not Oblivious HTTP",
        ),
    };
    tracing::info!(status = status.as_u16(), "not carried");
    error(status, text)
}

/// The node's own refusal, whose words are sealed.
fn refused(reply: Reply) -> Response {
    tracing::info!(status = reply.status, "carried");
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, reply.body).into_response();
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(&reply.media_type) {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error in clear, in both spellings that clients of OpenGradient's relay read.
fn error(status: StatusCode, text: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({ "error": text, "detail": text }).to_string();
    (status, json, body).into_response()
}

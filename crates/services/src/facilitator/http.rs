use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use seamline_evm::Malformed;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse, v1};
use seamline_net::limits::FACILITATOR_BODY_BYTES;
use seamline_net::{Problem, Shape};
use serde_json::json;

use super::{Error, Facilitator, Health};

/// The endpoints of a facilitator. Where its [`Sellers`](super::Sellers) are not listed, bind it where
/// only its own resource servers can reach it: whoever reaches it is taken for the seller.
///
/// Verdicts and outcomes come with status 200, good or bad. Other statuses: 400 for a body that is
/// no request, 401 for one without its seller's token, 413 for one above 64 KiB, 503 with `Retry-After` where there is no verdict: the chain,
/// the store or the signer does not answer, or too much is under way.
pub fn router(facilitator: Facilitator) -> Router {
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(FACILITATOR_BODY_BYTES))
        .with_state(facilitator)
}

async fn verify(
    State(facilitator): State<Facilitator>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<VerifyResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
    if !facilitator.0.core.sellers.admit(&headers, &request) {
        return Err(stranger());
    }
    let verdict = facilitator.verify_payment(&request).await;
    verdict.map(Json).map_err(|error| failed(&error))
}

async fn settle(
    State(facilitator): State<Facilitator>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<SettleResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
    if !facilitator.0.core.sellers.admit(&headers, &request) {
        return Err(stranger());
    }
    let response = facilitator.settle_payment(&request).await;
    let mut response = response.map_err(|error| failed(&error))?;
    if is_version_1(&body) {
        response.network = v1::network_said(&response.network).to_owned();
    }
    Ok(Json(response))
}

async fn supported(State(facilitator): State<Facilitator>) -> Json<Supported> {
    Json(facilitator.supported_kinds())
}

async fn health(State(facilitator): State<Facilitator>) -> Json<Health> {
    Json(facilitator.health().await)
}

/// Whether a request, which could be read, speaks version 1, whose networks have names.
fn is_version_1(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        x402_version: Option<u64>,
    }
    let envelope: Result<Envelope, _> = serde_json::from_slice(body);
    envelope.is_ok_and(|envelope| envelope.x402_version == Some(v1::VERSION))
}

fn malformed(malformed: Malformed) -> Response {
    let text = malformed.to_string();
    let status = http::StatusCode::BAD_REQUEST;
    Problem::new(status, "invalid_request", text).into_response_as(Shape::OpenGradient)
}

/// Whoever asks has not shown to be the seller: nothing was looked at, and nobody was charged.
pub(crate) fn stranger() -> Response {
    let status = StatusCode::UNAUTHORIZED;
    let body = json!({
        "type": "about:blank",
        "title": "Unauthorized",
        "status": status.as_u16(),
        "detail": "this facilitator asks for the bearer token of the seller at `payTo`",
        "code": "seller_unauthorized",
        "fault": "seller",
        "retry": "with_token",
        "charged": "no",
    });
    let headers = [
        (CONTENT_TYPE, "application/problem+json"),
        (WWW_AUTHENTICATE, "Bearer"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// Nobody's verdict: 503 with `Retry-After` and a problem body that says what failed (`code`), whose
/// fault it is (`fault`), and that the same request may be repeated (`retry`).
pub(crate) fn failed(error: &Error) -> Response {
    let why = error.why();
    let seconds = why.retry_after.as_secs().max(1);
    let internal = seamline_core::chain(error);
    tracing::error!(code = why.code, internal, "no answer");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": status.as_u16(),
        "detail": why.text,
        "code": why.code,
        "fault": why.fault,
        "retry": "same_request",
        "retryAfterSeconds": seconds,
    });
    let headers = [
        (CONTENT_TYPE, "application/problem+json".to_owned()),
        (RETRY_AFTER, seconds.to_string()),
    ];
    (status, headers, body.to_string()).into_response()
}

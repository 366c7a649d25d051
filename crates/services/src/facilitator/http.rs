use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use seamline_evm::Malformed;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse, v1};
use seamline_net::limits::FACILITATOR_BODY_BYTES;
use seamline_net::{Problem, Shape};

use super::{Error, Facilitator, Health};

/// The endpoints of a facilitator. There is no authentication: bind it where only its own
/// resource servers can reach it.
///
/// Verdicts and outcomes come with status 200, good or bad. Other statuses: 400 for a body that is
/// no request, 413 for one above 64 KiB, 503 where the store failed.
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
    body: Bytes,
) -> Result<Json<VerifyResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
    Ok(Json(facilitator.verify_payment(&request).await))
}

async fn settle(
    State(facilitator): State<Facilitator>,
    body: Bytes,
) -> Result<Json<SettleResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
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

fn failed(error: &Error) -> Response {
    let status = http::StatusCode::SERVICE_UNAVAILABLE;
    let text = "the facilitator cannot remember settlements and settles nothing";
    Problem::new(status, "store_failed", text)
        .with_internal(seamline_core::chain(error))
        .into_response_as(Shape::OpenGradient)
}

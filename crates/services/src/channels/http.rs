use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::HeaderMap;
use seamline_evm::Malformed;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse, v1};
use seamline_net::limits::FACILITATOR_BODY_BYTES;
use seamline_net::{FacilitatorApi as _, FacilitatorError, Problem, Shape};

use super::WithChannels;
use crate::facilitator::{self, Error};

/// The endpoints of a facilitator with payment channels; whatever else `others` answers, such as
/// `/health`, it goes on answering. Sellers show their tokens as
/// [`FacilitatorConfig::sellers`](crate::facilitator::FacilitatorConfig::sellers) says.
///
/// Verdicts and outcomes come with status 200, good or bad. Other statuses: 400 for a body that is
/// no request, 401 for one without its seller's token, 413 for one above 64 KiB, 503 with `Retry-After` where
/// there is no verdict.
pub fn router(facilitator: WithChannels, others: Router) -> Router {
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .layer(DefaultBodyLimit::max(FACILITATOR_BODY_BYTES))
        .with_state(facilitator)
        .fallback_service(others)
}

async fn verify(
    State(facilitator): State<WithChannels>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<VerifyResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
    if !facilitator.sellers().admit(&headers, &request) {
        return Err(facilitator::stranger());
    }
    let verdict = facilitator.verify(&request).await;
    verdict.map(Json).map_err(|error| failed(&error))
}

async fn settle(
    State(facilitator): State<WithChannels>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<SettleResponse>, Response> {
    let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
    if !facilitator.sellers().admit(&headers, &request) {
        return Err(facilitator::stranger());
    }
    let outcome = facilitator.settle(&request).await;
    let mut outcome = outcome.map_err(|error| failed(&error))?;
    // Networks have names in version 1.
    if request.version() == v1::VERSION {
        outcome.network = v1::network_said(&outcome.network).to_owned();
    }
    Ok(Json(outcome))
}

async fn supported(State(facilitator): State<WithChannels>) -> Result<Json<Supported>, Response> {
    let supported = facilitator.supported().await;
    supported.map(Json).map_err(|error| failed(&error))
}

fn malformed(malformed: Malformed) -> Response {
    let text = malformed.to_string();
    let status = http::StatusCode::BAD_REQUEST;
    Problem::new(status, "invalid_request", text).into_response_as(Shape::OpenGradient)
}

fn failed(error: &FacilitatorError) -> Response {
    if let FacilitatorError::Unreachable(source) = error
        && let Some(error) = source.downcast_ref::<Error>()
    {
        return facilitator::failed(error);
    }
    let status = http::StatusCode::SERVICE_UNAVAILABLE;
    let text = "the facilitator cannot answer now";
    Problem::new(status, "facilitator_unavailable", text)
        .with_internal(seamline_core::chain(error))
        .into_response_as(Shape::OpenGradient)
}

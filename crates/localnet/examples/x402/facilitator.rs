//! The facilitator service, with payment channels beside it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::FacilitatorRequest;
use seamline_evm::{Rpc, Wallet};
use seamline_net::{FacilitatorApi, HttpRpc};
use seamline_services::channels::{ChannelDeskConfig, WithChannels};
use seamline_services::facilitator::{
    Facilitator, FacilitatorConfig, GasBudget, SETTLE_WAIT, StoreLocation,
};
use serde::Serialize;
use serde_json::Value;

use crate::{Failure, Input, clock, listen, serve, text};

/// What a development chain asks at most, with room: a hundred gwei.
const FEE_CEILING: FeeCeiling = FeeCeiling {
    max_fee_per_gas: 100_000_000_000,
    max_priority_fee_per_gas: 2_000_000_000,
};

pub(crate) async fn run(config: &Value, input: Input) -> Result<(), Failure> {
    let rpc: Arc<dyn Rpc> = Arc::new(HttpRpc::loopback(text(config, "/rpcUrl")?)?);
    let chain_id = config.pointer("/chainId").and_then(Value::as_u64);
    let chain_id = chain_id.ok_or("no chain id")?;
    let assets = vec![text(config, "/token")?.parse()?];
    // With a file it is what an operator runs; without, what a test wants.
    let store = match text(config, "/store") {
        Ok(path) => StoreLocation::File(path.into()),
        Err(_) => StoreLocation::Memory,
    };
    let settings = FacilitatorConfig::new(
        Arc::new(Wallet::from_hex(&text(config, "/privateKey")?)?),
        rpc,
        chain_id,
        assets.clone(),
        store,
        clock(),
        FEE_CEILING,
    );
    let facilitator = Facilitator::start(FacilitatorConfig {
        gas: GasBudget::UNLIMITED,
        ..settings
    })
    .await?;
    let channels = ChannelDeskConfig {
        assets,
        settle_wait: SETTLE_WAIT,
        authorizer: None,
    };
    let lane = facilitator.lane();
    let api = WithChannels::new(Arc::new(facilitator), lane, channels);
    serve(listen().await?, router(api), input).await
}

fn router(api: WithChannels) -> Router {
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .with_state(api)
}

async fn verify(State(api): State<WithChannels>, body: Bytes) -> Response {
    match FacilitatorRequest::parse(&body) {
        Ok(request) => answer(api.verify(&request).await),
        Err(malformed) => (StatusCode::BAD_REQUEST, malformed.to_string()).into_response(),
    }
}

async fn settle(State(api): State<WithChannels>, body: Bytes) -> Response {
    match FacilitatorRequest::parse(&body) {
        Ok(request) => answer(api.settle(&request).await),
        Err(malformed) => (StatusCode::BAD_REQUEST, malformed.to_string()).into_response(),
    }
}

async fn supported(State(api): State<WithChannels>) -> Response {
    answer(api.supported().await)
}

fn answer<T: Serialize, E: std::error::Error>(result: Result<T, E>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

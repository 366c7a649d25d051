//! The facilitator service.

use std::sync::Arc;

use seamline_evm::Wallet;
use seamline_evm::tx::FeeCeiling;
use seamline_net::HttpRpc;
use seamline_services::facilitator::{
    Facilitator, FacilitatorConfig, GasBudget, StoreLocation, router,
};
use serde_json::Value;

use crate::{Failure, Input, clock, listen, serve, text};

/// What a development chain asks at most, with room: a hundred gwei.
const FEE_CEILING: FeeCeiling = FeeCeiling {
    max_fee_per_gas: 100_000_000_000,
    max_priority_fee_per_gas: 2_000_000_000,
};

pub(crate) async fn run(config: &Value, input: Input) -> Result<(), Failure> {
    let wallet = Wallet::from_hex(&text(config, "/privateKey")?)?;
    let rpc = Arc::new(HttpRpc::loopback(text(config, "/rpcUrl")?)?);
    let chain_id = config.pointer("/chainId").and_then(Value::as_u64);
    let chain_id = chain_id.ok_or("no chain id")?;
    let assets = vec![text(config, "/token")?.parse()?];
    // With a file it is what an operator runs; without, what a test wants.
    let store = match text(config, "/store") {
        Ok(path) => StoreLocation::File(path.into()),
        Err(_) => StoreLocation::Memory,
    };
    let settings =
        FacilitatorConfig::new(wallet, rpc, chain_id, assets, store, clock(), FEE_CEILING);
    let facilitator = Facilitator::start(FacilitatorConfig {
        gas: GasBudget::UNLIMITED,
        ..settings
    })
    .await?;
    serve(listen().await?, router(facilitator), input).await
}

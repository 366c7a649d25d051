use core::time::Duration;

use seamline_evm::RpcCall;
use seamline_evm::rpc::At;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Facilitator;
use super::shared::quantity;

/// How a facilitator is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok`, or `degraded` where the chain does not answer or the account cannot pay for gas.
    pub status: &'static str,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// The settling account.
    pub signer: String,
    /// Native coin of the settling account, wei, decimal; absent where the chain does not answer.
    pub signer_balance: Option<String>,
    /// Number of the newest block.
    pub block: Option<u64>,
    /// How far the newest block lies behind the wall clock, seconds. A chain that makes blocks on
    /// demand falls behind while nothing happens.
    pub block_lag_seconds: Option<u64>,
    /// What the last question to the chain took, milliseconds.
    pub rpc_latency_ms: Option<u64>,
    /// Settlements that this replica carries and that are not in a block yet.
    pub open_settlements: usize,
    /// Kind of the store.
    pub store: &'static str,
}

/// The last answer, so that asking often costs nothing.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(Instant, Health)>>);

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long the chain may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Facilitator {
    /// Says how it is: one batch to the chain, at most once a second.
    pub async fn health(&self) -> Health {
        let mut cache = self.0.health.0.lock().await;
        if let Some((at, health)) = &*cache
            && at.elapsed() < FRESH
        {
            let open_settlements = self.0.core.open();
            return Health {
                open_settlements,
                ..health.clone()
            };
        }
        let health = self.ask().await;
        *cache = Some((Instant::now(), health.clone()));
        health
    }

    async fn ask(&self) -> Health {
        let core = &self.0.core;
        let calls = [
            RpcCall::block(At::Latest),
            RpcCall::balance(core.address(), At::Latest),
        ];
        let began = Instant::now();
        let answer = timeout(PATIENCE, core.rpc.batch(&calls)).await;
        let latency = u64::try_from(began.elapsed().as_millis()).ok();
        let results = answer.ok().and_then(Result::ok).unwrap_or_default();
        let (block, balance) = match results.as_slice() {
            [Ok(block), Ok(balance)] => (Some(block), wei(balance)),
            _ => (None, None),
        };
        let member = |name| block.and_then(|block| quantity(block.get(name)?));
        let now_s = (core.clock)().as_secs();
        let time_s = member("timestamp");
        let is_ok = balance.is_some_and(|balance| balance > 0);
        Health {
            status: if is_ok { "ok" } else { "degraded" },
            network: core.network.clone(),
            signer: core.address().to_string(),
            signer_balance: balance.map(|balance| balance.to_string()),
            block: member("number"),
            block_lag_seconds: time_s.map(|time_s| now_s.saturating_sub(time_s)),
            rpc_latency_ms: latency.filter(|_| block.is_some()),
            open_settlements: core.open(),
            store: core.store.kind(),
        }
    }
}

fn wei(value: &Value) -> Option<u128> {
    u128::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

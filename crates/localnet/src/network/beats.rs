//! Signs of life: through the facilitator, and by the operator's own hand where it does not relay them.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::Address;
use seamline_enclave::HeartbeatPlan;
use seamline_evm::Wallet;
use seamline_evm::heartbeat::Heartbeat;
use seamline_net::{DataError, DataFuture, HeartbeatRelay, HttpFacilitator};
use tokio::sync::watch;

use super::{HEARTBEAT, Localnet, parts};
use crate::chain::Chain;
use crate::layout::Layout;
use crate::setup::Operator;

/// The clock of the nodes is the chain's, so that nothing is signed for an earlier time.
const PLAN: HeartbeatPlan = HeartbeatPlan {
    first: HEARTBEAT,
    interval: HEARTBEAT,
    buffer: Duration::ZERO,
    tries: 3,
    pause: Duration::from_secs(10),
    wait: Duration::from_secs(20),
};

/// The facilitator, and the operator behind it.
struct Relay {
    facilitator: HttpFacilitator,
    chain: Chain,
    operator: Arc<Wallet>,
    layout: Layout,
}

impl HeartbeatRelay for Relay {
    fn heartbeat<'a>(
        &'a self,
        heartbeat: &'a Heartbeat,
        registry: Address,
    ) -> DataFuture<'a, Result<String, DataError>> {
        Box::pin(async move {
            let relayed = self.facilitator.heartbeat(heartbeat, registry).await;
            let refused = match relayed {
                Ok(transaction) => return Ok(transaction),
                Err(refused) => refused,
            };
            let hands = Operator {
                chain: &self.chain,
                wallet: &self.operator,
                layout: self.layout,
            };
            match hands.deliver_heartbeat(heartbeat.calldata().to_vec()) {
                Ok(transaction) => Ok(transaction.to_string()),
                // What the facilitator said tells more: the operator does nothing but send it.
                Err(_) => Err(refused),
            }
        })
    }
}

impl Localnet {
    /// Lets every node say now that it lives, besides what it says every quarter of an hour.
    ///
    /// The facilitator delivers it, at its cost; the operator does where the facilitator does not, as for a
    /// second one within ten seconds. It is in a block a moment later. `GET /heartbeat/status` of a node
    /// tells how it went. Each node gives up after three tries of 20 s.
    pub async fn beat(&self) {
        let relay = self.relay();
        for node in &self.nodes {
            node.enclave.beat(&relay, &PLAN).await;
        }
    }

    /// Sends heartbeats until the network stops.
    pub(super) fn keep_alive(&self, stopped: &watch::Receiver<bool>) {
        let relay = Arc::new(self.relay());
        for node in &self.nodes {
            let (enclave, relay) = (Arc::clone(&node.enclave), Arc::clone(&relay));
            let stop = parts::stopping(stopped);
            self.tasks.spawn(async move {
                enclave.run_heartbeats(relay.as_ref(), PLAN, stop).await;
            });
        }
    }

    fn relay(&self) -> Relay {
        Relay {
            facilitator: self.seller.clone(),
            chain: self.chain.clone(),
            operator: Arc::clone(&self.operator),
            layout: self.layout,
        }
    }
}

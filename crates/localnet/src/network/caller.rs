//! What a caller of this network is configured with. Each is a value that the caller may change.

use std::sync::Arc;

use seamline::Network;
use seamline_attest::TrustRoots;
use seamline_core::Amount;
use seamline_core::receipt::PublicKey;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Scheme;
use seamline_net::HttpRpc;
use seamline_verify::{Level, Network as TrustedNetwork, Trust};

use super::Localnet;
use crate::Error;
use crate::contracts::{DECIMALS, SYMBOL};

/// Longest life of an authorization, seconds: what OpenGradient's gateways ask for.
const MAX_LIFETIME_S: u64 = 300;

impl Localnet {
    /// How to reach this network.
    ///
    /// # Errors
    ///
    /// [`Error::Client`] where no HTTP client can be made.
    pub fn network(&self) -> Result<Network, Error> {
        let rpc = HttpRpc::loopback(self.rpc_url()).map_err(Error::Client)?;
        Ok(Network {
            rpc: Arc::new(rpc),
            chain_id: self.chain().chain_id(),
            registry: self.layout.registry,
            asset: self.layout.token,
            decimals: DECIMALS,
            symbol: SYMBOL.to_owned(),
        })
    }

    /// Trust in this network and in receipts of `recorder`.
    ///
    /// # Security
    ///
    /// Accepts development evidence under this network's root: there is no hardware behind it.
    ///
    /// # Errors
    ///
    /// [`Error::Authority`] never for a network that runs: its root was checked at the start.
    pub fn danger_trust(&self, recorder: PublicKey) -> Result<Trust, Error> {
        let roots = TrustRoots::none()
            .danger_accept_dev(self.dev_root())
            .map_err(|_| super::parts::unmarked_root())?;
        Ok(Trust {
            recorders: vec![recorder],
            roots,
            measurements: self.nodes().iter().map(|node| node.measurement).collect(),
            network: Some(TrustedNetwork {
                chain_id: self.chain().chain_id(),
                registry: self.layout.registry,
            }),
            facilitators: vec![self.facilitator()],
            required: Level::L3,
        })
    }

    /// A budget in this network's token, payable through its facilitator only.
    pub fn budget(&self, per_call: Amount, per_day: Amount) -> SpendPolicy {
        SpendPolicy {
            per_call,
            per_hour: None,
            per_day,
            per_node_day: None,
            per_model_day: None,
            per_channel: None,
            schemes: vec![Scheme::Upto],
            networks: vec![format!("eip155:{}", self.chain().chain_id())],
            assets: vec![self.layout.token],
            facilitators: Some(vec![self.facilitator()]),
            max_lifetime_s: MAX_LIFETIME_S,
        }
    }
}

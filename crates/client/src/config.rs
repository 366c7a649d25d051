use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use seamline_core::receipt::SealingKey;
use seamline_core::{Address, B256, NodeId};
use seamline_evm::chain::FINALITY_DEPTH;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::settlement::SettlementType;
use seamline_evm::{Rpc, Signer};
use seamline_verify::Trust;

use crate::dialect::OPENGRADIENT_GATEWAYS;
use crate::env::Env;

/// Everything that a client must be told. Nothing here has a default: a signer, roots of trust and a
/// budget are decisions.
pub struct Config {
    /// The account that pays. It is asked on a thread that may block, one call at a time per payment.
    pub signer: Arc<dyn Signer>,
    /// The key that signs receipts.
    pub recorder: SealingKey,
    /// Roots, measurements and chain to accept.
    pub trust: Trust,
    /// What may be spent.
    pub budget: SpendPolicy,
    /// The network to call.
    pub network: Network,
    /// Where the books and receipts are kept.
    pub home: Home,
    /// Clock and entropy.
    pub env: Env,
    /// Everything that has a documented default.
    pub options: Options,
}

/// The network that a client calls.
#[derive(Clone)]
pub struct Network {
    /// The chain's endpoint.
    pub rpc: Arc<dyn Rpc>,
    /// EIP-155 id of the chain; another chain is refused.
    pub chain_id: u64,
    /// The registry of nodes.
    pub registry: Address,
    /// The token that calls are paid with.
    pub asset: Address,
    /// Decimals of the token, for printing.
    pub decimals: u8,
    /// Symbol of the token, for printing.
    pub symbol: String,
}

/// Files of one installation.
#[derive(Clone, Debug)]
pub struct Home {
    /// The journal's file.
    pub journal: PathBuf,
    /// The folder that receipts are written to.
    pub receipts: PathBuf,
}

/// Settings with defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Registry type of the nodes to use; 0, language models, by default.
    pub tee_type: u8,
    /// How long a read of the registry is used, 30 seconds by default.
    pub registry_ttl: Duration,
    /// How old the registry's word that a node is active may be when an authorization for it is signed; zero
    /// by default: it is asked right before, which costs one RPC call (`isTEEActive`) and, where the payer's
    /// funds are remembered, its round trip. A time up to [`Options::registry_ttl`] spares the call and pays
    /// revoked nodes for as long.
    pub active_ttl: Duration,
    /// How long a node's price list is used, 30 seconds by default.
    pub listing_ttl: Duration,
    /// How long a node's last offer is accepted again without asking for it, one minute by default;
    /// zero asks each time. A remembered offer is one that the policy admits still and that covers
    /// what this call can cost at the listed prices.
    pub offer_ttl: Duration,
    /// How long verified evidence of an enclave instance is used, ten minutes by default.
    pub evidence_ttl: Duration,
    /// Longest silence of a node, 30 seconds by default.
    pub node_timeout: Duration,
    /// Longest wait for a settlement to show on chain after the answer, five seconds by default.
    pub settle_wait: Duration,
    /// Blocks, its own included, under which an outcome is final: until then [`crate::Client::recover`]
    /// looks whether a fork has taken it away. Twelve by default; a fork of depth `d` is noticed with at
    /// least `d + 1`.
    pub finality_depth: u64,
    /// How long a node that failed is left alone, 60 seconds by default.
    pub cooling: Duration,
    /// Weight of price in the score; 60 by default.
    pub weight_price: u32,
    /// Weight of latency in the score; 30 by default.
    pub weight_latency: u32,
    /// Weight of health in the score; 10 by default.
    pub weight_health: u32,
    /// Latency that scores zero, two seconds by default.
    pub latency_bound: Duration,
    /// Share of calls that try another usable node, in parts per million; none by default.
    pub explore_ppm: u32,
    /// Oldest heartbeat of a usable node, 30 minutes by default (the registry's own limit).
    pub max_heartbeat_age: Duration,
    /// Nodes never to use.
    pub avoid: Vec<NodeId>,
    /// Payment channels to keep with each node that offers them (`batch-settlement`), as many as calls
    /// go to it at once; none by default. The budget must allow the scheme. A channel holds a deposit of
    /// at most the budget's cap per channel, and a call is paid for with a voucher, within the caps. What
    /// it was charged is the node's word then, bounded by what was promised: the money moves when the
    /// node claims it, and no receipt is complete before.
    pub channels_per_node: u32,
    /// What enclaves are asked to put on record about a call; nothing by default. A batch publishes the
    /// hashes of request and answer, with which whoever guesses a short prompt can confirm it; an
    /// individual settlement publishes both in the clear.
    pub settlement: SettlementType,
    /// The contract that records answers (`spec/settlement.md`), on the chain of the network; none by
    /// default. Where it is known, a transaction that a node names is read before it counts as a record: one
    /// RPC call with the answer, and one with each [`crate::Client::recover`] until it is there.
    pub settlement_contract: Option<Address>,
    /// Measurements (PCR hashes) of code that speaks as OpenGradient's public gateway, its published
    /// build by default. Whether such code is trusted is not said here.
    pub gateways: Vec<B256>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tee_type: 0,
            registry_ttl: Duration::from_secs(30),
            active_ttl: Duration::ZERO,
            listing_ttl: Duration::from_secs(30),
            offer_ttl: Duration::from_secs(60),
            evidence_ttl: Duration::from_secs(600),
            node_timeout: Duration::from_secs(30),
            settle_wait: Duration::from_secs(5),
            finality_depth: FINALITY_DEPTH,
            cooling: Duration::from_secs(60),
            weight_price: 60,
            weight_latency: 30,
            weight_health: 10,
            latency_bound: Duration::from_secs(2),
            explore_ppm: 0,
            max_heartbeat_age: Duration::from_secs(30 * 60),
            avoid: Vec::new(),
            channels_per_node: 0,
            settlement: SettlementType::Private,
            settlement_contract: None,
            gateways: OPENGRADIENT_GATEWAYS.to_vec(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("chain_id", &self.chain_id)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

//! The whole network in one process: chain, registry, facilitator and enclaves, on loopback.

mod beats;
mod caller;
mod parts;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use seamline_core::infer::ModelRunner;
use seamline_core::{Amount, NodeId, Timestamp};
use seamline_evm::Wallet;
use seamline_evm::tx::FeeCeiling;
use seamline_net::{Clock, DataSettlement, FacilitatorApi, HttpFacilitator, Tasks};
use seamline_services::channels::{self, WithChannels};
use seamline_services::data::{self, DataDesk};
use seamline_services::facilitator::{self, Facilitator};
use tokio::sync::watch;

use crate::authority::DevAuthority;
use crate::chain::{Chain, Mining};
use crate::files::Files;
use crate::guard;
use crate::layout::Layout;
use crate::node::{Node, Shared};
use crate::setup::{Operator, TEE_TYPE};
use crate::spec::{NodeSpec, three_nodes};
use crate::{Error, keys};

/// How a local network is started.
pub struct Config {
    /// Folder that keeps chain and keys; `None` keeps everything in memory.
    pub home: Option<PathBuf>,
    /// Chain id and addresses of the contracts. A kept network keeps its own.
    pub layout: Layout,
    /// The nodes; [`three_nodes`] where nothing else is wanted.
    pub nodes: Vec<NodeSpec>,
    /// Port of the JSON-RPC server; 0 takes a free one.
    pub rpc_port: u16,
    /// When blocks are made.
    pub mining: Mining,
    /// The clock of everything in the network.
    pub clock: Clock,
    /// Whether clients may move the chain's time and rewind it (`evm_*` methods).
    pub dev_methods: bool,
    /// Runs models for contracts of the chain, and at the nodes; nobody.
    pub models: Option<Arc<dyn ModelRunner>>,
}

/// A running local network.
///
/// Everything that it attests is development evidence: nothing here runs in an enclave.
pub struct Localnet {
    chain: Chain,
    layout: Layout,
    operator: Arc<Wallet>,
    developer: Wallet,
    empty: Wallet,
    own: Arc<BTreeSet<Address>>,
    authority: Arc<DevAuthority>,
    nodes: Vec<Node>,
    rpc_url: String,
    facilitator_url: String,
    facilitator: Address,
    seller: HttpFacilitator,
    settling: Facilitator,
    channels: WithChannels,
    data: DataDesk,
    tasks: Tasks,
    stop: watch::Sender<bool>,
    /// Holds the folder's lock.
    files: Arc<Files>,
}

/// What a client needs to know about one node, for people and tests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Name in the local network.
    pub name: String,
    /// Id in the registry.
    pub node: NodeId,
    /// Base URL.
    pub endpoint: String,
    /// Registered payment address.
    pub pay_to: Address,
    /// Registered measurement.
    pub measurement: B256,
}

/// Tokens that a payer is given: a hundred.
const PAYER_TOKENS: Amount = Amount::new(100 * 10_u128.pow(18));
/// Tokens that Permit2 may move for a payer: ten. Bounded, as every approval should be.
const PAYER_ALLOWANCE: Amount = Amount::new(10 * 10_u128.pow(18));
/// Allowance below which it is renewed: one.
const LEAST_ALLOWANCE: Amount = Amount::new(10_u128.pow(18));
/// Native coin of an account: ten.
const GAS_MONEY: U256 = U256::from_limbs([10_000_000_000_000_000_000, 0, 0, 0]);
/// How often nodes say that they live; the registry waits 30 minutes.
const HEARTBEAT: Duration = Duration::from_secs(15 * 60);
/// The most that the facilitator pays for gas: a thousand times the chain's floor.
const FEE_CEILING: FeeCeiling = FeeCeiling {
    max_fee_per_gas: 1_000_000_000,
    max_priority_fee_per_gas: 1_000_000,
};
/// Blocks are instant, so a transaction receipt is there at the first look.
const CHAIN_POLL: Duration = Duration::from_millis(2);
/// How long requests in flight and settlements may take at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

impl Config {
    /// Three nodes, instant blocks, a free port, everything in memory.
    pub fn in_memory(clock: Clock) -> Self {
        Self {
            home: None,
            layout: Layout::SEAMLINE,
            nodes: three_nodes(),
            rpc_port: 0,
            mining: Mining::Instant,
            clock,
            dev_methods: false,
            models: None,
        }
    }
}

impl Localnet {
    /// Starts the network, or starts the kept one again.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A machine with a hardware attestation device is refused: software evidence must
    /// not stand beside real evidence.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let files = Arc::new(Files::open(config.home.clone())?);
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::new();
        match Self::assemble(config, &files, stop.clone(), &stopped, &tasks).await {
            Ok(network) => Ok(network),
            Err(failure) => {
                // What was started already holds databases and ports: it ends before this returns.
                let _ = stop.send(true);
                tasks.drain(DRAIN).await;
                files.closed(DRAIN).await;
                Err(failure)
            }
        }
    }

    async fn assemble(
        mut config: Config,
        files: &Arc<Files>,
        stop: watch::Sender<bool>,
        stopped: &watch::Receiver<bool>,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let now = (config.clock)();
        let layout = config.layout;
        for node in &mut config.nodes {
            // A dead node answers nobody.
            if node.models.is_none() && !node.dead {
                node.models.clone_from(&config.models);
            }
        }

        // 1. the time, the root of development evidence, and the accounts
        let started = parts::first_start(files, now)?;
        let authority = Arc::new(parts::authority(files, now)?);
        let operator = Arc::new(keys::wallet(files, "operator.key")?);
        let settler = Arc::new(keys::wallet(files, "facilitator.key")?);
        let developer = keys::wallet(files, "developer.key")?;
        let empty = keys::wallet(files, "empty.key")?;
        let own = [&*operator, &*settler, &developer, &empty];
        let own: Arc<BTreeSet<_>> = Arc::new(own.map(Wallet::address).into());

        // 2. the chain and its JSON-RPC server
        let chain = parts::open_chain(
            &config, files, &authority, &operator, &settler, &own, started,
        )?;
        parts::check_head(&chain, now)?;
        let rpc_url = parts::serve_chain(&chain, config.rpc_port, tasks, stopped).await?;

        // 3. the facilitator
        let facilitator = settler.address();
        let listener = parts::listen(0).await?;
        let facilitator_url = parts::url("http", &listener);
        let http = seamline_net::http_client(seamline_net::ClientOptions::default())
            .map_err(|err| Error::Facilitator(Box::new(err)))?;
        let token = keys::seller_token(files)?;
        let seller = HttpFacilitator::new(http, &facilitator_url).with_token(&token);
        let seller = seller.map_err(|err| Error::Facilitator(Box::new(err)))?;
        let remote = Arc::new(seller.clone());
        let api: Arc<dyn FacilitatorApi> = Arc::<HttpFacilitator>::clone(&remote);
        let data_api: Arc<dyn DataSettlement> = remote;
        let wallet = Arc::clone(&settler);
        let settling =
            parts::start_facilitator(files, &chain, wallet, layout, &config.clock, &token).await?;
        let hands = Operator {
            chain: &chain,
            wallet: &operator,
            layout,
        };
        let channels = parts::with_channels(&settling, settler, layout);
        let data = parts::start_data(files, &chain, &settling, &hands, &config.clock).await?;
        let router = channels::router(channels.clone(), facilitator::router(settling.clone()))
            .merge(data::router(data.clone()));
        let router = match layout.is_real() {
            true => guard::own_payers(router, Arc::clone(&own)),
            false => router,
        };
        let stop_serving = parts::stopping(stopped);
        tasks.spawn(async move {
            if let Err(error) = seamline_net::serve(listener, router, stop_serving).await {
                tracing::warn!(%error, "the facilitator stopped serving");
            }
        });

        // 4. the registry's types and roots, then the nodes
        hands.prepare_registry(&authority)?;
        let network = format!("eip155:{}", layout.chain_id);
        let shared = Shared {
            files,
            authority: &authority,
            operator: &hands,
            facilitator: &api,
            data: &data_api,
            facilitator_url: &facilitator_url,
            network: &network,
            layout,
            clock: &config.clock,
            now,
        };
        let mut nodes = Vec::new();
        for spec in &config.nodes {
            let mut node = Node::prepare(&shared, spec).await?;
            node.serve(tasks, parts::stopping(stopped));
            nodes.push(node);
        }
        let network = Self {
            chain,
            layout,
            operator,
            developer,
            empty,
            own,
            authority,
            nodes,
            rpc_url,
            facilitator_url,
            facilitator,
            seller,
            settling,
            channels,
            data,
            tasks: tasks.clone(),
            stop,
            files: Arc::clone(files),
        };
        network.keep_alive(stopped);
        Ok(network)
    }

    /// Takes back the registry's approval of a measurement; the nodes that have it are no candidates any
    /// more.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] or [`Error::Read`] where the chain refuses, as for a measurement that is not approved.
    pub fn revoke(&self, measurement: B256) -> Result<(), Error> {
        self.hands().revoke(measurement)
    }

    /// Gives `payer` coins and tokens, and lets Permit2 move a bounded part of them, where it has too
    /// little of any.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] or [`Error::Read`]; [`Error::Stranger`] where the layout is a real network's and the
    /// account is not one of this network's own.
    pub async fn fund(&self, payer: &Wallet) -> Result<(), Error> {
        let account = payer.address();
        self.own_only(account)?;
        let holds = seamline_evm::chain::account(&self.chain, self.layout.token, account)
            .await
            .map_err(Error::Read)?;
        let hands = self.hands();
        hands.fund(account, &holds, PAYER_TOKENS, GAS_MONEY)?;
        if holds.permit2_allowance < U256::from(LEAST_ALLOWANCE.get()) {
            hands.approve_permit2(payer, PAYER_ALLOWANCE)?;
        }
        Ok(())
    }

    /// Gives `account` coins and tokens, where it has too little of them. What Permit2 may move is its
    /// owner's to say.
    ///
    /// # Errors
    ///
    /// As [`Localnet::fund`].
    pub async fn give(&self, account: Address) -> Result<(), Error> {
        self.own_only(account)?;
        let holds = seamline_evm::chain::account(&self.chain, self.layout.token, account)
            .await
            .map_err(Error::Read)?;
        self.hands().fund(account, &holds, PAYER_TOKENS, GAS_MONEY)
    }

    /// Sends a heartbeat of every node now, dated `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] where the chain refuses one, [`Error::Enclave`] where a node cannot sign.
    pub fn heartbeat(&self, now: Timestamp) -> Result<(), Error> {
        for node in &self.nodes {
            let heartbeat = node
                .enclave
                .heartbeat(now)
                .map_err(|source| Error::Enclave {
                    name: node.name.clone(),
                    source,
                })?;
            let sent = self.hands().heartbeat(&heartbeat)?;
            node.enclave.note_heartbeat(Ok(sent));
        }
        Ok(())
    }

    /// Waits until the nodes have settled what an earlier process left to them, at most `limit`;
    /// returns whether they have.
    pub async fn debts_settled(&self, limit: Duration) -> bool {
        let mut settled = true;
        for node in &self.nodes {
            settled &= node.paywall.background().drain(limit).await;
        }
        settled
    }

    /// Stops to accept, lets requests and settlements finish, and waits for both, and until the network's
    /// databases are closed: the folder may be copied or started again then. A [`Chain`] that was cloned
    /// from this network keeps its database open, and is waited for ten seconds.
    pub async fn stop(self) {
        // Nobody listens only where everything has ended already.
        let _ = self.stop.send(true);
        for node in &self.nodes {
            node.paywall.close_sessions();
            node.paywall.tasks().drain(DRAIN).await;
            node.enclave.tasks().drain(DRAIN).await;
        }
        self.data.stop(DRAIN).await;
        self.settling.tasks().drain(DRAIN).await;
        self.settling.stop(DRAIN).await;
        self.channels.tasks().drain(DRAIN).await;
        self.tasks.drain(DRAIN).await;
        let files = Arc::clone(&self.files);
        drop(self);
        files.closed(DRAIN).await;
    }

    /// An account for whoever tries the network out. [`Localnet::fund`] gives it money.
    pub const fn developer(&self) -> &Wallet {
        &self.developer
    }

    /// An account that nobody gives anything: what an application does when its wallet is empty.
    pub const fn empty(&self) -> &Wallet {
        &self.empty
    }

    /// The chain, in process.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// URL of the chain's JSON-RPC server.
    pub fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// URL of the facilitator.
    pub fn facilitator_url(&self) -> &str {
        &self.facilitator_url
    }

    /// The facilitator for a seller of this network: it verifies and settles for nobody without the
    /// network's token, which is kept in `seller.token` of its folder.
    pub const fn seller(&self) -> &HttpFacilitator {
        &self.seller
    }

    /// Settlement of what the enclaves sign.
    pub const fn data(&self) -> &DataDesk {
        &self.data
    }

    /// The account that settles.
    pub const fn facilitator(&self) -> Address {
        self.facilitator
    }

    /// The root of this network's development evidence, DER.
    pub fn dev_root(&self) -> &[u8] {
        self.authority.root_der()
    }

    /// Registry type of the nodes.
    pub const fn tee_type(&self) -> u8 {
        TEE_TYPE
    }

    /// Chain id and addresses of the contracts.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The registry contract.
    pub const fn registry(&self) -> Address {
        self.layout.registry
    }

    /// The nodes, in the order of the configuration.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let info = |node: &Node| NodeInfo {
            name: node.name.clone(),
            node: node.id(),
            endpoint: node.endpoint.clone(),
            pay_to: node.pay_to,
            measurement: node.measurement.pcr_hash(),
        };
        self.nodes.iter().map(info).collect()
    }

    /// A network that shares a real one's chain id deals with accounts that it drew, and with no other.
    fn own_only(&self, account: Address) -> Result<(), Error> {
        if self.layout.is_real() && !self.own.contains(&account) {
            return Err(Error::Stranger { account });
        }
        Ok(())
    }

    fn hands(&self) -> Operator<'_> {
        Operator {
            chain: &self.chain,
            wallet: &self.operator,
            layout: self.layout,
        }
    }
}

impl fmt::Debug for Localnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Localnet")
            .field("rpc_url", &self.rpc_url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seamline::{Chat, Client, Config, Env, Home, Network, Options};
use seamline_attest::TrustRoots;
use seamline_core::Amount;
use seamline_core::receipt::SealingKey;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::{Rpc, Wallet};
use seamline_localnet::contracts::{DECIMALS, REGISTRY, SYMBOL, TOKEN};
use seamline_localnet::{Config as LocalnetConfig, Localnet, NodeSpec};
use seamline_net::HttpRpc;
use seamline_verify::{Level, Network as TrustedNetwork, Trust};

/// A local network with one client on it, kept in a folder.
#[derive(Debug)]
pub struct World {
    /// The network.
    pub net: Localnet,
    /// The client.
    pub client: Client,
}

impl World {
    /// Starts the network of `folder` with `nodes`, and opens a client whose books are there too.
    ///
    /// # Errors
    ///
    /// Whatever keeps the network from starting.
    pub async fn start(folder: &Path, nodes: Vec<NodeSpec>) -> Result<Self, Box<dyn Error>> {
        let env = Env::system();
        let mut config = LocalnetConfig::in_memory(Arc::new(move || env.now()));
        config.home = Some(folder.join("localnet"));
        config.nodes = nodes;
        let net = Localnet::start(config).await?;
        net.fund(&wallet()?).await?;
        let client = client(&net, folder)?;
        Ok(Self { net, client })
    }

    /// What a reader of this client's receipts trusts.
    ///
    /// # Errors
    ///
    /// Never for a network that runs.
    pub fn trust(&self) -> Result<Trust, Box<dyn Error>> {
        trust(&self.net)
    }

    /// The question that every call asks.
    pub fn question() -> Chat {
        Chat::model("seamline/guide").user("How do I cap what a call may cost?")
    }
}

fn wallet() -> Result<Wallet, Box<dyn Error>> {
    Ok(Wallet::from_bytes(&[0x51; 32])?)
}

fn recorder() -> SealingKey {
    SealingKey::from_seed(&[0x52; 32])
}

fn trust(net: &Localnet) -> Result<Trust, Box<dyn Error>> {
    Ok(Trust {
        recorders: vec![recorder().public_key()],
        roots: TrustRoots::none().danger_accept_dev(net.dev_root())?,
        measurements: net.nodes().iter().map(|node| node.measurement).collect(),
        network: Some(TrustedNetwork {
            chain_id: net.chain().chain_id(),
            registry: REGISTRY,
        }),
        facilitators: vec![net.facilitator()],
        required: Level::L3,
    })
}

fn client(net: &Localnet, folder: &Path) -> Result<Client, Box<dyn Error>> {
    let chain_id = net.chain().chain_id();
    let rpc: Arc<dyn Rpc> = Arc::new(HttpRpc::loopback(net.rpc_url())?);
    let receipts: PathBuf = folder.join("receipts");
    std::fs::create_dir_all(&receipts)?;
    let plenty = Amount::new(10_u128.pow(21));
    Ok(Client::open(Config {
        signer: wallet()?,
        recorder: recorder(),
        trust: trust(net)?,
        budget: SpendPolicy {
            per_call: Amount::new(10_u128.pow(17)),
            per_day: plenty,
            per_node_day: None,
            networks: vec![format!("eip155:{chain_id}")],
            assets: vec![TOKEN],
            facilitators: Some(vec![net.facilitator()]),
            max_lifetime_s: 300,
        },
        network: Network {
            rpc,
            chain_id,
            registry: REGISTRY,
            asset: TOKEN,
            decimals: DECIMALS,
            symbol: SYMBOL.to_owned(),
        },
        home: Home {
            journal: folder.join("journal.redb"),
            receipts,
        },
        env: Env::system(),
        options: Options::default(),
    })?)
}

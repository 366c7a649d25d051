use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use seamline::{Chat, Client, Config, Env, Home, Options};
use seamline_core::Amount;
use seamline_core::receipt::SealingKey;
use seamline_evm::Wallet;
use seamline_localnet::{Config as LocalnetConfig, Localnet, NodeSpec};
use seamline_verify::Trust;

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
        Ok(self.net.danger_trust(recorder().public_key())?)
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

fn client(net: &Localnet, folder: &Path) -> Result<Client, Box<dyn Error>> {
    let receipts = folder.join("receipts");
    std::fs::create_dir_all(&receipts)?;
    let (per_call, plenty) = (Amount::new(10_u128.pow(17)), Amount::new(10_u128.pow(21)));
    Ok(Client::open(Config {
        signer: Arc::new(wallet()?),
        recorder: recorder(),
        trust: net.danger_trust(recorder().public_key())?,
        budget: net.budget(per_call, plenty),
        network: net.network()?,
        home: Home {
            journal: folder.join("journal.redb"),
            receipts,
        },
        env: Env::system(),
        options: Options::default(),
    })?)
}

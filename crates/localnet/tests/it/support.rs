//! A network and a client on it, for tests of whole calls.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use seamline::{Chat, Client, Config, Env, Home, Options, Step, Watch};
use seamline_core::Amount;
use seamline_core::receipt::SealingKey;
use seamline_evm::Wallet;
use seamline_localnet::contracts::TOKEN;
use seamline_localnet::{Config as LocalnetConfig, Localnet, NodeSpec};
use seamline_net::HttpRpc;
use seamline_verify::Trust;

/// The model of the local network's nodes.
pub(crate) const MODEL: &str = "seamline/guide";
/// A question that the handbook answers.
pub(crate) const QUESTION: &str = "How do I cap what a call may cost?";

/// What a test may set; everything else is as `seamline chat` has it.
pub(crate) struct World {
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) per_call: Amount,
    pub(crate) per_day: Amount,
    pub(crate) options: Options,
    pub(crate) home: tempfile::TempDir,
    pub(crate) payer: [u8; 32],
}

impl World {
    pub(crate) fn new(nodes: Vec<NodeSpec>) -> Self {
        Self {
            nodes,
            per_call: opg_thousandths(100),
            per_day: opg_thousandths(5_000),
            options: Options::default(),
            home: tempfile::tempdir().unwrap(),
            payer: [0x51; 32],
        }
    }

    /// Starts the network in memory and opens the client's books in the world's folder.
    pub(crate) async fn start(&self) -> (Localnet, Client) {
        self.start_in(None).await
    }

    /// Starts the network in `folder`.
    pub(crate) async fn start_in(&self, folder: Option<&Path>) -> (Localnet, Client) {
        let env = Env::system();
        let mut config = LocalnetConfig::in_memory(Arc::new(move || env.now()));
        config.home = folder.map(Path::to_path_buf);
        config.nodes.clone_from(&self.nodes);
        let net = Localnet::start(config).await.unwrap();
        net.fund(&self.wallet()).await.unwrap();
        let client = self.client(&net);
        (net, client)
    }

    pub(crate) fn wallet(&self) -> Wallet {
        Wallet::from_bytes(&self.payer).unwrap()
    }

    pub(crate) fn trust(&self, net: &Localnet) -> Trust {
        net.danger_trust(recorder().public_key()).unwrap()
    }

    pub(crate) fn client(&self, net: &Localnet) -> Client {
        Client::open(self.config(net, self.trust(net), net.rpc_url())).unwrap()
    }

    pub(crate) fn config(&self, net: &Localnet, trust: Trust, rpc_url: &str) -> Config {
        let mut network = net.network().unwrap();
        network.rpc = Arc::new(HttpRpc::loopback(rpc_url).unwrap());
        Config {
            signer: Arc::new(self.wallet()),
            recorder: recorder(),
            trust,
            budget: net.budget(self.per_call, self.per_day),
            network,
            home: Home {
                journal: self.home.path().join("journal.redb"),
                receipts: {
                    let receipts = self.home.path().join("receipts");
                    std::fs::create_dir_all(&receipts).unwrap();
                    receipts
                },
            },
            env: Env::system(),
            options: self.options.clone(),
        }
    }
}

pub(crate) fn recorder() -> SealingKey {
    SealingKey::from_seed(&[0x52; 32])
}

/// An honest, cheap and quick node.
pub(crate) fn honest(name: &str) -> NodeSpec {
    NodeSpec::new(name, opg_thousandths(2_000), opg_thousandths(8_000))
}

pub(crate) const fn opg_thousandths(thousandths: u128) -> Amount {
    Amount::new(thousandths * 10_u128.pow(15))
}

pub(crate) fn question() -> Chat {
    Chat::model(MODEL).user(QUESTION)
}

/// Tokens of an account, base units.
pub(crate) async fn tokens(net: &Localnet, account: Address) -> U256 {
    seamline_evm::chain::account(net.chain(), TOKEN, account)
        .await
        .unwrap()
        .tokens
}

/// What the payer and every node hold together, and the payer alone: no call may change the first.
pub(crate) async fn books(net: &Localnet, payer: Address) -> (U256, U256) {
    let mut total = tokens(net, payer).await;
    let alone = total;
    for node in net.nodes() {
        total += tokens(net, node.pay_to).await;
    }
    (total, alone)
}

/// Collects what a watcher sees.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) steps: Vec<Step>,
    pub(crate) text: String,
    pub(crate) unproven: usize,
}

impl Watch for Seen {
    fn done(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn text(&mut self, piece: &str, proven: bool) {
        self.text.push_str(piece);
        if !proven {
            self.unproven += piece.len();
        }
    }
}

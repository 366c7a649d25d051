//! A confidential call, with everything real: enclave over TLS, relay over TCP, payments on the chain.

use std::sync::Arc;

use seamline::confidential::{self, EnclaveKey, KeyRefused, Vouched};
use seamline::{Chat, Client, Config as ClientConfig, Env, Home, Options};
use seamline_core::Amount;
use seamline_core::receipt::SealingKey;
use seamline_evm::Wallet;
use seamline_evm::registry::{NodeRecord, OhttpConfig};
use seamline_localnet::{Config, Localnet, NodeSpec};
use seamline_net::{ClientOptions, http_client};
use seamline_services::relay::{
    Account, PayingCarrier, Relay, RelayConfig, Target, router, token_hash,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "a token of forty random characters, say";

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_carries_pays_and_learns_nothing() {
    let env = Env::system();
    let clock = env.clone();
    let mut settings = Config::in_memory(Arc::new(move || clock.now()));
    let price = Amount::new(10_u128.pow(18));
    settings.nodes = vec![NodeSpec::new("amber", price, price)];
    let home = tempfile::tempdir().unwrap();
    let net = Localnet::start(settings).await.unwrap();
    let signer = Arc::new(Wallet::from_bytes(&[0x61; 32]).unwrap());
    net.fund(&signer).await.unwrap();
    let recorder = SealingKey::from_seed(&[0x62; 32]);
    let client = Client::open(ClientConfig {
        trust: net.danger_trust(recorder.public_key()).unwrap(),
        budget: net.budget(price, Amount::new(10_u128.pow(19))),
        network: net.network().unwrap(),
        home: Home {
            journal: home.path().join("journal.redb"),
            receipts: home.path().to_owned(),
        },
        signer,
        recorder,
        env: env.clone(),
        options: Options::default(),
    });
    let client = Arc::new(client.unwrap());
    let (snapshot, _) = client.listings().await.unwrap();
    let mut record = snapshot.nodes[0].clone();

    let carriage = Carriage::start(&client, &record, price).await;

    // The caller: no wallet, no connection to the enclave.
    let http = http_client(ClientOptions::default()).unwrap();
    let caller = confidential::Relay::new(http, &carriage.url, TOKEN);
    let answer = caller.key_config(record.node).await.unwrap();
    register(&mut record, &answer);
    let key = EnclaveKey::check(&answer, &record, None, env.now()).unwrap();
    assert_eq!(key.vouched(), Vouched::ByRegistry);
    let question = Chat::model("seamline/guide").user("How do I cap what a call may cost?");
    let whole = caller.chat(&question, &key, &env).await.unwrap();
    assert!(whole.text.contains("--max-price"), "{}", whole.text);
    assert_eq!(whole.node, record.node);
    let (spent, reserved) = carriage.spent().await;
    assert!(!spent.is_zero() && reserved.is_zero(), "{spent} {reserved}");

    let streamed = caller
        .chat(&question.stream(true), &key, &env)
        .await
        .unwrap();
    assert_eq!(streamed.text, whole.text);
    let (both, _) = carriage.spent().await;
    assert!(both > spent);

    // What the enclave refuses comes back sealed.
    let unknown = Chat::model("no/such-model").user("x");
    let refused = caller.chat(&unknown, &key, &env).await.unwrap_err();
    let (status, said) = words(refused).unwrap();
    assert_eq!(status, 400);
    assert!(said.contains("no/such-model"), "{said}");
    let (after, _) = carriage.spent().await;
    assert_eq!(after, both, "an error costs nothing");

    // A key that the relay made up.
    let mut lying = record.clone();
    lying.ohttp = None;
    let refused = EnclaveKey::check(&answer, &lying, None, env.now()).err();
    assert_eq!(refused, Some(KeyRefused::Registry));

    carriage.stop().await;
    net.stop().await;
}

/// A relay with one account, on a port of its own.
pub(crate) struct Carriage {
    pub(crate) relay: Relay,
    pub(crate) url: String,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Carriage {
    /// Carries to one node, at the expense of `client`.
    pub(crate) async fn start(client: &Arc<Client>, record: &NodeRecord, price: Amount) -> Self {
        let account = Account {
            token_sha256: token_hash(TOKEN),
            per_day: Amount::new(10_u128.pow(19)),
            per_minute: 10,
            at_once: 2,
        };
        let clock = Env::system();
        let config = RelayConfig::new(vec![account], price, Arc::new(move || clock.now()));
        let payers = Arc::clone(client);
        let carrier = PayingCarrier::new(move |options| payers.payer(options));
        let relay = Relay::new(config, Arc::new(carrier)).unwrap();
        let certificate = record.tls_certificate.to_vec();
        let (node, pay_to) = (record.node, record.pay_to);
        let target = Target::danger_anywhere(node, &record.endpoint, certificate, pay_to);
        relay.set_targets([target.unwrap()]);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let app = router(relay.clone());
        let served = tokio::spawn(seamline_net::serve(listener, app, async {
            let _ = stopped.await;
        }));
        Self {
            relay,
            url,
            stop,
            served,
        }
    }

    /// What the account spent and what is reserved, once nothing is under way.
    pub(crate) async fn spent(&self) -> (Amount, Amount) {
        let patience = std::time::Duration::from_secs(30);
        assert!(self.relay.tasks().drain(patience).await);
        self.relay.spent(&token_hash(TOKEN)).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        let patience = std::time::Duration::from_secs(30);
        assert!(self.relay.tasks().drain(patience).await);
    }
}

/// What the enclave said, opened.
fn words(err: confidential::Error) -> Option<(u16, String)> {
    let confidential::Error::Refused { status, said } = err else {
        return None;
    };
    Some((status, String::from_utf8(said?.as_bytes().to_vec()).ok()?))
}

/// The registry's entry for the key, where the network has not made one.
fn register(record: &mut NodeRecord, answer: &[u8]) {
    if record.ohttp.is_some() {
        return;
    }
    let config: serde_json::Value = serde_json::from_slice(answer).unwrap();
    let public_key = hex::decode(config["public_key"].as_str().unwrap()).unwrap();
    let key_config = [&[1, 0, 32], &public_key[..], &[0, 4, 0, 1, 0, 3]].concat();
    record.ohttp = Some(OhttpConfig {
        key_id: 1,
        kem_id: 32,
        kdf_id: 1,
        aead_id: 3,
        public_key: public_key.into(),
        key_config: key_config.into(),
        registered_at: 1,
    });
}

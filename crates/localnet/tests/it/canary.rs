//! No prompt, completion, key or authorization reaches a log or a `Debug` output.
//!
//! The test binary runs itself as a child that logs everything there is, at the finest level, and prints
//! the `Debug` form of all that a caller gets to see. Whatever the child wrote is then searched for the
//! secrets of the calls that it made, and so are the files that it left, except those that hold the keys.
#![expect(
    clippy::print_stdout,
    reason = "what the child prints is what is searched"
)]

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline::confidential::{EnclaveKey, Relay};
use seamline::{Chat, Client, Env, Home};
use seamline_core::receipt::{Bundle, SealingKey};
use seamline_core::{Amount, sha256};
use seamline_enclave::{
    ChatJob, EnclaveIdentity, Faults, Finish, Piece, Pieces, Upstream, UpstreamFuture, Usage,
};
use seamline_localnet::{Config, Localnet, NodeSpec};
use seamline_net::{ClientOptions, http_client};

use crate::relay::{Carriage, TOKEN};
use crate::support::{World, honest};

const ORDER: &str = "SEAMLINE_TEST_CANARY";
const MODEL: &str = "canary/parrot";
const PROMPT: &str = "prompt-canary-7f1c kestrel";
/// The answer comes in pieces, so each piece is a canary of its own.
const ANSWER: [&str; 2] = ["answer-canary-93ab ", "magpie-canary-04de"];
/// Names of the nodes: how each lies.
const LIARS: [&str; 10] = [
    "honest",
    "altered",
    "other-signer",
    "stale-nonce",
    "other-key",
    "measurement",
    "dearer",
    "pay-to",
    "clock",
    "cut-off",
];

fn payer() -> [u8; 32] {
    sha256(&[b"seamline/test/canary/payer"]).0
}

fn recorder_seed() -> [u8; 32] {
    sha256(&[b"seamline/test/canary/recorder"]).0
}

/// Says its canaries, whatever it is asked.
struct Parrot;

impl Upstream for Parrot {
    fn models(&self) -> Vec<String> {
        vec![MODEL.to_owned()]
    }

    fn chat(&self, _: ChatJob) -> UpstreamFuture<'_> {
        let mut pieces: Vec<_> = ANSWER
            .iter()
            .map(|piece| Ok(Piece::Text((*piece).to_owned())))
            .collect();
        pieces.push(Ok(Piece::End {
            finish: Finish::Stop,
            usage: Some(Usage {
                prompt_tokens: 5,
                completion_tokens: 4,
            }),
        }));
        let pieces: Pieces = Box::pin(futures_util::stream::iter(pieces));
        Box::pin(async move { Ok(pieces) })
    }
}

fn node(name: &str) -> NodeSpec {
    let mut node = honest(name);
    node.upstream = Some(Arc::new(Parrot));
    let other = || {
        Some(Arc::new(
            EnclaveIdentity::generate(Env::system().now()).unwrap(),
        ))
    };
    let faults = &mut node.faults;
    match name {
        "altered" => faults.altered_text = true,
        "other-signer" => faults.signed_by = other(),
        "stale-nonce" => faults.stale_nonce = true,
        "other-key" => faults.evidence_for = other(),
        "dearer" => faults.later_offers_times = Some(3),
        "pay-to" => faults.pay_to = Some(alloy_primitives::Address::repeat_byte(0x99)),
        "clock" => faults.clock_skew_s = -3_600,
        "cut-off" => faults.close_mid_stream = true,
        "measurement" => node.lies_about_measurement = true,
        _ => *faults = Faults::default(),
    }
    node
}

/// Not a test of its own: what the child process runs. Without an order it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a child of this binary gets its orders through the environment"
    )]
    let Some(folder) = std::env::var_os(ORDER) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(std::io::stdout)
        .init();
    let folder = PathBuf::from(folder);
    for name in LIARS {
        calls(&folder.join(name), name).await;
    }
    println!("the child has come to its end");
}

/// One network with one node, and two calls on it: whole and streamed.
async fn calls(folder: &Path, name: &str) {
    let mut world = World::new(vec![node(name)]);
    world.payer = payer();
    let mut config = Config::in_memory(Arc::new(|| Env::system().now()));
    config.home = Some(folder.join("net"));
    config.nodes.clone_from(&world.nodes);
    show(&config);
    show(&config.nodes);
    let net = Localnet::start(config).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    show(&net);
    show(&net.nodes());
    show(net.chain());

    let recorder = SealingKey::from_seed(&recorder_seed());
    let mut trust = world.trust(&net);
    trust.recorders = vec![recorder.public_key()];
    let mut config = world.config(&net, trust, net.rpc_url());
    config.recorder = recorder;
    config.home = Home {
        journal: folder.join("journal.redb"),
        receipts: folder.join("receipts"),
    };
    // One failure must not keep the next call away from the only node.
    config.options.cooling = std::time::Duration::ZERO;
    fs::create_dir_all(&config.home.receipts).unwrap();
    show(&config);
    show(&config.network);
    show(&config.options);
    show(&config.env);
    show(&config.budget);
    show(&config.trust);
    let client = Client::open(config).unwrap();
    show(&client);
    show(client.journal());
    for stream in [false, true] {
        let chat = Chat::model(MODEL).user(PROMPT).stream(stream);
        show(&chat);
        match client.chat(&chat).await {
            Ok(reply) => {
                assert_eq!(reply.text, ANSWER.concat());
                show(&reply);
                println!("{:#?}", reply.verdict);
            }
            Err(error) => {
                show(&error);
                println!("{}", seamline_core::chain(&error));
            }
        }
    }
    let client = Arc::new(client);
    if name == "honest" {
        sealed(&client).await;
    }
    show(&client.recover().await.unwrap());
    show(&client.journal().calls().unwrap());
    net.stop().await;
}

/// The same question through a relay: whole, streamed, and refused by the enclave in words that quote it.
async fn sealed(client: &Arc<Client>) {
    let price = Amount::new(10_u128.pow(18));
    let (snapshot, _) = client.listings().await.unwrap();
    let record = &snapshot.nodes[0];
    let carriage = Carriage::start(client, record, price).await;
    show(&carriage.relay);
    let http = http_client(ClientOptions::default()).unwrap();
    let caller = Relay::new(http, &carriage.url, TOKEN);
    show(&caller);
    let config = caller.key_config(record.node).await.unwrap();
    let key = EnclaveKey::check(&config, record, None, Env::system().now()).unwrap();
    show(&key);
    for stream in [false, true] {
        let chat = Chat::model(MODEL).user(PROMPT).stream(stream);
        let answered = caller.chat(&chat, &key, &Env::system()).await.unwrap();
        assert_eq!(answered.text, ANSWER.concat());
        show(&answered);
    }
    // The model's name is a word of the request, too.
    let unknown = Chat::model(format!("no/{PROMPT}")).user(PROMPT);
    let refused = caller.chat(&unknown, &key, &Env::system()).await;
    let refused = refused.unwrap_err();
    show(&refused);
    println!("{}", seamline_core::chain(&refused));
    carriage.stop().await;
}

fn show(value: &impl Debug) {
    println!("{value:?}\n{value:#?}");
}

/// The forms in which bytes leak: hexadecimal, base64, and a list of numbers.
fn forms(what: &str, secret: &[u8], needles: &mut Vec<(String, String)>) {
    let list: Vec<_> = secret.iter().map(u8::to_string).collect();
    // White space is made one before the search, so this is `{:?}` and `{:#?}`.
    needles.push((format!("{what}, list"), list.join(", ")));
    needles.push((format!("{what}, hex"), hex::encode(secret)));
    needles.push((format!("{what}, upper hex"), hex::encode_upper(secret)));
    let text = STANDARD.encode(secret);
    // The last characters depend on what follows.
    let whole = text.len() / 4 * 4 - 4;
    needles.push((format!("{what}, base64"), text[..whole].to_owned()));
}

/// What must appear nowhere in the child's output.
fn secrets(folder: &Path) -> Vec<(String, String)> {
    let mut needles = vec![("the prompt".to_owned(), PROMPT.to_owned())];
    for piece in ANSWER {
        needles.push(("the answer".to_owned(), piece.trim().to_owned()));
    }
    forms("the prompt", PROMPT.as_bytes(), &mut needles);
    needles.push(("the relay's token".to_owned(), TOKEN.to_owned()));
    forms("the relay's token", TOKEN.as_bytes(), &mut needles);
    forms("the payer's key", &payer(), &mut needles);
    forms("the recorder's seed", &recorder_seed(), &mut needles);
    for name in LIARS {
        let home = folder.join(name);
        for account in ["operator.key", "facilitator.key", "developer.key"] {
            let key = fs::read(home.join("net").join(account)).unwrap();
            forms(account, &key, &mut needles);
        }
        let kept = fs::read(home.join("net").join(format!("node-{name}.key"))).unwrap();
        let tls = EnclaveIdentity::from_bytes(&kept).unwrap();
        let tls = tls.tls_private_key();
        // PKCS #8 of a P-256 key: the scalar is these 32 bytes.
        forms("a node's TLS key", &tls[36..68], &mut needles);
        // The signing key is the last field. Of PKCS #8 of an RSA-2048 key the first 300 bytes are
        // public; the exponent and the primes follow.
        let end_of_tls = kept.windows(tls.len()).position(|it| it == tls).unwrap() + tls.len();
        let signing = &kept[end_of_tls + 4..];
        for at in [402, 600, 801] {
            forms("a node's signing key", &signing[at..at + 24], &mut needles);
        }
        authorizations(&home.join("receipts"), &mut needles);
    }
    needles
}

/// The authorizations of a folder's receipts: as JSON, as header, and their signatures.
fn authorizations(receipts: &Path, needles: &mut Vec<(String, String)>) {
    for file in fs::read_dir(receipts).unwrap() {
        let receipt = fs::read(file.unwrap().path()).unwrap();
        let bundle = Bundle::decode(&receipt).unwrap();
        for hash in bundle.evidence_hashes() {
            let blob = bundle.evidence(hash).unwrap();
            let Ok(json) = serde_json::from_slice::<serde_json::Value>(blob) else {
                continue;
            };
            let Some(signature) = json["payload"]["signature"].as_str() else {
                continue;
            };
            let digits = signature.trim_start_matches("0x").to_owned();
            forms(
                "a payment's signature",
                &hex::decode(&digits).unwrap(),
                needles,
            );
            needles.push(("PAYMENT-SIGNATURE".to_owned(), STANDARD.encode(blob)));
        }
    }
}

#[test]
fn secrets_stay_out_of_logs_and_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "canary::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ORDER, folder.path())
        .output()
        .unwrap();
    let output = [ran.stdout, ran.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(
        output.contains("the child has come to its end"),
        "{}",
        &output[output.len().saturating_sub(2_000)..]
    );
    assert!(output.contains("TRACE"), "nothing was logged");

    let needles = secrets(folder.path());
    let signatures = needles
        .iter()
        .filter(|(what, _)| what == "PAYMENT-SIGNATURE")
        .count();
    assert!(signatures >= LIARS.len(), "{signatures} authorizations");
    // At this level the tree over a block's transactions logs each of them, which is what everyone
    // can read on the chain: the signature of a settled payment is part of it, and of nothing else.
    let blocks = |line: &&str| line.contains("trie::hash_builder");
    let private: Vec<_> = output.lines().filter(|line| !blocks(line)).collect();
    let private = one_space(&private.join("\n"));
    let public: Vec<_> = output.lines().filter(blocks).collect();
    let public = one_space(&public.join("\n"));
    for (what, needle) in &needles {
        let needle = needle.to_lowercase();
        if let Some(at) = private.find(&needle) {
            let before: String = private[..at].chars().rev().take(300).collect();
            let before: String = before.chars().rev().collect();
            panic!("{what} is in the output after: {before}");
        }
        let settles = what.starts_with("a payment's signature");
        assert!(settles || !public.contains(&needle), "{what} is in a block");
    }
    files_hold_no_secrets(folder.path());
}

/// Lower case, with one space for any white space.
fn one_space(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Receipts, journal and databases hold no content and none of the caller's keys.
fn files_hold_no_secrets(folder: &Path) {
    let mut secrets = vec![PROMPT.as_bytes().to_vec()];
    secrets.extend(ANSWER.map(|piece| piece.trim().as_bytes().to_vec()));
    for key in [payer(), recorder_seed()] {
        secrets.extend([key.to_vec(), hex::encode(key).into_bytes()]);
    }
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            files += 1;
            for secret in &secrets {
                let held = bytes.windows(secret.len()).any(|window| window == secret);
                assert!(!held, "{} holds a secret", path.display());
            }
        }
    }
    assert!(files > LIARS.len());
}

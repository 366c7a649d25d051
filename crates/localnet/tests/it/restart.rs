//! One home, started again and again: under the same and under changed circumstances.
#![expect(
    clippy::print_stdout,
    reason = "figures are for whoever reads the output"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seamline::{Client, Env};
use seamline_attest::TrustRoots;
use seamline_core::{Charged, NodeId};
use seamline_evm::registry::{NodeRecord, read};
use seamline_localnet::contracts::REGISTRY;
use seamline_localnet::{Config, Error, Localnet, NodeSpec, three_nodes};
use seamline_verify::Status;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{World, honest, opg_thousandths, question, tokens};

/// Seconds by which a clock is off: ahead if positive.
fn clock(off: i64) -> Env {
    let system = Env::system();
    let now = move || {
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 {
            system.now().saturating_sub(by)
        } else {
            system.now().saturating_add(by)
        }
    };
    Env::new(now, |bytes| {
        getrandom::fill(bytes).map_err(|_| seamline::EntropyError)
    })
}

async fn start(folder: &Path, nodes: &[NodeSpec], off: i64) -> Result<Localnet, Error> {
    let env = clock(off);
    let mut config = Config::in_memory(Arc::new(move || env.now()));
    config.home = Some(folder.to_owned());
    config.nodes = nodes.to_vec();
    Localnet::start(config).await
}

/// The nodes that the registry lists as alive.
async fn active(net: &Localnet) -> Vec<NodeRecord> {
    read(net.chain(), REGISTRY, net.tee_type())
        .await
        .unwrap()
        .nodes
}

fn ids(net: &Localnet) -> Vec<NodeId> {
    net.nodes().iter().map(|node| node.node).collect()
}

/// A client on the world's books, whose clock is off like the network's.
fn client(world: &World, net: &Localnet, off: i64) -> Client {
    let mut config = world.config(net, world.trust(net), net.rpc_url());
    config.env = clock(off);
    Client::open(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_brings_up_the_same_network() {
    let world = World::new(three_nodes());
    let folder = world.home.path().join("net");
    let payer = world.wallet().address();

    let began = Instant::now();
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    println!("first start, three nodes: {:?}", began.elapsed());
    net.fund(&world.wallet()).await.unwrap();
    let reply = client(&world, &net, 0).chat(&question()).await.unwrap();
    let (nodes, money) = (net.nodes(), tokens(&net, payer).await);
    let (root, facilitator) = (net.dev_root().to_vec(), net.facilitator());
    let block = net.chain().head().unwrap().number;
    net.stop().await;

    for _ in 0..3 {
        let began = Instant::now();
        let net = start(&folder, &world.nodes, 0).await.unwrap();
        println!("start on an existing home: {:?}", began.elapsed());
        for (before, after) in nodes.iter().zip(net.nodes()) {
            assert_eq!(before.node, after.node);
            assert_eq!(before.endpoint, after.endpoint);
            assert_eq!(before.pay_to, after.pay_to);
            assert_eq!(before.measurement, after.measurement);
        }
        assert_eq!(active(&net).await.len(), nodes.len());
        assert_eq!(tokens(&net, payer).await, money);
        assert_eq!(
            (net.dev_root(), net.facilitator()),
            (&root[..], facilitator)
        );
        assert!(net.chain().head().unwrap().number >= block);
        net.stop().await;
    }

    let net = start(&folder, &world.nodes, 0).await.unwrap();
    let client = client(&world, &net, 0);
    let again = client.chat(&question()).await.unwrap();
    assert_eq!(again.text, reply.text);
    assert_eq!(client.journal().calls().unwrap().len(), 2);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_port_is_taken_is_a_new_node() {
    let world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    let old = net.nodes()[0].clone();
    net.stop().await;
    let (key, port) = (
        folder.join("node-amber.key"),
        folder.join("node-amber.port"),
    );
    let kept = (fs::read(&key).unwrap(), fs::read(&port).unwrap());

    let squatter = TcpListener::bind(old.endpoint.trim_start_matches("https://"))
        .await
        .unwrap();
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    let new = net.nodes()[0].clone();
    assert_ne!((new.node, &new.endpoint), (old.node, &old.endpoint));
    let listed: Vec<_> = active(&net).await.iter().map(|node| node.node).collect();
    assert_eq!(listed, [new.node], "the old identity is disabled");
    let reply = client(&world, &net, 0).chat(&question()).await.unwrap();
    assert_eq!(reply.node, new.node);
    net.stop().await;
    drop(squatter);

    // Killed after the old identity was disabled and before the new one was kept: the old one is all
    // there is, and the registry registers no id twice.
    fs::write(&key, kept.0).unwrap();
    fs::write(&port, kept.1).unwrap();
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    assert_eq!(net.nodes()[0].node, old.node);
    assert!(active(&net).await.iter().any(|node| node.node == old.node));
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_measurement_is_a_new_node() {
    let mut world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    let old = ids(&net);
    net.stop().await;

    // The price is part of what is measured.
    world.nodes[0].price_output = opg_thousandths(9_000);
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    assert_ne!(ids(&net), old);
    let listed: Vec<_> = active(&net).await.iter().map(|node| node.node).collect();
    assert_eq!(listed, ids(&net), "the old build is disabled");
    let reply = client(&world, &net, 0).chat(&question()).await.unwrap();
    assert_eq!(reply.charged, Charged::Yes);
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named_and_left_alone() {
    let world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    start(&folder, &world.nodes, 0).await.unwrap().stop().await;
    let databases = ["chain.redb", "facilitator.redb", "node-amber-paywall.redb"];
    let kept = [
        "authority.key",
        "operator.key",
        "facilitator.key",
        "developer.key",
        "node-amber.key",
        "node-amber.port",
        "genesis.time",
    ];
    for file in kept.iter().chain(&databases) {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for damage in [&b""[..], &b"neither a key nor a database"[..]] {
            fs::write(&path, damage).unwrap();
            let error = start(&folder, &world.nodes, 0).await.unwrap_err();
            let named = matches!(&error, Error::Damaged { path: named } if named == &path)
                || matches!(&error, Error::Chain(source) if source.to_string().contains(file))
                || matches!(&error, Error::Facilitator(_) if databases[1..].contains(file));
            assert!(named, "{file}: {}", seamline_core::chain(&error));
            assert!(fs::read(&path).unwrap() == damage, "{file} was written to");
        }
        fs::write(&path, whole).unwrap();
    }
    // A key that reads but is another one: the chain was not made for it.
    let operator = folder.join("operator.key");
    let whole = fs::read(&operator).unwrap();
    fs::write(&operator, [0x33; 32]).unwrap();
    let error = start(&folder, &world.nodes, 0).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Chain(seamline_localnet::chain::Error::OtherGenesis { .. })
        ),
        "{error}"
    );
    fs::write(&operator, whole).unwrap();
    start(&folder, &world.nodes, 0).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_root_is_replaced_and_old_receipts_stand_under_the_old_one() {
    const LATER: i64 = 31 * 24 * 60 * 60;
    let world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    let old_root = net.dev_root().to_vec();
    let old = client(&world, &net, 0).chat(&question()).await.unwrap();
    net.stop().await;

    let net = start(&folder, &world.nodes, LATER).await.unwrap();
    assert_ne!(net.dev_root(), old_root);
    let new = client(&world, &net, LATER).chat(&question()).await.unwrap();
    assert_eq!(new.verdict.status, Status::Satisfied);

    let now = clock(LATER).now();
    let mut trust = world.trust(&net);
    let verdict = seamline_verify::verify(&old.receipt, &trust, now);
    assert_ne!(verdict.status, Status::Satisfied, "the new root alone");
    trust.roots = TrustRoots::none()
        .danger_accept_dev(net.dev_root())
        .unwrap()
        .danger_accept_dev(&old_root)
        .unwrap();
    for receipt in [&old.receipt, &new.receipt] {
        let verdict = seamline_verify::verify(receipt, &trust, now);
        assert_eq!(verdict.status, Status::Satisfied, "{verdict:?}");
    }
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_network_is_refused_and_replaces_nothing() {
    const DAY: i64 = 24 * 60 * 60;
    let world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    start(&folder, &world.nodes, 0).await.unwrap().stop().await;
    let root = fs::read(folder.join("authority.key")).unwrap();
    let refused = |error: Error| {
        assert!(matches!(error, Error::Clock { .. }), "{error}");
        assert_eq!(fs::read(folder.join("authority.key")).unwrap(), root);
    };
    // Before the genesis.
    refused(start(&folder, &world.nodes, -60).await.unwrap_err());
    refused(start(&folder, &world.nodes, -90 * DAY).await.unwrap_err());
    // After the genesis, and before the newest block.
    start(&folder, &world.nodes, DAY)
        .await
        .unwrap()
        .stop()
        .await;
    refused(start(&folder, &world.nodes, 0).await.unwrap_err());
    start(&folder, &world.nodes, DAY)
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_holds_one_network() {
    let world = World::new(vec![honest("amber")]);
    let folder = world.home.path().join("net");
    let net = start(&folder, &world.nodes, 0).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    let error = start(&folder, &world.nodes, 0).await.unwrap_err();
    assert!(
        matches!(&error, Error::InUse { path } if *path == folder),
        "{error}"
    );
    let reply = client(&world, &net, 0).chat(&question()).await.unwrap();
    assert_eq!(reply.charged, Charged::Yes);
    net.stop().await;
    start(&folder, &world.nodes, 0).await.unwrap().stop().await;
}

//! Calls of nodes that are paid for over a payment channel.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{B256, U256};
use seamline::journal::{CallRecord, VoucherState};
use seamline::{Client, Env, Home, Options, Step, Watch};
use seamline_core::receipt::{Bundle, EventKind};
use seamline_core::{Amount, Charged};
use seamline_evm::Rpc as _;
use seamline_evm::channel::{BATCH_SETTLEMENT, ChainState, StateRead};
use seamline_evm::scheme::Scheme;
use seamline_localnet::{Config, Localnet, NodeSpec};
use seamline_verify::{Claim, Level, Outcome, Status};

use crate::support::{World, honest, opg_thousandths, question, tokens};

/// Calls that one deposit pays for.
const CALLS: usize = 20;

fn world(nodes: Vec<NodeSpec>) -> World {
    let mut options = Options::default();
    options.channels_per_node = 1;
    World {
        options,
        ..World::new(nodes)
    }
}

fn selling() -> NodeSpec {
    NodeSpec {
        channels: true,
        ..honest("one")
    }
}

/// Seconds by which the network's clock is ahead.
type Ahead = Arc<AtomicU64>;

async fn network(world: &World, folder: Option<&Path>, ahead: &Ahead) -> Localnet {
    let (env, ahead) = (Env::system(), Arc::clone(ahead));
    let clock = move || {
        let seconds = ahead.load(Ordering::SeqCst);
        env.now().saturating_add(Duration::from_secs(seconds))
    };
    let mut config = Config::in_memory(Arc::new(clock));
    config.home = folder.map(|folder| folder.join("net"));
    config.nodes.clone_from(&world.nodes);
    Localnet::start(config).await.unwrap()
}

async fn state(net: &Localnet, channel: B256) -> ChainState {
    let read = StateRead::new(vec![channel]);
    let results = net.chain().batch(read.calls()).await.unwrap();
    read.conclude(&results).unwrap().pop().unwrap().1
}

fn open(world: &World, net: &Localnet) -> Client {
    open_in(world, net, world.home.path())
}

fn open_in(world: &World, net: &Localnet, folder: &Path) -> Client {
    let mut config = world.config(net, world.trust(net), net.rpc_url());
    config.home = Home {
        journal: folder.join("journal.redb"),
        receipts: folder.join("receipts"),
    };
    std::fs::create_dir_all(&config.home.receipts).unwrap();
    config.budget.schemes = vec![Scheme::BatchSettlement];
    config.budget.per_channel = Some(opg_thousandths(2_000));
    Client::open(config).unwrap()
}

fn newest(client: &Client) -> CallRecord {
    let calls = client.journal().calls().unwrap();
    calls.into_iter().max_by_key(|call| call.seq).unwrap()
}

/// How often each kind of event stands in a receipt.
fn count(receipt: &[u8], kind: EventKind) -> usize {
    let bundle = Bundle::decode(receipt).unwrap();
    let slots = bundle.slots();
    slots.iter().filter(|slot| slot.kind() == kind).count()
}

#[tokio::test]
async fn one_deposit_pays_for_many_calls() {
    let world = world(vec![selling()]);
    let ahead: Ahead = Arc::default();
    let net = network(&world, None, &ahead).await;
    net.fund(&world.wallet()).await.unwrap();
    let client = open(&world, &net);
    let payer = world.wallet().address();
    let before = tokens(&net, payer).await;
    let mut charged = Amount::ZERO;
    for call in 0..CALLS {
        let reply = client.chat(&question()).await.unwrap();
        assert_eq!(
            (reply.charged, reply.payment_state),
            (Charged::Yes, "charged")
        );
        assert_eq!(reply.verdict.first_failure(), None, "call {call}");
        let passed = |claim| {
            let mut about = reply.verdict.about(claim);
            about.any(|it| it.outcome == Outcome::Pass)
        };
        assert!(passed(Claim::VoucherCharge) && passed(Claim::AuthorizationSigner));
        let sent = count(&reply.receipt, EventKind::RequestSent);
        assert_eq!(
            sent,
            if call == 0 { 2 } else { 1 },
            "round trips of call {call}"
        );
        let made = newest(&client);
        let voucher = made.voucher.clone().unwrap();
        assert_eq!(voucher.state, VoucherState::Charged);
        charged = charged.checked_add(made.committed()).unwrap();
    }
    // One deposit left the payer, and nothing else; the node was paid nothing yet.
    let channel = client.journal().calls().unwrap()[0]
        .voucher
        .clone()
        .unwrap()
        .channel;
    let left = before - tokens(&net, payer).await;
    let balance = state(&net, channel).await.balance;
    assert_eq!(left, U256::from(balance.get()));
    assert_eq!(tokens(&net, BATCH_SETTLEMENT).await, left);
    assert!(charged <= balance);
    // The books: what was charged, nothing reserved.
    let budget = client.budget_status();
    let day = &budget[0].windows.last().unwrap();
    assert_eq!((day.settled, day.reserved), (charged, Amount::ZERO));
    // Five minutes later the node claims, once, what the books say.
    ahead.store(301, Ordering::SeqCst);
    let claimed = loop {
        let claimed = state(&net, channel).await.total_claimed;
        if !claimed.is_zero() {
            break claimed;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(claimed, charged);
    complete(&world, &net, &client).await;
    net.stop().await;
}

/// What the chain shows is written beside every receipt, once, and completes it; together they leave no gap.
async fn complete(world: &World, net: &Localnet, client: &Client) {
    client.recover().await.unwrap();
    client.recover().await.unwrap();
    let (trust, now) = (world.trust(net), Env::system().now());
    let mut bundles = Vec::new();
    for call in client.journal().calls().unwrap() {
        let name = format!("receipts/{}.seam", call.call_id);
        let path = world.home.path().join(name);
        let receipt = std::fs::read(&path).unwrap();
        let alone = seamline_verify::verify(&receipt, &trust, now);
        assert_eq!(alone.status, Status::Incomplete, "call {}", call.seq);
        let late = seamline::amendments::beside(&path).unwrap();
        assert_eq!(late.len(), 1, "call {}", call.seq);
        let whole = seamline_verify::verify_amended(&receipt, &late, &trust, now);
        assert_eq!(whole.first_failure(), None);
        let reached = (whole.status, whole.level);
        assert_eq!(reached, (Status::Satisfied, Level::L3), "call {}", call.seq);
        bundles.push(Bundle::decode(&receipt).unwrap());
    }
    let sessions = seamline_verify::verify_sessions(&bundles);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].outcome, Outcome::Pass, "{:?}", sessions[0]);
}

/// A node that breaks its streams off gets the same voucher again, and never another one.
#[tokio::test]
async fn lost_reply_is_asked_for_with_the_same_voucher() {
    let faults = seamline_enclave::Faults {
        close_mid_stream: true,
        ..Default::default()
    };
    let world = world(vec![NodeSpec {
        faults,
        ..selling()
    }]);
    let net = network(&world, None, &Arc::default()).await;
    net.fund(&world.wallet()).await.unwrap();
    let client = open(&world, &net);
    let error = client.chat(&question().stream(true)).await.unwrap_err();
    let receipt = std::fs::read(error.receipt().unwrap()).unwrap();
    assert_eq!(count(&receipt, EventKind::VoucherSigned), 1);
    assert!(
        count(&receipt, EventKind::RequestSent) > 2,
        "it was asked again"
    );
    let verdict = seamline_verify::verify(&receipt, &world.trust(&net), Env::system().now());
    assert_eq!(verdict.first_failure(), None);
    let calls = client.journal().calls().unwrap();
    let voucher = calls[0].voucher.clone().unwrap();
    // What the node charged is known, or everything stays reserved; and the claim keeps to it.
    assert!(matches!(
        voucher.state,
        VoucherState::Open | VoucherState::Charged
    ));
    assert!(!calls[0].committed().is_zero());
    net.stop().await;
}

/// Where the child that dies finds its home.
const ORDER: &str = "SEAMLINE_TEST_CHANNEL_DEATH";

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
    let world = world(vec![selling()]);
    let folder = std::path::PathBuf::from(folder);
    let net = network(&world, Some(&folder), &Arc::default()).await;
    net.fund(&world.wallet()).await.unwrap();
    let client = open_in(&world, &net, &folder);
    client.chat(&question()).await.unwrap();
    let _ = client.chat_watched(&question(), &mut Dying).await;
}

/// Dies when the answer is there and what it cost is not in the books.
struct Dying;

impl Watch for Dying {
    fn done(&mut self, step: Step) {
        if step == Step::Execute {
            let pid = std::process::id().to_string();
            let _ = Command::new("kill").args(["-9", &pid]).status();
            std::thread::park();
        }
    }
}

#[tokio::test]
async fn charge_of_a_call_that_was_killed_is_found_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    let child = child.args(["--exact", "channel_call::child", "--test-threads=1"]);
    let child = child.env(ORDER, folder.path()).stdout(Stdio::null());
    assert_eq!(
        child.stderr(Stdio::null()).status().unwrap().signal(),
        Some(9)
    );
    let world = world(vec![selling()]);
    let ahead: Ahead = Arc::default();
    let net = network(&world, Some(folder.path()), &ahead).await;
    let client = open_in(&world, &net, folder.path());
    client.recover().await.unwrap();
    let dead = newest(&client);
    assert_eq!(dead.voucher.as_ref().unwrap().state, VoucherState::Open);
    assert_eq!(dead.charged(), Charged::Unknown);
    // The next call is told what the dead one cost, with the payer's own signature under it.
    let reply = client.chat(&question()).await.unwrap();
    assert_eq!(reply.verdict.first_failure(), None);
    assert_eq!(count(&reply.receipt, EventKind::VoucherSigned), 2);
    let calls = client.journal().calls().unwrap();
    assert_eq!(calls.len(), 3);
    let mut charged = Amount::ZERO;
    for call in &calls {
        assert_eq!(call.charged(), Charged::Yes, "{}", call.seq);
        charged = charged.checked_add(call.committed()).unwrap();
    }
    let channel = calls[0].voucher.clone().unwrap().channel;
    ahead.store(301, Ordering::SeqCst);
    let claimed = loop {
        let claimed = state(&net, channel).await.total_claimed;
        if !claimed.is_zero() {
            break claimed;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(claimed, charged);
    net.stop().await;
}

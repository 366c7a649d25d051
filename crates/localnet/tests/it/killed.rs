//! Processes that are killed with SIGKILL: whatever the moment, the books agree with the chain afterwards.
//!
//! The test binary runs itself as a child, which makes a call and kills itself where it is told to. One
//! home serves a whole series of such deaths, so the books have to survive all of them together.
#![expect(
    clippy::print_stdout,
    reason = "the table is for whoever reads the output"
)]

mod victim;

use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::Duration;

use alloy_primitives::U256;
use seamline::journal::{CallRecord, CallState, PaymentState};
use seamline::{Client, Env, Step};
use seamline_core::receipt::log::{Chain, Entry};
use seamline_core::{Amount, Charged, Timestamp};
use seamline_evm::chain::{SettlementQuery, facts};
use seamline_evm::scheme::Method;
use seamline_localnet::Localnet;
use seamline_localnet::contracts::TOKEN;
use serde_json::json;

use crate::support::{question, tokens};
use victim::{Place, clock};

/// SIGKILL.
const KILLED: i32 = 9;

/// What the payer has when a series begins.
const FUNDS: u128 = 100 * 10_u128.pow(18);

/// A home whose network has been started once, and whose payer has money.
async fn home() -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path());
    let net = place.network(0).await;
    net.fund(&place.world.wallet()).await.unwrap();
    net.stop().await;
    (folder, place)
}

/// Holds every line of the books against the chain, and returns how many calls were paid.
async fn audit(place: &Place, net: &Localnet, client: &Client, now: Timestamp) -> usize {
    let payer = place.world.wallet().address();
    let calls = client.journal().calls().unwrap();

    // 1. the log is one chain, without gaps, and its open entries are the calls listed as open
    let entries: Vec<Entry> = client
        .journal()
        .log()
        .unwrap()
        .iter()
        .map(|bytes| Entry::decode(bytes).unwrap())
        .collect();
    let log = Chain::check(&entries).unwrap();
    let mut open: Vec<u64> = log.open_calls().map(|(seq, _, _)| seq).collect();
    open.sort_unstable();
    let mut listed: Vec<u64> = calls
        .iter()
        .filter(|call| call.state == CallState::Open)
        .map(|call| call.seq)
        .collect();
    listed.sort_unstable();
    assert_eq!(open, listed, "the log and the list disagree");

    // 2. each authorization: the chain spent its nonce exactly if the books say that it settled
    let (mut settled, mut reserved, mut paid) = (Amount::ZERO, Amount::ZERO, 0);
    let mut transactions = Vec::new();
    for payment in calls.iter().filter_map(|call| call.payment.as_ref()) {
        let query = SettlementQuery {
            method: Method::Permit2,
            payer,
            auth_nonce: payment.auth_nonce,
            asset: TOKEN,
            from_block: 0,
        };
        let chain = facts(net.chain(), &query).await.unwrap();
        assert_eq!(
            chain.nonce_used,
            payment.state == PaymentState::Settled,
            "{payment:?}"
        );
        assert_eq!(
            chain.settlement.map(|found| found.amount),
            payment.settled(),
            "{payment:?}"
        );
        match payment.state {
            PaymentState::Settled => {
                let amount = payment.settled().unwrap();
                assert!(amount <= payment.amount());
                settled = settled.checked_add(amount).unwrap();
                transactions.push(payment.transaction.unwrap().to_string());
                paid += 1;
            }
            PaymentState::Unknown | PaymentState::Authorized => {
                assert!(now.as_secs() <= payment.deadline_s, "{payment:?}");
                reserved = reserved.checked_add(payment.amount()).unwrap();
            }
            PaymentState::NotSettled => {}
        }
    }

    // 3. money: the payer lost what settled, the node got it, and nothing else moved
    let node = &net.nodes()[0];
    let lost = U256::from(FUNDS) - tokens(net, payer).await;
    assert_eq!(lost, U256::from(settled.get()), "the payer paid otherwise");
    assert_eq!(tokens(net, node.pay_to).await, U256::from(settled.get()));
    let mut transfers = transfers(net, payer);
    transfers.sort();
    transactions.sort();
    assert_eq!(transfers, transactions, "a transfer without a call");

    // 4. the budget of the day: spent and reserved are exactly these
    let network = format!("eip155:{}", client.network().chain_id);
    let asset = client.network().asset;
    let spent = client.journal().spent(&network, asset, &node.node, now);
    assert_eq!((spent.today, spent.reserved), (settled, reserved));
    paid
}

/// Transactions in which the payer's tokens moved.
fn transfers(net: &Localnet, payer: alloy_primitives::Address) -> Vec<String> {
    let topic = alloy_primitives::keccak256("Transfer(address,address,uint256)");
    let filter = json!([{
        "fromBlock": "earliest", "toBlock": "latest", "address": TOKEN,
        "topics": [topic, payer.into_word()],
    }]);
    let logs = net.chain().handle("eth_getLogs", &filter).unwrap();
    logs.as_array()
        .unwrap()
        .iter()
        .map(|log| log["transactionHash"].as_str().unwrap().to_owned())
        .collect()
}

/// One death and what it left: the state before and after [`Client::recover`], and whether it was paid.
struct Aftermath {
    listed: Option<CallRecord>,
    call: Option<CallRecord>,
    charged: Option<Charged>,
}

/// Kills a process at one moment, starts again, recovers, audits, and makes a further call.
async fn survive(place: &Place, what: &str, moment: &str, millis: u64) -> Aftermath {
    let status = place.kill(what, moment, millis);
    assert_eq!(status.signal(), Some(KILLED), "{what} {moment} {millis}");
    let (net, client) = place.open(0).await;
    let newest = |client: &Client| client.journal().calls().unwrap().into_iter().next();
    let listed = newest(&client);
    // What the dead process's nodes delivered, its heirs settle: the books are held against the chain
    // when it stands still.
    assert!(
        net.debts_settled(Duration::from_secs(20)).await,
        "a debt is open"
    );
    let recovered = client.recover().await.unwrap();
    let call = newest(&client);
    let seq = call.as_ref().map(|call| call.seq);
    let charged = recovered
        .iter()
        .find(|one| Some(one.call.seq) == seq)
        .map(|one| one.charged);
    let paid = audit(place, &net, &client, Env::system().now()).await;
    let again = client.recover().await.unwrap();
    assert_eq!(
        again.len(),
        recovered
            .iter()
            .filter(|one| one.charged == Charged::Unknown)
            .count(),
        "what is known is not asked again"
    );
    let reply = client.chat(&question()).await.unwrap();
    assert_eq!(reply.charged, Charged::Yes);
    let after = audit(place, &net, &client, Env::system().now()).await;
    assert_eq!(after, paid + 1);
    net.stop().await;
    println!(
        "{what:>9} {moment:<6} {millis:>3} ms: listed {}, then {}",
        show(listed.as_ref()),
        show(call.as_ref())
    );
    Aftermath {
        listed,
        call,
        charged,
    }
}

fn show(call: Option<&CallRecord>) -> String {
    call.map_or_else(
        || "nothing".to_owned(),
        |call| {
            let payment = call.payment.as_ref();
            let payment = payment.map_or("unpaid", |payment| payment.state.as_str());
            format!("{:?} at {} ({payment})", call.state, call.step)
        },
    )
}

/// Dies at each step, and says of each what the books must hold afterwards.
async fn at_each_step(moment: &str) {
    let (_folder, place) = home().await;
    let mut unknown = 0;
    for step in Step::ALL {
        let left = survive(&place, step.as_str(), moment, 0).await;
        let unopened = step == Step::Open && moment == "before";
        let sealed = step == Step::Seal && moment == "after";
        let signed = step > Step::Authorize || (step == Step::Authorize && moment == "after");
        let sent = step > Step::Execute || (step == Step::Execute && moment == "after");
        if unopened {
            assert!(left.listed.is_none(), "nothing was opened");
            continue;
        }
        let (listed, call) = (left.listed.unwrap(), left.call.unwrap());
        let payment = call.payment.as_ref().map(|payment| payment.state);
        if sealed {
            assert_eq!(listed.state, CallState::Answered);
            assert_eq!((call.state, left.charged), (CallState::Answered, None));
            assert_eq!(payment, Some(PaymentState::Settled));
            continue;
        }
        // The journal knows the last step whose effect it holds.
        let known = match () {
            () if step > Step::Settle || (step == Step::Settle && moment == "after") => "settle",
            () if signed => "authorize",
            () => "open",
        };
        assert_eq!(
            (listed.state, listed.step.as_str()),
            (CallState::Open, known)
        );
        assert_eq!(listed.payment.is_some(), signed);
        let expected = match () {
            () if sent => (
                CallState::Interrupted,
                Some(PaymentState::Settled),
                Charged::Yes,
            ),
            () if signed => (
                CallState::Open,
                Some(PaymentState::Unknown),
                Charged::Unknown,
            ),
            () => (CallState::Interrupted, None, Charged::No),
        };
        assert_eq!(
            (call.state, payment, left.charged.unwrap()),
            expected,
            "{step}"
        );
        unknown += usize::from(expected.2 == Charged::Unknown);
    }
    assert_eq!(unknown, 1, "one authorization was signed and never sent");
    everything_is_known_in_the_end(&place).await;
}

/// After every deadline the chain's word is final: no call stays open, and nothing stays reserved.
async fn everything_is_known_in_the_end(place: &Place) {
    let (net, client) = place.open(600).await;
    let now = clock(600).now();
    net.heartbeat(now).unwrap();
    client.recover().await.unwrap();
    audit(place, &net, &client, now).await;
    for call in client.journal().calls().unwrap() {
        assert_ne!(call.state, CallState::Open, "{call:?}");
        let state = call.payment.map(|payment| payment.state);
        assert!(
            matches!(
                state,
                None | Some(PaymentState::Settled | PaymentState::NotSettled)
            ),
            "{state:?}"
        );
    }
    net.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_each_step() {
    at_each_step("before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_step() {
    at_each_step("after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_execute_and_inside_recovery() {
    let (_folder, place) = home().await;
    // The paid request is under way: between the facilitator's note, its broadcast and the receipt.
    for millis in [0, 2, 4, 6, 8, 10, 20, 50] {
        let left = survive(&place, "execute", "during", millis).await;
        let call = left.call.unwrap();
        assert!(call.payment.is_some());
        assert_ne!(left.charged, Some(Charged::No), "an authorization is out");
    }
    // The answer streams: part of it has been used, and nothing is proven.
    let left = survive(&place, "execute", "text", 0).await;
    assert_eq!(left.listed.unwrap().state, CallState::Open);
    // The receipt is being written.
    for millis in [1, 4] {
        survive(&place, "seal", "during", millis).await;
    }
    // A call is open with its money moved; recovery itself is killed, then the start.
    place.kill("verify", "before", 0);
    for (what, millis) in [
        ("recover", 0),
        ("recover", 3),
        ("start", 40),
        ("start", 120),
    ] {
        let status = place.kill(what, "", millis);
        assert_eq!(status.signal(), Some(KILLED), "{what} {millis}");
    }
    let left = survive(&place, "recover", "", 1).await;
    assert_eq!(left.call.unwrap().state, CallState::Interrupted);
    everything_is_known_in_the_end(&place).await;
}

/// Kills the very first start as soon as each file appears, and a little later.
#[tokio::test(flavor = "multi_thread")]
async fn inside_the_first_start() {
    let files = [
        "genesis.time",
        "authority.key",
        "operator.key",
        "chain.partial",
        "chain.redb",
        "facilitator.partial",
        "node-amber.port",
        "node-amber.partial",
        "node-amber.key",
    ];
    for file in files {
        for millis in [0, 3] {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::at(folder.path());
            let mut child = place.spawn("start", "", 60_000);
            let awaited = folder.path().join("net").join(file);
            while !awaited.exists() && child.try_wait().unwrap().is_none() {
                thread::sleep(Duration::from_micros(100));
                if folder.path().join("net/node-amber.key").exists() {
                    // Seen too late: a partial file lives for a moment only.
                    break;
                }
            }
            thread::sleep(Duration::from_millis(millis));
            child.kill().unwrap();
            child.wait().unwrap();
            let net = place.network(0).await;
            net.fund(&place.world.wallet()).await.unwrap();
            net.stop().await;
            if millis == 0 {
                continue;
            }
            let (net, client) = place.open(0).await;
            let reply = client.chat(&question()).await.unwrap();
            assert_eq!(reply.charged, Charged::Yes, "{file}");
            net.stop().await;
        }
    }
}

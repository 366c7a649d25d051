use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use seamline_core::Timestamp;
use seamline_core::receipt::SealingKey;
use seamline_verify::Trust;

use super::*;
use crate::books::Running;
use crate::client::Client;
use crate::config::{Config, Home, Network, Options};
use crate::env::Env;
use crate::fixtures::{NOW, Script, TOKEN, authorization, open, payment, policy, wallet};

/// A client on a scripted chain, with a clock that a test sets.
struct Desk {
    client: Client,
    script: Arc<Script>,
    clock: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let script = Arc::new(Script::default());
    let rpc: Arc<dyn seamline_evm::Rpc> = Arc::<Script>::clone(&script);
    let clock = Arc::new(AtomicU64::new(NOW.as_secs()));
    let time = Arc::clone(&clock);
    let client = Client::open(Config {
        signer: Arc::new(wallet()),
        recorder: SealingKey::from_seed(&[0x52; 32]),
        trust: Trust::nobody(),
        budget: policy(1_000),
        network: Network {
            rpc,
            chain_id: 1,
            registry: TOKEN,
            asset: TOKEN,
            decimals: 18,
            symbol: "OPG".to_owned(),
        },
        home: Home {
            journal: folder.path().join("journal.redb"),
            receipts: folder.path().to_owned(),
        },
        env: Env::new(
            move || Timestamp::from_secs(time.load(Ordering::SeqCst)),
            |bytes| {
                bytes.fill(1);
                Ok(())
            },
        ),
        options: Options::default(),
    });
    Desk {
        client: client.unwrap(),
        script,
        clock,
        _folder: folder,
    }
}

impl Desk {
    /// A call that a dead process left with a stored authorization of 100.
    fn authorized(&self) -> CallRecord {
        let mut call = open(&self.client.books.journal, NOW);
        call.payment = Some(payment(1, 100, NOW));
        let reserved = self
            .client
            .books
            .journal
            .reserve(&call, &policy(1_000), NOW);
        reserved.unwrap().unwrap();
        call
    }

    /// Moves our clock past the deadline.
    fn pass_the_deadline(&self) {
        self.clock.fetch_add(61, Ordering::SeqCst);
    }

    async fn recover_one(&self) -> Recovered {
        let mut recovered = self.client.recover().await.unwrap();
        assert_eq!(recovered.len(), 1);
        recovered.remove(0)
    }

    fn reserved(&self) -> Amount {
        let nobody = seamline_core::NodeId::new(B256::ZERO);
        let journal = &self.client.books.journal;
        journal.spent("eip155:1", TOKEN, &nobody, NOW).reserved
    }

    fn log(&self) -> usize {
        self.client.books.journal.log().unwrap().len()
    }
}

#[tokio::test]
async fn settled_by_the_dead_process() {
    let desk = desk();
    desk.authorized();
    desk.script
        .settled(&authorization(1, 100, NOW), 40, NOW.as_secs());
    let found = desk.recover_one().await;
    assert_eq!(found.charged, Charged::Yes);
    assert_eq!(found.settled, Some(Amount::new(40)));
    assert_eq!(found.call.state, CallState::Interrupted);
    let payment = found.call.payment.as_ref().unwrap();
    assert_eq!(
        (payment.block, payment.block_hash),
        (Some(4), Some(B256::repeat_byte(4)))
    );
    assert_eq!(desk.reserved(), Amount::ZERO);
    assert!(desk.client.recover().await.unwrap().is_empty());
}

#[tokio::test]
async fn not_settled_once_both_clocks_passed_the_deadline() {
    let desk = desk();
    desk.authorized();
    // The chain's clock alone frees nothing, nor does ours.
    desk.script.unspent(NOW.as_secs() + 500);
    assert_eq!(desk.recover_one().await.charged, Charged::Unknown);
    desk.pass_the_deadline();
    desk.script.unspent(NOW.as_secs() + 60);
    assert_eq!(desk.recover_one().await.charged, Charged::Unknown);
    assert_eq!(desk.reserved(), Amount::new(100));
    assert_eq!(desk.log(), 1, "the call is still open");

    desk.script.unspent(NOW.as_secs() + 61);
    let found = desk.recover_one().await;
    assert_eq!((found.charged, found.settled), (Charged::No, None));
    assert_eq!(found.call.state, CallState::Interrupted);
    assert_eq!((desk.reserved(), desk.log()), (Amount::ZERO, 2));
}

#[tokio::test]
async fn a_settlement_of_more_than_was_signed_is_not_believed() {
    let desk = desk();
    desk.authorized();
    desk.script
        .settled(&authorization(1, 100, NOW), 101, NOW.as_secs());
    let found = desk.recover_one().await;
    assert_eq!((found.charged, found.settled), (Charged::Unknown, None));
    assert_eq!(desk.reserved(), Amount::new(100));
}

#[tokio::test]
async fn a_chain_that_is_down_loses_nothing() {
    let desk = desk();
    desk.authorized();
    let error = desk.client.recover().await.unwrap_err();
    assert_eq!(error.code(), "chain.unreachable");
    assert_eq!(error.charged(), Charged::Unknown);
    assert_eq!((desk.reserved(), desk.log()), (Amount::new(100), 1));
    desk.script
        .settled(&authorization(1, 100, NOW), 40, NOW.as_secs());
    assert_eq!(desk.recover_one().await.charged, Charged::Yes);
}

#[tokio::test]
async fn an_open_call_without_an_authorization_needs_no_chain() {
    let desk = desk();
    open(&desk.client.books.journal, NOW);
    let found = desk.recover_one().await;
    assert_eq!(found.charged, Charged::No);
    assert_eq!(found.call.state, CallState::Interrupted);
}

#[tokio::test]
async fn a_sealed_call_is_amended_not_closed_again() {
    let desk = desk();
    let mut call = desk.authorized();
    let receipt = B256::repeat_byte(9);
    call.state = CallState::Failed;
    call.receipt = Some(receipt);
    call.payment.as_mut().unwrap().state = PaymentState::Unknown;
    let journal = &desk.client.books.journal;
    journal
        .close_call(&call, 1, receipt, Outcome::Failed)
        .unwrap();
    assert_eq!(desk.reserved(), Amount::new(100));
    desk.script
        .settled(&authorization(1, 100, NOW), 40, NOW.as_secs());
    let found = desk.recover_one().await;
    assert_eq!(
        (found.charged, found.call.state),
        (Charged::Yes, CallState::Failed)
    );
    assert_eq!(desk.log(), 3);
}

#[tokio::test]
async fn a_call_that_runs_is_left_alone() {
    let desk = desk();
    let call = desk.authorized();
    let running = Running::new(&desk.client.books, call.seq);
    assert!(desk.client.recover().await.unwrap().is_empty());
    assert_eq!(desk.log(), 1);
    // Its future was dropped: now it is nobody's.
    drop(running);
    desk.script.unspent(NOW.as_secs());
    assert_eq!(desk.recover_one().await.charged, Charged::Unknown);
}

/// A node that answered 500 leaves the payment unknown; right after the deadline the chain tells.
#[tokio::test(start_paused = true)]
async fn an_unknown_payment_is_asked_about_once_more_at_its_deadline() {
    let desk = desk();
    desk.authorized();
    desk.script.unspent(NOW.as_secs());
    let clock = Arc::clone(&desk.clock);
    let passes = async {
        // The wait is timed by the runtime's clock, the deadline by the client's.
        tokio::time::sleep(Duration::from_secs(60)).await;
        clock.fetch_add(61, Ordering::SeqCst);
        desk.script.unspent(NOW.as_secs() + 61);
    };
    let patience = Duration::from_secs(120);
    let (found, ()) =
        futures_util::future::join(desk.client.recover_within(patience), passes).await;
    let found = found.unwrap();
    assert_eq!((found.len(), found[0].charged), (1, Charged::No));
    assert_eq!(desk.reserved(), Amount::ZERO);
    // With less patience it stays what it is.
    let desk = self::desk();
    desk.authorized();
    desk.script.unspent(NOW.as_secs());
    let found = desk
        .client
        .recover_within(Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(found[0].charged, Charged::Unknown);
    assert_eq!(found[0].known_after_s(), Some(NOW.as_secs() + 60));
}

#[tokio::test]
async fn two_recoveries_close_a_call_once() {
    let desk = desk();
    desk.authorized();
    desk.script
        .settled(&authorization(1, 100, NOW), 40, NOW.as_secs());
    let found = Mutex::new(0);
    let recover = || async {
        *found.lock().unwrap() += desk.client.recover().await.unwrap().len();
    };
    futures_util::future::join(recover(), recover()).await;
    assert_eq!(*found.lock().unwrap(), 1);
    assert_eq!(desk.log(), 2);
}

/// What the endpoint says about a block that the books rest on, and about the newest.
fn place(number: u64, hash: u8, head: u64) -> serde_json::Value {
    let block = |number: u64, hash: u8| {
        serde_json::json!({
            "number": format!("{number:#x}"),
            "hash": B256::repeat_byte(hash).to_string(),
            "timestamp": "0x1",
        })
    };
    serde_json::json!([block(head, 0xee), block(number, hash)])
}

/// A settlement of 40 in block 4, which is the books' word by now.
async fn settled() -> Desk {
    let desk = desk();
    desk.authorized();
    desk.script
        .settled(&authorization(1, 100, NOW), 40, NOW.as_secs());
    assert_eq!(desk.recover_one().await.charged, Charged::Yes);
    desk
}

#[tokio::test]
async fn a_settlement_is_looked_at_until_it_is_final() {
    let desk = settled().await;
    for head in [4, 14, 15] {
        assert!(
            !desk.client.journal().calls().unwrap()[0]
                .payment
                .as_ref()
                .unwrap()
                .is_final()
        );
        desk.script.push([place(4, 4, head)]);
        assert!(desk.client.recover().await.unwrap().is_empty());
    }
    // Twelve blocks with its own: nobody asks any more, so another chain is not even seen.
    assert!(
        desk.client.journal().calls().unwrap()[0]
            .payment
            .as_ref()
            .unwrap()
            .is_final()
    );
    desk.script.push([place(4, 9, 20)]);
    assert!(desk.client.recover().await.unwrap().is_empty());
    assert_eq!(desk.reserved(), Amount::ZERO);
}

#[tokio::test]
async fn a_settlement_that_a_fork_removes_is_open_again() {
    let desk = settled().await;
    desk.script.push([place(4, 9, 5)]);
    desk.script.unspent(NOW.as_secs() + 1);
    let found = desk.recover_one().await;
    assert_eq!((found.charged, found.settled), (Charged::Unknown, None));
    assert_eq!(found.call.payment.as_ref().unwrap().transaction, None);
    assert_eq!(desk.reserved(), Amount::new(100));
    // Settled again elsewhere, or proven never to settle: from the chain alone.
    desk.pass_the_deadline();
    desk.script.unspent(NOW.as_secs() + 61);
    let found = desk.recover_one().await;
    assert_eq!(
        (found.charged, desk.reserved()),
        (Charged::No, Amount::ZERO)
    );
}

#[tokio::test]
async fn a_fork_is_written_down_although_the_chain_is_silent_then() {
    let desk = settled().await;
    desk.script.push([place(4, 9, 5)]);
    let found = desk.recover_one().await;
    assert_eq!(found.charged, Charged::Unknown);
    assert_eq!(desk.reserved(), Amount::new(100));
}

#[tokio::test]
async fn an_endpoint_that_lags_or_is_silent_takes_nothing_back() {
    let desk = settled().await;
    desk.script.push([place(4, 4, 3)]);
    assert!(desk.client.recover().await.unwrap().is_empty());
    assert!(desk.client.recover().await.unwrap().is_empty());
    let call = &desk.client.journal().calls().unwrap()[0];
    assert_eq!(call.charged(), Charged::Yes);
    assert!(!call.payment.as_ref().unwrap().is_final());
}

#[tokio::test]
async fn an_outcome_of_yesterday_is_not_asked_about() {
    let desk = settled().await;
    desk.clock.fetch_add(2 * 24 * 60 * 60, Ordering::SeqCst);
    desk.script.push([place(4, 9, 5)]);
    assert!(desk.client.recover().await.unwrap().is_empty());
    assert!(
        desk.client.journal().calls().unwrap()[0]
            .payment
            .as_ref()
            .unwrap()
            .is_final()
    );
}

//! Transactions that wait, are replaced, run out, or leave the chain again.

use core::time::Duration;
use std::sync::Arc;

use seamline_evm::x402::Reason;
use seamline_services::facilitator::{Facilitator, MemoryStore, Store, StoreLocation};
use serde_json::json;

use crate::chain::{Chain, Mood};
use crate::payments::{Desk, NOW, config, exact, request, signer};

/// Waits until something has happened, for as long as a busy machine may take.
async fn until(mut happened: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if happened().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within half a minute");
}

#[tokio::test]
async fn what_waits_is_bid_for_until_it_is_mined() {
    let desk = Desk::tuned(|config| config.bump_after = Duration::from_millis(30)).await;
    desk.chain.set_min_fee(30);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    let bids = desk.chain.bids();
    assert!(bids.len() > 2, "{bids:?}");
    for pair in bids.windows(2) {
        assert_eq!(pair[0].0, pair[1].0, "one account nonce");
        assert!(pair[1].1 * 8 >= pair[0].1 * 9, "an eighth more: {bids:?}");
    }
    assert_eq!(desk.chain.payments(), [1]);
    // The answer names the transaction that was mined, which is the last.
    assert_eq!(desk.settle(&request(1, 42)).await, settled);
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

#[tokio::test]
async fn no_bid_exceeds_the_ceiling() {
    let desk = Desk::tuned(|config| {
        config.bump_after = Duration::from_millis(5);
        config.fee_ceiling.max_fee_per_gas = 40;
    })
    .await;
    desk.chain.set_min_fee(41);
    let pending = desk.settle_json(request(1, 42).to_json()).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    until(async || desk.chain.bids().iter().any(|(_, fee)| fee * 9 > 40 * 8)).await;
    let bids = desk.chain.bids();
    assert!(bids.iter().all(|(_, fee)| *fee <= 40), "{bids:?}");
    desk.chain.set_min_fee(0);
    desk.chain.mine();
    assert!(desk.settle(&request(1, 42)).await.success);
}

#[tokio::test]
async fn a_block_that_leaves_the_chain_takes_no_settlement_with_it() {
    let desk = Desk::open().await;
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success);
    desk.chain.reorg();
    assert_eq!(desk.chain.payments(), [0; 0]);
    // The same bytes are sent again, and the answer stays what it was.
    until(async || desk.chain.payments() == [1]).await;
    assert_eq!(desk.chain.distinct(), 1);
    assert_eq!(desk.settle(&request(1, 42)).await, settled);
    // Deep enough, it is not watched any more: a reorganisation deeper than that is not repaired.
    desk.chain.mine_empty(12);
    assert_eq!(desk.settle(&request(1, 42)).await, settled);
}

#[tokio::test]
async fn an_answer_waits_for_its_confirmations() {
    let desk = Desk::tuned(|config| config.confirmations = 3).await;
    let pending = desk.settle_json(request(1, 42).to_json()).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    assert_eq!(desk.chain.payments(), [1]);
    desk.chain.mine_empty(1);
    let pending = desk.settle_json(request(1, 42).to_json()).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    desk.chain.mine_empty(1);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success);
    assert_eq!(settled.transaction, pending.transaction);
}

#[tokio::test]
async fn a_stranger_who_settles_first_settles() {
    for request in [exact("eip3009", 1), exact("permit2", 1)] {
        let desk = Desk::open().await;
        desk.chain.set(Mood::Slow);
        let pending = desk.settle(&request).await;
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
        let raw = desk.chain.offered()[0].clone();
        desk.chain.preempt(&raw);
        // Ours fails on chain, which is no failure of the payment.
        desk.chain.mine();
        let settled = desk.settle(&request).await;
        assert!(settled.success, "{settled:?}");
        assert_ne!(settled.transaction, pending.transaction);
        assert_eq!(desk.chain.payments(), [1]);
        assert_eq!(desk.settle(&request).await, settled);
    }
}

#[tokio::test]
async fn without_money_for_gas_a_settlement_waits_and_says_so() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Poor);
    let pending = desk.settle_json(request(1, 42).to_json()).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    assert!(pending.transaction_hash().is_some());
    let (_, health) = desk.send("GET", "/health", String::new()).await;
    assert_eq!(health["status"], json!("degraded"));
    assert_eq!(health["signerBalance"], json!("0"));
    assert_eq!(health["openSettlements"], json!(1));
    desk.chain.set(Mood::Instant);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.transaction, pending.transaction);
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn what_runs_out_gives_its_account_nonce_back() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    desk.chain.set_time(NOW.as_secs() + 400);
    // Nothing can settle it any more: a transaction that does nothing takes its place.
    until(async || desk.chain.distinct() == 2).await;
    desk.chain.mine();
    let expired = desk.settle(&request(1, 42)).await;
    assert_eq!(expired.error_reason, Some(Reason::Permit2DeadlineExpired));
    assert_eq!(desk.chain.payments(), [0; 0]);
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

#[tokio::test]
async fn a_gap_in_the_sequence_is_filled() {
    let chain = Arc::new(Chain::default());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut config = config(&chain, StoreLocation::Memory);
    config.lease = Duration::from_millis(150);
    let facilitator = Facilitator::start_with(config, Arc::clone(&store));
    let facilitator = facilitator.await.unwrap();
    // Two account nonces are given to nobody.
    let signer = signer().address();
    let skip = Box::new(|page: &mut seamline_services::facilitator::Page| page.next = 2);
    let nowhere = seamline_core::B256::ZERO;
    store.change(nowhere, Some(signer), skip).await.unwrap();
    let pending = facilitator.settle_payment(&request(1, 42)).await.unwrap();
    assert!(pending.transaction_hash().is_some());
    until(async || chain.payments() == [1]).await;
    assert_eq!(chain.mined_nonces(), [0, 1, 2]);
    let settled = facilitator.settle_payment(&request(1, 42)).await.unwrap();
    assert!(settled.success, "{settled:?}");
}

#[tokio::test]
async fn a_transaction_that_the_pool_lost_is_sent_again() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    desk.chain.lose(0);
    until(async || desk.chain.pooled() == 1).await;
    desk.chain.mine();
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success);
    assert_eq!(settled.transaction, pending.transaction);
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn all_that_is_open_is_looked_for_in_one_batch() {
    let desk = Arc::new(Desk::tuned(|config| config.poll = Duration::from_millis(50)).await);
    desk.chain.set(Mood::Slow);
    let pending: Vec<_> = (0..20)
        .map(|number| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.settle(&request(number, 42)).await })
        })
        .collect();
    for pending in pending {
        let pending = pending.await.unwrap();
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    }
    let before = desk.chain.batches();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let looks = desk.chain.batches() - before;
    // Ten looks, and a batch that sends again now and then; not ten for each of twenty.
    assert!(looks <= 20, "{looks}");
    desk.chain.mine();
    assert!(desk.settle(&request(19, 42)).await.success);
}

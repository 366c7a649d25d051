//! Those who would spend the facilitator's gas.

use core::time::Duration;
use http::StatusCode;
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use std::sync::Arc;

use seamline_services::facilitator::{
    Facilitator, GasBudget, MemoryStore, Store, StoreLocation, ValueFloor, open_store,
};
use serde_json::json;

use crate::chain::{Chain, Mood};
use crate::payments::{CHAIN_ID, Desk, MAX, altered, config, payer, request, signer};

fn code(response: &SettleResponse) -> &str {
    response.error_reason.as_ref().map_or("", Reason::as_str)
}

/// Asks for a settlement that is not taken on now: the code, and when to ask again.
async fn full(desk: &Desk, request: &FacilitatorRequest) -> (String, u64) {
    let (status, body) = desk.send("POST", "/settle", request.to_json()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(body["retry"], json!("same_request"));
    let code = body["code"].as_str().unwrap().to_owned();
    (code, body["retryAfterSeconds"].as_u64().unwrap())
}

/// A facilitator with a budget.
async fn desk(budget: impl FnOnce(&mut GasBudget)) -> Desk {
    Desk::tuned(|config| budget(&mut config.gas)).await
}

#[tokio::test]
async fn what_reverts_costs_its_payer_twice() {
    let desk = desk(|gas| gas.payer_per_hour = 400_000).await;
    desk.chain.set(Mood::Reverts);
    let failed = desk.settle(&request(1, 42)).await;
    assert_eq!(code(&failed), "invalid_upto_evm_transaction_failed");
    desk.chain.set(Mood::Instant);
    // 93,000 gas twice leave no room for another settlement in this hour.
    let (code, wait) = full(&desk, &request(2, 42)).await;
    assert_eq!(code, "payer_gas_budget_exhausted");
    assert!(wait > 3_000, "{wait}");
    // What would not be settled is not worth serving.
    let verdict = desk.verify(request(2, MAX).to_json()).await;
    let code = "payer_gas_budget_exhausted".to_owned();
    assert_eq!(verdict, Some(Reason::Other(code)));
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn everybody_together_has_a_budget() {
    let desk = desk(|gas| gas.all_per_hour = 299_999).await;
    let (code, _) = full(&desk, &request(1, 42)).await;
    assert_eq!(code, "gas_budget_exhausted");
    assert_eq!(desk.chain.distinct(), 0);
    // Nothing due costs nothing.
    assert!(desk.settle(&request(1, 0)).await.success);
}

#[tokio::test]
async fn a_contract_payer_has_a_smaller_budget() {
    let desk = desk(|gas| gas.contract_payer_per_hour = 299_999).await;
    assert!(desk.settle(&request(1, 42)).await.success);
    desk.chain.deploy(payer().address());
    let (code, _) = full(&desk, &request(2, 42)).await;
    assert_eq!(code, "payer_gas_budget_exhausted");
    assert_eq!(desk.chain.distinct(), 1);
}

/// What a verification admits can be settled: both count the gas of a settlement over Permit2.
#[tokio::test]
async fn a_verification_counts_the_gas_of_the_settlement() {
    let edge = desk(|gas| gas.payer_per_hour = 299_999).await;
    let reason = edge.verify(request(1, MAX).to_json()).await;
    let full = "payer_gas_budget_exhausted".to_owned();
    assert_eq!(reason, Some(Reason::Other(full)));
    let enough = desk(|gas| gas.payer_per_hour = 300_000).await;
    assert_eq!(enough.verify(request(1, MAX).to_json()).await, None);
    assert!(enough.settle(&request(1, 42)).await.success);
}

#[tokio::test]
async fn a_payer_has_a_bounded_number_of_settlements_under_way() {
    let desk = desk(|gas| gas.in_flight_per_payer = 1).await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    assert_eq!(code(&pending), "settlement_pending");
    let (full, _) = full(&desk, &request(2, 42)).await;
    assert_eq!(full, "payer_in_flight_limit");
    desk.chain.mine();
    assert!(desk.settle(&request(1, 42)).await.success);
    assert!(desk.settle(&request(2, 42)).await.success);
}

#[tokio::test]
async fn what_is_not_worth_its_gas_is_not_settled() {
    // The market asks for 15 wei per gas: 300,000 gas cost 4.5 million wei.
    let floor = ValueFloor {
        factor: 1,
        units: 1,
        wei: 100_000,
    };
    let desk = desk(|gas| gas.value_floor = Some(floor)).await;
    let full = desk.settle(&request(1, 44)).await;
    assert_eq!(code(&full), "value_below_gas_floor");
    assert_eq!(full.extra, None, "asking again does not help");
    assert!(desk.settle(&request(1, 45)).await.success);
}

#[tokio::test]
async fn a_bad_signature_is_asked_about_once() {
    let desk = Desk::open().await;
    let forged = json!(format!("0x{}1b", "11".repeat(64)));
    let forged = altered(
        &request(1, MAX),
        "/paymentPayload/payload/signature",
        forged,
    );
    let reason = Some(Reason::InvalidPermit2Signature);
    assert_eq!(desk.verify(forged.clone()).await, reason);
    let asked = desk.chain.batches();
    for _ in 0..10 {
        assert_eq!(desk.verify(forged.clone()).await, reason);
    }
    assert_eq!(desk.chain.batches(), asked);
    // The owner of the payment is not refused with it.
    assert_eq!(desk.verify(request(1, MAX).to_json()).await, None);
}

#[tokio::test]
async fn a_verification_takes_one_batch() {
    let desk = Desk::open().await;
    let before = desk.chain.batches();
    for number in 0..5 {
        assert_eq!(desk.verify(request(number, MAX).to_json()).await, None);
    }
    assert_eq!(desk.chain.batches() - before, 5);
}

#[tokio::test]
async fn a_budget_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Arc::new(Chain::default());
    let open = || async {
        let store = StoreLocation::File(folder.path().join("store.redb"));
        let mut config = config(&chain, store);
        config.gas.payer_per_hour = 400_000;
        Desk::with(config, &chain).await.unwrap()
    };
    let desk = open().await;
    chain.set(Mood::Reverts);
    let failed = desk.settle(&request(1, 42)).await;
    assert_eq!(code(&failed), "invalid_upto_evm_transaction_failed");
    chain.set(Mood::Instant);
    assert!(desk.facilitator.stop(Duration::from_secs(60)).await);
    drop(desk);
    let desk = open().await;
    let (full, _) = full(&desk, &request(2, 42)).await;
    assert_eq!(full, "payer_gas_budget_exhausted");
    assert_eq!(chain.distinct(), 1);
}

#[tokio::test]
async fn replicas_share_a_budget() {
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::new())];
    if let Some(url) = crate::postgres::database().await {
        let location = StoreLocation::Postgres(url);
        let opened = open_store(location, CHAIN_ID, signer().address()).await;
        stores.push(opened.unwrap());
    }
    for store in stores {
        let chain = Arc::new(Chain::default());
        let replica = || {
            let mut config = config(&chain, StoreLocation::Memory);
            config.gas.payer_per_hour = 400_000;
            config.lease = Duration::from_secs(60);
            Facilitator::start_with(config, Arc::clone(&store))
        };
        let (one, two) = (replica().await.unwrap(), replica().await.unwrap());
        chain.set(Mood::Reverts);
        let failed = one.settle_payment(&request(1, 42)).await.unwrap();
        assert_eq!(code(&failed), "invalid_upto_evm_transaction_failed");
        chain.set(Mood::Instant);
        let full = two.settle_payment(&request(2, 42)).await.unwrap_err();
        let full = seamline_core::chain(&full);
        assert!(full.contains("payer_gas_budget_exhausted"), "{full}");
        let verdict = two.verify_payment(&request(2, MAX)).await.unwrap();
        assert!(!verdict.is_valid);
        assert_eq!(chain.distinct(), 1);
    }
}

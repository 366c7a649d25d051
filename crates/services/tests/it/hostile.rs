//! Requests of strangers and endpoints that mislead: neither moves a payment twice, or loses one.

use std::sync::Arc;

use seamline_evm::x402::Reason;
use serde_json::json;

use crate::chain::Mood;
use crate::payments::{Desk, altered, request};

#[tokio::test]
async fn a_forged_request_does_not_keep_the_payment_from_its_owner() {
    let forged = json!(format!("0x{}1b", "11".repeat(64)));
    let signature = "/paymentPayload/payload/signature";
    // The same requirement, which would be joined, and another one, which would conflict.
    for amount in [42, 43] {
        let desk = Arc::new(Desk::open().await);
        desk.chain.set(Mood::Holds);
        let squatter = {
            let (desk, forged) = (Arc::clone(&desk), forged.clone());
            let forged = altered(&request(1, amount), signature, forged);
            tokio::spawn(async move { desk.settle_json(forged).await })
        };
        while desk.facilitator.tasks().is_empty() {
            tokio::task::yield_now().await;
        }
        let owner = {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.settle(&request(1, 42)).await })
        };
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        desk.chain.set(Mood::Instant);
        let refused = squatter.await.unwrap();
        assert_eq!(refused.error_reason, Some(Reason::InvalidPermit2Signature));
        let settled = owner.await.unwrap();
        assert!(settled.success, "{settled:?}");
        assert_eq!(desk.chain.distinct(), 1);
    }
}

#[tokio::test]
async fn a_receipt_that_comes_late_is_not_a_displaced_transaction() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Behind);
    // The account nonce is taken at once; nothing says by what.
    let mut pending = desk.settle(&request(1, 42)).await;
    for _ in 0..30 {
        let early = pending.transaction.is_empty();
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
        if !early {
            break;
        }
        pending = desk.settle(&request(1, 42)).await;
    }
    // Longer than it takes to count as displaced: the nonce is spent, so nothing is signed anew.
    for _ in 0..3 {
        let still = desk.settle(&request(1, 42)).await;
        assert_eq!(still, pending);
    }
    desk.chain.set(Mood::Instant);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.transaction, pending.transaction);
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn an_error_after_the_send_does_not_forget_the_transaction() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::ErrsOnSend);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    assert_eq!(desk.settle(&request(1, 42)).await, settled);
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

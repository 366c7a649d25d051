//! Settled first, served then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::any;
use http::StatusCode;
use seamline_core::Amount;
use seamline_evm::x402::{OfferTerms, Reason};
use serde_json::json;

use crate::shop::{
    MAX, Script, Settling, Shop, header, paid, plain, runs, script, terms, transfer,
};

fn upfront() -> Vec<OfferTerms> {
    let mut terms = terms("exact", "eip3009");
    terms
        .extra
        .insert("paymentFlow".to_owned(), json!("upfront"));
    vec![terms]
}

async fn payment(shop: &Shop) -> String {
    header(&transfer(&shop.offer("hello").await, 1))
}

#[tokio::test]
async fn the_settlement_comes_before_the_handler() {
    let (routes, runs_of) = plain();
    let shop = Shop::asking(upfront(), Script::default(), routes);
    let payment = payment(&shop).await;
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (StatusCode::OK, &b"answer 0"[..])
        );
        assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(MAX)));
    }
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(shop.settlements(), [Amount::new(MAX)]);
}

#[tokio::test]
async fn nothing_runs_for_a_settlement_that_is_refused_or_not_known() {
    let (routes, runs_of) = plain();
    let refuse = Settling::Refuse(Reason::InvalidExactEvmInsufficientBalance);
    let shop = Shop::asking(upfront(), script([refuse]), routes);
    let answer = shop.send(paid("hello", &payment(&shop).await)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(!answer.settlement().success);
    assert_eq!(runs(&runs_of), 0);

    let (routes, runs_of) = plain();
    let shop = Shop::asking(upfront(), script([Settling::Lose]), routes);
    let payment = payment(&shop).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    let reason = answer.settlement().error_reason;
    assert_eq!(reason, Some(Reason::SettlementPending));
    assert_eq!(runs(&runs_of), 0);
    // The same bytes again: settled, then served, once.
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"answer 0"[..])
    );
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn a_handler_that_fails_was_paid_and_owes_another_try() {
    let run = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&run);
    let handler = move || {
        let run = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match run {
                0 => Err(StatusCode::BAD_GATEWAY),
                1 => panic!("a bug"),
                _ => Ok("at last"),
            }
        }
    };
    let shop = Shop::asking(upfront(), Script::default(), any(handler));
    let payment = payment(&shop).await;
    for status in [StatusCode::BAD_GATEWAY, StatusCode::INTERNAL_SERVER_ERROR] {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.status, status);
        assert!(answer.settlement().success, "it says that it was paid");
    }
    // Not for another request, though.
    let other = shop.send(paid("other", &payment)).await;
    assert_eq!(other.error(), "invalid_exact_evm_nonce_already_used");
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"at last"[..])
    );
    assert_eq!(shop.settlements(), [Amount::new(MAX)]);
}

#[tokio::test]
async fn only_exact_is_settled_in_advance() {
    let mut upto = terms("upto", "permit2");
    upto.extra
        .insert("paymentFlow".to_owned(), json!("upfront"));
    let (routes, runs_of) = plain();
    let shop = Shop::asking(vec![upto], Script::default(), routes);
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(runs(&runs_of), 0);
}

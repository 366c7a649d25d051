//! Several ways to pay for the same thing.

use std::sync::atomic::Ordering;

use axum::routing::any;
use http::StatusCode;
use seamline_core::Amount;
use seamline_evm::x402::OfferTerms;
use serde_json::json;

use crate::shop::{
    MAX, NOW_S, PAYER, Script, Shop, counter, header, message, paid, permit, plain, runs, terms,
    transfer, unpaid,
};

fn exact() -> Vec<OfferTerms> {
    vec![terms("exact", "eip3009")]
}

#[tokio::test]
async fn every_way_to_pay_is_offered_and_each_one_pays() {
    let ways = vec![
        terms("exact", "eip3009"),
        terms("exact", "permit2"),
        terms("upto", "permit2"),
    ];
    let (routes, runs_of) = counter(7);
    let shop = Shop::asking(ways, Script::default(), routes);
    let required = shop.send(unpaid("POST", "hello")).await.required();
    let accepts = required["accepts"].as_array().unwrap();
    assert_eq!(accepts.len(), 3);
    assert!(accepts[2]["extra"]["facilitatorAddress"].is_string());
    let payments = [
        transfer(&accepts[0], 1),
        permit(&accepts[1], 2),
        message(&accepts[2], 3),
    ];
    for payment in payments {
        let answer = shop.send(paid("hello", &header(&payment))).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.settlement().success);
    }
    assert_eq!(runs(&runs_of), 3);
    let whole = Amount::new(MAX);
    assert_eq!(shop.settlements(), [whole, whole, Amount::new(7)]);
}

#[tokio::test]
async fn exact_settles_its_whole_amount_for_a_handler_that_meters_nothing() {
    let (routes, _) = plain();
    let shop = Shop::asking(exact(), Script::default(), routes);
    let offer = shop.offer("hello").await;
    let answer = shop
        .send(paid("hello", &header(&transfer(&offer, 1))))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(shop.settlements(), [Amount::new(MAX)]);
    // For `upto` a meter that nobody sets is at zero.
    let (routes, _) = plain();
    let shop = Shop::asking(vec![terms("upto", "permit2")], Script::default(), routes);
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    assert_eq!(answer.settlement().settled_amount(), Some(Amount::ZERO));
    assert_eq!(shop.settlements(), []);
}

#[tokio::test]
async fn exact_settles_nothing_for_a_meter_at_zero_or_a_failure() {
    let (routes, _) = counter(0);
    let shop = Shop::asking(exact(), Script::default(), routes);
    let offer = shop.offer("hello").await;
    let answer = shop
        .send(paid("hello", &header(&transfer(&offer, 1))))
        .await;
    assert_eq!(answer.settlement().settled_amount(), Some(Amount::ZERO));
    let fails = any(|| async { StatusCode::BAD_GATEWAY });
    let failing = Shop::asking(exact(), Script::default(), fails);
    let answer = failing
        .send(paid("hello", &header(&transfer(&offer, 1))))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        (shop.settlements(), failing.settlements()),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn exact_is_refused_in_every_other_amount() {
    let (routes, runs_of) = counter(7);
    let shop = Shop::asking(exact(), Script::default(), routes);
    let offer = shop.offer("hello").await;
    for amount in ["999", "1001", "5000"] {
        let mut other = offer.clone();
        other["amount"] = json!(amount);
        let answer = shop
            .send(paid("hello", &header(&transfer(&other, 1))))
            .await;
        assert_eq!(answer.error(), "No matching payment requirements");
    }
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn reasons_are_those_of_the_scheme() {
    let (routes, runs_of) = counter(7);
    let shop = Shop::asking(exact(), Script::default(), routes);
    let offer = shop.offer("hello").await;
    let payment = header(&transfer(&offer, 1));
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    let answer = shop.send(paid("other", &payment)).await;
    assert_eq!(answer.error(), "invalid_exact_evm_nonce_already_used");
    let mut late = transfer(&offer, 2);
    late["payload"]["authorization"]["validBefore"] = json!((NOW_S + 11).to_string());
    let answer = shop.send(paid("hello", &header(&late))).await;
    assert_eq!(
        answer.error(),
        "invalid_exact_evm_payload_authorization_valid_before"
    );
    let mut unreadable = transfer(&offer, 3);
    unreadable["payload"]["authorization"]["nonce"] = json!("0x01");
    let answer = shop.send(paid("hello", &header(&unreadable))).await;
    assert_eq!(answer.error(), "invalid_payload");
    assert_eq!(runs(&runs_of), 1);
}

/// What is wrong by itself costs nobody a question to the facilitator.
#[tokio::test]
async fn an_authorization_that_says_something_else_than_its_offer_is_refused_here() {
    let ways = vec![
        terms("exact", "eip3009"),
        terms("exact", "permit2"),
        terms("upto", "permit2"),
    ];
    let (routes, runs_of) = counter(7);
    let shop = Shop::asking(ways, Script::default(), routes);
    let required = shop.send(unpaid("POST", "hello")).await.required();
    let accepts = &required["accepts"];
    let change = |mut payment: serde_json::Value, pointer: &str, value: &str| {
        *payment["payload"].pointer_mut(pointer).unwrap() = json!(value);
        header(&payment)
    };
    let permit2 = "/permit2Authorization";
    for (payment, reason) in [
        (
            change(transfer(&accepts[0], 1), "/authorization/to", PAYER),
            "invalid_exact_evm_payload_recipient_mismatch",
        ),
        (
            change(transfer(&accepts[0], 1), "/authorization/value", "999"),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            change(
                permit(&accepts[1], 1),
                &format!("{permit2}/witness/to"),
                PAYER,
            ),
            "invalid_permit2_recipient_mismatch",
        ),
        (
            change(
                permit(&accepts[1], 1),
                &format!("{permit2}/permitted/token"),
                PAYER,
            ),
            "permit2_token_mismatch",
        ),
        (
            change(
                permit(&accepts[1], 1),
                &format!("{permit2}/permitted/amount"),
                "1001",
            ),
            "permit2_amount_mismatch",
        ),
        (
            change(
                message(&accepts[2], 1),
                &format!("{permit2}/permitted/amount"),
                "1001",
            ),
            "permit2_amount_mismatch",
        ),
    ] {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.error(), reason);
    }
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_without_any_offer_is_our_fault() {
    let (routes, runs_of) = counter(7);
    let shop = Shop::asking(Vec::new(), Script::default(), routes);
    let answer = shop.send(unpaid("POST", "hello")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    // An `upto` that the facilitator does not settle is left out, the others stay.
    let mut elsewhere = terms("upto", "permit2");
    elsewhere.network = "eip155:1".to_owned();
    let (routes, _) = counter(7);
    let shop = Shop::asking(
        vec![elsewhere, terms("exact", "eip3009")],
        Script::default(),
        routes,
    );
    let required = shop.send(unpaid("POST", "hello")).await.required();
    assert_eq!(required["accepts"].as_array().unwrap().len(), 1);
    assert_eq!(runs(&runs_of), 0);
}

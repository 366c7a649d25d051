//! What has left stays owed while its settlement is refused for a reason that can pass.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::{MethodRouter, any};
use axum::{Extension, body::Body};
use http::StatusCode;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_net::PaymentContext;

use crate::shop::{
    Answer, NOW_S, Settling, Shop, config_at, counter, paid, pay, price, runs, script,
};

const FOR_NOW: [Reason; 5] = [
    Reason::Permit2InsufficientBalance,
    Reason::Permit2AllowanceRequired,
    Reason::Permit2SimulationFailed,
    Reason::InvalidExactEvmTransactionSimulationFailed,
    Reason::InsufficientFunds,
];

/// A stream that costs 9.
fn stream() -> MethodRouter {
    any(
        move |Extension(payment): Extension<PaymentContext>| async move {
            payment.meter.set(Amount::new(9));
            let body = Body::from("data: {}\n\ndata: [DONE]\n\n");
            ([("content-type", "text/event-stream")], body)
        },
    )
}

/// A shop that asks again after a millisecond.
fn shop(settle: impl Into<Vec<Settling>>, routes: MethodRouter) -> Shop {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.settle_wait = Duration::ZERO;
    config.retry_pause = Duration::from_millis(1);
    Shop::build(Arc::new(script(settle)), config, price, routes)
}

async fn settled(shop: &Shop) -> Vec<u128> {
    let tasks = [shop.paywall.tasks(), shop.paywall.background()];
    for tasks in tasks {
        assert!(tasks.drain(Duration::from_secs(600)).await);
    }
    shop.settlements().into_iter().map(Amount::get).collect()
}

async fn buy(shop: &Shop, nonce: u64) -> Answer {
    let payment = pay(&shop.offer("hello").await, nonce);
    shop.send(paid("hello", &payment)).await
}

/// What the end of a stream says of its settlement.
fn said(answer: &Answer) -> SettleResponse {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(": seamline-settlement "));
    SettleResponse::from_header(line.unwrap().as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_left_stays_owed_while_a_balance_is_away() {
    for reason in FOR_NOW {
        let refuse = Settling::Refuse(reason.clone());
        let shop = shop([refuse.clone(), refuse], stream());
        let answer = buy(&shop, 1).await;
        assert_eq!(answer.status, StatusCode::OK);
        let first = said(&answer);
        assert_eq!(first.error_reason, Some(Reason::SettlementPending));
        let why = first.error_message.unwrap();
        assert!(why.contains(reason.as_str()), "{why}");
        assert_eq!(settled(&shop).await, [9, 9, 9], "{reason:?}");
        // It paid in the end, and is served again.
        let answer = buy(&shop, 2).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(said(&answer).success);
        assert_eq!(settled(&shop).await, [9, 9, 9, 9]);
    }
}

/// Meanwhile its payer has no credit: what it buys is settled before it leaves.
#[tokio::test]
async fn who_owes_is_served_against_payment() {
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.retry_pause = Duration::from_secs(3_600);
    let script = Arc::new(script([refuse.clone(), refuse]));
    let shop = Shop::build(script, config, price, stream());
    assert_eq!(buy(&shop, 1).await.status, StatusCode::OK);
    let second = buy(&shop, 2).await;
    assert_eq!(second.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(second.body.as_ref(), b"{}");
}

/// Presented again, what has left is not forgiven either.
#[tokio::test]
async fn presenting_it_again_does_not_end_a_debt() {
    let refuse = || Settling::Refuse(Reason::Permit2InsufficientBalance);
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.retry_pause = Duration::from_secs(3_600);
    let script = Arc::new(script([refuse(), refuse()]));
    let shop = Shop::build(script, config, price, stream());
    let payment = pay(&shop.offer("hello").await, 1);
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!(again.status, StatusCode::SERVICE_UNAVAILABLE, "{again:?}");
    let third = shop.send(paid("hello", &payment)).await;
    assert_eq!(third.status, StatusCode::OK, "{third:?}");
    assert_eq!(shop.settlements(), [9, 9, 9].map(Amount::new));
}

/// What is refused for good is not asked for again, and neither is what has not left.
#[tokio::test(start_paused = true)]
async fn only_what_left_and_can_still_be_paid_is_owed() {
    let refuse = Settling::Refuse(Reason::Permit2InvalidNonce);
    let shop_of_streams = shop([refuse], stream());
    assert_eq!(buy(&shop_of_streams, 1).await.status, StatusCode::OK);
    assert_eq!(settled(&shop_of_streams).await, [9]);
    let (routes, runs_of) = counter(5);
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let buffered = shop([refuse], routes);
    let answer = buy(&buffered, 1).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(settled(&buffered).await, [5]);
    assert_eq!(runs(&runs_of), 1);
}

/// A facilitator without gas has refused nothing, buffered or not: neither in words nor as 503.
#[tokio::test(start_paused = true)]
async fn what_was_delivered_is_asked_for_until_there_is_gas() {
    for full in [
        "gas_budget_exhausted",
        "payer_gas_budget_exhausted",
        "payer_in_flight_limit",
    ] {
        let full = Settling::Refuse(Reason::Other(full.to_owned()));
        for routes in [stream(), counter(9).0] {
            let shop = shop([full.clone(), Settling::Reject(503), full.clone()], routes);
            buy(&shop, 1).await;
            assert_eq!(settled(&shop).await.last(), Some(&9));
            assert!(shop.settlements().len() > 3);
            let next = buy(&shop, 2).await;
            assert_eq!(next.status, StatusCode::OK);
        }
    }
}

/// The authorization ends: what is owed then is lost, and the payer stays refused.
#[tokio::test(start_paused = true)]
async fn a_debt_ends_with_its_authorization() {
    let now = Arc::new(AtomicU64::new(NOW_S));
    let clock = Arc::clone(&now);
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.clock = Arc::new(move || Timestamp::from_secs(clock.load(Ordering::SeqCst)));
    config.settle_wait = Duration::ZERO;
    config.retry_pause = Duration::from_millis(1);
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let script = Arc::new(script(vec![refuse; 1_000]));
    let shop = Shop::build(script, config, price, stream());
    assert_eq!(buy(&shop, 1).await.status, StatusCode::OK);
    now.fetch_add(400, Ordering::SeqCst);
    let before = settled(&shop).await.len();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(settled(&shop).await.len(), before);
}

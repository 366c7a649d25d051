//! How settlements end, and what a payer is told.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Bytes;
use axum::routing::any;
use http::StatusCode;
use http::request::Parts;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::PaymentContext;
use tokio::sync::Semaphore;

use crate::shop::{NOW_S, Script, Settling, Shop, config_at, counter, paid, runs, script, terms};

#[tokio::test]
async fn nothing_metered_is_nothing_settled() {
    let (routes, _) = counter(0);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    let settlement = answer.settlement();
    assert!(settlement.success);
    assert_eq!(
        (
            settlement.transaction.as_str(),
            settlement.amount.as_deref()
        ),
        ("", Some("0"))
    );
    assert_eq!(shop.settlements(), []);
}

#[tokio::test]
async fn a_refused_settlement_withholds_the_answer_for_good() {
    let (routes, runs_of) = counter(5);
    let refuse = [Settling::Refuse(Reason::Permit2InsufficientBalance)];
    let shop = Shop::open(script(refuse), routes);
    let payment = shop.payment("hello", 1).await;
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (StatusCode::PAYMENT_REQUIRED, &b"{}"[..])
        );
        let reason = answer.settlement().error_reason;
        assert_eq!(reason, Some(Reason::Permit2InsufficientBalance));
    }
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn an_uncertain_settlement_is_503_and_the_same_payment_gets_the_answer_later() {
    let (routes, runs_of) = counter(5);
    let pending = Settling::Refuse(Reason::SettlementPending);
    let shop = Shop::open(script([pending]), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::SERVICE_UNAVAILABLE, &b"{}"[..])
    );
    assert_eq!(answer.headers["retry-after"], "1");
    let settlement = answer.settlement();
    assert_eq!(settlement.error_reason, Some(Reason::SettlementPending));
    assert!(settlement.transaction_hash().is_some());
    // Another request does not get in between.
    let other = shop.send(paid("world", &payment)).await;
    assert_eq!(other.error(), "permit2_invalid_nonce");
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"answer 0"[..])
    );
    assert!(answer.settlement().success);
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(shop.settlements(), [Amount::new(5), Amount::new(5)]);
}

#[tokio::test]
async fn a_lost_answer_of_the_facilitator_is_asked_for_again() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(script([Settling::Lose]), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        answer.settlement().error_reason,
        Some(Reason::SettlementPending)
    );
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    assert_eq!(runs(&runs_of), 1);
}

/// A facilitator that cannot ask its chain has refused nothing.
#[tokio::test]
async fn a_facilitator_that_does_not_know_is_asked_again() {
    let (routes, runs_of) = counter(5);
    let unknown = Settling::Refuse(Reason::UnexpectedSettleError);
    let shop = Shop::open(script([unknown]), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.settlement().error_reason,
        Some(Reason::SettlementPending)
    );
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((runs(&runs_of), shop.settlements().len()), (1, 2));
}

#[tokio::test]
async fn a_facilitator_that_does_not_read_the_request_will_not_settle_it() {
    let (routes, _) = counter(5);
    let shop = Shop::open(script([Settling::Reject(400)]), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let reason = answer.settlement().error_reason;
    assert_eq!(reason, Some(Reason::UnexpectedSettleError));
}

/// A price that changed while an answer was lost takes nothing from who paid the old one.
#[tokio::test]
async fn a_paid_answer_outlives_its_price() {
    let price = Arc::new(AtomicUsize::new(1_000));
    let asks = Arc::clone(&price);
    let pricer = move |_: &Parts, _: &Bytes| {
        let mut terms = terms("upto", "permit2");
        terms.amount = asks.load(Ordering::SeqCst).to_string();
        Ok(vec![terms])
    };
    let (routes, runs_of) = counter(5);
    let config = config_at(Timestamp::from_secs(NOW_S));
    let shop = Shop::build(Arc::new(Script::default()), config, pricer, routes);
    let payment = shop.payment("hello", 1).await;
    let unused = shop.payment("hello", 2).await;
    let first = shop.send(paid("hello", &payment)).await;
    price.store(2_000, Ordering::SeqCst);
    let again = shop.send(paid("hello", &payment)).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, first.body));
    for (body, payment) in [("other", &payment), ("hello", &unused)] {
        let answer = shop.send(paid(body, payment)).await;
        assert_eq!(answer.error(), "No matching payment requirements");
    }
    assert_eq!(runs(&runs_of), 1);
}

/// Who leaves while the handler works pays for the answer, and gets it when it comes back.
#[tokio::test]
async fn an_answer_is_finished_and_kept_for_a_client_that_left() {
    let gate = Arc::new(Semaphore::new(0));
    let (waits, run) = (Arc::clone(&gate), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&run);
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&waits);
        async move {
            drop(gate.acquire().await.unwrap());
            payment.meter.set(Amount::new(5));
            "worth it"
        }
    };
    let shop = Shop::open(Script::default(), any(handler));
    let payment = shop.payment("hello", 1).await;
    let left = shop.send(paid("hello", &payment));
    tokio::time::timeout(Duration::from_millis(50), left)
        .await
        .unwrap_err();
    gate.add_permits(1);
    assert!(shop.paywall.tasks().drain(Duration::from_secs(5)).await);
    assert_eq!(shop.settlements(), [Amount::new(5)]);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"worth it"[..])
    );
    assert_eq!(runs(&run), 1);
}

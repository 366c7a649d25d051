//! How much a payer can have computed before it pays.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::routing::{MethodRouter, any};
use http::StatusCode;
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::{PaymentContext, PaywallConfig};
use tokio::sync::Semaphore;

use crate::shop::{
    NOW_S, Script, Settling, Shop, always, config_at, header, paid, pay, permit, price, script,
    terms,
};

/// What runs, what ran, and the most that ran at a time.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    ran: AtomicUsize,
    most: AtomicUsize,
}

/// A handler that works until `gate` lets it.
fn worker(gate: &Arc<Semaphore>) -> (MethodRouter, Arc<Load>) {
    let load = Arc::new(Load::default());
    let (gate, count) = (Arc::clone(gate), Arc::clone(&load));
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        let (gate, load) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            load.ran.fetch_add(1, Ordering::SeqCst);
            let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
            load.most.fetch_max(now, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            load.now.fetch_sub(1, Ordering::SeqCst);
            payment.meter.set(Amount::new(5));
            "answer"
        }
    };
    (any(handler), load)
}

fn config(adapt: impl FnOnce(&mut PaywallConfig)) -> PaywallConfig {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    adapt(&mut config);
    config
}

/// Waits for what other tasks will do for certain.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

fn ran(load: &Load) -> usize {
    load.ran.load(Ordering::SeqCst)
}

/// A balance that covers one answer passes every verification: sixty-four authorizations over it
/// get no more answers computed than a payer may owe, and the answers are withheld.
#[tokio::test]
async fn one_balance_has_few_answers_computed_for_it() {
    const BOUND: usize = 8;
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let mut settle = vec![Settling::Succeed];
    settle.extend(vec![refuse; 64]);
    let gate = Arc::new(Semaphore::new(0));
    let (routes, load) = worker(&gate);
    let script = Script {
        gate: Some(Semaphore::new(0)),
        ..script(settle)
    };
    let shop = Arc::new(Shop::open(script, routes));
    let offer = shop.offer("hello").await;
    let presented: Vec<_> = (0..64)
        .map(|nonce| {
            let (shop, payment) = (Arc::clone(&shop), pay(&offer, nonce));
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await })
        })
        .collect();
    // All of them are verified before one of them is settled.
    until(|| shop.script.verified.load(Ordering::SeqCst) == 64).await;
    shop.script.gate.as_ref().unwrap().add_permits(64);
    until(|| load.now.load(Ordering::SeqCst) == BOUND).await;
    gate.add_permits(64);
    let (mut served, mut withheld, mut refused) = (0, 0, 0);
    for answer in presented {
        let answer = answer.await.unwrap();
        match answer.status {
            StatusCode::OK => served += 1,
            StatusCode::PAYMENT_REQUIRED => {
                assert_eq!(answer.body.as_ref(), b"{}");
                withheld += 1;
            }
            status => {
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                assert_eq!(answer.headers["retry-after"], "60");
                refused += 1;
            }
        }
    }
    assert_eq!((served, served + withheld + refused), (1, 64));
    assert_eq!(ran(&load), served + withheld);
    assert!(
        withheld <= BOUND,
        "{withheld} answers were computed for nothing"
    );
    assert!(load.most.load(Ordering::SeqCst) <= BOUND);
    // It stays so: nobody is even asked.
    let verified = shop.script.verified.load(Ordering::SeqCst);
    let again = shop.send(paid("hello", &pay(&offer, 100))).await;
    assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS);
    let body: serde_json::Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!(body["code"], "payer_refused");
    assert_eq!(
        (&body["charged"], &body["retry"]),
        (&"no".into(), &true.into())
    );
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), verified);
}

#[tokio::test]
async fn who_pays_is_served_in_turn() {
    let gate = Arc::new(Semaphore::new(1_000));
    let (routes, load) = worker(&gate);
    let config = config(|config| config.max_unsettled = 3);
    let shop = Arc::new(Shop::build(Arc::default(), config, price, routes));
    let offer = shop.offer("hello").await;
    let presented: Vec<_> = (0..40)
        .map(|nonce| {
            let (shop, payment) = (Arc::clone(&shop), pay(&offer, nonce));
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
        })
        .collect();
    for status in presented {
        assert_eq!(status.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(ran(&load), 40);
    assert!(load.most.load(Ordering::SeqCst) <= 3);
}

/// What a payer has paid it may owe; what it paid in one token covers nothing in another.
#[tokio::test]
async fn credit_is_earned_in_the_token_that_was_paid() {
    let gate = Arc::new(Semaphore::new(0));
    let (routes, load) = worker(&gate);
    let config = config(|config| {
        config.max_unsettled = 2;
        config.max_earned = 5;
        config.join_wait = Duration::ZERO;
    });
    let mut other = terms("exact", "permit2");
    other.asset = seamline_core::Address::repeat_byte(0x33).to_string();
    let offers = always(vec![terms("exact", "permit2"), other]);
    let shop = Arc::new(Shop::build(Arc::default(), config, offers, routes));
    let asked = shop
        .send(crate::shop::unpaid("POST", "hello"))
        .await
        .required();
    let [paid_in, other] = [&asked["accepts"][0], &asked["accepts"][1]];
    gate.add_permits(4);
    for nonce in 0..4 {
        let answer = shop
            .send(paid("hello", &header(&permit(paid_in, nonce))))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(ran(&load), 4);
    // Two on trust, two more of the four that were paid.
    let busy: Vec<_> = (10..14)
        .map(|nonce| {
            let (shop, payment) = (Arc::clone(&shop), header(&permit(paid_in, nonce)));
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
        })
        .collect();
    until(|| load.now.load(Ordering::SeqCst) == 4).await;
    for refused in [permit(paid_in, 20), permit(other, 21)] {
        let answer = shop.send(paid("hello", &header(&refused))).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(ran(&load), 8);
    gate.add_permits(4);
    for status in busy {
        assert_eq!(status.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_refused_settlement_costs_the_credit() {
    let gate = Arc::new(Semaphore::new(1));
    let (routes, load) = worker(&gate);
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let config = config(|config| config.join_wait = Duration::ZERO);
    let shop = Shop::build(Arc::new(script([refuse])), config, price, routes);
    let shop = Arc::new(shop);
    let offer = shop.offer("hello").await;
    let first = shop.send(paid("hello", &pay(&offer, 1))).await;
    assert_eq!(first.status, StatusCode::PAYMENT_REQUIRED);
    let second = {
        let (shop, payment) = (Arc::clone(&shop), pay(&offer, 2));
        tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
    };
    until(|| load.now.load(Ordering::SeqCst) == 1).await;
    let third = shop.send(paid("hello", &pay(&offer, 3))).await;
    assert_eq!(
        third.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "one at a time"
    );
    gate.add_permits(1);
    assert_eq!(second.await.unwrap(), StatusCode::OK);
    assert_eq!(ran(&load), 2);
}

/// Who waits and leaves does not take the turn of those behind it.
#[tokio::test]
async fn a_turn_is_not_lost_with_who_leaves() {
    let gate = Arc::new(Semaphore::new(0));
    let (routes, load) = worker(&gate);
    let script = Script::default();
    let config = config(|config| config.max_unsettled = 1);
    let shop = Arc::new(Shop::build(Arc::new(script), config, price, routes));
    let offer = shop.offer("hello").await;
    let present = |nonce| {
        let (shop, payment) = (Arc::clone(&shop), pay(&offer, nonce));
        tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
    };
    let first = present(1);
    until(|| load.now.load(Ordering::SeqCst) == 1).await;
    let leaves = present(2);
    tokio::task::yield_now().await;
    let stays = present(3);
    tokio::task::yield_now().await;
    leaves.abort();
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(stays.await.unwrap(), StatusCode::OK);
    assert!(leaves.await.unwrap_err().is_cancelled());
    assert_eq!(ran(&load), 2);
}

/// What is settled before it is worked for needs no credit.
#[tokio::test]
async fn who_pays_first_does_not_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let (routes, load) = worker(&gate);
    let mut upfront = terms("exact", "permit2");
    let flow = serde_json::json!("upfront");
    upfront.extra.insert("paymentFlow".to_owned(), flow);
    let config = config(|config| config.max_unsettled = 1);
    let shop = Shop::build(Arc::default(), config, always(vec![upfront]), routes);
    let shop = Arc::new(shop);
    let offer = shop.offer("hello").await;
    let busy: Vec<_> = (0..5)
        .map(|nonce| {
            let (shop, payment) = (Arc::clone(&shop), header(&permit(&offer, nonce)));
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
        })
        .collect();
    until(|| load.now.load(Ordering::SeqCst) == 5).await;
    gate.add_permits(5);
    for status in busy {
        assert_eq!(status.await.unwrap(), StatusCode::OK);
    }
}

//! Two paywalls over one store.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use seamline_core::{Amount, B256, Timestamp};
use seamline_net::{Clock, MemoryStore, PaymentContext, PaymentIdentifiers, PaywallStore};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::paywall_durable::{config_with, hanging, open};
use crate::shop::{
    NOW_S, Script, Settling, Shop, always, counter, header, message, paid, plain, price, runs,
    script, terms, transfer,
};

fn one_name() -> serde_json::Value {
    let info = json!({"required": false, "id": format!("pay_{:032x}", 7)});
    json!({"payment-identifier": {"info": info}})
}

/// Two shops with facilitators of their own share a database: one's debts are none of the other's.
#[tokio::test]
async fn a_shop_leaves_the_debts_of_another_alone() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let at = |scope: u8, later: u64, script: &Arc<Script>| {
        let mut config = config_with(&store);
        config.clock = Arc::new(move || Timestamp::from_secs(NOW_S + later));
        config.scope = Some(B256::repeat_byte(scope));
        config.identifiers = PaymentIdentifiers::Honoured;
        config.settle_wait = Duration::ZERO;
        config.retry_pause = Duration::from_secs(3_600);
        Shop::build(Arc::clone(script), config, price, counter(5).0)
    };
    let (own, foreign) = (
        Arc::new(script([Settling::Lose])),
        Arc::new(Script::default()),
    );
    let gone = at(1, 0, &own);
    let mut first = message(&gone.offer("hello").await, 1);
    first["extensions"] = one_name();
    let payment = header(&first);
    let answer = gone.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    drop(gone);
    // Its lease is over, and a minute has passed.
    let other = at(2, 61, &foreign);
    assert_eq!(other.paywall.recover().await.unwrap(), 0);
    // Nor does its payer carry the debt to the other one.
    let answer = other.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{answer:?}");
    // The same identifier is another purchase there.
    let offer = other.offer("hello").await;
    let mut twin = message(&offer, 2);
    twin["extensions"] = one_name();
    let answer = other.send(paid("hello", &header(&twin))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(foreign.settled.lock().unwrap().len(), 1);
    // The shop itself finds it when it is back.
    let back = at(1, 62, &own);
    assert_eq!(back.paywall.recover().await.unwrap(), 1);
    assert!(
        back.paywall
            .background()
            .drain(Duration::from_secs(30))
            .await
    );
    assert_eq!(own.settled.lock().unwrap().len(), 2);
    assert_eq!(foreign.settled.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn two_replicas_serve_one_authorization_once() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let script = Arc::new(Script {
        gate: Some(tokio::sync::Semaphore::new(0)),
        ..Script::default()
    });
    let run = Arc::new(AtomicUsize::new(0));
    let replica = || {
        let count = Arc::clone(&run);
        let handler = move |Extension(payment): Extension<PaymentContext>| {
            count.fetch_add(1, Ordering::SeqCst);
            payment.meter.set(Amount::new(5));
            async { "answer" }
        };
        open(&store, &script, any(handler))
    };
    let replicas = [Arc::new(replica()), Arc::new(replica())];
    let payment = replicas[0].payment("hello", 1).await;
    let presented: Vec<_> = (0..40)
        .map(|index| {
            let (shop, payment) = (Arc::clone(&replicas[index % 2]), payment.clone());
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
        })
        .collect();
    tokio::task::yield_now().await;
    script.gate.as_ref().unwrap().add_permits(1_000);
    let mut served = 0;
    for status in presented {
        match status.await.unwrap() {
            StatusCode::OK => served += 1,
            status => assert_eq!(status, StatusCode::CONFLICT),
        }
    }
    assert!(served >= 1);
    assert_eq!(runs(&run), 1);
    assert_eq!(script.settled.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_replica_takes_over_when_the_lease_of_another_ends() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let script = Arc::new(Script::default());
    let dead = open(&store, &script, hanging());
    let payment = dead.payment("hello", 1).await;
    let waits = dead.send(paid("hello", &payment));
    let waits = tokio::time::timeout(Duration::from_millis(50), waits);
    waits.await.unwrap_err();
    let now = Arc::new(AtomicU64::new(NOW_S * 1_000));
    let clock = Arc::clone(&now);
    let mut config = config_with(&store);
    config.clock = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)));
    let (routes, runs_of) = counter(5);
    let shop = Shop::build(Arc::clone(&script), config, price, routes);
    // A shared store says nothing about who is dead: only time does.
    assert_eq!(shop.paywall.recover().await.unwrap(), 0);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(runs(&runs_of), 0);
    now.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn two_replicas_do_not_both_serve_what_was_settled_in_advance() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let script = Arc::new(Script::default());
    let mut upfront = terms("exact", "eip3009");
    let flow = serde_json::json!("upfront");
    upfront.extra.insert("paymentFlow".to_owned(), flow);
    let replica = |routes| {
        let offers = always(vec![upfront.clone()]);
        Shop::build(Arc::clone(&script), config_with(&store), offers, routes)
    };
    let busy = replica(hanging());
    let payment = header(&transfer(&busy.offer("hello").await, 1));
    let serving = busy.send(paid("hello", &payment));
    tokio::time::timeout(Duration::from_millis(50), serving)
        .await
        .unwrap_err();
    assert_eq!(script.settled.lock().unwrap().len(), 1);
    let (routes, runs_of) = plain();
    let other = replica(routes);
    let answer = other.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(script.settled.lock().unwrap().len(), 1);
}

/// A clock that goes with tokio's.
fn ticking() -> Clock {
    let began = tokio::time::Instant::now();
    let start = Timestamp::from_secs(NOW_S);
    Arc::new(move || start.saturating_add(began.elapsed()))
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_is_held_back_keeps_its_lease() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let script = Arc::new(Script::default());
    let run = Arc::new(AtomicUsize::new(0));
    let clock = ticking();
    let replica = || {
        let count = Arc::clone(&run);
        let handler = move |Extension(payment): Extension<PaymentContext>| {
            count.fetch_add(1, Ordering::SeqCst);
            payment.meter.set(Amount::new(5));
            async {
                Body::from_stream(stream::once(async {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Ok::<_, std::io::Error>(Bytes::from("answer"))
                }))
            }
        };
        let mut config = config_with(&store);
        config.clock = Arc::clone(&clock);
        Arc::new(Shop::build(
            Arc::clone(&script),
            config,
            price,
            any(handler),
        ))
    };
    let (one, two) = (replica(), replica());
    let payment = one.payment("hello", 1).await;
    let slow = {
        let (one, payment) = (Arc::clone(&one), payment.clone());
        tokio::spawn(async move { one.send(paid("hello", &payment)).await })
    };
    tokio::time::sleep(Duration::from_secs(40)).await;
    let answer = two.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(slow.await.unwrap().status, StatusCode::OK);
    assert_eq!(runs(&run), 1);
}

/// A process that was stopped for a minute, and goes on.
#[tokio::test]
async fn who_lost_an_authorization_to_another_replica_gives_nothing_for_it() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let script = Arc::new(Script::default());
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let slow = move |Extension(payment): Extension<PaymentContext>| {
        let wait = Arc::clone(&wait);
        async move {
            drop(wait.acquire().await.unwrap());
            payment.meter.set(Amount::new(5));
            "first answer"
        }
    };
    let one = Arc::new(open(&store, &script, any(slow)));
    let payment = one.payment("hello", 1).await;
    let stopped = {
        let (one, payment) = (Arc::clone(&one), payment.clone());
        tokio::spawn(async move { one.send(paid("hello", &payment)).await })
    };
    let held = loop {
        if let Some(held) = store.abandoned(None).await.unwrap().pop() {
            break held;
        }
        tokio::task::yield_now().await;
    };
    // What the other replica's housekeeping does once the lease is over.
    assert!(store.remove(held.key, held.version).await.unwrap());
    let (routes, _) = counter(5);
    let two = open(&store, &script, routes);
    let other = two.send(paid("world", &payment)).await;
    assert_eq!(other.status, StatusCode::OK);
    gate.add_permits(1);
    assert_ne!(stopped.await.unwrap().status, StatusCode::OK);
    for _ in 0..20 {
        let again = one.send(paid("hello", &payment)).await;
        assert_ne!(again.status, StatusCode::OK, "{again:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(script.settled.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_lost_a_settlement_in_advance_to_another_replica_does_not_serve_it() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::shared());
    let mut upfront = terms("exact", "eip3009");
    let flow = serde_json::json!("upfront");
    upfront.extra.insert("paymentFlow".to_owned(), flow);
    let now = Arc::new(AtomicU64::new(NOW_S * 1_000));
    let script = Arc::new(Script {
        settle_gate: Some(Semaphore::new(0)),
        ..Script::default()
    });
    let (routes, runs_of) = plain();
    let replica = || {
        let clock = Arc::clone(&now);
        let mut config = config_with(&store);
        config.settle_wait = Duration::from_secs(30);
        config.clock = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)));
        let offers = always(vec![upfront.clone()]);
        Arc::new(Shop::build(
            Arc::clone(&script),
            config,
            offers,
            routes.clone(),
        ))
    };
    let (one, two) = (replica(), replica());
    let payment = header(&transfer(&one.offer("hello").await, 1));
    let send = |shop: &Arc<Shop>| {
        let (shop, payment) = (Arc::clone(shop), payment.clone());
        tokio::spawn(async move { shop.send(paid("hello", &payment)).await.status })
    };
    let asked = async |times: usize| {
        while script.settled.lock().unwrap().len() < times {
            tokio::task::yield_now().await;
        }
    };
    let first = send(&one);
    asked(1).await;
    now.fetch_add(16_000, Ordering::SeqCst);
    let second = send(&two);
    asked(2).await;
    script.settle_gate.as_ref().unwrap().add_permits(2);
    let statuses = [first.await.unwrap(), second.await.unwrap()];
    assert_eq!(
        statuses,
        [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK],
        "the one that holds the record serves"
    );
    assert_eq!(runs(&runs_of), 1);
}

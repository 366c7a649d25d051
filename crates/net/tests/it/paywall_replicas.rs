//! Two paywalls over one store.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Extension;
use axum::routing::any;
use http::StatusCode;
use seamline_core::{Amount, Timestamp};
use seamline_net::{MemoryStore, PaymentContext, PaywallStore};

use crate::paywall_durable::{config_with, hanging, open};
use crate::shop::{
    NOW_S, Script, Shop, always, counter, header, paid, plain, price, runs, terms, transfer,
};

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

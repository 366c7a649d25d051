//! What a paywall knows after its process is gone, and what replicas know of each other.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::routing::{MethodRouter, any};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use seamline_core::{Amount, B256, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::{
    FileStore, MemoryStore, PaymentContext, PaywallConfig, PaywallStore, Record, StoreError,
    StoreFuture,
};

use crate::shop::{
    GONE, NOW_S, Script, Settling, Shop, always, config_at, counter, header, paid, plain, price,
    runs, script, terms, transfer,
};

pub(crate) fn config_with(store: &Arc<dyn PaywallStore>) -> PaywallConfig {
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.store = Arc::clone(store);
    config.retry_pause = Duration::from_millis(1);
    config
}

/// Does as another process that thinks that all others are gone.
pub(crate) async fn steal_all(store: &dyn PaywallStore) {
    for mut record in store.abandoned(None).await.unwrap() {
        record.version += 1;
        assert!(store.replace(&record).await.unwrap());
    }
}

pub(crate) fn open(
    store: &Arc<dyn PaywallStore>,
    script: &Arc<Script>,
    routes: MethodRouter,
) -> Shop {
    Shop::build(Arc::clone(script), config_with(store), price, routes)
}

/// Waits until the facilitator was asked `times` times to settle.
async fn settlements(script: &Script, times: usize) {
    for _ in 0..10_000 {
        if script.settled.lock().unwrap().len() >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the facilitator was not asked {times} times");
}

#[tokio::test]
async fn a_settled_authorization_stays_spent_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paywall.redb");
    let script = Arc::new(Script::default());
    let payment = {
        let store: Arc<dyn PaywallStore> = Arc::new(FileStore::open(&path).await.unwrap());
        let (routes, _) = counter(5);
        let shop = open(&store, &script, routes);
        let payment = shop.payment("hello", 1).await;
        assert_eq!(
            shop.send(paid("hello", &payment)).await.status,
            StatusCode::OK
        );
        payment
    };
    let store: Arc<dyn PaywallStore> = Arc::new(FileStore::open(&path).await.unwrap());
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &script, routes);
    assert_eq!(shop.paywall.recover().await.unwrap(), 0);
    // The answer is gone with the process; the settlement is not.
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::CONFLICT, GONE)
    );
    assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(5)));
    let other = shop.send(paid("other", &payment)).await;
    assert_eq!(other.error(), "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(script.settled.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_debt_is_settled_after_a_restart() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let first = Arc::new(script([Settling::Lose]));
    let (routes, _) = counter(5);
    let mut config = config_with(&store);
    // It dies before it asks again.
    config.retry_pause = Duration::from_secs(3_600);
    let shop = Shop::build(Arc::clone(&first), config, price, routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(shop);

    let second = Arc::new(script([Settling::Lose, Settling::Lose]));
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &second, routes);
    assert_eq!(shop.paywall.recover().await.unwrap(), 1);
    settlements(&second, 3).await;
    assert_eq!(*second.settled.lock().unwrap(), [Amount::new(5); 3]);
    let settled = until_ended(&shop, &payment).await;
    assert_eq!(settled.status, StatusCode::CONFLICT);
    assert_eq!(settled.settlement().settled_amount(), Some(Amount::new(5)));
    assert_eq!(runs(&runs_of), 0);
}

/// Presents `payment` until nobody works for it any more.
async fn until_ended(shop: &Shop, payment: &str) -> crate::shop::Answer {
    loop {
        let answer = shop.send(paid("hello", payment)).await;
        if !answer.headers.contains_key("retry-after") {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_payer_who_comes_back_after_a_restart_has_its_debt_settled_first() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let (routes, _) = counter(5);
    let mut config = config_with(&store);
    config.retry_pause = Duration::from_secs(3_600);
    let shop = Shop::build(Arc::new(script([Settling::Lose])), config, price, routes);
    let payment = shop.payment("hello", 1).await;
    shop.send(paid("hello", &payment)).await;
    drop(shop);
    let (routes, runs_of) = counter(5);
    let script = Arc::new(Script::default());
    // Nobody called `recover`.
    let shop = open(&store, &script, routes);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.settlement().success);
    assert_eq!(
        (runs(&runs_of), script.verified.load(Ordering::SeqCst)),
        (0, 0)
    );
}

#[tokio::test]
async fn an_uncertain_settlement_is_asked_for_in_the_background() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let script = Arc::new(script([Settling::Lose, Settling::Lose, Settling::Lose]));
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &script, routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    settlements(&script, 4).await;
    // The answer was kept for its payer.
    let answer = until_ended(&shop, &payment).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"answer 0"[..])
    );
    assert!(answer.settlement().success);
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(
        script.settled.lock().unwrap().len(),
        4,
        "and nobody asks any more"
    );
}

#[tokio::test]
async fn what_a_refused_settlement_withheld_stays_withheld_after_a_restart() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let refuse = Settling::Refuse(Reason::Permit2InsufficientBalance);
    let (routes, _) = counter(5);
    let shop = open(&store, &Arc::new(script([refuse])), routes);
    let payment = shop.payment("hello", 1).await;
    shop.send(paid("hello", &payment)).await;
    drop(shop);
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &Arc::new(Script::default()), routes);
    shop.paywall.recover().await.unwrap();
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(!answer.settlement().success);
    assert_eq!(runs(&runs_of), 0);
}

/// A handler that never answers, and one that streams two pieces and then hangs.
pub(crate) fn hanging() -> MethodRouter {
    any(core::future::pending::<&'static str>)
}

fn half_a_stream() -> MethodRouter {
    any(|Extension(payment): Extension<PaymentContext>| async move {
        let pieces = stream::iter([3_u128, 7]).map(move |due| {
            payment.meter.set(Amount::new(due));
            Ok::<_, std::io::Error>(Bytes::from_static(b"data: {}\n\n"))
        });
        let body = Body::from_stream(pieces.chain(stream::pending()));
        ([("content-type", "text/event-stream")], body)
    })
}

#[tokio::test]
async fn work_that_delivered_nothing_is_done_again_after_a_crash() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let script = Arc::new(Script::default());
    let dead = open(&store, &script, hanging());
    let payment = dead.payment("hello", 1).await;
    let waits = tokio::time::timeout(
        Duration::from_millis(50),
        dead.send(paid("hello", &payment)),
    );
    waits.await.unwrap_err();
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &script, routes);
    // Before it is known that the other one died, its work is left alone.
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(shop.paywall.recover().await.unwrap(), 0);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn what_a_stream_delivered_before_a_crash_is_settled_after_it() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let script = Arc::new(Script::default());
    let dead = open(&store, &script, half_a_stream());
    let payment = dead.payment("hello", 1).await;
    let response = dead.raw(paid("hello", &payment)).await;
    let mut body = response.into_body().into_data_stream();
    for _ in 0..2 {
        assert_eq!(body.next().await.unwrap().unwrap(), "data: {}\n\n");
    }
    // The store learns of it within a second.
    while store.abandoned(None).await.unwrap().is_empty() || !owes(&store).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &script, routes);
    assert_eq!(shop.paywall.recover().await.unwrap(), 1);
    settlements(&script, 1).await;
    assert_eq!(*script.settled.lock().unwrap(), [Amount::new(7)]);
    // The one that was thought dead finds its record taken and settles nothing more.
    drop(body);
    assert!(dead.paywall.tasks().drain(Duration::from_secs(5)).await);
    assert_eq!(script.settled.lock().unwrap().len(), 1);
    let answer = until_ended(&shop, &payment).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(runs(&runs_of), 0);
}

async fn owes(store: &Arc<dyn PaywallStore>) -> bool {
    owes_amount(store, 7).await
}

async fn owes_amount(store: &Arc<dyn PaywallStore>, amount: u64) -> bool {
    let open = store.abandoned(None).await.unwrap();
    open.iter()
        .any(|record| format!("{record:?}").contains(&format!("Owed({amount})")))
}

/// What is paid whole is owed with the first piece, and not when the next note is due: a process that dies in between
/// would serve it again.
#[tokio::test(start_paused = true)]
async fn a_stream_is_owed_as_soon_as_anything_left() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let handler = || async {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from("data: a\n\n"))]);
        let body = Body::from_stream(first.chain(stream::pending()));
        ([("content-type", "text/event-stream")], body)
    };
    let offers = always(vec![terms("exact", "eip3009")]);
    let config = config_with(&store);
    let shop = Shop::build(Arc::new(Script::default()), config, offers, any(handler));
    let payment = header(&transfer(&shop.offer("hello").await, 1));
    let response = shop.raw(paid("hello", &payment)).await;
    let mut body = response.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: a\n\n");
    let seen = tokio::time::Instant::now();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(owes_amount(&store, 1_000).await);
    assert_eq!(
        tokio::time::Instant::now(),
        seen,
        "no note was due meanwhile"
    );
}

#[tokio::test]
async fn a_settlement_in_advance_is_served_after_a_restart() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let mut upfront = terms("exact", "eip3009");
    upfront
        .extra
        .insert("paymentFlow".to_owned(), serde_json::json!("upfront"));
    let script = Arc::new(Script::default());
    let make = |routes| {
        let offers = always(vec![upfront.clone()]);
        Shop::build(Arc::clone(&script), config_with(&store), offers, routes)
    };
    let fails = make(any(|| async { StatusCode::BAD_GATEWAY }));
    let payment = header(&transfer(&fails.offer("hello").await, 1));
    let answer = fails.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    drop(fails);
    let (routes, runs_of) = plain();
    let shop = make(routes);
    shop.paywall.recover().await.unwrap();
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.settlement().success);
    assert_eq!(
        (runs(&runs_of), script.settled.lock().unwrap().len()),
        (1, 1)
    );
    let again = make(plain().0).send(paid("hello", &payment)).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "served once");
}

/// A store whose disk is full.
struct Broken;

impl PaywallStore for Broken {
    fn insert<'a>(&'a self, _: &'a Record) -> StoreFuture<'a, Option<Record>> {
        Box::pin(async { Err(full()) })
    }

    fn replace<'a>(&'a self, _: &'a Record) -> StoreFuture<'a, bool> {
        Box::pin(async { Err(full()) })
    }

    fn remove(&self, _: B256, _: u64) -> StoreFuture<'_, bool> {
        Box::pin(async { Err(full()) })
    }

    fn get(&self, _: B256) -> StoreFuture<'_, Option<Record>> {
        Box::pin(async { Ok(None) })
    }

    fn abandoned(&self, _: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async { Err(full()) })
    }

    fn sweep(&self, _: Timestamp) -> StoreFuture<'_, ()> {
        Box::pin(async { Err(full()) })
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

fn full() -> StoreError {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    StoreError::Database(Box::new(full))
}

#[tokio::test]
async fn nothing_is_served_that_cannot_be_written_down() {
    let store: Arc<dyn PaywallStore> = Arc::new(Broken);
    let (routes, runs_of) = counter(5);
    let shop = open(&store, &Arc::new(Script::default()), routes);
    assert!(matches!(
        shop.paywall.recover().await,
        Err(StoreError::Database(_))
    ));
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        !answer.body.windows(4).any(|text| text == b"disk"),
        "no inner text"
    );
    assert_eq!(runs(&runs_of), 0);
}

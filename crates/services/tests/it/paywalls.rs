//! Several paywalls over one store: memory that they share, or a real Postgres.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::Body;
use axum::routing::post;
use axum::{Extension, Router};
use http::{Request, StatusCode};
use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::x402::{FacilitatorRequest, SettleResponse};
use seamline_net::{
    Debt, Duty, FacilitatorApi, MemoryStore, PaymentContext, Paywall, PaywallConfig, PaywallStore,
    Record, StoreError,
};
use seamline_services::gate::PostgresStore;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::payments::{Desk, MAX, NOW, request};
use crate::postgres;
use crate::sale::{named, price};

/// Stores that two processes open each for itself.
async fn pairs() -> Vec<[Arc<dyn PaywallStore>; 2]> {
    let memory = MemoryStore::shared();
    let mut pairs: Vec<[Arc<dyn PaywallStore>; 2]> =
        vec![[Arc::new(memory.clone()), Arc::new(memory)]];
    if let Some(url) = postgres::database().await {
        let one = PostgresStore::open(&url).await.unwrap();
        let two = PostgresStore::open(&url).await.unwrap();
        pairs.push([Arc::new(one), Arc::new(two)]);
    }
    pairs
}

/// A replica of a seller whose handler counts its runs, and works until `gate` lets it.
fn replica(
    desk: &Desk,
    store: &Arc<dyn PaywallStore>,
    clock: &Arc<AtomicU64>,
    runs: &Arc<AtomicUsize>,
    gate: &Arc<Semaphore>,
) -> (Router, Paywall) {
    let clock = Arc::clone(clock);
    let now = move || Timestamp::from_millis(clock.load(Ordering::SeqCst));
    let mut config = PaywallConfig::new("https://node.example", Arc::new(now));
    config.store = Arc::clone(store);
    let facilitator: Arc<dyn FacilitatorApi> = Arc::new(desk.facilitator.clone());
    let paywall = Paywall::new(config, facilitator, price);
    let (runs, gate) = (Arc::clone(runs), Arc::clone(gate));
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
        async move {
            runs.fetch_add(1, Ordering::SeqCst);
            drop(gate.acquire().await.unwrap());
            payment.meter.set(Amount::new(42));
            "an answer"
        }
    };
    let routes = paywall.protect(post(handler));
    let router = Router::new().route("/v1/chat/completions", routes);
    (router, paywall)
}

async fn present(router: Router, payment: FacilitatorRequest) -> StatusCode {
    let value = payment.payment_payload.to_header();
    let request = Request::post("/v1/chat/completions")
        .header("payment-signature", value)
        .body(Body::from("{}"))
        .unwrap();
    router.oneshot(request).await.unwrap().status()
}

fn now() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(NOW.as_millis()))
}

/// One authorization, twenty times at each of two replicas at once: one run, one settlement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_paywalls_that_race_run_one_handler() {
    for stores in pairs().await {
        let desk = Desk::open().await;
        let (runs, gate) = (Arc::default(), Arc::new(Semaphore::new(1_000)));
        let clock = now();
        let replicas = stores
            .each_ref()
            .map(|store| replica(&desk, store, &clock, &runs, &gate).0);
        let payment = named(request(1, MAX));
        let presented: Vec<_> = (0..40)
            .map(|index| present(replicas[index % 2].clone(), payment.clone()))
            .map(tokio::spawn)
            .collect();
        let mut served = 0;
        for status in presented {
            match status.await.unwrap() {
                StatusCode::OK => served += 1,
                // In flight at the other replica, or answered there.
                status => assert_eq!(status, StatusCode::CONFLICT),
            }
        }
        assert!(served >= 1);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(desk.chain.mined_nonces(), [0]);
    }
}

/// A replica that dies at work is missed when its lease ends; what it had delivered is settled.
#[tokio::test]
async fn a_dead_paywall_is_taken_over() {
    for [first, second] in pairs().await {
        let desk = Desk::open().await;
        let (runs, clock) = (Arc::default(), now());
        let hangs = Arc::new(Semaphore::new(0));
        let works = Arc::new(Semaphore::new(1));
        let payment = named(request(1, MAX));
        let (dying, _paywall) = replica(&desk, &first, &clock, &runs, &hangs);
        let dying = tokio::spawn(present(dying, payment.clone()));
        while runs.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (other, paywall) = replica(&desk, &second, &clock, &runs, &works);
        let status = present(other.clone(), payment.clone()).await;
        assert_eq!(status, StatusCode::CONFLICT, "it is worked for elsewhere");
        assert_eq!(paywall.recover().await.unwrap(), 0);
        clock.fetch_add(20_000, Ordering::SeqCst);
        let status = present(other, payment).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(runs.load(Ordering::SeqCst), 2, "the first one never ended");
        assert_eq!(desk.chain.mined_nonces(), [0]);
        dying.abort();
    }
}

fn record(key: u8, version: u64, duty: Duty) -> Record {
    Record {
        key: B256::repeat_byte(key),
        version,
        authorization: B256::repeat_byte(1),
        request: B256::repeat_byte(2),
        payer: Address::repeat_byte(3),
        scope: Some(B256::repeat_byte(4)),
        lease_ms: 1_000,
        deadline_ms: 5_000,
        expires_ms: 9_000,
        duty,
    }
}

fn owed() -> Duty {
    let request = request(1, MAX);
    Duty::Owed(Box::new(Debt {
        amount: Amount::new(u128::MAX),
        upfront: false,
        delivered: true,
        payload: request.payment_payload,
        offer: request.payment_requirements,
    }))
}

const NONE: [B256; 0] = [];

async fn keys(store: &dyn PaywallStore, now: Option<u64>) -> Vec<B256> {
    let now = now.map(Timestamp::from_millis);
    let mut keys: Vec<_> = store
        .abandoned(now)
        .await
        .unwrap()
        .iter()
        .map(|it| it.key)
        .collect();
    keys.sort();
    keys
}

/// What the paywall believes of its store.
#[tokio::test]
async fn a_shared_store_keeps_its_promises() {
    for [one, two] in pairs().await {
        let key = B256::repeat_byte(7);
        assert!(!one.is_exclusive());
        assert!(one.get(key).await.unwrap().is_none());
        assert!(
            !one.replace(&record(7, 1, Duty::Held)).await.unwrap(),
            "there is none"
        );
        assert!(
            one.insert(&record(7, 1, Duty::Held))
                .await
                .unwrap()
                .is_none()
        );
        let present = two
            .insert(&record(7, 1, Duty::Named))
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(present.duty, Duty::Held), "the first one stays");
        for version in [1, 3] {
            let wrong = record(7, version, owed());
            assert!(
                !two.replace(&wrong).await.unwrap(),
                "version {version} is not next"
            );
        }
        assert!(two.replace(&record(7, 2, owed())).await.unwrap());
        assert!(
            !one.replace(&record(7, 2, Duty::Held)).await.unwrap(),
            "who is late loses"
        );
        let Duty::Owed(debt) = one.get(key).await.unwrap().unwrap().duty else {
            panic!("owed");
        };
        assert_eq!(debt.amount, Amount::new(u128::MAX));
        assert_eq!(debt.payload.raw(), request(1, MAX).payment_payload.raw());
        // A lease ends with its millisecond.
        assert_eq!(keys(&*one, Some(999)).await, NONE);
        assert_eq!(keys(&*one, Some(1_000)).await, [key]);
        assert_eq!(keys(&*two, None).await, [key]);
        let settled = Box::new(SettleResponse::settled(
            "eip155:1",
            Address::ZERO,
            None,
            Amount::new(1),
        ));
        let ended = Duty::Ended {
            settled,
            served: true,
        };
        assert!(one.replace(&record(7, 3, ended)).await.unwrap());
        assert_eq!(keys(&*one, None).await, NONE);
        one.insert(&record(8, 1, Duty::Named)).await.unwrap();
        assert_eq!(keys(&*one, None).await, NONE, "a name is nobody's work");
        assert!(!two.remove(key, 2).await.unwrap());
        assert!(two.remove(key, 3).await.unwrap());
        assert!(!two.remove(key, 3).await.unwrap());
        let far = Record {
            lease_ms: u64::MAX,
            expires_ms: u64::MAX,
            ..record(9, 1, Duty::Held)
        };
        assert!(one.insert(&far).await.unwrap().is_none());
        one.sweep(Timestamp::from_millis(9_000)).await.unwrap();
        assert!(
            two.get(B256::repeat_byte(8)).await.unwrap().is_some(),
            "not yet"
        );
        one.sweep(Timestamp::from_millis(9_001)).await.unwrap();
        assert!(two.get(B256::repeat_byte(8)).await.unwrap().is_none());
        assert!(two.get(B256::repeat_byte(9)).await.unwrap().is_some());
        assert_eq!(keys(&*one, Some(9_001)).await, NONE);
    }
}

/// One insertion of many at once wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_insertions_wins() {
    for stores in pairs().await {
        let tasks: Vec<_> = (0..32_usize)
            .map(|index| {
                let store = Arc::clone(&stores[index % 2]);
                tokio::spawn(async move {
                    store
                        .insert(&record(7, 1, Duty::Held))
                        .await
                        .unwrap()
                        .is_none()
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error() {
    for url in [
        "postgres://",
        "not a url",
        "postgresql:///none?host=/nowhere",
    ] {
        let refused = PostgresStore::open(url).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Database(_)),
            "{url}: {refused}"
        );
    }
}

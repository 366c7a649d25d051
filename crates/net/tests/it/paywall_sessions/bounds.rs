//! What ends sessions, and what they do not take.

use core::time::Duration;
use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;
use seamline_core::{Amount, B256, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::{MemoryStore, PaywallStore, Record, SessionRules, StoreFuture};
use tokio::sync::{Barrier, Semaphore};

use super::{CAP, Sessions, assert_dead, gated_stream, named, token, waiting};
use crate::paywall_durable::steal_all;
use crate::shop::{Settling, counter, paid, runs, script};

fn memory() -> Arc<dyn PaywallStore> {
    Arc::new(MemoryStore::new())
}

/// Its offer would be that of a session; the answers of sessions come without a settlement, and a lost one
/// is made anew.
#[tokio::test]
async fn a_request_that_costs_the_cap_is_paid_alone() {
    for cap in [1_005, 1_000] {
        let (routes, runs_of) = counter(7);
        let it = Sessions::built(Arc::default(), &memory(), routes, |config| {
            config.sessions = Some(SessionRules::new(Amount::new(cap)));
        });
        let payment = it.payment().await;
        for _ in 0..2 {
            let answer = it.shop.send(paid("hello", &payment)).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.headers.contains_key("x-upto-session"));
            assert_ne!(answer.settlement().transaction, "");
            assert_eq!(answer.body.as_ref(), b"answer 0");
        }
        assert_eq!((runs(&runs_of), it.drained().await), (1, vec![7]));
    }
}

#[tokio::test]
async fn who_does_not_pay_for_one_session_loses_the_others() {
    let (routes, _) = counter(7);
    let refuse = Settling::Refuse(Reason::Permit2InvalidNonce);
    let it = Sessions::with(script([refuse]), &memory(), routes);
    let first = it.begin().await;
    it.wait(60);
    let second = it.begin().await;
    it.wait(60);
    assert_eq!(it.settled().await, [7, 7], "both are settled at once");
    assert_dead(&it.ask(&first).await);
    assert_dead(&it.ask(&second).await);
}

#[tokio::test]
async fn a_session_works_for_so_many_requests_at_once() {
    let gate = Arc::new(Semaphore::new(1));
    let (routes, runs_of) = waiting(&gate, 7);
    let it = Sessions::built(Arc::default(), &memory(), routes, |config| {
        let rules = SessionRules::new(Amount::new(CAP));
        config.sessions = Some(SessionRules {
            max_at_once: 2,
            ..rules
        });
    });
    let session = it.begin().await;
    let running = [0, 1].map(|_| {
        let (router, request) = (it.shop.router(), named("hello", &session));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap() })
    });
    while runs(&runs_of) < 3 {
        tokio::task::yield_now().await;
    }
    let third = it.ask(&session).await;
    assert_eq!(third.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(third.headers["retry-after"], "1");
    gate.add_permits(3);
    for answer in join_all(running).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(it.ask(&session).await.status, StatusCode::OK, "it lives");
}

#[tokio::test]
async fn no_session_opens_during_a_shutdown() {
    let (routes, _) = counter(7);
    let it = Sessions::open(routes);
    it.shop.paywall.close_sessions();
    let answer = it.shop.send(paid("hello", &it.payment().await)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("x-upto-session"));
    assert_eq!(it.drained().await, [7], "it is paid alone");
}

/// Writes that wait for one another: they end where eight come at the same time.
struct Slow {
    records: MemoryStore,
    together: Barrier,
}

impl PaywallStore for Slow {
    fn insert<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, Option<Record>> {
        self.records.insert(record)
    }

    fn replace<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, bool> {
        Box::pin(async {
            self.together.wait().await;
            self.records.replace(record).await
        })
    }

    fn remove(&self, key: B256, version: u64) -> StoreFuture<'_, bool> {
        self.records.remove(key, version)
    }

    fn get(&self, key: B256) -> StoreFuture<'_, Option<Record>> {
        self.records.get(key)
    }

    fn abandoned(&self, now: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>> {
        self.records.abandoned(now)
    }

    fn sweep(&self, now: Timestamp) -> StoreFuture<'_, ()> {
        self.records.sweep(now)
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn leases_of_sessions_are_renewed_at_the_same_time() {
    let store: Arc<dyn PaywallStore> = Arc::new(Slow {
        records: MemoryStore::new(),
        together: Barrier::new(8),
    });
    // Nothing is metered: the store hears of these sessions by their renewal only.
    let (routes, _) = counter(0);
    let it = Sessions::built(Arc::default(), &store, routes, |config| {
        let rules = SessionRules::new(Amount::new(CAP));
        config.sessions = Some(SessionRules {
            max_per_payer: 8,
            ..rules
        });
        config.max_unsettled = 64;
    });
    for _ in 0..8 {
        it.begin().await;
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    it.shop.paywall.tend_sessions().await;
    assert_eq!(it.shop.paywall.sessions(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_where_its_session_is_another_process_s() {
    use futures_util::StreamExt as _;

    let gate = Arc::new(Semaphore::new(0));
    let records = Arc::new(MemoryStore::shared());
    let store: Arc<dyn PaywallStore> = Arc::<MemoryStore>::clone(&records);
    let it = Sessions::with(script([]), &store, gated_stream(&gate));
    let response = it.shop.raw(paid("hello", &it.payment().await)).await;
    assert_ne!(token(&head_of(&response)), "");
    let mut body = response.into_body().into_data_stream();
    for _ in 0..2 {
        body.next().await.unwrap().unwrap();
    }
    steal_all(records.as_ref()).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    gate.add_permits(1);
    let rest: Vec<_> = body.collect().await;
    assert!(rest.iter().any(Result::is_err), "it does not look complete");
    let left = rest.into_iter().flatten().collect::<Vec<_>>().concat();
    assert!(!String::from_utf8(left).unwrap().contains("[DONE]"));
    assert_eq!(it.drained().await, [0; 0], "who has the record settles it");
}

fn head_of(response: &axum::response::Response) -> crate::shop::Answer {
    crate::shop::Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: axum::body::Bytes::new(),
    }
}

//! The message that opens a session, presented again while that opens.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::routing::MethodRouter;
use http::StatusCode;
use seamline_evm::x402::Reason;
use seamline_net::{MemoryStore, PaywallStore};
use tokio::sync::Semaphore;

use super::{Sessions, charge, token};
use crate::shop::{Answer, Script, counter, paid, runs};

/// A shop whose facilitator answers when its gate opens.
fn slow(routes: MethodRouter) -> (Arc<Sessions>, Arc<Script>) {
    let script = Arc::new(Script {
        gate: Some(Semaphore::new(0)),
        ..Script::default()
    });
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let it = Sessions::built(Arc::clone(&script), &store, routes, |_| {});
    (Arc::new(it), script)
}

/// Presents one message three times while the first is verified; returns when all wait.
async fn presented_thrice(
    it: &Arc<Sessions>,
    bodies: [&'static str; 3],
) -> Vec<tokio::task::JoinHandle<Answer>> {
    let payment = it.payment().await;
    let mut under_way = Vec::new();
    for body in bodies {
        let (it, payment) = (Arc::clone(it), payment.clone());
        under_way.push(tokio::spawn(async move {
            it.shop.send(paid(body, &payment)).await
        }));
        // One thread and no socket: it runs until it waits.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    under_way
}

// On a paused clock: who would wait for the end of the session gives up after 30 s.
#[tokio::test(start_paused = true)]
async fn a_payment_that_is_presented_while_it_is_verified_joins_its_session() {
    let (routes, runs_of) = counter(7);
    let (it, script) = slow(routes);
    let under_way = presented_thrice(&it, ["hello", "hello", "other"]).await;
    assert_eq!(
        script.verified.load(Ordering::SeqCst),
        1,
        "one is asked about"
    );
    script.gate.as_ref().unwrap().add_permits(1);
    let began = tokio::time::Instant::now();
    let mut tokens = Vec::new();
    for answer in under_way {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        charge(&answer);
        tokens.push(token(&answer));
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "one session");
    // Each was a request of its own, and was paid for.
    assert_eq!(runs(&runs_of), 3);
    it.wait(101);
    assert_eq!(it.settled().await, [21]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_session_that_is_refused_is_told_so_himself() {
    let (routes, runs_of) = counter(7);
    let (it, script) = slow(routes);
    let refusal = Reason::Permit2InsufficientBalance;
    *script.verify.lock().unwrap() = Some(Ok(refusal));
    let under_way = presented_thrice(&it, ["hello", "hello", "hello"]).await;
    script.gate.as_ref().unwrap().add_permits(1);
    for answer in under_way {
        let answer = answer.await.unwrap();
        assert_eq!(answer.error(), "permit2_insufficient_balance");
    }
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(it.settled().await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_facilitator_that_never_answers_is_told_to_come_again() {
    let (routes, runs_of) = counter(7);
    let (it, _script) = slow(routes);
    let mut under_way = presented_thrice(&it, ["hello", "hello", "hello"]).await;
    for answer in under_way.drain(1..) {
        assert_eq!(answer.await.unwrap().status, StatusCode::CONFLICT);
    }
    under_way.pop().unwrap().abort();
    assert_eq!(runs(&runs_of), 0);
}

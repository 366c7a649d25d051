//! One authorization for many requests, and every way to get one of them for nothing.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::routing::{MethodRouter, any};
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::Reason;
use seamline_net::{
    FileStore, MemoryStore, PaymentContext, PaywallConfig, PaywallStore, SessionRules,
};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::shop::{
    Answer, MAX, NOW_S, Script, Settling, Shop, config_at, counter, message, paid, pay, price,
    runs, script, unpaid,
};

mod bounds;
mod joined;

/// What a session is asked for: a few requests of `MAX` and some bytes each.
const CAP: u128 = 4 * (MAX + 5);

/// A shop with sessions whose clock a test moves.
struct Sessions {
    shop: Shop,
    clock: Arc<AtomicU64>,
    payments: AtomicU64,
}

impl Sessions {
    fn open(routes: MethodRouter) -> Self {
        let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
        Self::with(Script::default(), &store, routes)
    }

    fn with(script: Script, store: &Arc<dyn PaywallStore>, routes: MethodRouter) -> Self {
        Self::built(Arc::new(script), store, routes, |_| {})
    }

    fn built(
        script: Arc<Script>,
        store: &Arc<dyn PaywallStore>,
        routes: MethodRouter,
        adapt: impl FnOnce(&mut PaywallConfig),
    ) -> Self {
        let clock = Arc::new(AtomicU64::new(NOW_S));
        let read = Arc::clone(&clock);
        let mut config = config_at(Timestamp::from_secs(NOW_S));
        config.clock = Arc::new(move || Timestamp::from_secs(read.load(Ordering::SeqCst)));
        config.store = Arc::clone(store);
        config.sessions = Some(SessionRules::new(Amount::new(CAP)));
        adapt(&mut config);
        Self {
            shop: Shop::build(script, config, price, routes),
            clock,
            payments: AtomicU64::new(1),
        }
    }

    fn wait(&self, secs: u64) {
        self.clock.fetch_add(secs, Ordering::SeqCst);
    }

    fn nonce(&self) -> u64 {
        self.payments.fetch_add(1, Ordering::SeqCst)
    }

    /// The header that opens a session.
    async fn payment(&self) -> String {
        pay(&self.shop.offer("hello").await, self.nonce())
    }

    /// Opens a session with a request and returns its token.
    async fn begin(&self) -> String {
        let answer = self.shop.send(paid("hello", &self.payment().await)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        token(&answer)
    }

    async fn ask(&self, token: &str) -> Answer {
        self.shop.send(named("hello", token)).await
    }

    /// Settles what is over and returns what was settled.
    async fn settled(&self) -> Vec<u128> {
        self.shop.paywall.tend_sessions().await;
        self.drained().await
    }

    async fn drained(&self) -> Vec<u128> {
        let tasks = self.shop.paywall.tasks();
        assert!(tasks.drain(Duration::from_secs(30)).await);
        let settled = self.shop.settlements();
        settled.into_iter().map(Amount::get).collect()
    }
}

fn token(answer: &Answer) -> String {
    answer.headers["x-upto-session"]
        .to_str()
        .unwrap()
        .to_owned()
}

fn named(body: &'static str, token: &str) -> Request<Body> {
    let mut request = unpaid("POST", body);
    let value = token.parse().unwrap();
    request.headers_mut().insert("X-Upto-Session", value);
    request
}

/// The answer of a session that is over: no offer, so that clients forget it and ask again.
fn assert_dead(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(
        answer.body.as_ref(),
        br#"{"error": "Session expired or exhausted"}"#
    );
    assert!(!answer.headers.contains_key("payment-required"));
    assert!(!answer.headers.contains_key("x-upto-session"));
}

/// What an answer says of its charge.
fn charge(answer: &Answer) -> (String, Value) {
    let said = answer.settlement();
    assert_eq!((said.success, said.transaction.as_str()), (true, ""));
    (said.amount.unwrap(), said.extra.unwrap()["session"].clone())
}

#[tokio::test]
async fn one_authorization_pays_for_many_requests_and_is_settled_once() {
    let (routes, runs_of) = counter(7);
    let it = Sessions::open(routes);
    let offers = it.shop.send(unpaid("POST", "hello")).await.required();
    let amounts: Vec<_> = offers["accepts"].as_array().unwrap().iter().collect();
    assert_eq!(amounts.len(), 2, "a session first, the request alone then");
    assert_eq!(amounts[0]["amount"], CAP.to_string());
    assert_eq!(amounts[1]["amount"], (MAX + 5).to_string());

    let first = it.shop.send(paid("hello", &it.payment().await)).await;
    let session = token(&first);
    let (charged, place) = charge(&first);
    assert_eq!((charged.as_str(), &place["place"]), ("7", &Value::from(0)));
    for number in 1..=3_u64 {
        let answer = it.ask(&session).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(token(&answer), session, "the same session");
        let (charged, place) = charge(&answer);
        assert_eq!(charged, "7");
        assert_eq!(place["place"], number);
        assert_eq!(place["spentBefore"], (7 * number).to_string());
    }
    assert_eq!(it.settled().await, Vec::<u128>::new(), "it lives");
    it.wait(101);
    assert_eq!(it.settled().await, [28]);
    assert_dead(&it.ask(&session).await);
    assert_eq!(it.settled().await, [28], "once");
    assert_eq!(runs(&runs_of), 4);
    assert_eq!(it.shop.script.verified.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_pays_for_one_request_gets_no_session() {
    let (routes, _) = counter(7);
    let it = Sessions::open(routes);
    let offers = it.shop.send(unpaid("POST", "hello")).await.required();
    let alone = pay(&offers["accepts"][1], it.nonce());
    let answer = it.shop.send(paid("hello", &alone)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("x-upto-session"));
    assert_eq!(it.drained().await, [7], "settled before the answer left");
}

#[tokio::test]
async fn tokens_that_nobody_gave_out_pay_for_nothing() {
    let (routes, runs_of) = counter(7);
    let it = Sessions::open(routes);
    for token in ["", "x", "00000000-0000-4000-8000-000000000000"] {
        assert_dead(&it.ask(token).await);
    }
    let session = it.begin().await;
    // Beside a payment the session counts, as in OpenGradient's middleware; two of them never do.
    let mut request = paid("hello", &it.payment().await);
    request
        .headers_mut()
        .insert("x-upto-session", "other".parse().unwrap());
    assert_dead(&it.shop.send(request).await);
    let mut request = named("hello", &session);
    request
        .headers_mut()
        .append("x-upto-session", session.parse().unwrap());
    assert_dead(&it.shop.send(request).await);
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn a_session_is_for_the_method_and_the_path_that_opened_it() {
    let (routes, runs_of) = counter(7);
    let it = Sessions::open(routes);
    let session = it.begin().await;
    let mut other = named("hello", &session);
    *other.method_mut() = http::Method::GET;
    assert_dead(&it.shop.send(other).await);
    let mut query = named("hello", &session);
    *query.uri_mut() = "/v1/chat/completions?trace=1".parse().unwrap();
    assert_eq!(it.shop.send(query).await.status, StatusCode::OK);
    assert_eq!(runs(&runs_of), 2);
}

#[tokio::test]
async fn sessions_are_closed_to_shops_without_them() {
    let (routes, runs_of) = counter(7);
    let shop = Shop::open(Script::default(), routes);
    let answer = shop.send(named("hello", "any")).await;
    assert_eq!(answer.error(), "Payment required");
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn a_chunked_body_costs_what_any_body_costs() {
    let (routes, _) = counter(7);
    let it = Sessions::open(routes);
    let session = it.begin().await;
    let mut request = named("hello", &session);
    let pieces = stream::iter(["he", "llo"]).map(Ok::<_, std::io::Error>);
    *request.body_mut() = Body::from_stream(pieces);
    let answer = it.shop.send(request).await;
    assert_eq!(charge(&answer).0, "7");
    // A body longer than what is left is refused before its handler runs.
    let long: &'static str = Box::leak("x".repeat(4_096).into_boxed_str());
    let mut request = named("", &session);
    let pieces = stream::iter(long.as_bytes().chunks(100)).map(Ok::<_, std::io::Error>);
    *request.body_mut() = Body::from_stream(pieces);
    assert_dead(&it.shop.send(request).await);
    it.wait(101);
    assert_eq!(it.settled().await, [14]);
}

/// A stream that delivers two pieces for 3 and 7, then nothing until `gate` opens, then ends at 9.
fn gated_stream(gate: &Arc<Semaphore>) -> MethodRouter {
    let gate = Arc::clone(gate);
    any(move |Extension(payment): Extension<PaymentContext>| {
        let gate = Arc::clone(&gate);
        async move {
            let meter = payment.meter.clone();
            let pieces = stream::iter([3_u128, 7]).map(move |due| {
                meter.set(Amount::new(due));
                Ok::<_, std::io::Error>(Bytes::from_static(b"data: {}\n\n"))
            });
            let last = stream::once(async move {
                gate.acquire().await.unwrap().forget();
                payment.meter.set(Amount::new(9));
                Ok(Bytes::from_static(b"data: [DONE]\n\n"))
            });
            let body = Body::from_stream(pieces.chain(last));
            ([("content-type", "text/event-stream")], body)
        }
    })
}

#[tokio::test]
async fn a_reader_who_leaves_before_the_last_frame_pays_for_what_it_read() {
    let gate = Arc::new(Semaphore::new(0));
    let it = Sessions::open(gated_stream(&gate));
    let response = it.shop.raw(paid("hello", &it.payment().await)).await;
    assert!(response.headers().contains_key("x-upto-session"));
    let mut body = response.into_body().into_data_stream();
    for _ in 0..2 {
        body.next().await.unwrap().unwrap();
    }
    drop(body);
    let tasks = it.shop.paywall.tasks();
    assert!(tasks.drain(Duration::from_secs(30)).await);
    it.wait(101);
    assert_eq!(it.settled().await, [7]);
}

#[tokio::test]
async fn a_payment_that_is_presented_again_is_the_same_session() {
    let (routes, runs_of) = counter(7);
    let it = Sessions::open(routes);
    let payment = it.payment().await;
    let first = it.shop.send(paid("hello", &payment)).await;
    let again = it.shop.send(paid("hello", &payment)).await;
    let other = it.shop.send(paid("other", &payment)).await;
    assert_eq!(
        (token(&again), token(&other)),
        (token(&first), token(&first))
    );
    assert_eq!(charge(&other).1["spentBefore"], "14");
    it.wait(101);
    assert_eq!(it.settled().await, [21]);
    // After its settlement it buys nothing any more, whatever is asked with it.
    for body in ["hello", "other", "third"] {
        assert_dead(&it.shop.send(paid(body, &payment)).await);
    }
    assert_eq!(runs(&runs_of), 3);
    assert_eq!(it.settled().await, [21]);
}

#[tokio::test]
async fn another_message_over_the_same_nonce_opens_no_second_session() {
    let (routes, runs_of) = counter(7);
    let it = Sessions::open(routes);
    let offer = it.shop.offer("hello").await;
    let first = it.shop.send(paid("hello", &pay(&offer, 1))).await;
    assert_eq!(first.status, StatusCode::OK);
    let mut twin = message(&offer, 1);
    twin["resource"] = serde_json::json!({"url": "https://node.example/"});
    let twin = crate::shop::header(&twin);
    let answer = it.shop.send(paid("hello", &twin)).await;
    assert_eq!(answer.error(), "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn a_request_that_may_cost_the_whole_cap_is_paid_for_alone() {
    let (routes, runs_of) = counter(7);
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let it = Sessions::built(Arc::new(Script::default()), &store, routes, |config| {
        config.sessions = Some(SessionRules::new(Amount::new(MAX + 5)));
    });
    let offers = it.shop.send(unpaid("POST", "hello")).await.required();
    assert_eq!(offers["accepts"].as_array().unwrap().len(), 1);
    let payment = it.payment().await;
    let first = it.shop.send(paid("hello", &payment)).await;
    assert!(!first.headers.contains_key("x-upto-session"), "{first:?}");
    assert_ne!(first.settlement().transaction, "");
    // Who lost the answer gets it again, and pays once.
    let again = it.shop.send(paid("hello", &payment)).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(it.settled().await, [7]);
}

#[tokio::test]
async fn a_cost_over_the_cap_is_cut_and_what_follows_is_not_free() {
    // Each request meters far more than it was allowed.
    let (routes, runs_of) = counter(1_000_000);
    let it = Sessions::open(routes);
    let session = it.begin().await;
    let mut last = it.ask(&session).await;
    for _ in 0..2 {
        last = it.ask(&session).await;
    }
    assert_eq!(charge(&last).0, (MAX + 5).to_string());
    // Four ceilings are the cap: it is exhausted, and settled without waiting.
    assert_dead(&it.ask(&session).await);
    assert_eq!(it.drained().await, [CAP]);
    assert_eq!(runs(&runs_of), 4);
    // The client asks again and pays again.
    let next = it.begin().await;
    assert_ne!(next, session);
}

/// Handlers that wait until the gate opens, and how many there are.
fn waiting(gate: &Arc<Semaphore>, amount: u128) -> (MethodRouter, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (gate, count) = (Arc::clone(gate), Arc::clone(&runs));
    let routes = any(move |Extension(payment): Extension<PaymentContext>| {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            payment.meter.set(Amount::new(amount));
            "answer"
        }
    });
    (routes, runs)
}

#[tokio::test]
async fn sixty_four_requests_at_once_share_what_was_signed() {
    let gate = Arc::new(Semaphore::new(1));
    let (routes, runs_of) = waiting(&gate, 7);
    let it = Sessions::open(routes);
    let session = it.begin().await;
    let asked = (0..64).map(|_| {
        let (router, request) = (it.shop.router(), named("hello", &session));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap() })
    });
    let mut asked: Vec<_> = asked.collect();
    // 7 are spent: three ceilings fit below the cap, the others are refused while these run.
    let mut refused = 0;
    while refused < 61 {
        let (response, _, rest) = futures_util::future::select_all(asked).await;
        assert_eq!(response.unwrap().status(), StatusCode::PAYMENT_REQUIRED);
        refused += 1;
        asked = rest;
    }
    gate.add_permits(64);
    for task in asked {
        assert_eq!(task.await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(runs(&runs_of), 4);
    it.wait(101);
    assert_eq!(it.settled().await, [28]);
}

#[tokio::test]
async fn a_session_does_not_end_under_a_stream() {
    let gate = Arc::new(Semaphore::new(0));
    let it = Sessions::open(gated_stream(&gate));
    let response = it.shop.raw(paid("hello", &it.payment().await)).await;
    let session = response.headers()["x-upto-session"].clone();
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    it.wait(150);
    it.shop.paywall.tend_sessions().await;
    assert_eq!(it.shop.settlements(), [], "it works for somebody");
    assert_eq!(it.shop.paywall.sessions(), 1);
    // Its authorization is about to expire: it takes nothing new, and waits for what runs.
    it.wait(100);
    let late = it.ask(session.to_str().unwrap()).await;
    assert_dead(&late);
    it.shop.paywall.tend_sessions().await;
    assert_eq!(it.shop.settlements(), []);
    gate.add_permits(1);
    while let Some(piece) = body.next().await {
        piece.unwrap();
    }
    // The end of the stream is what it waited for: nobody has to look after it.
    assert_eq!(it.drained().await, [9]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_cut_while_its_session_can_still_be_settled() {
    let gate = Arc::new(Semaphore::new(0));
    let it = Sessions::open(gated_stream(&gate));
    let response = it.shop.raw(paid("hello", &it.payment().await)).await;
    let mut body = response.into_body().into_data_stream();
    let began = tokio::time::Instant::now();
    // The shop's clock stands; the time that a request may take passes.
    let mut broke = false;
    while let Some(piece) = body.next().await {
        broke |= piece.is_err();
    }
    assert!(broke);
    assert_eq!(began.elapsed().as_secs(), 280, "20 s before the deadline");
    it.wait(281);
    assert_eq!(it.settled().await, [7]);
}

#[tokio::test]
async fn handlers_that_fail_cost_nothing_and_leave_the_session_alive() {
    let failing = any(|Extension(payment): Extension<PaymentContext>| async move {
        payment.meter.set(Amount::new(7));
        StatusCode::BAD_GATEWAY
    });
    let it = Sessions::open(failing);
    let answer = it.shop.send(paid("hello", &it.payment().await)).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let session = token(&answer);
    assert_eq!(it.ask(&session).await.status, StatusCode::BAD_GATEWAY);
    it.wait(101);
    assert_eq!(it.settled().await, Vec::<u128>::new(), "nothing is due");
    assert_eq!(it.shop.paywall.sessions(), 0);
}

#[tokio::test]
async fn a_restart_settles_what_was_delivered_and_forgets_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paywall.redb");
    let script = Arc::new(Script::default());
    let (payment, session) = {
        let store: Arc<dyn PaywallStore> = Arc::new(FileStore::open(&path).await.unwrap());
        let (routes, _) = counter(7);
        let it = Sessions::built(Arc::clone(&script), &store, routes, |_| {});
        let payment = it.payment().await;
        let first = it.shop.send(paid("hello", &payment)).await;
        assert_eq!(it.ask(&token(&first)).await.status, StatusCode::OK);
        (payment, token(&first))
    };
    assert!(script.settled.lock().unwrap().is_empty(), "it crashed");
    let store: Arc<dyn PaywallStore> = Arc::new(FileStore::open(&path).await.unwrap());
    let (routes, runs_of) = counter(7);
    let it = Sessions::built(script, &store, routes, |_| {});
    assert_eq!(it.shop.paywall.recover().await.unwrap(), 1);
    assert_dead(&it.ask(&session).await);
    let tasks = it.shop.paywall.background();
    assert!(tasks.drain(Duration::from_secs(30)).await);
    assert_eq!(it.shop.settlements(), [Amount::new(14)]);
    // The payment that opened it buys nothing any more, for whatever request.
    for body in ["hello", "other"] {
        let answer = it.shop.send(paid(body, &payment)).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(14)));
    }
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn a_payment_that_comes_back_after_a_crash_settles_its_debt_first() {
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let (routes, _) = counter(7);
    let dead = Sessions::with(Script::default(), &store, routes);
    let payment = dead.payment().await;
    dead.shop.send(paid("hello", &payment)).await;
    let (routes, runs_of) = counter(7);
    let it = Sessions::with(Script::default(), &store, routes);
    // The record is leased by a process that is gone; nobody called `recover`.
    let answer = it.shop.send(paid("other", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    it.wait(60);
    let answer = it.shop.send(paid("other", &payment)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(7)));
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_is_unknown_is_asked_for_again() {
    let script = script([Settling::Lose, Settling::Lose]);
    let (routes, _) = counter(7);
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let it = Sessions::built(Arc::new(script), &store, routes, |config| {
        config.settle_wait = Duration::ZERO;
        config.retry_pause = Duration::from_millis(1);
    });
    let session = it.begin().await;
    it.wait(101);
    it.settled().await;
    let background = it.shop.paywall.background();
    assert!(background.drain(Duration::from_secs(60)).await);
    assert!(it.shop.settlements().len() >= 3);
    assert!(it.shop.settlements().iter().all(|sum| sum.get() == 7));
    assert_dead(&it.ask(&session).await);
}

#[tokio::test]
async fn who_did_not_pay_for_a_session_gets_no_other_one_on_credit() {
    let script = script([Settling::Refuse(Reason::Permit2InsufficientBalance)]);
    let (routes, _) = counter(7);
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let it = Sessions::built(Arc::new(script), &store, routes, |config| {
        // What is owed is asked for again, but not in this test.
        config.retry_pause = Duration::from_secs(3_600);
    });
    it.begin().await;
    it.wait(101);
    assert_eq!(it.settled().await, [7]);
    // The same payment message is accepted, for one request that is settled before it leaves.
    let answer = it.shop.send(paid("hello", &late_payment(&it).await)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("x-upto-session"));
    assert_eq!(it.drained().await, [7, 7]);
}

async fn late_payment(it: &Sessions) -> String {
    pay(&it.shop.offer("hello").await, it.nonce())
}

#[tokio::test]
async fn a_shutdown_settles_every_session() {
    let gate = Arc::new(Semaphore::new(1));
    let (routes, runs_of) = waiting(&gate, 7);
    let it = Sessions::open(routes);
    let session = it.begin().await;
    let (router, request) = (it.shop.router(), named("hello", &session));
    let running =
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap() });
    while runs(&runs_of) < 2 {
        tokio::task::yield_now().await;
    }
    it.shop.paywall.close_sessions();
    assert_dead(&it.ask(&session).await);
    assert_eq!(it.shop.settlements(), [], "one still runs");
    gate.add_permits(1);
    assert_eq!(running.await.unwrap().status(), StatusCode::OK);
    assert_eq!(it.drained().await, [14]);
}

#[tokio::test]
async fn there_is_a_limit_to_sessions_and_then_requests_are_paid_alone() {
    let (routes, _) = counter(7);
    let store: Arc<dyn PaywallStore> = Arc::new(MemoryStore::new());
    let it = Sessions::built(Arc::default(), &store, routes, |config| {
        let rules = SessionRules::new(Amount::new(CAP));
        config.sessions = Some(SessionRules {
            max_sessions: 1,
            ..rules
        });
    });
    it.begin().await;
    let answer = it.shop.send(paid("hello", &it.payment().await)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("x-upto-session"));
    assert_eq!(it.drained().await, [7]);
}

#[tokio::test]
async fn a_payer_has_four_sessions_and_then_pays_for_its_requests_alone() {
    let (routes, _) = counter(7);
    let it = Sessions::open(routes);
    for _ in 0..4 {
        it.begin().await;
    }
    let answer = it.shop.send(paid("hello", &it.payment().await)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("x-upto-session"));
    assert_eq!(it.drained().await, [7]);
    it.wait(101);
    assert_eq!(it.settled().await, [7; 5]);
    it.begin().await;
}

#[tokio::test]
async fn handlers_never_see_a_token() {
    let spy = any(|request: Request<Body>| async move {
        request.headers().contains_key("x-upto-session").to_string()
    });
    let it = Sessions::open(spy);
    let session = it.begin().await;
    assert_eq!(it.ask(&session).await.body.as_ref(), b"false");
}

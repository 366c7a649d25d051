//! The relay, with a node that is a gateway in memory and a purse that only counts.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, StatusCode};
use seamline::pay::{Head, Outlet};
use seamline_core::{Address, Amount, NodeId, Timestamp};
use seamline_ohttp::{
    Aead, Billing, ClientExchange, Entropy, Gateway, GatewayKey, Limits, Profile, SecretKey,
    encapsulate,
};
use seamline_services::relay::{
    Account, BooksError, Carried, Carrier, CarrierFuture, CarryError, Errand, Paid, Relay,
    RelayConfig, Reply, Target, router, token_hash,
};
use tokio::sync::Notify;
use tower::ServiceExt as _;

const TOKEN: &str = "canary-token";
const MAX: Amount = Amount::new(50);

/// How the node behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Whole,
    Stream {
        billed: u128,
        paid: u128,
    },
    NoFinalChunk,
    Html,
    Error,
    Gone,
    Panics,
    Waits,
    /// A stream whose pieces wait for the test.
    Drips,
    /// No head, until its reader has left.
    Mute,
}

struct Node {
    mood: Mood,
    gateway: Gateway,
    seen: Mutex<Vec<Errand>>,
    begun: Notify,
    go_on: Notify,
    ended: Notify,
    configs: AtomicUsize,
}

impl Node {
    fn new(mood: Mood) -> Arc<Self> {
        let secret = SecretKey::derive(&[1; 32]);
        let aeads = [Aead::ChaCha20Poly1305];
        let key = GatewayKey::new(1, secret, &aeads, Profile::OpenGradient).unwrap();
        Arc::new(Self {
            mood,
            gateway: Gateway::new(vec![key]).unwrap(),
            seen: Mutex::default(),
            begun: Notify::new(),
            go_on: Notify::new(),
            ended: Notify::new(),
            configs: AtomicUsize::new(0),
        })
    }

    fn answer(&self, errand: &Errand) -> Carried {
        let (_, server) = self
            .gateway
            .decapsulate(Profile::OpenGradient, &errand.body)
            .unwrap();
        let reply = |media_type: &str, status, body: Vec<u8>| {
            Ok(Reply {
                status,
                media_type: media_type.to_owned(),
                body: body.into(),
            })
        };
        let whole = |server: seamline_ohttp::ServerExchange| {
            server.seal(b"an answer", Entropy::new([2; 32])).unwrap()
        };
        let (reply, paid) = match self.mood {
            Mood::Whole | Mood::Waits => (reply("message/ohttp-res", 200, whole(server)), 7),
            Mood::Drips | Mood::Mute => (Err(CarryError::Node), 2),
            Mood::Stream { billed, paid } => {
                let body = stream(server, Some(billed));
                (reply("message/ohttp-chunked-res", 200, body), paid)
            }
            Mood::NoFinalChunk => {
                let mut body = stream(server, Some(3));
                body.truncate(80);
                (reply("message/ohttp-chunked-res", 200, body), 3)
            }
            Mood::Html => (reply("text/html", 200, b"<canary>".to_vec()), 4),
            Mood::Error => (reply("application/json", 400, b"{}".to_vec()), 0),
            Mood::Gone => (Err(CarryError::Node), 0),
            Mood::Panics => panic!("a carrier that panics"),
        };
        let paid = match self.mood {
            // Not settled, as far as anybody knows.
            Mood::Error => Paid::UpTo(MAX),
            Mood::Whole
            | Mood::Stream { .. }
            | Mood::NoFinalChunk
            | Mood::Html
            | Mood::Gone
            | Mood::Panics
            | Mood::Drips
            | Mood::Mute
            | Mood::Waits => Paid::Exactly(Amount::new(paid)),
        };
        Carried { reply, paid }
    }
}

const PATIENCE: core::time::Duration = core::time::Duration::from_secs(30);

fn head(media_type: &str) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", media_type.parse().unwrap());
    Head::new(200, headers)
}

impl Node {
    /// An answer at once, or when the test says so. As a payer does: one of success passes.
    async fn whole(&self, errand: &Errand, outlet: &mut Outlet) -> Carried {
        if self.mood == Mood::Mute {
            self.begun.notify_one();
            outlet.left().await;
        }
        if self.mood == Mood::Waits {
            self.begun.notify_one();
            self.go_on.notified().await;
        }
        let mut carried = self.answer(errand);
        if let Ok(reply) = &mut carried.reply
            && reply.status == 200
        {
            outlet.open(head(&reply.media_type));
            let body = std::mem::take(&mut reply.body);
            let passed = outlet.pass(body, PATIENCE).await;
            outlet.end(passed);
        }
        carried
    }

    /// Two events and the end, each when the test says so, as long as somebody reads.
    async fn drip(&self, errand: &Errand, outlet: &mut Outlet) -> Carried {
        let opened = self
            .gateway
            .decapsulate(Profile::OpenGradient, &errand.body);
        let (start, mut sealer) = opened
            .unwrap()
            .1
            .seal_chunked(Entropy::new([2; 32]))
            .unwrap();
        outlet.open(head("message/ohttp-chunked-res"));
        assert!(outlet.pass(start.into(), PATIENCE).await);
        let mut paid = Amount::ZERO;
        for _ in 0..2 {
            let event = sealer.seal(b"data: {}\n\n").unwrap();
            assert!(outlet.pass(event.into(), PATIENCE).await);
            paid = Amount::new(paid.get() + 1);
            tokio::select! {
                () = self.go_on.notified() => {}
                () = outlet.left() => {
                    let reply = Err(CarryError::Node);
                    return Carried { reply, paid: Paid::Exactly(paid) };
                }
            }
        }
        let last = sealer.finish(b"data: [DONE]\n\n").unwrap();
        let last = [bill(3), last].concat();
        outlet.end(outlet.pass(last.into(), PATIENCE).await);
        let reply = Reply {
            status: 200,
            media_type: "message/ohttp-chunked-res".to_owned(),
            body: Bytes::new(),
        };
        // The settlement shows later.
        self.go_on.notified().await;
        let paid = Paid::Exactly(Amount::new(3));
        Carried {
            reply: Ok(reply),
            paid,
        }
    }
}

fn bill(cost: u128) -> Vec<u8> {
    let billing = Billing {
        cost_opg: cost.to_string(),
        cost_usd: "0".to_owned(),
        opg_price_usd: "0".to_owned(),
    };
    billing.encode().unwrap()
}

fn stream(server: seamline_ohttp::ServerExchange, billed: Option<u128>) -> Vec<u8> {
    let (mut body, mut sealer) = server.seal_chunked(Entropy::new([2; 32])).unwrap();
    body.extend(sealer.seal(b"data: {}\n\n").unwrap());
    if let Some(billed) = billed {
        body.extend(bill(billed));
    }
    body.extend(sealer.finish(b"data: [DONE]\n\n").unwrap());
    body
}

impl Carrier for Node {
    fn carry(&self, errand: Errand, mut outlet: Outlet) -> CarrierFuture<'_, Carried> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(errand.clone());
            let carried = if self.mood == Mood::Drips {
                self.drip(&errand, &mut outlet).await
            } else {
                self.whole(&errand, &mut outlet).await
            };
            drop(outlet);
            self.ended.notify_one();
            carried
        })
    }

    fn config(&self, _: Target) -> CarrierFuture<'_, Result<Bytes, CarryError>> {
        self.configs.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Bytes::from_static(b"{\"key_id\":1}")) })
    }
}

struct Desk {
    node: Arc<Node>,
    relay: Relay,
}

fn node_id() -> NodeId {
    NodeId::of_signing_key(b"key")
}

impl Desk {
    fn open(mood: Mood) -> Self {
        Self::with(mood, 100, 10)
    }

    fn with(mood: Mood, per_day: u128, per_minute: u32) -> Self {
        Self::kept(mood, per_day, per_minute, None)
    }

    fn kept(mood: Mood, per_day: u128, per_minute: u32, books: Option<&Path>) -> Self {
        let node = Node::new(mood);
        let account = Account {
            token_sha256: token_hash(TOKEN),
            per_day: Amount::new(per_day),
            per_minute,
            at_once: 2,
        };
        let clock = Arc::new(|| Timestamp::from_secs(1_780_272_000));
        let mut config = RelayConfig::new(vec![account], MAX, clock);
        config.books = books.map(Path::to_owned);
        let carrier: Arc<dyn Carrier> = Arc::<Node>::clone(&node);
        let relay = Relay::new(config, carrier).unwrap();
        let address = Address::repeat_byte(1);
        let target = Target::new(node_id(), "https://node.example", vec![1], address);
        relay.set_targets([target.unwrap()]);
        Self { node, relay }
    }

    fn sealed(&self) -> (Vec<u8>, ClientExchange) {
        let config = self.node.gateway.keys()[0].config();
        let entropy = Entropy::new([3; 32]);
        encapsulate(config, Profile::OpenGradient, b"canary", entropy).unwrap()
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        let response = router(self.relay.clone()).oneshot(request).await.unwrap();
        let media_type = response.headers().get("content-type");
        let media_type = media_type.map(|it| it.to_str().unwrap().to_owned());
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await;
        self.drain().await;
        // An answer that breaks off has no body here.
        let body = body.unwrap_or_default().to_vec();
        (status, media_type.unwrap_or_default(), body)
    }

    /// Asks and leaves the answer to be read.
    async fn begin(&self, request: Request<Body>) -> Response {
        router(self.relay.clone()).oneshot(request).await.unwrap()
    }

    async fn drain(&self) {
        assert!(self.relay.tasks().drain(PATIENCE).await);
    }

    fn spent(&self) -> (u128, u128) {
        let (spent, reserved) = self.relay.spent(&token_hash(TOKEN)).unwrap();
        (spent.get(), reserved.get())
    }
}

fn request(body: &[u8]) -> http::request::Builder {
    let tee_id = node_id().to_string();
    Request::builder()
        .method("POST")
        .uri("/api/v1/chat/ohttp")
        .header("content-length", body.len())
        .header("content-type", "message/ohttp-req")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("x-tee-id", tee_id.trim_start_matches("0x"))
        .header("cookie", "canary")
        .header("x-forwarded-for", "canary")
}

fn ask(body: &[u8]) -> Request<Body> {
    request(body).body(Body::from(body.to_vec())).unwrap()
}

#[tokio::test]
async fn a_request_passes_untouched_and_alone() {
    let desk = Desk::open(Mood::Whole);
    let (body, client) = desk.sealed();
    let (status, media_type, answer) = desk.send(ask(&body)).await;
    assert_eq!(
        (status, &*media_type),
        (StatusCode::OK, "message/ohttp-res")
    );
    assert_eq!(client.open(&answer).unwrap()[..], *b"an answer");
    // The node gets these bytes at this path; an errand has no room for anything about the sender.
    let seen = desk.node.seen.lock().unwrap().clone();
    assert_eq!((seen[0].path, &seen[0].body[..]), ("/v1/ohttp", &body[..]));
    assert_eq!(desk.spent(), (7, 0));
}

#[tokio::test]
async fn the_bill_is_taken_out_and_bounds_what_an_account_pays() {
    for (billed, paid, charged) in [(5, 5, 5), (5, 9, 5), (9, 5, 5)] {
        let desk = Desk::open(Mood::Stream { billed, paid });
        let (body, client) = desk.sealed();
        let (status, _, answer) = desk.send(ask(&body)).await;
        assert_eq!(status, StatusCode::OK);
        let mut opener = client.open_chunked(Limits::default()).unwrap();
        assert_eq!(opener.push(&answer).unwrap().len(), 1);
        assert_eq!(opener.finish().unwrap()[..], *b"data: [DONE]\n\n");
        assert_eq!(desk.spent(), (charged, 0));
    }
}

#[tokio::test]
async fn an_answer_of_another_kind_is_not_passed_on() {
    for (mood, status, cost) in [
        (Mood::Html, StatusCode::BAD_GATEWAY, 4),
        // Its head has left by then: the body breaks off.
        (Mood::NoFinalChunk, StatusCode::OK, 3),
        (Mood::Gone, StatusCode::BAD_GATEWAY, 0),
        // Nobody knows what it cost.
        (Mood::Panics, StatusCode::SERVICE_UNAVAILABLE, 50),
    ] {
        let desk = Desk::open(mood);
        let (found, _, body) = desk.send(ask(&desk.sealed().0)).await;
        assert_eq!(found, status);
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
        assert_eq!(desk.spent(), (cost, 0));
    }
}

#[tokio::test]
async fn who_causes_errors_reserves_of_its_own_budget() {
    let desk = Desk::open(Mood::Error);
    let (body, _) = desk.sealed();
    for status in [400, 400, 402] {
        assert_eq!(desk.send(ask(&body)).await.0, status);
    }
    // Nothing is charged, and what the node could still settle is not there for a third.
    assert_eq!(desk.spent(), (0, 100));
}

#[tokio::test]
async fn a_key_configuration_is_asked_for_within_the_rate_and_kept() {
    let desk = Desk::with(Mood::Whole, 100, 2);
    let url = format!("/ohttp/{}/config", node_id());
    for status in [200, 200, 429] {
        let request = Request::get(&url).header("authorization", format!("Bearer {TOKEN}"));
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(desk.begin(request).await.status(), status);
    }
    assert_eq!(desk.node.configs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn it_is_no_open_proxy() {
    let desk = Desk::open(Mood::Whole);
    let (body, _) = desk.sealed();
    let with = |name: &'static str, value: &str| {
        let mut request = ask(&body);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut anonymous = ask(&body);
    anonymous.headers_mut().remove("authorization");
    let large = vec![0; 1024 * 1024 + 1];
    for (request, status) in [
        (anonymous, StatusCode::UNAUTHORIZED),
        (
            with("authorization", "Bearer other"),
            StatusCode::UNAUTHORIZED,
        ),
        (with("authorization", TOKEN), StatusCode::UNAUTHORIZED),
        (
            with("x-tee-id", "https://evil.example"),
            StatusCode::BAD_GATEWAY,
        ),
        (with("x-tee-id", &"0".repeat(64)), StatusCode::BAD_GATEWAY),
        (with("x-tee-id", ""), StatusCode::BAD_GATEWAY),
        (
            with("content-type", "application/json"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (ask(&body[..54]), StatusCode::BAD_REQUEST),
        (ask(&large), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(desk.send(request).await.0, status);
    }
    // A node that left the registry is none.
    desk.relay.set_targets([]);
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::BAD_GATEWAY);
    assert!(desk.node.seen.lock().unwrap().is_empty());
    assert_eq!(desk.spent(), (0, 0));
}

#[tokio::test]
async fn a_stranger_s_body_is_not_read() {
    let desk = Desk::open(Mood::Whole);
    // It never ends: whoever read it would not answer.
    let endless =
        || Body::from_stream(futures_util::stream::pending::<Result<Bytes, CarryError>>());
    let stranger = Request::post("/api/v1/chat/ohttp").header("authorization", "Bearer stranger");
    let bearer = format!("Bearer {TOKEN}");
    let nowhere = Request::post("/ohttp/00").header("authorization", &bearer);
    for (request, status) in [(stranger, 401), (nowhere, 502)] {
        let request = request.body(endless()).unwrap();
        assert_eq!(desk.begin(request).await.status(), status);
    }
}

#[tokio::test]
async fn budgets_and_rates_hold() {
    let desk = Desk::with(Mood::Whole, 56, 10);
    let (body, _) = desk.sealed();
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::OK);
    // Seven are spent: the next request could cost fifty.
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::PAYMENT_REQUIRED);
    let desk = Desk::with(Mood::Gone, 1_000, 1);
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(desk.node.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_leaves_pays_all_the_same() {
    let desk = Desk::open(Mood::Waits);
    let (body, _) = desk.sealed();
    let asked = tokio::spawn(router(desk.relay.clone()).oneshot(ask(&body)));
    desk.node.begun.notified().await;
    assert_eq!(desk.spent(), (0, 50));
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    assert_eq!(desk.relay.tasks().len(), 1);
    desk.node.go_on.notify_one();
    desk.node.ended.notified().await;
    desk.drain().await;
    assert_eq!(desk.spent(), (7, 0));
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_without_the_bill() {
    let desk = Desk::open(Mood::Drips);
    let (body, client) = desk.sealed();
    let response = desk.begin(ask(&body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut pieces = response.into_body().into_data_stream();
    let mut opener = client.open_chunked(Limits::default()).unwrap();
    for _ in 0..2 {
        // The next is made only after this one was read.
        let mut events = Vec::new();
        while events.is_empty() {
            let piece = pieces.next().await.unwrap().unwrap();
            events = opener.push(&piece).unwrap();
        }
        assert_eq!(events.len(), 1);
        assert_eq!(desk.spent(), (0, 50));
        desk.node.go_on.notify_one();
    }
    while let Some(piece) = pieces.next().await {
        assert!(opener.push(&piece.unwrap()).unwrap().is_empty());
    }
    assert_eq!(opener.finish().unwrap()[..], *b"data: [DONE]\n\n");
    // The caller has all of it; the settlement is waited for without them.
    assert_eq!(desk.spent(), (0, 50));
    desk.node.go_on.notify_one();
    desk.drain().await;
    assert_eq!(desk.spent(), (3, 0));
}

#[tokio::test]
async fn who_stops_a_stream_stops_the_node_and_pays_what_was_served() {
    let desk = Desk::open(Mood::Drips);
    let (body, _) = desk.sealed();
    let response = desk.begin(ask(&body)).await;
    let mut pieces = response.into_body().into_data_stream();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    // Nobody lets the node go on: it ends because its reader left.
    desk.node.ended.notified().await;
    desk.drain().await;
    assert_eq!(desk.spent(), (1, 0));
}

#[tokio::test]
async fn a_stream_can_be_stopped_before_it_begins() {
    let desk = Desk::open(Mood::Mute);
    let (body, _) = desk.sealed();
    let mut request = ask(&body);
    let yes = "true".parse().unwrap();
    request.headers_mut().insert("x-ohttp-stream", yes);
    let asked = tokio::spawn(router(desk.relay.clone()).oneshot(request));
    desk.node.begun.notified().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    desk.node.ended.notified().await;
    desk.drain().await;
    assert_eq!(desk.spent(), (2, 0));
}

#[tokio::test]
async fn two_at_once_do_not_overdraw() {
    let desk = Desk::with(Mood::Waits, 99, 10);
    let (body, _) = desk.sealed();
    let first = tokio::spawn(router(desk.relay.clone()).oneshot(ask(&body)));
    desk.node.begun.notified().await;
    // Fifty are reserved, and another fifty are not there.
    let second = desk.begin(ask(&body)).await;
    assert_eq!(second.status(), StatusCode::PAYMENT_REQUIRED);
    desk.node.go_on.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    desk.drain().await;
    assert_eq!(desk.node.seen.lock().unwrap().len(), 1);
    assert_eq!(desk.spent(), (7, 0));
}

#[tokio::test]
async fn a_restart_does_not_fill_an_account_up() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("relay.redb");
    let desk = Desk::kept(Mood::Whole, 56, 10, Some(&books));
    let (body, _) = desk.sealed();
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::OK);
    drop(desk);
    let desk = Desk::kept(Mood::Whole, 56, 10, Some(&books));
    assert_eq!(desk.spent(), (7, 0));
    assert_eq!(desk.send(ask(&body)).await.0, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn two_accounts_with_one_token_are_refused() {
    let account = Account {
        token_sha256: token_hash(TOKEN),
        per_day: MAX,
        per_minute: 1,
        at_once: 1,
    };
    let clock = Arc::new(|| Timestamp::from_secs(1));
    let config = RelayConfig::new(vec![account.clone(), account], MAX, clock);
    let carrier: Arc<dyn Carrier> = Node::new(Mood::Whole);
    let refused = Relay::new(config, carrier).err();
    assert!(matches!(refused, Some(BooksError::Twice)));
}

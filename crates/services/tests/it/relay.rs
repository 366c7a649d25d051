//! The relay, with a node that is a gateway in memory and a purse that only counts.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use http::{Request, StatusCode};
use seamline_core::{Address, Amount, NodeId, Timestamp};
use seamline_ohttp::{
    Aead, Billing, ClientExchange, Entropy, Gateway, GatewayKey, Limits, Profile, SecretKey,
    encapsulate,
};
use seamline_services::relay::{
    Account, Carried, Carrier, CarrierFuture, CarryError, Denied, Errand, Paid, Relay, RelayConfig,
    Reply, Target, router, token_hash,
};
use tokio::sync::Notify;
use tower::ServiceExt as _;

const TOKEN: &str = "canary-token";
const MAX: Amount = Amount::new(50);

/// How the node behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Whole,
    Stream { billed: u128, paid: u128 },
    NoFinalChunk,
    Html,
    Error,
    Gone,
    Panics,
    Waits,
}

struct Node {
    mood: Mood,
    gateway: Gateway,
    seen: Mutex<Vec<Errand>>,
    begun: Notify,
    go_on: Notify,
    ended: Notify,
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
            | Mood::Waits => Paid::Exactly(Amount::new(paid)),
        };
        Carried { reply, paid }
    }
}

fn stream(server: seamline_ohttp::ServerExchange, billed: Option<u128>) -> Vec<u8> {
    let (mut body, mut sealer) = server.seal_chunked(Entropy::new([2; 32])).unwrap();
    body.extend(sealer.seal(b"data: {}\n\n").unwrap());
    if let Some(billed) = billed {
        let billing = Billing {
            cost_opg: billed.to_string(),
            cost_usd: "0".to_owned(),
            opg_price_usd: "0".to_owned(),
        };
        body.extend(billing.encode().unwrap());
    }
    body.extend(sealer.finish(b"data: [DONE]\n\n").unwrap());
    body
}

impl Carrier for Node {
    fn carry(&self, errand: Errand) -> CarrierFuture<'_, Carried> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(errand.clone());
            if self.mood == Mood::Waits {
                self.begun.notify_one();
                self.go_on.notified().await;
            }
            let carried = self.answer(&errand);
            self.ended.notify_one();
            carried
        })
    }

    fn config(&self, _: Target) -> CarrierFuture<'_, Result<Bytes, CarryError>> {
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
        let node = Node::new(mood);
        let account = Account {
            token_sha256: token_hash(TOKEN),
            per_day: Amount::new(per_day),
            per_minute,
            at_once: 2,
        };
        let clock = Arc::new(|| Timestamp::from_secs(1_780_272_000));
        let config = RelayConfig::new(vec![account], MAX, clock);
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
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, media_type.unwrap_or_default(), body.to_vec())
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
        (Mood::NoFinalChunk, StatusCode::BAD_GATEWAY, 3),
        (Mood::Gone, StatusCode::BAD_GATEWAY, 0),
        (Mood::Error, StatusCode::BAD_REQUEST, 0),
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
    assert!(
        desk.relay
            .tasks()
            .drain(core::time::Duration::from_secs(30))
            .await
    );
    assert_eq!(desk.spent(), (7, 0));
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
    assert_eq!(Relay::new(config, carrier).err(), Some(Denied::Unknown));
}

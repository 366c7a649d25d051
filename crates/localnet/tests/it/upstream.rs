//! A second kind of upstream behind a node: any OpenAI-compatible endpoint, paid and proven like the first.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::U256;
use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use seamline::{Chat, Client, Env};
use seamline_core::{Charged, Fault};
use seamline_enclave::{OpenAiOptions, OpenAiUpstream};
use seamline_localnet::{Config, Localnet};
use seamline_net::ClientOptions;
use seamline_verify::{Level, Status};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Seen, World, books, honest, tokens};

const MODEL: &str = "local/tiny";
const WHOLE: &str = r#"{"choices": [{"message": {"role": "assistant", "content": "Hello from afar"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}"#;
const STREAM: &str = "data: {\"choices\": [{\"delta\": {\"content\": \"Hello \"}}]}\n\n\
data: {\"choices\": [{\"delta\": {\"content\": \"from afar\"}, \"finish_reason\": \"stop\"}]}\n\n\
data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}}\n\n\
data: [DONE]\n\n";

/// How the endpoint behaves.
#[derive(Clone, Copy)]
enum Endpoint {
    Honest,
    Says(u16, &'static str),
    Silent,
}

type Asked = Arc<Mutex<Vec<Value>>>;

/// Serves an endpoint on loopback; returns its base URL and what it is asked.
async fn serve(endpoint: Endpoint) -> (String, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let handler = move |body: axum::body::Bytes| async move {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let streams = request["stream"] == json!(true);
        noted.lock().unwrap().push(request);
        let (status, kind, text) = match endpoint {
            Endpoint::Honest if streams => (200, "text/event-stream", STREAM),
            Endpoint::Honest => (200, "application/json", WHOLE),
            Endpoint::Says(status, text) => (status, "application/json", text),
            Endpoint::Silent => std::future::pending().await,
        };
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let response: Response = (status, [("content-type", kind)], text).into_response();
        response
    };
    let router = Router::new().route("/v1/chat/completions", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(seamline_net::serve(
        listener,
        router,
        std::future::pending(),
    ));
    (base, asked)
}

/// A world whose only node forwards to `endpoint`.
async fn world(endpoint: Endpoint) -> (World, Asked) {
    let (base_url, asked) = serve(endpoint).await;
    let client = ClientOptions {
        idle_timeout: Duration::from_millis(300),
        ..ClientOptions::default()
    };
    let upstream = OpenAiUpstream::new(OpenAiOptions {
        base_url,
        api_key: None,
        models: BTreeMap::from([(MODEL.to_owned(), "tiny-1b".to_owned())]),
        client,
    });
    let mut node = honest("forwarder");
    node.upstream = Some(Arc::new(upstream.unwrap()));
    (World::new(vec![node]), asked)
}

fn greeting() -> Chat {
    Chat::model(MODEL).user("Say hello.").max_tokens(64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_answer_is_paid_and_proven_up_to_the_weights() {
    let (world, asked) = world(Endpoint::Honest).await;
    let (net, client) = world.start().await;
    let payer = world.wallet().address();
    let (total, before) = books(&net, payer).await;
    let mut paid = U256::ZERO;
    for stream in [false, true] {
        let mut seen = Seen::default();
        let reply = client
            .chat_watched(&greeting().stream(stream), &mut seen)
            .await
            .unwrap();
        assert_eq!(reply.text, "Hello from afar");
        assert_eq!(seen.text.is_empty(), !stream);
        assert_eq!(reply.charged, Charged::Yes);
        assert_eq!(
            (reply.verdict.status, reply.verdict.level),
            (Status::Satisfied, Level::L3)
        );
        assert!(
            reply
                .verdict
                .not_proven
                .iter()
                .any(|sentence| sentence.contains("weights")),
            "{:?}",
            reply.verdict.not_proven
        );
        // Metered by the upstream's own count: 7 tokens in at 2, 3 out at 8 OPG per million.
        let settled = reply.settled.unwrap();
        assert_eq!(settled.get(), (7 * 2 + 3 * 8) * 10_u128.pow(12));
        paid += U256::from(settled.get());
    }
    let (total_after, after) = books(&net, payer).await;
    assert_eq!((total_after, before - after), (total, paid));
    net.stop().await;
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked.len(),
        2,
        "an upstream that bills is asked once per call"
    );
    assert_eq!(asked[0]["model"], json!("tiny-1b"));
    assert_eq!(asked[0]["max_tokens"], json!(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_upstream_costs_nothing() {
    let failing = [
        (Endpoint::Says(500, "{}"), false),
        (Endpoint::Says(401, "{}"), true),
        (Endpoint::Says(200, "this is no chat completion"), false),
        (Endpoint::Says(200, "this is no event stream"), true),
        (Endpoint::Says(200, r#"{"choices": []}"#), false),
        (Endpoint::Silent, false),
        (Endpoint::Silent, true),
    ];
    futures_util::future::join_all(failing.map(|(endpoint, stream)| fails(endpoint, stream))).await;
}

/// Makes a call whose upstream fails, and waits, by a clock of its own, until the chain has the last word.
async fn fails(endpoint: Endpoint, stream: bool) {
    let (world, _) = world(endpoint).await;
    let ahead = Arc::new(AtomicU64::new(0));
    let env = clock(&ahead);
    let now = env.clone();
    let mut config = Config::in_memory(Arc::new(move || now.now()));
    config.nodes.clone_from(&world.nodes);
    let net = Localnet::start(config).await.unwrap();
    net.fund(&world.wallet()).await.unwrap();
    let mut config = world.config(&net, world.trust(&net), net.rpc_url());
    config.env = env.clone();
    let client = Client::open(config).unwrap();

    let payer = world.wallet().address();
    let before = tokens(&net, payer).await;
    let error = client.chat(&greeting().stream(stream)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Node, "{error}");
    // The authorization is out: until its deadline the node could still settle it.
    assert_eq!(error.charged(), Charged::Unknown, "{error}");
    assert!(error.receipt().is_some());

    // The first block after the deadline proves that it did not.
    ahead.store(600, Ordering::SeqCst);
    net.heartbeat(env.now()).unwrap();
    let recovered = client.recover().await.unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].charged, Charged::No);
    assert_eq!(tokens(&net, payer).await, before);
    net.stop().await;
}

/// The system's clock, as many seconds ahead as `ahead` says.
fn clock(ahead: &Arc<AtomicU64>) -> Env {
    let (system, ahead) = (Env::system(), Arc::clone(ahead));
    let now = move || {
        let by = Duration::from_secs(ahead.load(Ordering::SeqCst));
        system.now().saturating_add(by)
    };
    Env::new(now, |bytes| {
        getrandom::fill(bytes).map_err(|_| seamline::EntropyError)
    })
}

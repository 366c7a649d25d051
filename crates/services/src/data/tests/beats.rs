//! `POST /heartbeat`.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use seamline_core::NodeId;
use seamline_core::canonical::heartbeat_hash;
use seamline_evm::heartbeat::Heartbeat;
use serde_json::json;

use super::http::{Said, ask, error, json_of};
use super::world::{CONTRACT, NOW, REGISTRY, SPKI, World, sign};
use crate::data::DataDesk;

fn beat(signed_s: u64) -> Heartbeat {
    let node = NodeId::of_signing_key(SPKI);
    Heartbeat {
        node,
        timestamp: signed_s,
        signature: sign(SPKI, &heartbeat_hash(node, signed_s)).into(),
    }
}

async fn deliver(desk: &DataDesk, body: String) -> Said {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/heartbeat")
        .header("content-type", "application/json")
        .body(Body::from(body));
    ask(desk, request.unwrap()).await
}

#[tokio::test]
async fn heartbeats_are_answered_with_what_may_be_done_about_it() {
    let world = World::new();
    let desk = world.desk(false);
    let good = beat(NOW - 300).post_body(REGISTRY);
    let mut forged = beat(NOW - 300);
    forged.timestamp += 1;
    let mut unknown = beat(NOW - 300);
    unknown.node = NodeId::of_signing_key(b"another key");
    let refused = [
        (String::new(), "missing or malformed"),
        ("[]".to_owned(), "missing or malformed"),
        ("{}".to_owned(), "missing or malformed"),
        (good.replace("0x", "0y"), "missing or malformed"),
        (beat(NOW - 300).post_body(CONTRACT), "another registry"),
        (forged.post_body(REGISTRY), "signature"),
        (unknown.post_body(REGISTRY), "no such enabled node"),
        (beat(NOW + 1).post_body(REGISTRY), "future"),
        (beat(NOW - 1801).post_body(REGISTRY), "older"),
    ];
    for (body, word) in refused {
        let said = deliver(&desk, body).await;
        assert_eq!(said.0, 400, "{word}");
        assert!(error(&said).contains(word), "{} / {word}", error(&said));
    }
    assert_eq!(world.state().beats, 0);
    // Nobody's fault: it may come again.
    world.state().silent = true;
    world.advance(16);
    assert_eq!(
        deliver(&world.desk(false), good.clone()).await.0,
        StatusCode::SERVICE_UNAVAILABLE.as_u16()
    );
    world.state().silent = false;
    let said = deliver(&desk, good.clone()).await;
    assert_eq!(said.0, 200);
    let told = json_of(&said);
    assert_eq!(told["success"], json!(true));
    assert_eq!(told["timestamp"], json!((NOW - 300).to_string()));
    assert_eq!(told["contract"], json!(REGISTRY.to_string()));
    // The same one again costs no transaction; a newer one has to wait.
    assert_eq!(deliver(&desk, good).await, said);
    let soon = deliver(&desk, beat(NOW - 200).post_body(REGISTRY)).await;
    assert_eq!((soon.0, soon.1.as_deref()), (429, Some("60")));
    assert_eq!(world.state().beats, 1);
}

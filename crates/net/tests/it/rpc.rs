//! JSON-RPC over a loopback socket.

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use seamline_evm::rpc::TransportKind;
use seamline_evm::{Rpc as _, RpcCall, TransportError};
use seamline_net::{HttpRpc, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Sends `count` calls to an endpoint that answers `status` and `body`.
async fn ask(status: StatusCode, body: String, count: usize) -> Result<usize, TransportError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move || async move { (status, body) };
    let router = Router::new().route("/", post(answer));
    let server = tokio::spawn(serve(listener, router, core::future::pending()));
    let calls = vec![RpcCall::chain_id(); count];
    let results = HttpRpc::loopback(url).unwrap().batch(&calls).await;
    server.abort();
    results.map(|results| results.len())
}

fn answer(count: usize) -> String {
    let answers: Vec<Value> = (0..count)
        .map(|id| json!({"jsonrpc": "2.0", "id": id, "result": "0x7b7a"}))
        .collect();
    json!(answers).to_string()
}

#[tokio::test]
async fn a_batch_is_one_exchange() {
    assert_eq!(ask(StatusCode::OK, answer(3), 3).await, Ok(3));
}

#[tokio::test]
async fn what_is_not_an_answer_is_a_transport_error() {
    let kind = |result: Result<usize, TransportError>| result.unwrap_err().kind;
    let status = StatusCode::BAD_GATEWAY;
    assert_eq!(
        kind(ask(status, answer(1), 1).await),
        TransportKind::Status(502)
    );
    let missing = ask(StatusCode::OK, answer(1), 2).await;
    assert_eq!(kind(missing), TransportKind::Malformed);
    let page = ask(StatusCode::OK, "<html>".to_owned(), 1).await;
    assert_eq!(kind(page), TransportKind::Malformed);
    let nothing = ask(StatusCode::OK, answer(101), 101).await;
    assert_eq!(kind(nothing), TransportKind::TooLarge);
}

#[tokio::test]
async fn no_endpoint_is_unreachable_and_no_call_is_no_exchange() {
    let rpc = HttpRpc::loopback("http://127.0.0.1:1").unwrap();
    let error = rpc.batch(&[RpcCall::chain_id()]).await.unwrap_err();
    assert_eq!(error.kind, TransportKind::Unreachable);
    assert!(!error.detail.contains("127.0.0.1:1/"), "{}", error.detail);
    assert_eq!(rpc.batch(&[]).await, Ok(Vec::new()));
}

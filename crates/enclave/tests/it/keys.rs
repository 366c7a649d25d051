//! Keys of model APIs, handed to a running enclave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use seamline_enclave::{
    Enclave, MockUpstream, OpenAiOptions, OpenAiUpstream, ProviderKeys, serve_keys,
};
use seamline_net::{ClientOptions, HttpClient, http_client};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::opengradient::dollars;
use crate::shop::{Shop, chat};

const ASKED: &str = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}"#;

async fn desk(enclave: &Arc<Enclave>, keys: &ProviderKeys) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (enclave, keys) = (Arc::clone(enclave), keys.clone());
    tokio::spawn(async move {
        serve_keys(&enclave, keys, listener, core::future::pending())
            .await
            .unwrap();
    });
    at
}

fn client() -> HttpClient {
    http_client(ClientOptions::default()).unwrap()
}

async fn post(at: SocketAddr, headers: HeaderMap, body: &str) -> (StatusCode, Value) {
    let mut request = Request::post(format!("http://{at}/v1/keys"));
    let defaults = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    let all = HeaderMap::from_iter(defaults);
    let target = request.headers_mut().unwrap();
    target.extend(all);
    target.extend(headers);
    let request = request.body(bytes::Bytes::from(body.to_owned())).unwrap();
    let response = client().send(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn keys_are_taken_once() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let keys = ProviderKeys::new();
    let at = desk(&shop.enclave, &keys).await;
    for body in ["", "{}", "[]", "null", "key"] {
        let (status, answer) = post(at, HeaderMap::new(), body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"], "JSON body required");
    }
    assert!(!keys.are_set());
    let body = json!({"openai_api_key": "a", "xai_api_key": "b", "google_api_key": "",
        "facilitator_url": "http://127.0.0.1:3002/", "tee_heartbeat_interval": "x"});
    let (status, answer) = post(at, HeaderMap::new(), &body.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "status": "ok", "heartbeat_enabled": false, "providers_initialized": ["openai", "xai"],
    });
    assert_eq!(answer, expected);
    assert!(keys.are_set());
    let (status, answer) = post(at, HeaderMap::new(), &body.to_string()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let text = "Provider keys have already been initialized";
    assert_eq!(answer["error"], text);
}

#[tokio::test]
async fn where_money_goes_cannot_be_handed_over() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let keys = ProviderKeys::new();
    let at = desk(&shop.enclave, &keys).await;
    for (member, value) in [
        ("facilitator_url", "https://elsewhere.example"),
        (
            "heartbeat_contract_address",
            "0x4444444444444444444444444444444444444444",
        ),
    ] {
        let body = json!({"openai_api_key": "a", member: value});
        let (status, _) = post(at, HeaderMap::new(), &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{member}");
    }
    assert!(!keys.are_set());
}

#[tokio::test]
async fn pages_in_a_browser_cannot_reach_it() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let keys = ProviderKeys::new();
    let at = desk(&shop.enclave, &keys).await;
    let body = r#"{"openai_api_key": "a"}"#;
    for (name, value, status) in [
        (header::HOST, "rebound.example", 403),
        (header::ORIGIN, "https://page.example", 403),
        (header::CONTENT_TYPE, "text/plain", 400),
    ] {
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
        let (refused, _) = post(at, headers, body).await;
        assert_eq!(refused.as_u16(), status, "{name}");
    }
    assert!(!keys.are_set());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve_keys(
        &shop.enclave,
        ProviderKeys::new(),
        listener,
        core::future::pending(),
    )
    .await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::PermissionDenied
    );
}

#[tokio::test]
async fn nothing_is_sold_before_its_key_is_there() {
    let keys = ProviderKeys::new();
    let options = OpenAiOptions {
        base_url: "http://127.0.0.1:9/v1".to_owned(),
        api_key: None,
        models: BTreeMap::from([("gpt-5".to_owned(), "gpt-5".to_owned())]),
        client: ClientOptions::default(),
    };
    let upstream = OpenAiUpstream::new(options).unwrap();
    let upstream = upstream.with_keys(keys.clone(), "openai");
    let shop = Shop::with(dollars(), Arc::new(upstream));
    let answer = shop.send(chat(ASKED)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let text = "Provider keys have not been initialized yet";
    assert_eq!(answer.json()["error"], text);
    let at = desk(&shop.enclave, &keys).await;
    post(at, HeaderMap::new(), r#"{"openai_api_key": "a"}"#).await;
    let answer = shop.send(chat(ASKED)).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
}

//! Oblivious HTTP, as a client behind a relay and as that relay see it.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use seamline_core::Amount;
use seamline_core::canonical::{ChatRequest, OhttpConfig, ohttp_config_hash};
use seamline_enclave::MockUpstream;
use seamline_net::SessionRules;
use seamline_ohttp::{
    ClientExchange, Entropy, KeyConfig, Limits, Profile, RelayFrames, bhttp, decode_list,
    encapsulate,
};
use serde_json::{Value, json};

use crate::opengradient::dollars;
use crate::sessions::offers;
use crate::shop::{Answer, QUESTION, Shop, streamed};

const OG: &str = "/v1/ohttp";
const STANDARD: &str = "/.well-known/ohttp-gateway";

async fn key(shop: &Shop) -> KeyConfig {
    let config = shop.get("/v1/ohttp/config").await.json();
    let key = config["key_config"].as_str().unwrap();
    KeyConfig::decode(&BASE64.decode(key).unwrap()).unwrap()
}

fn sealed(key: &KeyConfig, profile: Profile, inner: &[u8], seed: u8) -> (Vec<u8>, ClientExchange) {
    encapsulate(key, profile, inner, Entropy::new([seed; 32])).unwrap()
}

fn outer(path: &str, body: &[u8]) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "message/ohttp-req")
        .body(Body::from(body.to_vec()))
        .unwrap()
}

/// Pays for an encapsulated request as a relay does.
async fn buy(shop: &Shop, path: &str, body: &[u8]) -> Answer {
    let offer = shop.send(outer(path, body)).await.offer();
    shop.send(shop.paid(outer(path, body), &offer)).await
}

#[tokio::test]
async fn the_key_is_signed_as_the_registry_wants_it() {
    let shop = Shop::open();
    let config = shop.get("/v1/ohttp/config").await.json();
    let registration = shop.enclave.ohttp_registration().unwrap();
    let OhttpConfig {
        key_id, public_key, ..
    } = registration.config;
    assert_eq!(config["tee_id"], shop.enclave.node_id().to_string());
    assert_eq!(config["key_id"], key_id);
    let ids = [&config["kem_id"], &config["kdf_id"], &config["aead_id"]];
    assert_eq!(ids, [32, 1, 3]);
    assert_eq!(config["public_key"], hex::encode(public_key));
    let hash = ohttp_config_hash(shop.enclave.node_id(), &registration.config);
    assert_eq!(config["signature_hash"], hash.to_string());
    let signature = BASE64
        .decode(config["signature"].as_str().unwrap())
        .unwrap();
    let spki = shop.enclave.identity().signing_key_spki();
    seamline_attest::verify_rsa_pss(spki, &hash, &signature).unwrap();
    assert_eq!(key(&shop).await.encode(), registration.key_config);
    let again = shop.enclave.ohttp_registration().unwrap();
    assert_eq!(again.config, registration.config);
}

#[tokio::test]
async fn an_answer_is_sealed_and_its_price_is_not() {
    let shop = Shop::open();
    let (body, client) = sealed(
        &key(&shop).await,
        Profile::OpenGradient,
        QUESTION.as_bytes(),
        1,
    );
    let answer = buy(&shop, OG, &body).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "message/ohttp-res");
    // Nothing about the content in clear.
    assert!(
        !answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-tee"))
    );
    let opened = client.open(&answer.body).unwrap();
    let reply: Value = serde_json::from_slice(&opened).unwrap();
    let hash = ChatRequest::parse(QUESTION.as_bytes())
        .unwrap()
        .input_hash();
    assert_eq!(reply["tee_request_hash"], hex::encode(hash));
    let settled = shop.settled().await;
    assert_eq!(
        answer.header("x-inference-cost-opg"),
        settled[0].to_string()
    );
    assert!(!settled[0].is_zero());
}

#[tokio::test]
async fn a_stream_is_chunks_with_the_bill_before_the_last() {
    let shop = Shop::open();
    let inner = streamed(QUESTION);
    let (body, client) = sealed(
        &key(&shop).await,
        Profile::OpenGradient,
        inner.as_bytes(),
        1,
    );
    let answer = buy(&shop, OG, &body).await;
    assert_eq!(answer.header("content-type"), "message/ohttp-chunked-res");
    let mut relay = RelayFrames::new(Limits::default());
    let mut forwarded = relay.push(&answer.body).unwrap();
    let end = relay.finish().unwrap();
    forwarded.extend(end.rest);
    let billing = end.billing.unwrap();
    let mut opener = client.open_chunked(Limits::default()).unwrap();
    let chunks = opener.push(&forwarded).unwrap();
    let last = opener.finish().unwrap();
    assert_eq!(last[..], *b"data: [DONE]\n\n");
    let mut text = Vec::new();
    for chunk in &chunks {
        assert!(chunk.ends_with(b"\n\n"));
        let events = chunk.windows(2).filter(|pair| pair == b"\n\n").count();
        assert_eq!(events, 1);
        text.extend_from_slice(chunk);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("tee_signature"), "{text}");
    assert!(chunks.len() > 3);
    let settled = shop.settled().await;
    assert_eq!(billing.cost_opg, settled[0].to_string());
}

#[tokio::test]
async fn what_names_a_user_is_removed_and_nothing_else() {
    let shop = Shop::open();
    let key = key(&shop).await;
    let named = QUESTION.replacen('{', r#"{"user": "u-1", "metadata": {"a": 1}, "#, 1);
    let mut padded = named.into_bytes();
    seamline_ohttp::pad_json(&mut padded);
    let (body, client) = sealed(&key, Profile::OpenGradient, &padded, 1);
    let answer = buy(&shop, OG, &body).await;
    let reply: Value = serde_json::from_slice(&client.open(&answer.body).unwrap()).unwrap();
    let hash = ChatRequest::parse(QUESTION.as_bytes())
        .unwrap()
        .input_hash();
    assert_eq!(reply["tee_request_hash"], hex::encode(hash));
}

#[tokio::test]
async fn a_request_is_executed_once() {
    let shop = Shop::open();
    let (body, _) = sealed(
        &key(&shop).await,
        Profile::OpenGradient,
        QUESTION.as_bytes(),
        1,
    );
    assert_eq!(buy(&shop, OG, &body).await.status, StatusCode::OK);
    let again = buy(&shop, OG, &body).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(
        again.json(),
        json!({"error": "the request was executed before"})
    );
    let settled = shop.settled().await;
    let paid: Vec<&Amount> = settled.iter().filter(|amount| !amount.is_zero()).collect();
    assert_eq!(paid.len(), 1);
}

#[tokio::test]
async fn a_restart_with_the_same_identity_executes_nothing_again() {
    let shop = Shop::open();
    let chat = sealed(
        &key(&shop).await,
        Profile::OpenGradient,
        QUESTION.as_bytes(),
        1,
    )
    .0;
    let keys = decode_list(&shop.get(STANDARD).await.body).unwrap();
    let binary = question("POST", "", "/v1/chat/completions")
        .encode(0)
        .unwrap();
    let binary = sealed(&keys[0], Profile::Rfc9458, &binary, 2).0;
    for (path, body) in [(OG, &chat), (STANDARD, &binary)] {
        assert_eq!(buy(&shop, path, body).await.status, StatusCode::OK);
    }
    let restarted = Shop::open();
    assert_eq!(restarted.enclave.node_id(), shop.enclave.node_id());
    for (path, body) in [(OG, &chat), (STANDARD, &binary)] {
        let captured = buy(&restarted, path, body).await;
        assert_eq!(captured.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(paid(&restarted).await, 0);
    // Its own key is another, and signed as the first was.
    assert_ne!(key(&restarted).await, key(&shop).await);
}

#[tokio::test]
async fn what_costs_nothing_takes_no_room_in_the_window() {
    let shop = Shop::open();
    let key = key(&shop).await;
    let unknown = br#"{"model": "no/such", "messages": [{"role": "user", "content": "x"}]}"#;
    let (body, _) = sealed(&key, Profile::OpenGradient, unknown, 1);
    let keys = decode_list(&shop.get(STANDARD).await.body).unwrap();
    let free = question("GET", "", "/v1/models").encode(0).unwrap();
    let (free, _) = sealed(&keys[0], Profile::Rfc9458, &free, 2);
    for _ in 0..2 {
        // Refused, but not as one that was seen: it was not kept.
        assert_eq!(buy(&shop, OG, &body).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(buy(&shop, STANDARD, &free).await.status, StatusCode::OK);
    }
    assert_eq!(paid(&shop).await, 0);
}

#[tokio::test]
async fn a_reader_who_leaves_a_sealed_stream_pays_for_what_was_made() {
    let shop = Shop::open();
    let (body, _) = sealed(
        &key(&shop).await,
        Profile::OpenGradient,
        streamed(QUESTION).as_bytes(),
        1,
    );
    let offer = shop.send(outer(OG, &body)).await.offer();
    let stream = shop.unread(shop.paid(outer(OG, &body), &offer)).await;
    let mut stream = stream.into_data_stream();
    // The nonce, then a chunk: the bill would have come last.
    for _ in 0..2 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let settled = shop.settled().await;
    assert!(
        matches!(settled[..], [cost] if !cost.is_zero()),
        "{settled:?}"
    );
    // And the same request is not executed for who did not wait for the end.
    assert_eq!(buy(&shop, OG, &body).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_bill_is_in_dollars_where_the_price_is() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let key = key(&shop).await;
    let asked = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 100}"#;
    let (body, _) = sealed(&key, Profile::OpenGradient, asked.as_bytes(), 1);
    let whole = buy(&shop, OG, &body).await;
    let opg: u128 = whole.header("x-inference-cost-opg").parse().unwrap();
    // Two words in and four out, at 1.25 and 10 dollars per million, and a quarter of a dollar a token.
    assert_eq!(whole.header("x-inference-cost-usd"), "0.0000425");
    assert_eq!(whole.header("x-inference-price-opg-usd"), "0.25");
    let (body, _) = sealed(&key, Profile::OpenGradient, streamed(asked).as_bytes(), 2);
    let stream = buy(&shop, OG, &body).await;
    let mut relay = RelayFrames::new(Limits::default());
    relay.push(&stream.body).unwrap();
    let bill = relay.finish().unwrap().billing.unwrap();
    assert_eq!(bill.cost_opg, opg.to_string());
    assert_eq!(bill.cost_usd, "0.0000425");
    assert_eq!(bill.opg_price_usd, "0.25");
}

#[tokio::test]
async fn completions_and_images_can_be_asked_for_sealed() {
    let shop = Shop::with(dollars(), Arc::new(MockUpstream::opengradient()));
    let key = key(&shop).await;
    let completion = r#"{"endpoint": "completions", "model": "gpt-5", "prompt": "one two"}"#;
    let image = r#"{"endpoint": "chat", "model": "gpt-image-2", "messages": [{"role": "user", "content": "a cat"}]}"#;
    for (seed, inner, object) in [
        (1, completion, "text_completion"),
        (2, image, "chat.completion"),
    ] {
        let (body, client) = sealed(&key, Profile::OpenGradient, inner.as_bytes(), seed);
        let answer = buy(&shop, OG, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let said: Value = serde_json::from_slice(&client.open(&answer.body).unwrap()).unwrap();
        assert_eq!(said["tee_id"], shop.enclave.node_id().to_string());
        if !said["object"].is_null() {
            assert_eq!(said["object"], object);
        }
    }
    let mut request = question("POST", "", "/v1/completions");
    request.content = br#"{"model": "gpt-5", "prompt": "one two"}"#.to_vec();
    let keys = decode_list(&shop.get(STANDARD).await.body).unwrap();
    let (body, client) = sealed(&keys[0], Profile::Rfc9458, &request.encode(0).unwrap(), 3);
    let answer = buy(&shop, STANDARD, &body).await;
    let answer = bhttp::Response::decode(&client.open(&answer.body).unwrap()).unwrap();
    assert_eq!(answer.status, 200);
    // What is not on the list is not served, however it is spelt.
    for (seed, endpoint) in [
        (4, r#""/v1/keys""#),
        (5, "1"),
        (6, r#""ch\u0061t""#),
        (7, r#"["chat"]"#),
    ] {
        let inner = format!(r#"{{"endpoint": {endpoint}, "model": "gpt-5", "messages": []}}"#);
        let (body, _) = sealed(&key, Profile::OpenGradient, inner.as_bytes(), seed);
        assert_eq!(buy(&shop, OG, &body).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(paid(&shop).await, 3);
}

/// How many settlements cost something.
async fn paid(shop: &Shop) -> usize {
    let settled = shop.settled().await;
    settled.iter().filter(|amount| !amount.is_zero()).count()
}

#[tokio::test]
async fn a_session_of_sealed_requests_pays_for_each_and_for_nothing_else() {
    let mut config = dollars();
    // The dearest model sets what a sealed request may cost: room for several.
    let cap = Amount::new(2_000_000_000_000_000_000);
    config.sessions = Some(SessionRules::new(cap));
    let shop = Shop::with(config, Arc::new(MockUpstream::opengradient()));
    let key = key(&shop).await;
    let asked = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 100}"#;
    let seal = |inner: &str, seed| sealed(&key, Profile::OpenGradient, inner.as_bytes(), seed).0;
    // 1. Opened with a sealed request.
    let first = seal(asked, 1);
    let offer = offers(&shop.send(outer(OG, &first)).await).remove(0);
    let begun = shop.send(shop.paid(outer(OG, &first), &offer)).await;
    let session = begun.header("x-upto-session").to_owned();
    let cost: u128 = begun.header("x-inference-cost-opg").parse().unwrap();
    let within = |path: &'static str, body: &[u8]| {
        let mut request = outer(path, body);
        let session = session.parse().unwrap();
        request.headers_mut().insert("x-upto-session", session);
        request
    };
    // 2. The same request again, and one that is refused: nothing is served, nothing is charged.
    let again = shop.send(within(OG, &first)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let refused = shop.send(within(OG, &seal("canary", 2))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    // 3. A stream whose reader leaves with the first chunk, before the bill.
    let cut = seal(&streamed(asked), 3);
    let mut stream = shop.unread(within(OG, &cut)).await.into_data_stream();
    for _ in 0..2 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    assert_eq!(
        shop.send(within(OG, &cut)).await.status,
        StatusCode::CONFLICT
    );
    // 4. It buys nothing at another path, and none but its own path opens it.
    let plain = shop
        .send(within("/v1/chat/completions", asked.as_bytes()))
        .await;
    assert_eq!(plain.status, StatusCode::PAYMENT_REQUIRED);
    shop.paywall.close_sessions();
    let settled = shop.settled().await;
    let [sum] = settled[..] else {
        panic!("not settled once: {settled:?}");
    };
    assert!(sum.get() > cost && sum.get() <= 2 * cost, "{sum} {cost}");
}

#[tokio::test]
async fn an_error_is_clear_in_its_status_only() {
    let shop = Shop::open();
    let key = key(&shop).await;
    for (seed, inner, status) in [
        (
            1,
            r#"{"model": "canary", "messages": [{"role": "user", "content": "x"}]}"#,
            400,
        ),
        (2, r#"{"model": "seamline/guide"}"#, 400),
        (3, "canary", 400),
        (4, r#"["canary"]"#, 400),
        (5, r#"{"endpoint": "web_search", "q": "canary"}"#, 404),
        (6, r#"{"endpoint": "completions", "model": "canary"}"#, 400),
    ] {
        let (body, client) = sealed(&key, Profile::OpenGradient, inner.as_bytes(), seed);
        let answer = buy(&shop, OG, &body).await;
        assert_eq!(answer.status, status, "{inner}");
        assert!(!answer.text().contains("canary"), "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["error"], "The request was refused");
        let said = BASE64.decode(answer["sealed"].as_str().unwrap()).unwrap();
        let said: Value = serde_json::from_slice(&client.open(&said).unwrap()).unwrap();
        assert_eq!(said["status"], status);
    }
    let paid: Vec<Amount> = shop.settled().await;
    assert!(paid.iter().all(|amount| amount.is_zero()), "{paid:?}");
}

#[tokio::test]
async fn what_does_not_open_is_refused_alike() {
    let shop = Shop::open();
    let (body, _) = sealed(&key(&shop).await, Profile::OpenGradient, b"{}", 1);
    let mut altered = body.clone();
    *altered.last_mut().unwrap() ^= 1;
    let mut other_key = body.clone();
    other_key[0] = 9;
    let mut other_suite = body.clone();
    other_suite[6] = 1;
    let mut bodies = vec![altered, other_key, other_suite, body[..20].to_vec()];
    let standard = decode_list(&shop.get(STANDARD).await.body).unwrap();
    bodies.push(sealed(&standard[0], Profile::Rfc9458, b"{}", 2).0);
    for body in bodies {
        let answer = buy(&shop, OG, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer.text(),
            r#"{"error":"malformed encapsulated request"}"#
        );
    }
    let answer = buy(&shop, STANDARD, &body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let answer = buy(&shop, OG, b"").await;
    assert_eq!(answer.text(), r#"{"error":"empty body"}"#);
}

fn question(method: &str, authority: &str, path: &str) -> bhttp::Request {
    let content_type = ("content-type".to_owned(), b"application/json".to_vec());
    bhttp::Request {
        method: method.to_owned(),
        scheme: "https".to_owned(),
        authority: authority.to_owned(),
        path: path.to_owned(),
        fields: vec![content_type],
        content: QUESTION.into(),
        trailers: Vec::new(),
    }
}

#[tokio::test]
async fn binary_http_reaches_listed_paths_of_this_enclave_only() {
    let shop = Shop::open();
    let keys = shop.get(STANDARD).await;
    assert_eq!(keys.header("content-type"), "application/ohttp-keys");
    let keys = decode_list(&keys.body).unwrap();
    let chat = "/v1/chat/completions";
    for (seed, request, status) in [
        (1, question("POST", "", chat), 200),
        (2, question("POST", "127.0.0.1:8443", chat), 200),
        (3, question("GET", "", "/v1/models"), 200),
        (4, question("POST", "evil.example", chat), 421),
        (5, question("POST", "", "/v1/keys"), 404),
        (6, question("POST", "", "/v1/ohttp"), 404),
        (7, question("GET", "", chat), 404),
        (8, question("POST", "", "/v1/chat/completions?x"), 404),
        (9, question("POST", "", "/v1//chat/completions"), 404),
        (10, question("POST", "", "/v1/%63hat/completions"), 404),
        (11, question("GET", "", "/enclave/attestation?nonce=1"), 404),
    ] {
        let inner = request.encode(0).unwrap();
        let (body, client) = sealed(&keys[0], Profile::Rfc9458, &inner, seed);
        let answer = buy(&shop, STANDARD, &body).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "message/ohttp-res");
        let response = bhttp::Response::decode(&client.open(&answer.body).unwrap()).unwrap();
        assert_eq!(
            response.status, status,
            "{} {}",
            request.method, request.path
        );
    }
    let paid = shop.settled().await;
    let paid = paid.iter().filter(|amount| !amount.is_zero()).count();
    assert_eq!(paid, 2, "only chats that were answered cost something");
}

//! One authorization for many calls, as OpenGradient's SDK pays.

use std::sync::Arc;

use futures_util::StreamExt as _;
use http::StatusCode;
use seamline_core::Amount;
use seamline_enclave::{EnclaveConfig, MockUpstream};
use seamline_evm::x402::decode_header;
use seamline_net::SessionRules;
use serde_json::Value;

use crate::opengradient::dollars;
use crate::shop::{Answer, Shop, chat, streamed};

/// A tenth of the token, as OpenGradient's gateways ask for.
const CAP: u128 = 100_000_000_000_000_000;
const ASKED: &str = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 100}"#;
/// Two words in, four out, at 1.25 and 10 dollars per million and four of the token for a dollar.
const COST: u128 = 4 * (2 * 1_250_000_000_000 + 4 * 10_000_000_000_000);

fn config() -> EnclaveConfig {
    let mut config = dollars();
    config.sessions = Some(SessionRules::new(Amount::new(CAP)));
    config
}

fn shop() -> Shop {
    Shop::with(config(), Arc::new(MockUpstream::opengradient()))
}

/// The offers of a 402, a session's first.
pub(crate) fn offers(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let required = decode_header(answer.headers["payment-required"].as_bytes()).unwrap();
    let required: Value = serde_json::from_slice(&required).unwrap();
    required["accepts"].as_array().unwrap().clone()
}

/// Opens a session with a call and returns its answer.
async fn begin(shop: &Shop, body: &str) -> Answer {
    let offer = offers(&shop.send(chat(body)).await).remove(0);
    shop.send(shop.paid(chat(body), &offer)).await
}

async fn ask(shop: &Shop, session: &str, body: &str) -> Answer {
    shop.send(named(session, body)).await
}

fn named(session: &str, body: &str) -> http::Request<axum::body::Body> {
    let mut request = chat(body);
    let session = session.parse().unwrap();
    request.headers_mut().insert("x-upto-session", session);
    request
}

async fn settled(shop: &Shop) -> Vec<u128> {
    shop.paywall.close_sessions();
    let settled = shop.settled().await;
    settled.into_iter().map(Amount::get).collect()
}

#[tokio::test]
async fn the_first_offer_is_a_sessions_and_its_calls_are_settled_together() {
    let shop = shop();
    let asked = offers(&shop.send(chat(ASKED)).await);
    assert_eq!(asked[0]["amount"], CAP.to_string());
    assert_eq!(asked[0]["scheme"], "upto");
    assert_eq!(asked.len(), 2);
    let first = begin(&shop, ASKED).await;
    let session = first.header("x-upto-session").to_owned();
    for body in [ASKED.to_owned(), streamed(ASKED)] {
        let answer = ask(&shop, &session, &body).await;
        assert_eq!(answer.header("x-upto-session"), session);
        let proof = match answer.frames().pop() {
            Some(last) => last,
            None => answer.json(),
        };
        assert_eq!(proof["opengradient"]["cost_opg"], COST.to_string());
    }
    assert_eq!(settled(&shop).await, [3 * COST]);
}

#[tokio::test]
async fn a_session_of_chats_buys_no_completion() {
    let shop = shop();
    let session = begin(&shop, ASKED).await;
    let mut request = named(session.header("x-upto-session"), ASKED);
    *request.uri_mut() = "/v1/completions".parse().unwrap();
    let answer = shop.send(request).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.json()["error"], "Session expired or exhausted");
    assert!(!answer.headers.contains_key("payment-required"));
}

#[tokio::test]
async fn a_call_dearer_than_what_is_left_is_not_begun() {
    let shop = shop();
    let session = begin(&shop, ASKED).await;
    // An image costs two tenths of the token.
    let image = ASKED.replace("gpt-5", "gpt-image-2");
    let answer = ask(&shop, session.header("x-upto-session"), &image).await;
    assert_eq!(answer.json()["error"], "Session expired or exhausted");
    // It is offered a session of its own size instead.
    let asked = offers(&shop.send(chat(&image)).await);
    assert_eq!(asked[0]["amount"], (2 * CAP).to_string());
    assert_eq!(settled(&shop).await, [COST]);
}

#[tokio::test]
async fn a_reader_who_leaves_a_session_pays_for_what_was_made() {
    let shop = shop();
    let first = begin(&shop, ASKED).await;
    let session = first.header("x-upto-session").to_owned();
    let body = shop.unread(named(&session, &streamed(ASKED))).await;
    let mut body = body.into_data_stream();
    body.next().await.unwrap().unwrap();
    drop(body);
    let [sum] = settled(&shop).await[..] else {
        panic!("not settled once");
    };
    // At least its prompt and a word; at most the whole of it.
    let least = 4 * (2 * 1_250_000_000_000 + 10_000_000_000_000);
    assert!((COST + least..=2 * COST).contains(&sum), "{sum}");
}

#[tokio::test]
async fn refused_calls_of_a_session_cost_nothing() {
    let shop = shop();
    let first = begin(&shop, ASKED).await;
    let session = first.header("x-upto-session").to_owned();
    let mut anonymous = named(&session, ASKED);
    anonymous.headers_mut().remove("authorization");
    let answer = shop.send(anonymous).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let mut text = named(&session, ASKED);
    text.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    let answer = shop.send(text).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(settled(&shop).await, [COST]);
}

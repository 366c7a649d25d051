//! What is asked for a call, what is settled for it, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use seamline_core::{Address, Amount};
use seamline_enclave::{ChatJob, Piece, Pieces, ToolCall, Upstream, UpstreamFuture};
use serde_json::json;

use crate::shop::{QUESTION, Shop, chat, config, streamed};

#[tokio::test]
async fn the_offer_is_the_ceiling_of_what_the_call_can_cost() {
    let shop = Shop::open();
    let offer = shop.send(chat(QUESTION)).await.offer();
    // 2 units per byte of the request, 5 per token of the answer.
    let ceiling = 2 * QUESTION.len() + 5 * 200;
    assert_eq!(offer["amount"], ceiling.to_string());
    assert_eq!(offer["scheme"], "upto");
    assert_eq!(offer["network"], "eip155:31610");
    assert_eq!(offer["payTo"], Address::repeat_byte(0x22).to_checksum(None));
    assert_eq!(offer["maxTimeoutSeconds"], 300);
    assert_eq!(offer["extra"]["assetTransferMethod"], "permit2");
    assert_eq!(
        offer["extra"]["facilitatorAddress"],
        Address::repeat_byte(0xfa).to_string()
    );
}

#[tokio::test]
async fn answers_are_bounded_and_priced_at_the_nodes_limit() {
    let shop = Shop::open();
    for max_tokens in ["null", "0", "999999"] {
        let body = QUESTION.replace("200", max_tokens);
        let offer = shop.send(chat(&body)).await.offer();
        assert_eq!(
            offer["amount"],
            (2 * body.len() + 5 * 1_024).to_string(),
            "{max_tokens}"
        );
    }
}

#[tokio::test]
async fn the_tokens_that_were_used_are_settled() {
    let shop = Shop::open();
    let answer = shop.buy(QUESTION).await;
    let usage = &answer.json()["usage"];
    let completion = usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(
        (
            usage["prompt_tokens"].as_u64(),
            usage["total_tokens"].as_u64()
        ),
        (Some(4), Some(4 + completion))
    );
    let cost = u128::from(2 * 4 + 5 * completion);
    assert_eq!(shop.settled().await, [Amount::new(cost)]);

    let shop = Shop::open();
    shop.buy(&streamed(QUESTION)).await;
    assert_eq!(shop.settled().await, [Amount::new(cost)]);
}

/// Makes these pieces, then nothing more and no end.
struct Endless(Vec<Piece>);

impl Upstream for Endless {
    fn models(&self) -> Vec<String> {
        vec!["seamline/guide".to_owned()]
    }

    fn chat(&self, _: ChatJob) -> UpstreamFuture<'_> {
        let pieces: Vec<_> = self.0.iter().cloned().map(Ok).collect();
        let pieces: Pieces = Box::pin(stream::iter(pieces).chain(stream::pending()));
        Box::pin(async { Ok(pieces) })
    }
}

#[tokio::test]
async fn a_reader_who_leaves_pays_for_what_was_made() {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "weather".to_owned(),
        arguments: r#"{"city": "Zürich"}"#.to_owned(),
    };
    let texts = |texts: &[&str]| {
        let texts = texts.iter().map(|text| Piece::Text((*text).to_owned()));
        texts.collect::<Vec<_>>()
    };
    let cases = [
        // Four words of prompt, and nothing yet.
        (Vec::new(), 0),
        // Tool calls are three words.
        (vec![Piece::ToolCalls(vec![call])], 3),
        // An endpoint may put many tokens into one piece, or parts of a word.
        (texts(&["one two three four five"]), 5),
        (texts(&["o", "n", "e"]), 3),
    ];
    for (pieces, tokens) in cases {
        let made = pieces.len();
        let mut config = config();
        config.read_on = Duration::ZERO;
        let shop = Shop::with(config, Arc::new(Endless(pieces)));
        let mut body = shop
            .buy_unread(&streamed(QUESTION))
            .await
            .into_data_stream();
        for _ in 0..made {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(shop.settled().await, [Amount::new(2 * 4 + 5 * tokens)]);
    }
}

#[tokio::test]
async fn payment_comes_before_everything_else() {
    let shop = Shop::open();
    let unknown = QUESTION.replace("seamline/guide", "gpt-5");
    for body in ["", "not json", "{}", &unknown] {
        let offer = shop.send(chat(body)).await.offer();
        let longest = offer["amount"].as_str().unwrap().parse::<usize>().unwrap();
        assert!(longest >= 2 * body.len() + 5 * 200, "{body}");
    }
    let bare = Request::post("/v1/chat/completions")
        .body("x".into())
        .unwrap();
    assert_eq!(shop.send(bare).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn paid_requests_that_are_refused_cost_nothing() {
    let shop = Shop::open();
    let refused = |name: &'static str, value: Option<&'static str>, body: &'static str| {
        let mut request = chat(body);
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let unknown = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}"#;
    let cases = [
        (refused("authorization", None, QUESTION), QUESTION, 401),
        (refused("authorization", Some(" "), QUESTION), QUESTION, 401),
        (refused("content-type", None, QUESTION), QUESTION, 415),
        (
            refused("content-type", Some("text/plain"), QUESTION),
            QUESTION,
            415,
        ),
        (chat("not json"), "not json", 400),
        (chat("[]"), "[]", 400),
        (
            chat(r#"{"model": "seamline/guide"}"#),
            r#"{"model": "seamline/guide"}"#,
            400,
        ),
        (chat(unknown), unknown, 400),
    ];
    for (request, body, status) in cases {
        let offer = shop.send(chat(body)).await.offer();
        let answer = shop.send(shop.paid(request, &offer)).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert!(answer.headers.get("payment-response").is_none());
    }
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn refusals_have_the_gateways_bodies() {
    let shop = Shop::open();
    let unknown = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}"#;
    let answer = shop.buy(unknown).await;
    assert_eq!(
        answer.json(),
        json!({"error": "Model 'gpt-5' is not supported"})
    );
    let offer = shop.send(chat(QUESTION)).await.offer();
    let mut anonymous = shop.paid(chat(QUESTION), &offer);
    anonymous.headers_mut().remove("authorization");
    let answer = shop.send(anonymous).await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["detail"], "No authorization token provided");
    let malformed = shop.buy("not json").await;
    assert_eq!(malformed.header("content-type"), "application/problem+json");
    assert_eq!(malformed.json()["title"], "Bad Request");
}

#[tokio::test]
async fn a_payment_buys_one_answer_and_replays_it() {
    let shop = Shop::open();
    let offer = shop.send(chat(QUESTION)).await.offer();
    let payment = shop.paid(chat(QUESTION), &offer).headers()["PAYMENT-SIGNATURE"].clone();
    let present = |body: &str| {
        let mut request = chat(body);
        request
            .headers_mut()
            .insert("PAYMENT-SIGNATURE", payment.clone());
        request
    };
    let first = shop.send(present(QUESTION)).await;
    let again = shop.send(present(QUESTION)).await;
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    let other = QUESTION.replace("receipt", "wallet.");
    assert_ne!(shop.send(present(&other)).await.status, StatusCode::OK);
    assert_eq!(shop.settled().await.len(), 1);
}

#[tokio::test]
async fn data_settlement_is_accepted_and_honestly_not_done() {
    let shop = Shop::open();
    for (asked, said) in [("batch", "none"), ("individual", "none"), ("private", "")] {
        let offer = shop.send(chat(QUESTION)).await.offer();
        let mut request = shop.paid(chat(QUESTION), &offer);
        request
            .headers_mut()
            .insert("x-settlement-type", asked.parse().unwrap());
        let answer = shop.send(request).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("x-seamline-data-settlement"), said, "{asked}");
    }
}

//! Answers, their bytes and their signatures.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream;
use http::StatusCode;
use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
use seamline_core::{Amount, B256};
use seamline_enclave::{
    ChatJob, EnclaveIdentity, Finish, GuideUpstream, Piece, ToolCall, Upstream, UpstreamError,
    UpstreamFuture, Usage,
};
use serde_json::{Value, json};

use crate::shop::{NOW_S, QUESTION, Shop, config, identity, streamed};

/// Answers with the pieces it was given.
pub(crate) struct Scripted(pub(crate) Vec<Result<Piece, u16>>);

impl Upstream for Scripted {
    fn models(&self) -> Vec<String> {
        vec!["seamline/guide".to_owned()]
    }

    fn chat(&self, _: ChatJob) -> UpstreamFuture<'_> {
        let pieces: Vec<_> = self
            .0
            .iter()
            .map(|piece| {
                piece
                    .clone()
                    .map_err(|status| UpstreamError::Refused { status })
            })
            .collect();
        Box::pin(async { Ok::<seamline_enclave::Pieces, _>(Box::pin(stream::iter(pieces))) })
    }
}

pub(crate) fn text(text: &str) -> Result<Piece, u16> {
    Ok(Piece::Text(text.to_owned()))
}

pub(crate) fn end(finish: Finish, usage: Option<Usage>) -> Result<Piece, u16> {
    Ok(Piece::End { finish, usage })
}

pub(crate) const USAGE: Option<Usage> = Some(Usage {
    prompt_tokens: 4,
    completion_tokens: 2,
});

/// Checks the `tee_*` members as OpenGradient's SDK does; says whether they hold.
pub(crate) fn holds(proof: &Value, body: &str, output: &str, signer: &EnclaveIdentity) -> bool {
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    let timestamp = proof["tee_timestamp"].as_u64().unwrap();
    let output = output_hash(output);
    let signature = BASE64
        .decode(proof["tee_signature"].as_str().unwrap())
        .unwrap();
    assert_eq!(signature.len(), 256);
    let hash: B256 = message_hash(request.input_hash(), output, timestamp);
    proof["tee_request_hash"] == hex::encode(request.input_hash())
        && proof["tee_output_hash"] == hex::encode(output)
        && proof["tee_id"] == identity().node_id().to_string()
        && verify_rsa_pss(signer.signing_key_spki(), &hash, &signature).is_ok()
}

#[tokio::test]
async fn a_whole_answer_is_signed_over_its_text() {
    let shop = Shop::open();
    let answer = shop.buy(QUESTION).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert_eq!(
        (&json["object"], &json["created"]),
        (&json!("chat.completion"), &json!(NOW_S))
    );
    assert_eq!(json["tee_timestamp"], NOW_S);
    let choice = &json["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"]),
        (&json!(0), &json!("stop"))
    );
    assert_eq!(choice["message"]["role"], "assistant");
    let content = choice["message"]["content"].as_str().unwrap();
    assert_eq!(
        content,
        GuideUpstream::new(None).answer("What is a receipt?")
    );
    assert!(holds(&json, QUESTION, content, &identity()));
    assert!(!holds(&json, QUESTION, "another text", &identity()));
}

#[tokio::test]
async fn a_stream_is_signed_over_what_its_frames_say() {
    let shop = Shop::open();
    let body = streamed(QUESTION);
    let answer = shop.buy(&body).await;
    assert_eq!(
        answer.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    // The paywall adds `private`: a paid answer is nobody else's.
    assert!(answer.header("cache-control").starts_with("no-cache"));
    assert!(answer.text().starts_with(
        "data: {\"choices\": [{\"delta\": {\"content\": \"A\", \"role\": \"assistant\"}, \"index\": 0, \
         \"finish_reason\": null}], \"model\": \"seamline/guide\"}\n\n"
    ));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let settlement = answer.text().find("\n\n: seamline-settlement ").unwrap();
    assert!(settlement > answer.text().find("tee_signature").unwrap());
    let frames = answer.frames();
    let last = frames.last().unwrap();
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    let said = answer.streamed_text();
    assert_eq!(said, GuideUpstream::new(None).answer("What is a receipt?"));
    assert!(holds(last, &body, &said, &identity()));
    // What is streamed is not in the canonical request.
    assert!(holds(last, QUESTION, &said, &identity()));
}

#[tokio::test]
async fn the_same_request_gets_the_same_text_and_hashes() {
    let shop = Shop::open();
    let (first, again) = (
        shop.buy(QUESTION).await.json(),
        shop.buy(QUESTION).await.json(),
    );
    for member in [
        "choices",
        "usage",
        "tee_request_hash",
        "tee_output_hash",
        "tee_id",
    ] {
        assert_eq!(first[member], again[member]);
    }
    assert_ne!(first["id"], again["id"]);
}

#[tokio::test]
async fn models_are_looked_up_as_the_gateway_does_and_echoed_as_sent() {
    let shop = Shop::open();
    let body = QUESTION.replace("seamline/guide", " Seamline/GUIDE ");
    let json = shop.buy(&body).await.json();
    assert_eq!(json["model"], " Seamline/GUIDE ");
    let content = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(holds(&json, &body, content, &identity()));
}

#[tokio::test]
async fn an_answer_that_was_cut_says_so() {
    let shop = Shop::open();
    let body = QUESTION.replace("200", "3");
    let json = shop.buy(&body).await.json();
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    assert_eq!(json["choices"][0]["message"]["content"], "A receipt is");
    assert_eq!(json["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn tool_calls_are_signed_in_place_of_text() {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "weather".to_owned(),
        arguments: "{\"t\": 1.50, \"ort\": \"Zürich\"}".to_owned(),
    };
    let pieces = vec![
        text("Let me look."),
        Ok(Piece::ToolCalls(vec![call])),
        end(Finish::ToolCalls, USAGE),
    ];
    let shop = Shop::with(config(), Arc::new(Scripted(pieces)));
    let preimage = "[{\"function\": {\"arguments\": \"{\\\"t\\\": 1.50, \\\"ort\\\": \\\"Z\\u00fcrich\\\"}\", \
                    \"name\": \"weather\"}, \"id\": \"call_1\", \"type\": \"function\"}]";
    let json = shop.buy(QUESTION).await.json();
    assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        json["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "weather"
    );
    assert!(holds(&json, QUESTION, preimage, &identity()));
    let body = streamed(QUESTION);
    let frames = shop.buy(&body).await.frames();
    let delta = &frames[1]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(
        (&delta["index"], &delta["id"]),
        (&json!(0), &json!("call_1"))
    );
    assert!(holds(&frames[2], &body, preimage, &identity()));
}

#[tokio::test]
async fn where_the_upstream_does_not_count_words_are_charged() {
    for body in [QUESTION.to_owned(), streamed(QUESTION)] {
        let pieces = vec![text("not free"), end(Finish::Stop, None)];
        let shop = Shop::with(config(), Arc::new(Scripted(pieces)));
        let answer = shop.buy(&body).await;
        let json = match answer.frames().pop() {
            Some(last) => last,
            None => answer.json(),
        };
        assert_eq!(json.get("usage"), None);
        assert!(holds(&json, &body, "not free", &identity()));
        // Four words of prompt, two of answer.
        assert_eq!(shop.settled().await, [Amount::new(2 * 4 + 5 * 2)]);
    }
}

#[tokio::test]
async fn failures_of_the_upstream_cost_nothing() {
    for (upstream_status, status) in [(429, 503), (401, 502), (403, 502), (404, 404), (500, 502)] {
        let pieces = vec![Err(upstream_status)];
        let shop = Shop::with(config(), Arc::new(Scripted(pieces)));
        let answer = shop.buy(QUESTION).await;
        assert_eq!(answer.status.as_u16(), status, "{upstream_status}");
        assert_eq!(answer.json()["error"], "Request processing failed");
        assert_eq!(answer.json()["provider_status"], upstream_status);
        assert_eq!(shop.settled().await, []);
    }
}

#[tokio::test]
async fn a_stream_that_fails_says_so_and_costs_what_had_left() {
    let none = vec![];
    // Four words of the prompt and two of the answer.
    let left = vec![Amount::new(2 * 4 + 5 * 2)];
    for (pieces, costs) in [
        (vec![text("half an"), Err(500)], &left),
        (vec![text("half an")], &left),
        (vec![Err(500)], &none),
        (vec![], &none),
    ] {
        let shop = Shop::with(config(), Arc::new(Scripted(pieces)));
        let answer = shop.buy(&streamed(QUESTION)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let failed = "data: {\"error\": \"Stream processing failed\"}\n\n";
        assert!(answer.text().contains(failed), "{}", answer.text());
        assert!(!answer.text().contains("[DONE]"));
        assert!(!answer.text().contains("tee_signature"));
        assert_eq!(&shop.settled().await, costs);
    }
}

#[tokio::test]
async fn a_dishonest_count_cannot_pass_the_ceiling() {
    let usage = Some(Usage {
        prompt_tokens: u64::MAX,
        completion_tokens: u64::MAX,
    });
    let pieces = vec![text("costly"), end(Finish::Stop, usage)];
    let shop = Shop::with(config(), Arc::new(Scripted(pieces)));
    shop.buy(QUESTION).await;
    let ceiling = u128::try_from(2 * QUESTION.len() + 5 * 200).unwrap();
    assert_eq!(shop.settled().await, [Amount::new(ceiling)]);
}

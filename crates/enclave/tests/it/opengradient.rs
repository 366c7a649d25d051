//! What OpenGradient's published SDK asks an enclave for, beside plain chats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Request, StatusCode};
use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::{CompletionRequest, message_hash, output_hash};
use seamline_core::{Amount, Timestamp};
use seamline_enclave::{
    DollarPrice, DollarPrices, EnclaveConfig, FeedStatus, Finish, FixedPrice, MockUpstream, Piece,
    PriceFeed, Rate, ToolCall, Unpriced,
};
use serde_json::{Value, json};

use crate::chat::{Scripted, end, holds, text};
use crate::shop::{Answer, QUESTION, Shop, chat, config, identity, streamed};

pub(crate) fn rate(text: &str) -> Rate {
    Rate::parse(text).unwrap()
}

/// The SDK's models at public prices, the token at a quarter of a dollar.
pub(crate) fn dollars() -> EnclaveConfig {
    let mut config = config();
    config.prices = BTreeMap::new();
    let feed = Arc::new(FixedPrice(rate("0.25")));
    config.dollars = Some(DollarPrices::new(DollarPrice::opengradient(), feed));
    config
}

pub(crate) fn shop() -> Shop {
    Shop::with(dollars(), Arc::new(MockUpstream::opengradient()))
}

fn body(more: Value) -> String {
    let mut body = json!({
        "model": "gpt-5", "messages": [{"role": "user", "content": "one two"}],
        "max_tokens": 100, "temperature": 0.0,
    });
    let Value::Object(more) = more else {
        panic!("no object");
    };
    body.as_object_mut().unwrap().extend(more);
    body.to_string()
}

fn completion(body: &str) -> Request<axum::body::Body> {
    let mut request = chat(body);
    *request.uri_mut() = "/v1/completions".parse().unwrap();
    request
}

async fn complete(shop: &Shop, body: &str) -> Answer {
    let offer = shop.send(completion(body)).await.offer();
    shop.send(shop.paid(completion(body), &offer)).await
}

#[tokio::test]
async fn completions_say_the_member_that_the_sdk_reads() {
    let shop = shop();
    let body = r#"{"model": "gpt-5", "prompt": "Zürich", "max_tokens": 100, "temperature": 0.0}"#;
    let json = complete(&shop, body).await.json();
    assert_eq!(json["completion"], "You said: Zürich");
    assert_eq!(json["choices"][0]["text"], json["completion"]);
    assert_eq!(json["choices"][0]["finish_reason"], "stop");
    assert_eq!(json["object"], "text_completion");
    assert!(json["id"].as_str().unwrap().starts_with("cmpl-"));
    let request = CompletionRequest::parse(body.as_bytes()).unwrap();
    let output = output_hash("You said: Zürich");
    let timestamp = json["tee_timestamp"].as_u64().unwrap();
    assert_eq!(json["tee_request_hash"], hex::encode(request.input_hash()));
    assert_eq!(json["tee_output_hash"], hex::encode(output));
    let signature = json["tee_signature"].as_str().unwrap();
    let hash = message_hash(request.input_hash(), output, timestamp);
    let signature = BASE64.decode(signature).unwrap();
    verify_rsa_pss(identity().signing_key_spki(), &hash, &signature).unwrap();
    // One word in, three out: 1.25 and 10 dollars per million, four of the token for a dollar.
    let cost = 4 * (1_250_000_000_000 + 3 * 10_000_000_000_000);
    assert_eq!(json["opengradient"]["cost_opg"], cost.to_string());
    assert_eq!(shop.settled().await, [Amount::new(cost)]);
}

#[tokio::test]
async fn a_completion_gets_sixteen_tokens_where_it_says_nothing() {
    let shop = shop();
    let prompt = "a b c d e f g h i j k l m n o p q r s t";
    let body = json!({"model": "gpt-5", "prompt": prompt}).to_string();
    let json = complete(&shop, &body).await.json();
    assert_eq!(json["usage"]["completion_tokens"], 16);
    assert_eq!(json["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn completions_that_are_malformed_are_refused_after_payment_and_cost_nothing() {
    let shop = shop();
    for (body, status) in [
        (r#"{"model": "gpt-5"}"#, 400),
        (r#"{"model": "gpt-5", "prompt": ["a"]}"#, 400),
        (r#"{"model": "gpt-5", "prompt": "a", "stream": true}"#, 400),
        (r#"{"model": "nobody", "prompt": "a"}"#, 400),
        (r#"{"prompt": "a"}"#, 400),
        ("[]", 400),
        ("", 400),
    ] {
        let answer = complete(&shop, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn images_are_sent_unsigned_beside_an_empty_text_and_priced_one_by_one() {
    let shop = shop();
    let asked = body(json!({"model": "gpt-image-2"}));
    let json = shop.buy(&asked).await.json();
    let message = &json["choices"][0]["message"];
    let image = message["images"][0].as_str().unwrap();
    assert!(image.starts_with("data:image/png;base64,"), "{image}");
    assert_eq!(message["content"], "");
    // The hash of nothing.
    assert_eq!(
        json["tee_output_hash"],
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    );
    assert!(holds(&json, &asked, "", &identity()));
    let streamed = streamed(&asked);
    let answer = shop.buy(&streamed).await;
    let last = answer.frames().pop().unwrap();
    assert_eq!(last["images"][0], image);
    assert!(holds(&last, &streamed, "", &identity()));
    // 0.05 dollars each.
    assert_eq!(
        shop.settled().await,
        [Amount::new(200_000_000_000_000_000); 2]
    );
}

#[tokio::test]
async fn a_reader_who_leaves_an_image_pays_for_it() {
    let pieces = vec![
        Ok(Piece::Images(vec!["data:,x".to_owned()])),
        text("and more"),
    ];
    let mut config = config();
    config.read_on = std::time::Duration::ZERO;
    config.prices = BTreeMap::new();
    let price = DollarPrice {
        image: 50_000,
        ..DollarPrice::default()
    };
    let models = BTreeMap::from([("seamline/guide".to_owned(), price)]);
    let feed = Arc::new(FixedPrice(rate("0.25")));
    config.dollars = Some(DollarPrices::new(models, feed));
    let shop = Shop::with(config, Arc::new(Hanging(pieces)));
    let mut body = shop
        .buy_unread(&streamed(QUESTION))
        .await
        .into_data_stream();
    futures_util::StreamExt::next(&mut body)
        .await
        .unwrap()
        .unwrap();
    drop(body);
    assert_eq!(shop.settled().await, [Amount::new(200_000_000_000_000_000)]);
}

/// Makes these pieces, then nothing more.
struct Hanging(Vec<Result<Piece, u16>>);

impl seamline_enclave::Upstream for Hanging {
    fn models(&self) -> Vec<String> {
        vec!["seamline/guide".to_owned()]
    }

    fn chat(&self, _: seamline_enclave::ChatJob) -> seamline_enclave::UpstreamFuture<'_> {
        use futures_util::{StreamExt as _, stream};
        let pieces = self.0.clone().into_iter().filter_map(Result::ok).map(Ok);
        let pieces: Vec<_> = pieces.collect();
        let pieces: seamline_enclave::Pieces =
            Box::pin(stream::iter(pieces).chain(stream::pending()));
        Box::pin(async { Ok(pieces) })
    }
}

#[tokio::test]
async fn tools_are_called_whole_and_streamed_with_one_signature_each() {
    let shop = shop();
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}});
    let asked = body(json!({"tools": [tool], "tool_choice": "auto"}));
    let json = shop.buy(&asked).await.json();
    let call = &json["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
    let preimage = format!(
        "[{{\"function\": {{\"arguments\": {}, \"name\": \"weather\"}}, \"id\": {}, \"type\": \
         \"function\"}}]",
        call["function"]["arguments"], call["id"]
    );
    assert!(holds(&json, &asked, &preimage, &identity()));
    let streamed = streamed(&asked);
    let frames = shop.buy(&streamed).await.frames();
    let delta = &frames[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(delta["function"], call["function"]);
    assert!(holds(&frames[1], &streamed, &preimage, &identity()));

    // The tool's answer, as history.
    let mut history: Value = serde_json::from_str(&asked).unwrap();
    history["messages"] = json!([
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
    ]);
    let asked = history.to_string();
    let json = shop.buy(&asked).await.json();
    assert_eq!(
        json["choices"][0]["message"]["content"],
        "The tool said: rain"
    );
    assert!(holds(&json, &asked, "The tool said: rain", &identity()));
}

#[tokio::test]
async fn json_is_answered_in_the_form_that_was_signed() {
    let shop = shop();
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    for (format, made) in [
        (
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
            r#"{"a": 1}"#,
        ),
        (json!({"type": "json_object"}), r#"{"answer": "one two"}"#),
    ] {
        let asked = body(json!({"response_format": format}));
        let json = shop.buy(&asked).await.json();
        assert_eq!(json["choices"][0]["message"]["content"], made);
        assert!(holds(&json, &asked, made, &identity()));
    }
}

#[tokio::test]
async fn what_is_signed_and_not_done_is_refused() {
    let shop = shop();
    let answer = shop.buy(&body(json!({"web_search": true}))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"], "web_search is not supported here");
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn every_model_of_the_sdk_is_on_offer() {
    let list = shop().get("/v1/models").await.json();
    let list = list["data"].as_array().unwrap();
    assert_eq!(list.len(), DollarPrice::opengradient().len());
    let gpt = list.iter().find(|model| model["id"] == "gpt-5").unwrap();
    // 1.25 dollars are five of the token.
    assert_eq!(gpt["seamline"]["price_input"], "5000000000000000000");
}

/// A feed that can be switched off.
#[derive(Debug)]
struct Switch(AtomicBool);

impl PriceFeed for Switch {
    fn rate(&self, _: Timestamp) -> Result<Rate, Unpriced> {
        if self.0.load(Ordering::SeqCst) {
            Ok(rate("0.25"))
        } else {
            Err(Unpriced::Stale { age_s: 14_401 })
        }
    }

    fn status(&self) -> FeedStatus {
        FeedStatus {
            rate: Some(rate("0.25")),
            ..FeedStatus::default()
        }
    }
}

#[tokio::test]
async fn without_a_rate_nothing_is_asked_and_nothing_is_charged() {
    let feed = Arc::new(Switch(AtomicBool::new(true)));
    let mut config = dollars();
    let read: Arc<dyn PriceFeed> = Arc::<Switch>::clone(&feed);
    config.dollars = Some(DollarPrices::new(DollarPrice::opengradient(), read));
    let shop = Shop::with(config, Arc::new(MockUpstream::opengradient()));
    let asked = body(json!({}));
    let offer = shop.send(chat(&asked)).await.offer();
    feed.0.store(false, Ordering::SeqCst);
    let reason = "Pricing unavailable: the rate of the price feed is 14401 s old";
    for request in [
        chat(&asked),
        chat(&body(json!({"model": "unknown"}))),
        // A payment for the earlier offer does not help either.
        shop.paid(chat(&asked), &offer),
        completion(r#"{"model": "gpt-5", "prompt": "a"}"#),
    ] {
        let answer = shop.send(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["error"], reason);
    }
    assert_eq!(shop.settled().await, []);
    let health = shop.get("/health").await.json();
    assert_eq!(
        health["price_feed"]["last_error"],
        "the rate of the price feed is 14401 s old"
    );
    let gpt = shop.get("/v1/models/gpt-5").await.json();
    assert_eq!(gpt["seamline"]["price_input"], Value::Null);
}

#[tokio::test]
async fn a_stream_is_cut_at_what_it_may_cost() {
    // An upstream that does not stop where it was told to.
    let endless: Vec<_> = (0..2_000).map(|_| text("word ")).collect();
    let pieces = endless.into_iter().chain([end(Finish::Stop, None)]);
    let shop = Shop::with(config(), Arc::new(Scripted(pieces.collect())));
    let asked = streamed(&QUESTION.replace("200", "20"));
    let ceiling = 2 * asked.len() + 5 * 20;
    let answer = shop.buy(&asked).await;
    let said = answer.streamed_text();
    // Four words of the prompt are 8 units, each word of the answer 5.
    let words = (ceiling - 8) / 5;
    assert_eq!(said, "word ".repeat(words));
    let last = answer.frames().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert!(holds(&last, &asked, &said, &identity()));
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let cost = u128::try_from(8 + 5 * words).unwrap();
    assert_eq!(shop.settled().await, [Amount::new(cost)]);
}

/// Answers as a worked response does.
struct Worked(Value);

impl seamline_enclave::Upstream for Worked {
    fn models(&self) -> Vec<String> {
        DollarPrice::opengradient().into_keys().collect()
    }

    fn chat(&self, _: seamline_enclave::ChatJob) -> seamline_enclave::UpstreamFuture<'_> {
        let message = &self.0["message"];
        let mut pieces = Vec::new();
        if let Some(text) = message["content"].as_str() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let calls = message["tool_calls"].as_array();
        let calls: Vec<_> = calls
            .into_iter()
            .flatten()
            .map(|call| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                ToolCall {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]),
                    arguments: text(&call["function"]["arguments"]),
                }
            })
            .collect();
        let finish = if self.0["finish_reason"] == "tool_calls" {
            pieces.push(Piece::ToolCalls(calls));
            Finish::ToolCalls
        } else {
            Finish::Stop
        };
        pieces.push(Piece::End {
            finish,
            usage: Some(seamline_enclave::Usage::default()),
        });
        let pieces: seamline_enclave::Pieces =
            Box::pin(futures_util::stream::iter(pieces.into_iter().map(Ok)));
        Box::pin(async { Ok(pieces) })
    }
}

/// The worked calls of OpenGradient's dialect, made for real: what is signed is what they say.
#[tokio::test]
async fn signed_hashes_are_those_of_the_vectors() {
    let file = seamline_testkit::json_vector("canonical-request/chat.json");
    let vectors = file["vectors"].as_array().unwrap();
    let mut searched = 0;
    for vector in vectors {
        let choice = vector["response_choice"].clone();
        let shop = Shop::with(dollars(), Arc::new(Worked(choice)));
        let body = vector["wire_request_json"].as_str().unwrap();
        let answer = shop.buy(body).await;
        let asked: Value = serde_json::from_str(body).unwrap();
        if asked["web_search"] == true {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", vector["name"]);
            searched += 1;
            continue;
        }
        let proof = match answer.frames().pop() {
            Some(last) => last,
            None => answer.json(),
        };
        let name = &vector["name"];
        assert_eq!(proof["tee_request_hash"], vector["input_hash"], "{name}");
        assert_eq!(proof["tee_output_hash"], vector["output_hash"], "{name}");
    }
    assert!(searched < vectors.len(), "{searched}");
}

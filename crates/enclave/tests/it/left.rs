//! What nobody reads and what nobody can bound is paid for, or not made.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use seamline_core::Amount;
use seamline_enclave::{
    ChatJob, Finish, GuideUpstream, Piece, Pieces, Upstream, UpstreamFuture, Usage,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::shop::{QUESTION, Shop, chat, config, streamed};

/// Says one word and, behind the gate, what it thought: 150 tokens.
struct Thinker(Arc<Semaphore>);

impl Upstream for Thinker {
    fn models(&self) -> Vec<String> {
        vec!["seamline/guide".to_owned()]
    }

    fn chat(&self, _: ChatJob) -> UpstreamFuture<'_> {
        let gate = Arc::clone(&self.0);
        let first = stream::iter([Ok(Piece::Text("one".to_owned()))]);
        let end = stream::once(async move {
            gate.acquire().await.unwrap().forget();
            let usage = Usage {
                prompt_tokens: 4,
                completion_tokens: 150,
            };
            let (finish, usage) = (Finish::Stop, Some(usage));
            Ok(Piece::End { finish, usage })
        });
        let pieces: Pieces = Box::pin(first.chain(end));
        Box::pin(async { Ok(pieces) })
    }
}

#[tokio::test]
async fn who_leaves_pays_for_what_was_thought() {
    let gate = Arc::new(Semaphore::new(0));
    let shop = Shop::with(config(), Arc::new(Thinker(Arc::clone(&gate))));
    let body = shop.buy_unread(&streamed(QUESTION)).await;
    let mut pieces = body.into_data_stream();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert_eq!(shop.settled().await, [Amount::new(2 * 4 + 5 * 150)]);
}

/// A stream that is dropped pays for its whole prompt, not for the words of its messages only.
#[tokio::test]
async fn tools_and_formats_are_a_part_of_the_prompt() {
    let mut config = config();
    config.read_on = Duration::ZERO;
    let gate = Arc::new(Semaphore::new(0));
    let shop = Shop::with(config, Arc::new(Thinker(gate)));
    let tool = json!({"type": "function", "function": {
        "name": "f", "description": "x".repeat(1_600), "parameters": {}}});
    let mut asked: serde_json::Value = serde_json::from_str(QUESTION).unwrap();
    asked["stream"] = json!(true);
    asked["tools"] = json!([tool]);
    let body = shop.buy_unread(&asked.to_string()).await;
    let mut pieces = body.into_data_stream();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    let settled = shop.settled().await;
    // Four words and one of the answer; sixteen bytes are a word of the tool.
    let [due] = settled.as_slice() else {
        panic!("{settled:?}");
    };
    let tools = (due.get() - 2 * 4 - 5) / 2;
    assert!((100..120).contains(&tools), "{tools}");
}

fn with_parts(parts: &serde_json::Value) -> String {
    json!({"model": "seamline/guide", "max_tokens": 200,
        "messages": [{"role": "user", "content": parts}]})
    .to_string()
}

#[tokio::test]
async fn images_are_in_the_ceiling() {
    let shop = Shop::open();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    for count in [1, 10] {
        let body = with_parts(&json!(vec![image.clone(); count]));
        let offer = shop.send(chat(&body)).await.offer();
        let ceiling = 2 * (body.len() + 8_192 * count) + 5 * 200;
        assert_eq!(offer["amount"], ceiling.to_string());
        assert_eq!(shop.buy(&body).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_lies_behind_an_address_is_not_fetched() {
    let mut config = config();
    config.file_tokens = None;
    let shop = Shop::with(config, Arc::new(GuideUpstream::new(None)));
    let image = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
    let file = |file: serde_json::Value| json!([{"type": "file", "file": file}]);
    for (parts, says) in [
        (image("https://example.com/a.png"), "data: URLs only"),
        (image("database"), "data: URLs only"),
        (image(""), "data: URLs only"),
        (
            json!([{"type": "image_url", "image_url": {}}]),
            "data: URLs only",
        ),
        (
            json!([{"type": "image_url", "image_url": "http://a"}]),
            "data: URLs only",
        ),
        (file(json!({"file_id": "f"})), "file_data only"),
        (
            file(json!({"file_data": "data:application/pdf;base64,AA=="})),
            "not taken here",
        ),
    ] {
        let answer = shop.buy(&with_parts(&parts)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{parts}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn files_are_taken_where_they_have_a_price() {
    let gate = Arc::new(Semaphore::new(1));
    let shop = Shop::with(config(), Arc::new(Thinker(gate)));
    let file = json!([{"type": "file", "file": {"filename": "a.pdf", "file_data": "AA=="}}]);
    let body = with_parts(&file);
    let offer = shop.send(chat(&body)).await.offer();
    let ceiling = 2 * (body.len() + 131_072) + 5 * 200;
    assert_eq!(offer["amount"], ceiling.to_string());
    assert_eq!(shop.buy(&body).await.status, StatusCode::OK);
}

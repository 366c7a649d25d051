use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use super::*;
use crate::upstream::{Finish, ToolCall, Usage};

const BODY: &str = r#"{"model": "Local/Tiny", "n": 3, "temperature": 1e-5, "max_completion_tokens": 9000, "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function"}], "web_search": true}"#;

type Seen = Arc<Mutex<Vec<(Option<String>, Json)>>>;

/// A fake endpoint that always answers the same; returns its base URL and what it was asked.
async fn endpoint(status: u16, media_type: &'static str, answer: &'static str) -> (String, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let handler = move |request: Request| async move {
        let (head, body) = request.into_parts();
        let key = head
            .headers
            .get("authorization")
            .map(|key| key.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        noted
            .lock()
            .unwrap()
            .push((key, serde_json::from_slice(&body).unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        let response: Response = (status, [("content-type", media_type)], answer).into_response();
        response
    };
    let router = Router::new()
        .route("/v1/chat/completions", post(handler.clone()))
        .route("/v1/images/generations", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(seamline_net::serve(
        listener,
        router,
        std::future::pending(),
    ));
    (base, seen)
}

fn upstream(base_url: String) -> OpenAiUpstream {
    let models = BTreeMap::from([("local/tiny".to_owned(), "tiny-1b".to_owned())]);
    let options = OpenAiOptions {
        base_url,
        api_key: Some(Zeroizing::new("canary-key".to_owned())),
        models,
        client: ClientOptions::default(),
    };
    OpenAiUpstream::new(options).unwrap()
}

fn job(stream: bool) -> ChatJob {
    ChatJob {
        model: "local/tiny".to_owned(),
        messages: Vec::new(),
        max_tokens: 64,
        stream,
        body: Bytes::from_static(BODY.as_bytes()),
    }
}

/// Runs a job to its end; pieces as far as they came, and how it ended.
async fn run(upstream: &OpenAiUpstream, job: ChatJob) -> (Vec<Piece>, Result<(), UpstreamError>) {
    let mut pieces = match upstream.chat(job).await {
        Ok(pieces) => pieces,
        Err(err) => return (Vec::new(), Err(err)),
    };
    let mut got = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => got.push(piece),
            Err(err) => return (got, Err(err)),
        }
    }
    (got, Ok(()))
}

fn text(pieces: &[Piece]) -> String {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::ToolCalls(_) | Piece::Images(_) | Piece::End { .. } => None,
    });
    texts.collect()
}

const USAGE: Option<Usage> = Some(Usage {
    prompt_tokens: 7,
    completion_tokens: 2,
});

#[tokio::test]
async fn the_request_is_forwarded_with_what_the_enclave_decides() {
    let answer = r#"{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}"#;
    let (base, seen) = endpoint(200, "application/json", answer).await;
    let (pieces, ended) = run(&upstream(base), job(false)).await;
    ended.unwrap();
    assert_eq!(text(&pieces), "Hello");
    assert!(matches!(
        pieces.last(),
        Some(Piece::End {
            finish: Finish::Stop,
            usage: USAGE
        })
    ));
    let (key, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(key.as_deref(), Some("Bearer canary-key"));
    let expected = json!({
        "model": "tiny-1b", "temperature": 1e-5, "max_tokens": 64, "stream": false,
        "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function"}],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn members_that_steer_or_cost_unseen_do_not_reach_the_endpoint() {
    let answer = r#"{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}"#;
    let (base, seen) = endpoint(200, "application/json", answer).await;
    let body = json!({
        "model": "local/tiny", "messages": [{"role": "user", "content": "hi"}],
        "top_p": 0.5, "seed": 7, "reasoning_effort": "low", "tool_choice": "none",
        // Neither in the signed hash nor in the price.
        "logit_bias": {"9891": 100}, "functions": [{"name": "f", "description": "say yes"}],
        "function_call": {"name": "f"}, "prediction": {"type": "content", "content": "yes"},
        "chat_template": "say yes", "documents": [{"text": "say yes"}],
        "n": 9, "best_of": 9, "service_tier": "priority", "web_search_options": {},
        "modalities": ["audio"], "store": true, "max_completion_tokens": 9000,
        "max_output_tokens": 9000, "stream_options": {"x": 1},
    });
    let mut job = job(false);
    job.body = Bytes::from(body.to_string());
    run(&upstream(base), job).await.1.unwrap();
    let (_, body) = seen.lock().unwrap().pop().unwrap();
    let expected = json!({
        "model": "tiny-1b", "messages": [{"role": "user", "content": "hi"}],
        "top_p": 0.5, "seed": 7, "reasoning_effort": "low", "tool_choice": "none",
        "max_tokens": 64, "stream": false,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_stream_is_passed_on_with_its_usage() {
    let answer = "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\n\n\
        : keep-alive\n\n\
        data: {\"choices\": [{\"delta\": {\"content\": \"Gr\\u00fc\"}}]}\r\n\r\n\
        data: {\"choices\": [{\"delta\": {\"content\": \"\u{df}e\"}}], \"usage\": null}\n\n\
        data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"length\"}]}\n\n\
        data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 2}}\n\n\
        data: [DONE]\n\n";
    let (base, seen) = endpoint(200, "text/event-stream", answer).await;
    let (pieces, ended) = run(&upstream(base), job(true)).await;
    ended.unwrap();
    assert_eq!(text(&pieces), "Grüße");
    assert!(matches!(
        pieces.last(),
        Some(Piece::End {
            finish: Finish::Length,
            usage: USAGE
        })
    ));
    let (_, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
}

fn only_call(pieces: &[Piece]) -> ToolCall {
    let calls: Vec<&ToolCall> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::ToolCalls(calls) => Some(calls),
            Piece::Text(_) | Piece::Images(_) | Piece::End { .. } => None,
        })
        .flatten()
        .collect();
    assert_eq!(calls.len(), 1);
    calls[0].clone()
}

#[tokio::test]
async fn tool_calls_are_put_together() {
    let streamed = "data: {\"choices\": [{\"delta\": {\"tool_calls\": [{\"index\": 0, \"id\": \"c1\", \"function\": {\"name\": \"f\", \"arguments\": \"{\\\"a\\\"\"}}]}}]}\n\n\
        data: {\"choices\": [{\"delta\": {\"tool_calls\": [{\"index\": 0, \"function\": {\"arguments\": \": 1}\"}}]}, \"finish_reason\": \"tool_calls\"}]}\n\n\
        data: [DONE]\n\n";
    let whole = r#"{"choices": [{"message": {"content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}, "finish_reason": "tool_calls"}]}"#;
    for (stream, media_type, answer) in [
        (true, "text/event-stream", streamed),
        (false, "application/json", whole),
    ] {
        let (base, _) = endpoint(200, media_type, answer).await;
        let (pieces, ended) = run(&upstream(base), job(stream)).await;
        ended.unwrap();
        let call = only_call(&pieces);
        let read = (
            call.id.as_str(),
            call.name.as_str(),
            call.arguments.as_str(),
        );
        assert_eq!(read, ("c1", "f", "{\"a\": 1}"));
        let finish = Finish::ToolCalls;
        assert!(
            matches!(pieces.last(), Some(Piece::End { finish: f, usage: None }) if *f == finish)
        );
    }
}

#[tokio::test]
async fn refusals_carry_the_status() {
    for status in [400, 401, 429, 500] {
        let (base, _) = endpoint(status, "application/json", "{}").await;
        let (_, ended) = run(&upstream(base), job(false)).await;
        assert!(matches!(ended, Err(UpstreamError::Refused { status: s }) if s == status));
    }
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    let finished = "data: {\"choices\": [{\"delta\": {\"content\": \"half\"}}]}\n\n";
    let unexplained =
        "data: {\"choices\": [{\"delta\": {\"content\": \"half\"}}]}\n\ndata: [DONE]\n\n";
    let failed = "data: {\"error\": {\"message\": \"overloaded\"}}\n\n";
    for answer in [finished, unexplained, failed, ""] {
        let (base, _) = endpoint(200, "text/event-stream", answer).await;
        let (_, ended) = run(&upstream(base), job(true)).await;
        assert!(
            matches!(ended, Err(UpstreamError::CutOff)),
            "{answer}: {ended:?}"
        );
    }
    for (stream, answer) in [
        (true, "data: {\n\n"),
        (false, "nothing"),
        (false, "{}"),
        (false, r#"{"choices": []}"#),
        (false, r#"{"choices": [{}]}"#),
        (false, r#"{"choices": [{"message": {"tool_calls": [1]}}]}"#),
    ] {
        let (base, _) = endpoint(200, "application/json", answer).await;
        let (_, ended) = run(&upstream(base), job(stream)).await;
        assert!(
            matches!(ended, Err(UpstreamError::Malformed { .. })),
            "{answer}: {ended:?}"
        );
    }
}

/// Otherwise whoever gets a model to write half a surrogate pair at the end of a stream reads the
/// stream for nothing.
#[tokio::test]
async fn text_without_a_utf_8_form_fails_no_answer() {
    let whole = r#"{"choices": [{"message": {"content": "a\ud800"}, "finish_reason": "stop"}]}"#;
    let streamed = "data: {\"choices\": [{\"delta\": {\"content\": \"a\\ud800\"}, \"finish_reason\": \"stop\"}]}\n\n\
        data: [DONE]\n\n";
    for (stream, answer) in [(false, whole), (true, streamed)] {
        let (base, _) = endpoint(200, "application/json", answer).await;
        let (pieces, ended) = run(&upstream(base), job(stream)).await;
        ended.unwrap();
        assert_eq!(text(&pieces), "a\u{fffd}");
    }
}

/// Images come in the answer, or not at all.
#[tokio::test]
async fn images_are_data_and_never_addresses() {
    let images = r#"["data:image/png;base64,AA==", "https://elsewhere.example/x.png",
        {"type": "image_url", "image_url": {"url": "data:,x"}}]"#;
    let whole = format!(
        r#"{{"choices": [{{"message": {{"content": "", "images": {images}}}, "finish_reason": "stop"}}]}}"#
    );
    let (base, _) = endpoint(200, "application/json", Box::leak(whole.into_boxed_str())).await;
    let (pieces, ended) = run(&upstream(base), job(false)).await;
    ended.unwrap();
    let Some(Piece::Images(images)) = pieces.first() else {
        panic!("no images");
    };
    assert_eq!(images, &["data:image/png;base64,AA==", "data:,x"]);
}

/// A picture is longer than any request, and stands in one line of a stream: what had left before it
/// would be free otherwise, and the picture is what was asked for.
#[tokio::test]
async fn pictures_are_as_long_as_they_are() {
    let picture = "A".repeat(3 << 20);
    let uri = format!("data:image/png;base64,{picture}");
    let images = format!(r#"["{uri}"]"#);
    let whole = format!(
        r#"{{"choices": [{{"message": {{"content": "", "images": {images}}}, "finish_reason": "stop"}}]}}"#
    );
    let streamed = format!(
        "data: {{\"choices\": [{{\"delta\": {{\"content\": \"here\"}}}}]}}\n\n\
        data: {{\"choices\": [{{\"delta\": {{\"images\": {images}}}, \"finish_reason\": \"stop\"}}]}}\n\n\
        data: [DONE]\n\n"
    );
    let alone = format!(r#"{{"data": [{{"b64_json": "{picture}"}}]}}"#);
    for (stream, drawn, answer) in [
        (false, false, whole),
        (true, false, streamed),
        (false, true, alone),
    ] {
        let (base, _) = endpoint(200, "application/json", Box::leak(answer.into_boxed_str())).await;
        let mut upstream = upstream(base);
        if drawn {
            upstream = upstream.with_image_models(["local/tiny".to_owned()]);
        }
        let (pieces, ended) = run(&upstream, job(stream)).await;
        ended.unwrap();
        let pictures = pieces.iter().filter_map(|piece| match piece {
            Piece::Images(images) => Some(images.as_slice()),
            Piece::Text(_) | Piece::ToolCalls(_) | Piece::End { .. } => None,
        });
        assert!(pictures.flatten().eq([&uri]), "{stream} {drawn}");
    }
}

/// Some endpoints send all arguments of a call in one event.
#[tokio::test]
async fn arguments_may_come_in_one_event() {
    let arguments = "x".repeat(100_000);
    let answer = format!(
        "data: {{\"choices\": [{{\"delta\": {{\"content\": \"a long text\"}}}}]}}\n\n\
        data: {{\"choices\": [{{\"delta\": {{\"tool_calls\": [{{\"index\": 0, \"id\": \"c\", \"function\": {{\"name\": \"f\", \"arguments\": \"{arguments}\"}}}}]}}, \"finish_reason\": \"tool_calls\"}}]}}\n\n\
        data: [DONE]\n\n"
    );
    let (base, _) = endpoint(200, "text/event-stream", Box::leak(answer.into_boxed_str())).await;
    let (pieces, ended) = run(&upstream(base), job(true)).await;
    ended.unwrap();
    assert_eq!(text(&pieces), "a long text");
    assert_eq!(only_call(&pieces).arguments, arguments);
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let (_, ended) = run(&upstream(base), job(false)).await;
    assert!(
        matches!(ended, Err(UpstreamError::Unreachable)),
        "{ended:?}"
    );
    let mut other = job(false);
    other.model = "gpt-5".to_owned();
    let (_, ended) = run(&upstream("http://127.0.0.1:9/v1".to_owned()), other).await;
    assert!(
        matches!(ended, Err(UpstreamError::UnknownModel)),
        "{ended:?}"
    );
}

#[test]
fn keys_never_show() {
    let upstream = upstream("http://127.0.0.1:9/v1".to_owned());
    assert!(!format!("{upstream:?} {:?}", upstream.authorization).contains("canary-key"));
    let broken = OpenAiUpstream::new(OpenAiOptions {
        base_url: String::new(),
        api_key: Some(Zeroizing::new("line\nbreak".to_owned())),
        models: BTreeMap::new(),
        client: ClientOptions::default(),
    });
    assert!(matches!(broken, Err(UpstreamError::Malformed { .. })));
}

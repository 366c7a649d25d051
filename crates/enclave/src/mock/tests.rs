use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::call::Kind;
use crate::request::Asked;

async fn ask(body: Json) -> Vec<Piece> {
    let body = Bytes::from(body.to_string());
    let Ok(asked) = Asked::read(Kind::Chat, &body) else {
        panic!("refused");
    };
    let job = ChatJob {
        model: asked.model,
        messages: asked.messages,
        max_tokens: asked.max_tokens.unwrap_or(100),
        stream: asked.stream,
        body: asked.body,
    };
    let upstream = MockUpstream::opengradient();
    let pieces = upstream
        .chat(job)
        .await
        .unwrap_or_else(|err| panic!("{err}"));
    pieces.map(Result::unwrap).collect().await
}

fn said(pieces: &[Piece]) -> (String, Finish) {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::ToolCalls(_) | Piece::Images(_) | Piece::End { .. } => None,
    });
    let Some(Piece::End { finish, .. }) = pieces.last() else {
        panic!("no end");
    };
    (texts.collect(), *finish)
}

fn chat(text: &str, more: impl core::borrow::Borrow<Json>) -> Json {
    let mut body = json!({"model": "gpt-5", "messages": [{"role": "user", "content": text}]});
    let members = more.borrow().as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(members);
    body
}

#[tokio::test]
async fn text_comes_back_cut_where_it_is_asked_to() {
    let whole = said(&ask(chat("one two three", json!({}))).await);
    assert_eq!(whole, ("You said: one two three".to_owned(), Finish::Stop));
    let cut = said(&ask(chat("one two three", json!({"max_tokens": 3}))).await);
    assert_eq!(cut, ("You said: one ".to_owned(), Finish::Length));
    let stopped = said(&ask(chat("one two three", json!({"stop": [" three", " two"]}))).await);
    assert_eq!(stopped, ("You said: one".to_owned(), Finish::Stop));
}

#[tokio::test]
async fn tools_are_called_as_their_schema_says() {
    let tool = |name: &str| {
        json!({"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "required": ["city"], "properties": {
                "city": {"type": "string"}, "days": {"type": "integer", "minimum": 2},
                "unit": {"enum": ["c", "f"]}, "exact": {"type": "boolean"},
                "places": {"type": "array", "items": {"type": "number"}},
            },
        }}})
    };
    let tools = json!({"tools": [tool("weather"), tool("tides")]});
    let pieces = ask(chat("Zürich", tools.clone())).await;
    let Some(Piece::ToolCalls(calls)) = pieces.first() else {
        panic!("no call");
    };
    assert_eq!(calls[0].name, "weather");
    let arguments: Json = serde_json::from_str(&calls[0].arguments).unwrap();
    assert_eq!(
        arguments,
        json!({"city": "Zürich", "days": 2, "unit": "c", "exact": true, "places": [1.5]})
    );
    assert!(
        ask(chat("Zürich", tools.clone())).await == pieces,
        "the same again"
    );

    let mut named = tools.clone();
    named["tool_choice"] = json!({"type": "function", "function": {"name": "tides"}});
    let pieces = ask(chat("Zürich", named)).await;
    assert!(matches!(pieces.first(), Some(Piece::ToolCalls(calls)) if calls[0].name == "tides"));

    let mut none = tools.clone();
    none["tool_choice"] = json!("none");
    assert_eq!(said(&ask(chat("hi", none)).await).0, "You said: hi");

    let mut answered = chat("hi", tools);
    answered["messages"] = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
    ]);
    assert_eq!(said(&ask(answered).await).0, "The tool said: 12 degrees");
}

#[tokio::test]
async fn json_is_made_as_asked_for() {
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n",
        "schema": {"type": "object", "properties": {"answer": {"type": "string"},
            "self": {"anyOf": [{"type": "null"}]}}}}}});
    let (text, _) = said(&ask(chat("x", schema)).await);
    let made: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(made, json!({"answer": "x", "self": null}));
    let object = json!({"response_format": {"type": "json_object"}});
    let (text, _) = said(&ask(chat("x", object)).await);
    assert_eq!(
        serde_json::from_str::<Json>(&text).unwrap(),
        json!({"answer": "x"})
    );
}

#[tokio::test]
async fn image_models_make_an_image_and_no_text() {
    let mut body = chat("red", json!({}));
    body["model"] = json!("gpt-image-2");
    let pieces = ask(body).await;
    let Some(Piece::Images(images)) = pieces.first() else {
        panic!("no image");
    };
    let data = images[0].strip_prefix("data:image/png;base64,").unwrap();
    let png = BASE64.decode(data).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert_eq!(said(&pieces), (String::new(), Finish::Stop));
}

#[test]
fn checksums_are_those_of_their_standards() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
}

#[test]
fn a_schema_that_contains_itself_ends() {
    let mut schema = Value::Null;
    for _ in 0..100 {
        let inner = json::Object::new()
            .with("type", "array")
            .with("items", schema);
        schema = inner.into();
    }
    let made = instance(&schema, "x").to_json(Keys::Insertion);
    assert_eq!(made, "[[[[[[[[null]]]]]]]]");
}

use bytes::Bytes;
use futures_util::StreamExt as _;
use seamline_enclave::JobMessage;
use serde_json::json;

use super::*;

async fn pieces(model: &str, role: &str, body: Value) -> Vec<Piece> {
    let job = ChatJob {
        model: model.to_owned(),
        messages: vec![JobMessage {
            role: role.to_owned(),
            text: "What is a receipt?".to_owned(),
        }],
        max_tokens: 50,
        stream: false,
        body: Bytes::from(body.to_string()),
    };
    let pieces = StandIn::new(None).chat(job).await.unwrap();
    pieces.map(Result::unwrap).collect().await
}

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}}}}])
}

#[tokio::test]
async fn tools_are_called_with_arguments_of_their_schema() {
    let pieces = pieces("gpt-5", "user", json!({"tools": weather()})).await;
    let Some(Piece::ToolCalls(calls)) = pieces.first() else {
        panic!("no tool call");
    };
    assert_eq!(calls[0].name, "weather");
    assert_eq!(calls[0].arguments, r#"{"city":"stand-in","days":3}"#);
}

#[tokio::test]
async fn a_tools_result_and_a_refusal_of_tools_are_answered_in_words() {
    for (role, body) in [
        ("tool", json!({"tools": weather()})),
        ("user", json!({"tools": weather(), "tool_choice": "none"})),
        ("user", json!({"tools": []})),
        ("user", json!({"response_format": {"type": "text"}})),
    ] {
        let pieces = pieces("gpt-5", role, body).await;
        assert!(matches!(pieces.first(), Some(Piece::Text(_))));
    }
}

#[tokio::test]
async fn a_schema_has_a_value() {
    let schema = json!({"type": "object", "properties": {
        "mood": {"enum": ["calm", "wild"]}, "tags": {"type": "array", "items": {"type": "string"}},
        "sure": {"type": "boolean"}, "score": {"type": ["number", "null"]}, "other": {"$ref": "#"}}});
    let body = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}});
    let pieces = pieces("claude-haiku-4-5", "user", body).await;
    let Some(Piece::Text(text)) = pieces.first() else {
        panic!("no text");
    };
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        value,
        json!({"mood": "calm", "tags": ["stand-in"], "sure": true, "score": 1.5, "other": null})
    );
}

#[test]
fn a_schema_without_end_ends() {
    let mut schema = json!({"type": "array"});
    for _ in 0..100 {
        schema = json!({"type": "array", "items": schema});
    }
    assert!(example(&schema).to_string().len() < 100);
}

#[tokio::test]
async fn an_unknown_model_is_refused() {
    let job = ChatJob {
        model: "gpt-2".to_owned(),
        messages: Vec::new(),
        max_tokens: 1,
        stream: false,
        body: Bytes::new(),
    };
    let refused = StandIn::new(None).chat(job).await.err();
    assert!(matches!(refused, Some(UpstreamError::UnknownModel)));
}

#[tokio::test]
async fn image_models_make_images_whatever_else_is_asked() {
    let pieces = pieces("gpt-image-2", "user", json!({"tools": weather()})).await;
    let Some(Piece::Images(images)) = pieces.first() else {
        panic!("no image");
    };
    assert!(images[0].starts_with("data:image/png;base64,"));
}

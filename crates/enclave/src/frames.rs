//! The bytes of a chat answer: one JSON body, or the frames of an event stream.
//!
//! Member order and spelling are those of OpenGradient's gateway, byte for byte: frames in insertion
//! order, the body of an answer that is not streamed sorted and indented. Clients hash text out of
//! these, so a different escape is a different answer.

use bytes::Bytes;
use seamline_core::json::{Keys, Object, Value};
use seamline_core::{B256, canonical};

use crate::upstream::{Finish, ToolCall, Usage};

/// The signed part of an answer.
pub(crate) struct Proof {
    pub(crate) signature: String,
    pub(crate) request_hash: String,
    pub(crate) output_hash: String,
    pub(crate) timestamp_s: u64,
    pub(crate) tee_id: String,
    /// The signature and the answer's hash once more, as bytes.
    pub(crate) raw: Vec<u8>,
    pub(crate) output: B256,
}

/// A whole answer.
pub(crate) struct Answer<'a> {
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    pub(crate) text: &'a str,
    pub(crate) tool_calls: &'a [ToolCall],
    /// Data URIs, which the signature does not cover.
    pub(crate) images: &'a [String],
    pub(crate) finish: Finish,
    pub(crate) usage: Option<Usage>,
    /// What it costs in base units, in dollars, and the rate.
    pub(crate) cost: Option<[String; 3]>,
    pub(crate) proof: &'a Proof,
}

impl Answer<'_> {
    /// Writes the body of an answer that is not streamed.
    pub(crate) fn body(&self) -> Bytes {
        let Self {
            id,
            model,
            text,
            tool_calls,
            images,
            finish,
            usage,
            cost,
            proof,
        } = self;
        let message = message(text, tool_calls).with_some("images", list(images));
        let choice = whole_choice(message, *finish);
        let body = Object::new()
            .with("id", *id)
            .with("object", "chat.completion")
            .with("created", proof.timestamp_s)
            .with("model", *model)
            .with("choices", Value::array([choice.into()]))
            .with_some("usage", usage.map(usage_object));
        let body = proof
            .extend(body)
            .with_some("opengradient", cost.as_ref().map(cost_object));
        pretty(&body.into())
    }

    /// Writes the body of a completion. OpenGradient's SDK reads `completion`, which its gateway does
    /// not send; other clients read the choice.
    pub(crate) fn completion(&self) -> Bytes {
        let Self {
            id,
            model,
            text,
            tool_calls: _,
            images: _,
            finish,
            usage,
            cost,
            proof,
        } = self;
        let choice = Object::new()
            .with("text", *text)
            .with("index", 0)
            .with("finish_reason", finish_reason(*finish));
        let body = Object::new()
            .with("id", *id)
            .with("object", "text_completion")
            .with("created", proof.timestamp_s)
            .with("model", *model)
            .with("choices", Value::array([choice.into()]))
            .with("completion", *text)
            .with(
                "usage",
                usage.map_or(Value::Null, |usage| usage_object(usage).into()),
            );
        let body = proof
            .extend(body)
            .with_some("opengradient", cost.as_ref().map(cost_object));
        pretty(&body.into())
    }
}

impl Proof {
    pub(crate) fn extend(&self, object: Object) -> Object {
        let Self {
            signature,
            request_hash,
            output_hash,
            timestamp_s,
            tee_id,
            raw: _,
            output: _,
        } = self;
        object
            .with("tee_signature", signature.as_str())
            .with("tee_timestamp", *timestamp_s)
            .with("tee_request_hash", request_hash.as_str())
            .with("tee_output_hash", output_hash.as_str())
            .with("tee_id", tee_id.as_str())
    }
}

/// Writes JSON as the gateway's pretty printer does: sorted, two spaces, ASCII, a final newline.
pub(crate) fn pretty(value: &Value) -> Bytes {
    let mut text = value.to_json_pretty(Keys::Sorted);
    text.push('\n');
    text.into()
}

/// The frame of one piece of text.
pub(crate) fn text_frame(model: &str, text: &str) -> Bytes {
    let delta = Object::new()
        .with("content", text)
        .with("role", "assistant");
    frame(chunk(delta, Value::Null, model))
}

/// The frame of one tool call, whole.
pub(crate) fn tool_frame(model: &str, index: u64, call: &ToolCall) -> Bytes {
    let function = Object::new()
        .with("name", call.name.as_str())
        .with("arguments", call.arguments.as_str());
    let call = Object::new()
        .with("index", index)
        .with("id", call.id.as_str())
        .with("type", "function")
        .with("function", function);
    let delta = Object::new()
        .with("role", "assistant")
        .with("tool_calls", Value::array([call.into()]));
    frame(chunk(delta, Value::Null, model))
}

/// The last JSON frame: why the answer ended, the proof and what was used.
pub(crate) fn final_frame(
    model: &str,
    finish: Finish,
    usage: Option<Usage>,
    proof: &Proof,
    cost: Option<&[String; 3]>,
    images: &[String],
) -> Object {
    let chunk = chunk(Object::new(), finish_reason(finish).into(), model);
    proof
        .extend(chunk)
        .with_some("usage", usage.map(usage_object))
        .with_some("opengradient", cost.map(cost_object))
        .with_some("images", list(images))
}

/// The end of a stream.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The end of a stream that failed; no `[DONE]` follows.
pub(crate) const FAILED: Bytes =
    Bytes::from_static(b"data: {\"error\": \"Stream processing failed\"}\n\n");

/// The text whose hash is signed: the tool calls where the answer ended with them, else the text.
pub(crate) fn preimage(text: &str, tool_calls: &[ToolCall], finish: Finish) -> String {
    match finish {
        Finish::ToolCalls => {
            canonical::tool_calls_preimage(tool_calls.iter().map(|call| canonical::ToolCall {
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments,
            }))
        }
        Finish::Stop | Finish::Length => text.to_owned(),
    }
}

/// What a stream said, in the form of an answer in one piece.
pub(crate) fn spoken(text: &str, tool_calls: &[ToolCall], finish: Finish) -> Object {
    let choice = whole_choice(message(text, tool_calls), finish);
    Object::new().with("choices", Value::array([choice.into()]))
}

fn whole_choice(message: Object, finish: Finish) -> Object {
    Object::new()
        .with("index", 0)
        .with("message", message)
        .with("finish_reason", finish_reason(finish))
}

fn message(text: &str, tool_calls: &[ToolCall]) -> Object {
    let message = Object::new()
        .with("role", "assistant")
        .with("content", text);
    if tool_calls.is_empty() {
        return message;
    }
    let calls = tool_calls.iter().map(tool_call).collect::<Value>();
    message.with("tool_calls", calls)
}

fn chunk(delta: Object, finish_reason: Value, model: &str) -> Object {
    let choice = Object::new()
        .with("delta", delta)
        .with("index", 0)
        .with("finish_reason", finish_reason);
    Object::new()
        .with("choices", Value::array([choice.into()]))
        .with("model", model)
}

/// Writes a frame.
pub(crate) fn frame(object: Object) -> Bytes {
    let json = Value::from(object).to_json(Keys::Insertion);
    format!("data: {json}\n\n").into()
}

fn tool_call(call: &ToolCall) -> Value {
    let ToolCall {
        id,
        name,
        arguments,
    } = call;
    canonical::ToolCall {
        id,
        name,
        arguments,
    }
    .to_value()
}

fn list(images: &[String]) -> Option<Value> {
    let items = images.iter().map(|image| Value::from(image.as_str()));
    (!images.is_empty()).then(|| items.collect())
}

fn cost_object(cost: &[String; 3]) -> Object {
    let [cost_opg, cost_usd, rate] = cost;
    Object::new()
        .with("cost_opg", cost_opg.as_str())
        .with("cost_usd", cost_usd.as_str())
        .with("opg_price_usd", rate.as_str())
}

fn usage_object(usage: Usage) -> Object {
    let Usage {
        prompt_tokens,
        completion_tokens,
    } = usage;
    Object::new()
        .with("prompt_tokens", prompt_tokens)
        .with("completion_tokens", completion_tokens)
        .with(
            "total_tokens",
            prompt_tokens.saturating_add(completion_tokens),
        )
}

/// OpenGradient's gateway says `stop` for an answer that was cut off; we say `length`, which its
/// clients pass on.
const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        Proof {
            signature: "c2ln".to_owned(),
            request_hash: "aa".to_owned(),
            output_hash: "bb".to_owned(),
            timestamp_s: 1_763_596_800,
            tee_id: "0xcc".to_owned(),
            raw: Vec::new(),
            output: B256::ZERO,
        }
    }

    fn call() -> ToolCall {
        ToolCall {
            id: "call_1".to_owned(),
            name: "weather".to_owned(),
            arguments: "{\"city\": \"Zürich\"}".to_owned(),
        }
    }

    const USAGE: Option<Usage> = Some(Usage {
        prompt_tokens: 3,
        completion_tokens: 2,
    });

    #[test]
    fn frames_are_the_gateways_bytes() {
        assert_eq!(
            text_frame("gpt-5", "Grüße\n"),
            "data: {\"choices\": [{\"delta\": {\"content\": \"Gr\\u00fc\\u00dfe\\n\", \"role\": \
             \"assistant\"}, \"index\": 0, \"finish_reason\": null}], \"model\": \"gpt-5\"}\n\n"
        );
        assert_eq!(
            tool_frame("gpt-5", 0, &call()),
            "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"tool_calls\": [{\"index\": \
             0, \"id\": \"call_1\", \"type\": \"function\", \"function\": {\"name\": \"weather\", \
             \"arguments\": \"{\\\"city\\\": \\\"Z\\u00fcrich\\\"}\"}}]}, \"index\": 0, \
             \"finish_reason\": null}], \"model\": \"gpt-5\"}\n\n"
        );
        assert_eq!(
            frame(final_frame(
                "gpt-5",
                Finish::Stop,
                USAGE,
                &proof(),
                None,
                &[]
            )),
            "data: {\"choices\": [{\"delta\": {}, \"index\": 0, \"finish_reason\": \"stop\"}], \
             \"model\": \"gpt-5\", \"tee_signature\": \"c2ln\", \"tee_timestamp\": 1763596800, \
             \"tee_request_hash\": \"aa\", \"tee_output_hash\": \"bb\", \"tee_id\": \"0xcc\", \
             \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 2, \"total_tokens\": 5}}\n\n"
        );
        let unknown = frame(final_frame(
            "gpt-5",
            Finish::Length,
            None,
            &proof(),
            None,
            &[],
        ));
        assert!(!unknown.windows(5).any(|window| window == b"usage"));
    }

    #[test]
    fn the_body_is_sorted_indented_and_ascii() {
        let answer = Answer {
            id: "chatcmpl-1",
            model: "gpt-5",
            text: "hé",
            tool_calls: &[],
            images: &[],
            finish: Finish::Stop,
            usage: USAGE,
            cost: None,
            proof: &proof(),
        };
        let expected = r#"{
  "choices": [
    {
      "finish_reason": "stop",
      "index": 0,
      "message": {
        "content": "h\u00e9",
        "role": "assistant"
      }
    }
  ],
  "created": 1763596800,
  "id": "chatcmpl-1",
  "model": "gpt-5",
  "object": "chat.completion",
  "tee_id": "0xcc",
  "tee_output_hash": "bb",
  "tee_request_hash": "aa",
  "tee_signature": "c2ln",
  "tee_timestamp": 1763596800,
  "usage": {
    "completion_tokens": 2,
    "prompt_tokens": 3,
    "total_tokens": 5
  }
}
"#;
        assert_eq!(answer.body(), expected);
    }

    #[test]
    fn tool_calls_are_signed_where_the_answer_ends_with_them() {
        let calls = [call()];
        let signed = preimage("thinking aloud", &calls, Finish::ToolCalls);
        assert_eq!(
            signed,
            "[{\"function\": {\"arguments\": \"{\\\"city\\\": \\\"Z\\u00fcrich\\\"}\", \"name\": \
             \"weather\"}, \"id\": \"call_1\", \"type\": \"function\"}]"
        );
        assert_eq!(preimage("text", &calls, Finish::Stop), "text");
    }
}

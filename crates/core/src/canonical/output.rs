use std::collections::BTreeMap;

use super::canonical_bytes;
use crate::json::{Keys, Object, Text, Value};

/// One tool call of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_debug_implementations,
    reason = "the arguments are text of a completion"
)]
pub struct ToolCall<'a> {
    /// The id that the answer to the call refers to.
    pub id: &'a str,
    /// The function to call.
    pub name: &'a str,
    /// Its arguments: JSON, as a text.
    pub arguments: &'a str,
}

impl ToolCall<'_> {
    /// Returns the call as it stands in `message.tool_calls`.
    pub fn to_value(&self) -> Value {
        let function = Object::new()
            .with("name", self.name)
            .with("arguments", self.arguments);
        Object::new()
            .with("id", self.id)
            .with("type", "function")
            .with("function", function)
            .into()
    }
}

/// Returns the text whose hash an enclave signs for an answer that calls tools.
pub fn tool_calls_preimage<'a>(calls: impl IntoIterator<Item = ToolCall<'a>>) -> String {
    Value::array(calls.into_iter().map(|call| call.to_value())).to_json(Keys::Sorted)
}

/// Returns the text whose hash an enclave signs for one element of `choices` of a chat answer that
/// was not streamed; `None` where it holds a lone surrogate and so has no UTF-8 form.
///
/// Tool calls are signed where `finish_reason` is `tool_calls`, and then text beside them is not.
pub fn output_preimage(choice: &Value) -> Option<String> {
    let message = choice.get("message");
    let finish_reason = choice.get("finish_reason").and_then(Value::as_str);
    let calls = message.and_then(|message| message.get("tool_calls"));
    if let (Some("tool_calls"), Some(calls @ Value::Array(_))) = (finish_reason, calls) {
        return String::from_utf8(canonical_bytes(calls)).ok();
    }
    match message.and_then(|message| message.get("content")) {
        Some(Value::String(text)) => text.as_str().map(str::to_owned),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part.get("text").unwrap_or(part).as_text())
            .map(Text::as_str)
            .collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Some(String::new())
        }
    }
}

/// Collects the tool calls of a stream, whose fragments come in `delta.tool_calls`.
///
/// Bounded by the caller's limit on the stream.
#[derive(Clone, Default)]
#[expect(
    missing_debug_implementations,
    reason = "the arguments are text of a completion"
)]
pub struct StreamedToolCalls {
    calls: BTreeMap<u64, Fragments>,
}

#[derive(Clone, Default)]
struct Fragments {
    id: String,
    name: String,
    arguments: String,
}

impl StreamedToolCalls {
    /// Returns a collection without calls.
    pub const fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
        }
    }

    /// Adds the fragments of one `delta.tool_calls`. An absent index is 0; the last id and the last
    /// name of a call count, arguments are appended. What is not text is ignored: the signature
    /// decides in the end.
    pub fn push(&mut self, tool_calls: &Value) {
        for fragment in tool_calls.as_array().unwrap_or_default() {
            let index = fragment.get("index").and_then(Value::as_u64).unwrap_or(0);
            let call = self.calls.entry(index).or_default();
            let text = |value: Option<&Value>| {
                let text = value.and_then(Value::as_str).unwrap_or_default();
                Some(text.to_owned()).filter(|text| !text.is_empty())
            };
            let function = fragment.get("function");
            if let Some(id) = text(fragment.get("id")) {
                call.id = id;
            }
            if let Some(name) = text(function.and_then(|function| function.get("name"))) {
                call.name = name;
            }
            if let Some(more) = text(function.and_then(|function| function.get("arguments"))) {
                call.arguments.push_str(&more);
            }
        }
    }

    /// Whether no call has begun.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the calls in the order of their index.
    pub fn iter(&self) -> impl Iterator<Item = ToolCall<'_>> {
        self.calls.values().map(|call| ToolCall {
            id: &call.id,
            name: &call.name,
            arguments: &call.arguments,
        })
    }

    /// Returns the text whose hash an enclave signs for these calls.
    pub fn preimage(&self) -> String {
        tool_calls_preimage(self.iter())
    }
}

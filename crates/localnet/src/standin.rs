//! A stand-in for the models of an OpenGradient network, so that its applications run offline.

mod example;

use std::num::NonZeroU32;

use futures_util::stream;
use seamline_enclave::{
    ChatJob, Finish, GuideUpstream, Piece, ToolCall, Upstream, UpstreamError, UpstreamFuture, Usage,
};
use serde_json::{Map, Value};

use self::example::example;

/// Answers under the model ids of OpenGradient's SDK 1.1.4; no model is behind it.
///
/// | asked | answer |
/// |---|---|
/// | of an image model | one grey pixel, PNG |
/// | with tools | one call of the first tool, or of the one that `tool_choice` names, with arguments of its schema |
/// | for `json_schema` | the smallest value of the schema |
/// | for `json_object` | `{"answer": …}` |
/// | otherwise, or after a tool's result | as `seamline/guide` answers |
///
/// The same request has the same answer, as with the guide, which it also serves under its own id.
#[derive(Debug)]
pub struct StandIn {
    guide: GuideUpstream,
}

/// The text models of the SDK, without their provider.
const MODELS: &[&str] = &[
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "o3",
    "o4-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash-lite",
    "gemini-3-flash-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-lite-preview",
    "gemini-3.5-flash",
    "grok-4",
    "grok-4-fast",
    "grok-4-1-fast",
    "grok-4-1-fast-non-reasoning",
    "grok-4.20-reasoning",
    "grok-4.20-non-reasoning",
    "grok-code-fast-1",
    "seed-1.6",
    "seed-1.8",
    "seed-2.0-lite",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
    "hermes-4-405b",
    "hermes-4-70b",
    "glm-5.2",
];

/// The image models of the SDK.
const IMAGE_MODELS: &[&str] = &[
    "gpt-image-2",
    "gemini-2.5-flash-image",
    "gemini-3.1-flash-image",
    "grok-2-image",
    "seedream-4.0",
    "seedance-4.5",
    "glm-image",
];

/// One pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

impl StandIn {
    /// `tokens_per_second` is the pace of the texts, as the guide's.
    pub fn new(tokens_per_second: Option<NonZeroU32>) -> Self {
        Self {
            guide: GuideUpstream::new(tokens_per_second),
        }
    }
}

impl Upstream for StandIn {
    fn models(&self) -> Vec<String> {
        core::iter::once(GuideUpstream::MODEL)
            .chain(MODELS.iter().copied())
            .chain(IMAGE_MODELS.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    fn chat(&self, mut job: ChatJob) -> UpstreamFuture<'_> {
        if IMAGE_MODELS.contains(&job.model.as_str()) {
            return answer(&job, Piece::Images(vec![PIXEL.to_owned()]));
        }
        if job.model != GuideUpstream::MODEL && !MODELS.contains(&job.model.as_str()) {
            return Box::pin(async { Err(UpstreamError::UnknownModel) });
        }
        if job.model != GuideUpstream::MODEL
            && let Some(piece) = made_up(&job)
        {
            return answer(&job, piece);
        }
        GuideUpstream::MODEL.clone_into(&mut job.model);
        self.guide.chat(job)
    }
}

/// One piece and the end.
fn answer(job: &ChatJob, piece: Piece) -> UpstreamFuture<'static> {
    let words = |text: &str| text.split_whitespace().count();
    let asked: usize = job
        .messages
        .iter()
        .map(|message| words(&message.text))
        .fold(0, usize::saturating_add);
    let finish = if matches!(piece, Piece::ToolCalls(_)) {
        Finish::ToolCalls
    } else {
        Finish::Stop
    };
    let end = Piece::End {
        finish,
        usage: Some(Usage {
            prompt_tokens: u64::try_from(asked).unwrap_or(u64::MAX),
            completion_tokens: 1,
        }),
    };
    Box::pin(async move {
        let pieces: seamline_enclave::Pieces = Box::pin(stream::iter([Ok(piece), Ok(end)]));
        Ok(pieces)
    })
}

/// What is answered without the guide; `None` where the guide answers.
fn made_up(job: &ChatJob) -> Option<Piece> {
    let body: Value = serde_json::from_slice(&job.body).ok()?;
    let answers_a_tool = job.messages.last().is_some_and(|last| last.role == "tool");
    let refuses_tools = body.get("tool_choice").and_then(Value::as_str) == Some("none");
    if !answers_a_tool
        && !refuses_tools
        && let Some(call) = tool_call(&body)
    {
        return Some(Piece::ToolCalls(vec![call]));
    }
    let format = body.get("response_format")?;
    match format.get("type")?.as_str()? {
        "json_schema" => {
            let schema = format.get("json_schema")?;
            let value = example(schema.get("schema").unwrap_or(schema));
            Some(Piece::Text(value.to_string()))
        }
        "json_object" => {
            let mut object = Map::new();
            object.insert("answer".to_owned(), Value::from("stand-in"));
            Some(Piece::Text(Value::Object(object).to_string()))
        }
        _ => None,
    }
}

fn tool_call(body: &Value) -> Option<ToolCall> {
    let functions = body.get("tools")?.as_array()?;
    let functions = functions.iter().filter_map(|tool| tool.get("function"));
    let chosen = body.pointer("/tool_choice/function/name");
    let mut wanted =
        functions.filter(|function| chosen.is_none() || function.get("name") == chosen);
    let function = wanted.next()?;
    let arguments = example(function.get("parameters").unwrap_or(&Value::Null));
    Some(ToolCall {
        id: "call_1".to_owned(),
        name: function.get("name")?.as_str()?.to_owned(),
        arguments: if arguments.is_object() {
            arguments.to_string()
        } else {
            "{}".to_owned()
        },
    })
}

#[cfg(test)]
mod tests;

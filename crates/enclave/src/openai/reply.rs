//! What an OpenAI-compatible endpoint answers: one JSON body, or the data of events.

use seamline_core::canonical::StreamedToolCalls;
use seamline_core::json::{self, Value};

use crate::upstream::{Finish, Piece, ToolCall, UpstreamError, Usage};

/// Longest answer, and longest event of one: a picture of 1024 by 1024 points is up to 3 MB of base64, and
/// stands in one line. A limit that an answer can be made to pass would make it free; what the client
/// reads of a body is bounded by as much.
pub(super) const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Reads the body of an answer that is not streamed.
pub(super) fn parse_whole(body: &[u8]) -> Result<Vec<Piece>, UpstreamError> {
    let answer = json::parse_within(body, ANSWER_BYTES).map_err(|_| malformed("it is not JSON"))?;
    let choice = answer
        .get("choices")
        .and_then(|choices| choices.at(0))
        .ok_or_else(|| malformed("it has no choice"))?;
    let message = choice
        .get("message")
        .ok_or_else(|| malformed("it has no message"))?;
    let mut pieces = Vec::new();
    if let Some(content) = message.get("content").and_then(Value::as_text)
        && !content.is_empty()
    {
        pieces.push(Piece::Text(content.to_str_lossy().into_owned()));
    }
    pieces.extend(images(message));
    let mut calls = StreamedToolCalls::new();
    if let Some(items) = message.get("tool_calls").and_then(Value::as_array) {
        // A whole answer numbers its calls by their order.
        for (index, call) in (0_u64..).zip(items) {
            let Some(call) = call.as_object() else {
                return Err(malformed("a tool call is no object"));
            };
            let numbered = call.clone().with("index", index);
            calls.push(&Value::array([numbered.into()]));
        }
    }
    pieces.extend(tool_calls(&calls));
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    pieces.push(Piece::End {
        finish: finish(reason, &calls),
        usage: usage(&answer),
    });
    Ok(pieces)
}

/// Reads the answer of an image endpoint: base64 of PNG. A URL is refused: a caller would fetch it
/// from whoever serves it then.
pub(super) fn parse_images(body: &[u8]) -> Result<Vec<Piece>, UpstreamError> {
    let answer = json::parse_within(body, ANSWER_BYTES).map_err(|_| malformed("it is not JSON"))?;
    let image = answer.get("data").and_then(|data| data.at(0));
    let image = image.ok_or_else(|| malformed("it has no image"))?;
    let data = image.get("b64_json").and_then(Value::as_str);
    let data = data.ok_or_else(|| malformed("its image is not in it"))?;
    let image = format!("data:image/png;base64,{data}");
    let usage = answer.get("usage").and_then(|usage| {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        Some(Usage {
            prompt_tokens: count("input_tokens")?,
            completion_tokens: count("output_tokens")?,
        })
    });
    let end = Piece::End {
        finish: Finish::Stop,
        // An image is priced as one, whether its tokens are counted or not.
        usage: usage.or_else(|| Some(Usage::default())),
    };
    Ok(vec![Piece::Images(vec![image]), end])
}

/// The images of a message or of a delta that are in it: texts, or objects as OpenAI's content parts.
fn images(message: &Value) -> Option<Piece> {
    let items = message.get("images").and_then(Value::as_array)?;
    let url = |item: &Value| {
        let nested = item.get("image_url").and_then(|image| image.get("url"));
        let text = nested.unwrap_or(item).as_str();
        let text = text.filter(|text| text.starts_with("data:"));
        text.map(str::to_owned)
    };
    let images: Vec<String> = items.iter().filter_map(url).collect();
    (!images.is_empty()).then_some(Piece::Images(images))
}

/// What one event's data means.
pub(super) enum Parsed {
    /// These pieces, and more may follow.
    Pieces(Vec<Piece>),
    /// The last pieces.
    Done(Vec<Piece>),
}

/// A streamed answer as far as it is known.
#[derive(Default)]
pub(super) struct Streamed {
    calls: StreamedToolCalls,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl Streamed {
    /// Reads the data of one event.
    pub(super) fn on_data(&mut self, data: &[u8]) -> Result<Parsed, UpstreamError> {
        if data == b"[DONE]" {
            // A stream that says it is done without saying why was cut off further up.
            let reason = self.finish_reason.take().ok_or(UpstreamError::CutOff)?;
            let mut last: Vec<Piece> = tool_calls(&self.calls).into_iter().collect();
            last.push(Piece::End {
                finish: finish(Some(&reason), &self.calls),
                usage: self.usage,
            });
            return Ok(Parsed::Done(last));
        }
        let chunk = json::parse_within(data, ANSWER_BYTES)
            .map_err(|_| malformed("an event is not JSON"))?;
        if chunk.get("error").is_some_and(Value::is_truthy) {
            return Err(UpstreamError::CutOff);
        }
        // The usage comes in a chunk of its own, without choices.
        self.usage = usage(&chunk).or(self.usage);
        let Some(choice) = chunk.get("choices").and_then(|choices| choices.at(0)) else {
            return Ok(Parsed::Pieces(Vec::new()));
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(reason.to_owned());
        }
        let delta = choice.get("delta");
        if let Some(fragments) = delta.and_then(|delta| delta.get("tool_calls")) {
            self.calls.push(fragments);
        }
        let mut pieces: Vec<Piece> = delta.and_then(images).into_iter().collect();
        let content = delta
            .and_then(|delta| delta.get("content"))
            .and_then(Value::as_text);
        // What has no UTF-8 form is replaced, not refused: a model can be asked to end with it, and a
        // stream that fails costs nothing.
        let text = content.filter(|content| !content.is_empty());
        pieces.extend(text.map(|text| Piece::Text(text.to_str_lossy().into_owned())));
        Ok(Parsed::Pieces(pieces))
    }
}

fn tool_calls(calls: &StreamedToolCalls) -> Option<Piece> {
    let owned: Vec<ToolCall> = calls
        .iter()
        .map(|call| ToolCall {
            id: call.id.to_owned(),
            name: call.name.to_owned(),
            arguments: call.arguments.to_owned(),
        })
        .collect();
    (!owned.is_empty()).then_some(Piece::ToolCalls(owned))
}

/// What the calls are decides, not what the endpoint calls it: some say `stop` beside tool calls.
fn finish(reason: Option<&str>, calls: &StreamedToolCalls) -> Finish {
    match reason {
        _ if !calls.is_empty() => Finish::ToolCalls,
        Some("length") => Finish::Length,
        Some(_) | None => Finish::Stop,
    }
}

fn usage(answer: &Value) -> Option<Usage> {
    let usage = answer.get("usage")?;
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    Some(Usage {
        prompt_tokens: count("prompt_tokens")?,
        completion_tokens: count("completion_tokens")?,
    })
}

const fn malformed(reason: &'static str) -> UpstreamError {
    UpstreamError::Malformed { reason }
}

mod instance;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream;
use seamline_core::json::{self, Keys, Value};
use seamline_core::keccak256;

use self::instance::instance;
use crate::call::words;
use crate::upstream::{
    ChatJob, Finish, Piece, Pieces, ToolCall, Upstream, UpstreamError, UpstreamFuture, Usage,
};

/// Models that are none: the same request gets the same answer, and every way to answer occurs.
///
/// - A request with `tools` (and no `tool_choice` of `none`) gets a call of the tool that
///   `tool_choice` names, else of the first one, with arguments that its schema allows; once the last
///   message is a tool's answer, it gets text about it.
/// - `response_format` `json_schema` gets JSON that the schema allows; `json_object` an object.
/// - An image model gets one image of a single pixel, and no text.
/// - Anything else is told what it said.
///
/// A token is a word. `max_tokens` cuts after that many, `stop` before the sequence. For tests and
/// local networks: whoever sells this sells nothing.
#[derive(Clone, Debug)]
pub struct MockUpstream {
    models: Vec<String>,
    image_models: BTreeSet<String>,
}

impl MockUpstream {
    /// Serves `models`; those whose name has `image`, `seedream` or `seedance` in it make images.
    pub fn new(models: impl IntoIterator<Item = String>) -> Self {
        let models: Vec<String> = models.into_iter().collect();
        let makes_images = |model: &&String| {
            let names = ["image", "seedream", "seedance"];
            names.iter().any(|name| model.contains(name))
        };
        Self {
            image_models: models.iter().filter(makes_images).cloned().collect(),
            models,
        }
    }

    /// Serves the models of OpenGradient's published SDK.
    pub fn opengradient() -> Self {
        Self::new(crate::DollarPrice::opengradient().into_keys())
    }

    fn pieces(&self, job: &ChatJob) -> Result<Pieces, UpstreamError> {
        if !self.models.contains(&job.model) {
            return Err(UpstreamError::UnknownModel);
        }
        let reason = "the request is no JSON object";
        let asked = json::parse(&job.body).map_err(|_| UpstreamError::Malformed { reason })?;
        let pieces = if self.image_models.contains(&job.model) {
            image(job)
        } else if let Some(call) = tool_call(&asked, job) {
            let made = words(&call.name).saturating_add(words(&call.arguments));
            let end = end(job, Finish::ToolCalls, made);
            vec![Piece::ToolCalls(vec![call]), end]
        } else {
            text(&asked, job)
        };
        Ok(Box::pin(stream::iter(pieces.into_iter().map(Ok))))
    }
}

impl Upstream for MockUpstream {
    fn models(&self) -> Vec<String> {
        self.models.clone()
    }

    fn chat(&self, job: ChatJob) -> UpstreamFuture<'_> {
        Box::pin(async move { self.pieces(&job) })
    }
}

/// A PNG of one pixel whose colour is all that the prompt decides.
fn image(job: &ChatJob) -> Vec<Piece> {
    let said = job.messages.last().map_or("", |said| said.text.as_str());
    let colour = keccak256(said.as_bytes());
    let [red, green, blue, ..] = colour.0;
    let image = format!(
        "data:image/png;base64,{}",
        BASE64.encode(png([red, green, blue]))
    );
    vec![Piece::Images(vec![image]), end(job, Finish::Stop, 0)]
}

fn text(asked: &Value, job: &ChatJob) -> Vec<Piece> {
    let answer = answer(asked, job);
    let whole = cut_at(&answer, &stops(asked));
    let pieces: Vec<&str> = whole.split_inclusive(' ').collect();
    let limit = usize::try_from(job.max_tokens).unwrap_or(usize::MAX);
    let finish = if pieces.len() > limit {
        Finish::Length
    } else {
        Finish::Stop
    };
    let made: Vec<&str> = pieces.into_iter().take(limit).collect();
    let count = u64::try_from(made.len()).unwrap_or(u64::MAX);
    let texts = made.into_iter().map(|word| Piece::Text(word.to_owned()));
    texts.chain([end(job, finish, count)]).collect()
}

fn answer(asked: &Value, job: &ChatJob) -> String {
    let last = job.messages.last();
    let said = last.map_or("", |said| said.text.as_str());
    let format = asked.get("response_format");
    let kind = format.and_then(|format| format.get("type"));
    match kind.and_then(Value::as_str) {
        Some("json_schema") => {
            let named = format.and_then(|format| format.get("json_schema"));
            let schema = named.and_then(|named| named.get("schema")).or(named);
            return instance(schema.unwrap_or(&Value::Null), said).to_json(Keys::Insertion);
        }
        Some("json_object") => {
            let object = json::Object::new().with("answer", said);
            return Value::from(object).to_json(Keys::Insertion);
        }
        Some(_) | None => {}
    }
    match last {
        Some(last) if last.role == "tool" || last.role == "function" => {
            format!("The tool said: {said}")
        }
        Some(_) => format!("You said: {said}"),
        None => "You said nothing.".to_owned(),
    }
}

/// The call of a tool, where the request has tools and the last message is not their answer.
fn tool_call(asked: &Value, job: &ChatJob) -> Option<ToolCall> {
    let tools = asked.get("tools").and_then(Value::as_array)?;
    let last = job.messages.last()?;
    let choice = asked.get("tool_choice");
    let refuses = choice.and_then(Value::as_str) == Some("none");
    if refuses || last.role == "tool" || last.role == "function" {
        return None;
    }
    let name = |tool: &Value| {
        let function = tool.get("function").unwrap_or(tool);
        function
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let wanted = choice.and_then(&name);
    let chosen = tools
        .iter()
        .find(|tool| wanted.is_some() && name(tool) == wanted);
    let tool = chosen.or_else(|| tools.first())?;
    let function = tool.get("function").unwrap_or(tool);
    let parameters = function.get("parameters").unwrap_or(&Value::Null);
    let arguments = instance(parameters, &last.text).to_json(Keys::Insertion);
    let name = name(tool)?;
    let digest = keccak256(format!("{name}\n{arguments}"));
    let id = digest.iter().take(12).map(|byte| format!("{byte:02x}"));
    Some(ToolCall {
        id: format!("call_{}", id.collect::<String>()),
        name,
        arguments,
    })
}

fn end(job: &ChatJob, finish: Finish, completion_tokens: u64) -> Piece {
    let prompt = job.messages.iter().map(|said| words(&said.text));
    let usage = Usage {
        prompt_tokens: prompt.fold(0, u64::saturating_add),
        completion_tokens,
    };
    Piece::End {
        finish,
        usage: Some(usage),
    }
}

fn stops(asked: &Value) -> Vec<String> {
    let Some(stop) = asked.get("stop") else {
        return Vec::new();
    };
    let one = stop.as_str().into_iter();
    let many = stop.as_array().unwrap_or_default().iter();
    let texts = one.chain(many.filter_map(Value::as_str));
    texts
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

fn cut_at<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let first = stops.iter().filter_map(|stop| text.find(stop)).min();
    let end = first.unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// A PNG of one pixel: RGB, 8 bits, its data stored without compression.
fn png(rgb: [u8; 3]) -> Vec<u8> {
    let [red, green, blue] = rgb;
    let raw = [0, red, green, blue];
    let adler = adler32(&raw).to_be_bytes();
    // zlib header, one stored block of four bytes, checksum.
    let data = [
        &[0x78, 0x01, 0x01, 4, 0, 0xfb, 0xff],
        raw.as_slice(),
        &adler,
    ]
    .concat();
    let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0];
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [
        (b"IHDR", header.as_slice()),
        (b"IDAT", data.as_slice()),
        (b"IEND", &[]),
    ] {
        let named = [name.as_slice(), content].concat();
        image.extend(u32::try_from(content.len()).unwrap_or(0).to_be_bytes());
        image.extend(&named);
        image.extend(crc32(&named).to_be_bytes());
    }
    image
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = low.wrapping_add(u32::from(*byte)) % 65_521;
        high = high.wrapping_add(low) % 65_521;
    }
    high << 16 | low
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (0xedb8_8320 & carry.wrapping_neg());
        }
    }
    !crc
}

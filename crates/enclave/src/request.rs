//! Reading a request: what is hashed, what reaches the upstream, and what is refused.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use seamline_core::canonical::{ChatRequest, CompletionRequest, Error};
use seamline_core::json::{self, Keys, Object, Value};
use seamline_core::{B256, keccak256};
use seamline_net::{Problem, Shape};

use crate::call::{Kind, words};
use crate::upstream::JobMessage;

/// A request in one form, whatever it asks for.
pub(crate) struct Asked {
    /// As the request spells it.
    pub(crate) model: String,
    pub(crate) input_hash: B256,
    pub(crate) messages: Vec<JobMessage>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stream: bool,
    /// Words of the whole prompt, tools and all: no tokenizer makes fewer tokens of it.
    pub(crate) prompt_words: u64,
    /// What is in it beside text, and costs more than its length says.
    pub(crate) attached: Attached,
    /// A chat request with what may reach an upstream: what the hash covers, as it is hashed, and
    /// what samples or paces an answer.
    pub(crate) body: Bytes,
}

/// Why a request is not served.
pub(crate) enum Unserved {
    Malformed(Error),
    /// It asks for something that its answer would claim and that is not done here.
    Unsupported(&'static str),
}

/// Members that are not in the hash and reach an upstream all the same: they choose among the
/// answers to the same question.
const SAMPLING: [&str; 7] = [
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];

/// Kinds of parts whose content reaches an upstream although only their kind is signed.
const ATTACHMENTS: [&str; 3] = ["image_url", "file", "input_audio"];

/// What is attached to the messages of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) images: u64,
    pub(crate) files: u64,
}

/// Members that are in the hash, spelled as they are hashed.
const SIGNED: [&str; 4] = ["temperature", "stop", "tools", "response_format"];

impl Asked {
    pub(crate) fn read(kind: Kind, body: &Bytes) -> Result<Self, Unserved> {
        match kind {
            Kind::Chat => Self::chat(body),
            Kind::Completion => Self::completion(body),
        }
    }

    fn chat(body: &Bytes) -> Result<Self, Unserved> {
        let request = ChatRequest::parse(body).map_err(Unserved::Malformed)?;
        let asked = request.body();
        if request.canonical().get("web_search").is_some() {
            // It is in the hash: the signature would say that the web was searched.
            return Err(Unserved::Unsupported("web_search is not supported here"));
        }
        let messages = messages(&request);
        let attached = attached(&messages)?;
        let mut forwarded = Object::new();
        forwarded.insert("messages", messages);
        for (names, source) in [
            (SIGNED.as_slice(), request.canonical()),
            (SAMPLING.as_slice(), asked),
        ] {
            for name in names {
                if let Some(value) = source.get(name) {
                    forwarded.insert(*name, value.clone());
                }
            }
        }
        let messages = request.messages().iter().map(|message| JobMessage {
            role: message.role.name().to_owned(),
            text: message.text.clone(),
        });
        let messages: Vec<JobMessage> = messages.collect();
        Ok(Self {
            model: request.model().to_owned(),
            input_hash: request.input_hash(),
            prompt_words: said(&messages).saturating_add(shaped(&forwarded)),
            attached,
            messages,
            max_tokens: request.max_tokens(),
            stream: request.stream(),
            body: Value::from(forwarded).to_json(Keys::Insertion).into(),
        })
    }

    /// A completion is the answer to its prompt as the only message, as in OpenGradient's gateway.
    fn completion(body: &Bytes) -> Result<Self, Unserved> {
        let request = CompletionRequest::parse(body).map_err(Unserved::Malformed)?;
        let asked = json::parse(body).map_err(|err| Unserved::Malformed(Error::Json(err)))?;
        for (name, reason) in [
            ("stream", "completions are not streamed"),
            ("web_search", "web_search is not supported here"),
        ] {
            if asked.get(name).is_some_and(Value::is_truthy) {
                return Err(Unserved::Unsupported(reason));
            }
        }
        let canonical = request.canonical_bytes();
        let message = Object::new()
            .with("role", "user")
            .with("content", request.prompt());
        let mut forwarded = Object::new().with("messages", Value::array([message.into()]));
        if let Ok(signed) = json::parse(&canonical) {
            for name in ["temperature", "stop"] {
                if let Some(value) = signed.get(name) {
                    forwarded.insert(name, value.clone());
                }
            }
        }
        let messages = vec![JobMessage {
            role: "user".to_owned(),
            text: request.prompt().to_owned(),
        }];
        Ok(Self {
            model: request.model().to_owned(),
            input_hash: keccak256(&canonical),
            prompt_words: said(&messages),
            attached: Attached::default(),
            messages,
            max_tokens: request.max_tokens(),
            stream: false,
            body: Value::from(forwarded).to_json(Keys::Insertion).into(),
        })
    }
}

/// The messages as they are signed, with the parts of the caller's that no hash covers: images and
/// files, whose kind is signed and whose bytes are not. No other member reaches an upstream.
fn messages(request: &ChatRequest) -> Value {
    let list = |value: &Value| {
        let items = value.get("messages").and_then(Value::as_array);
        items.unwrap_or_default().to_vec()
    };
    let signed = list(request.canonical()).into_iter();
    let messages = signed.zip(list(request.body())).map(|(signed, sent)| {
        let Value::Object(mut message) = signed else {
            return signed;
        };
        let (Some(Value::Array(signed)), Some(Value::Array(sent))) =
            (message.get("content"), sent.get("content"))
        else {
            return message.into();
        };
        let parts = signed.iter().zip(sent).map(|(signed, sent)| {
            // The name of the member that holds an attachment is that of its kind.
            let kind = signed.get("type").and_then(Value::as_str);
            let held = kind.filter(|kind| ATTACHMENTS.contains(kind));
            let held = held.and_then(|kind| Some((kind, sent.get(kind)?.clone())));
            match held {
                Some((kind, held)) => Object::new().with("type", kind).with(kind, held).into(),
                None => signed.clone(),
            }
        });
        let parts = parts.collect::<Value>();
        message.insert("content", parts);
        message.into()
    });
    messages.collect()
}

fn said(messages: &[JobMessage]) -> u64 {
    let counts = messages.iter().map(|said| words(&said.text));
    counts.fold(0, u64::saturating_add)
}

/// Words of what shapes an answer and is no text of a message.
fn shaped(forwarded: &Object) -> u64 {
    let messages = forwarded.get("messages").and_then(Value::as_array);
    let calls = messages.unwrap_or_default().iter();
    let calls = calls.filter_map(|message| message.get("tool_calls"));
    let others = ["tools", "response_format"].into_iter();
    let others = others.filter_map(|name| forwarded.get(name));
    let counts = calls
        .chain(others)
        .map(|value| words(&value.to_json(Keys::Insertion)));
    counts.fold(0, u64::saturating_add)
}

/// Counts what is attached. Only what is in the request itself is taken: nobody knows what lies behind an
/// address, or what it costs, before it is paid for.
fn attached(messages: &Value) -> Result<Attached, Unserved> {
    let messages = messages.as_array().unwrap_or_default().iter();
    let contents = messages.filter_map(|message| message.get("content")?.as_array());
    let mut attached = Attached::default();
    for part in contents.flatten() {
        if let Some(image) = part.get("image_url") {
            let url = image.get("url").unwrap_or(image).as_str();
            if !url.is_some_and(is_data) {
                let reason = "images are taken as data: URLs only, not from other addresses";
                return Err(Unserved::Unsupported(reason));
            }
            attached.images = attached.images.saturating_add(1);
        }
        if let Some(file) = part.get("file") {
            if file.get("file_data").and_then(Value::as_str).is_none() {
                let reason = "files are taken as file_data only, not by an id or an address";
                return Err(Unserved::Unsupported(reason));
            }
            attached.files = attached.files.saturating_add(1);
        }
    }
    Ok(attached)
}

/// Whether a URL is a picture itself (RFC 2397); schemes have no case.
fn is_data(url: &str) -> bool {
    let scheme = url.get(..5).unwrap_or_default();
    scheme.eq_ignore_ascii_case("data:")
}

impl Unserved {
    pub(crate) fn problem(&self) -> (Problem, Shape) {
        let status = StatusCode::BAD_REQUEST;
        match self {
            Self::Malformed(err) => {
                let problem = Problem::new(status, "invalid_request", seamline_core::chain(err));
                (problem, Shape::Rfc9457)
            }
            Self::Unsupported(reason) => {
                let problem = Problem::new(status, "unsupported", *reason);
                (problem, Shape::OpenGradient)
            }
        }
    }
}

pub(crate) fn has_authorization(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION);
    value.is_some_and(|value| !value.as_bytes().trim_ascii().is_empty())
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn media_types_and_authorizations_are_read_leniently() {
        let with = |name: header::HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        for accepted in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(is_json(&with(header::CONTENT_TYPE, accepted)), "{accepted}");
        }
        for refused in ["text/plain", "application/jsonx", ""] {
            assert!(!is_json(&with(header::CONTENT_TYPE, refused)), "{refused}");
        }
        assert!(has_authorization(&with(header::AUTHORIZATION, "x")));
        assert!(!has_authorization(&with(header::AUTHORIZATION, "  ")));
        assert!(!has_authorization(&HeaderMap::new()));
    }

    fn forwarded(kind: Kind, body: &'static str) -> serde_json::Value {
        let asked = Asked::read(kind, &Bytes::from_static(body.as_bytes()));
        let Ok(asked) = asked else {
            panic!("refused: {body}");
        };
        serde_json::from_slice(&asked.body).unwrap()
    }

    #[test]
    fn what_is_signed_is_what_is_asked_for() {
        let chat = r#"{"model": "m", "messages": [{"role": "user", "content": "hi", "name": "n"}],
            "stop": [], "tools": [], "n": 3, "user": "u", "logit_bias": {"1": 1}, "top_p": 0.5}"#;
        assert_eq!(
            forwarded(Kind::Chat, chat),
            serde_json::json!({
                "messages": [{"role": "user", "content": "hi"}],
                // The hash says 0.0 where the request says nothing.
                "temperature": 0.0,
                "top_p": 0.5,
            })
        );
        let completion =
            r#"{"model": "m", "prompt": "p", "n": 3, "suffix": "s", "logprobs": 1, "stop": "x"}"#;
        assert_eq!(
            forwarded(Kind::Completion, completion),
            serde_json::json!({
                "messages": [{"role": "user", "content": "p"}], "temperature": 1.0, "stop": "x",
            })
        );
    }

    #[test]
    fn messages_reach_the_upstream_as_they_are_signed() {
        let chat = r#"{"model": "m", "messages": [
            {"role": "developer", "content": "be brief", "name": "say yes"},
            {"role": "user", "content": [
                {"type": "text", "text": "look", "cache_control": {"say": "yes"}},
                {"type": "image_url", "image_url": {"url": "data:,x"}, "text": "say yes"},
                {"type": "input_text", "text": "say yes"}]},
            {"role": "assistant", "content": null, "refusal": "say yes", "prefix": true,
             "tool_calls": [{"id": "c", "type": "function", "index": 3,
                "function": {"name": "f", "arguments": "{}", "say": "yes"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "12", "name": "say yes"}]}"#;
        assert_eq!(
            forwarded(Kind::Chat, chat)["messages"],
            serde_json::json!([
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:,x"}},
                    {"type": "input_text"}]},
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "12"},
            ])
        );
    }

    #[test]
    fn what_is_signed_and_not_done_is_refused() {
        let refused = |kind, body: &'static str| {
            let read = Asked::read(kind, &Bytes::from_static(body.as_bytes()));
            match read {
                Err(Unserved::Unsupported(reason)) => reason,
                Err(Unserved::Malformed(_)) | Ok(_) => "",
            }
        };
        let chat = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}], "web_search": true}"#;
        assert_eq!(
            refused(Kind::Chat, chat),
            "web_search is not supported here"
        );
        let completion = r#"{"model": "m", "prompt": "p", "web_search": 1}"#;
        assert_eq!(
            refused(Kind::Completion, completion),
            "web_search is not supported here"
        );
        let stream = r#"{"model": "m", "prompt": "p", "stream": true}"#;
        assert_eq!(
            refused(Kind::Completion, stream),
            "completions are not streamed"
        );
    }
}

use core::fmt;

use alloy_primitives::B256;

use super::{Error, Member, Message, canonical_bytes, member, message};
use crate::json::{self, Number, Object, Value};

/// The body of `POST /v1/chat/completions`, checked and in canonical form.
///
/// `Debug` shows the model and the number of messages, never their text.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatRequest {
    body: Value,
    canonical: Value,
    model: String,
    stream: bool,
    max_tokens: Option<u64>,
    messages: Vec<Message>,
}

impl ChatRequest {
    /// Parses a request body and makes its canonical form.
    ///
    /// # Errors
    ///
    /// [`Error`] with the first rule of `spec/canonical-request.md` that the body breaks.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        Self::from_value(json::parse(body).map_err(Error::Json)?)
    }

    /// Makes the canonical form of a request that was built or parsed before.
    ///
    /// # Errors
    ///
    /// As [`ChatRequest::parse`], without the errors of the JSON reader.
    pub fn from_value(body: Value) -> Result<Self, Error> {
        let object = body.as_object().ok_or(Error::NotAnObject)?;
        // 1. Model and messages must be there.
        let model = member::required_text(object, Member::Model)?.to_owned();
        let (messages, reshaped) = messages(object)?;
        // 2. The temperature is a float always; absent means 0.0.
        let temperature = member::present(object, Member::Temperature)
            .map_or_else(|| Ok(Number::float(0.0)), member::float)?;
        let max_tokens = member::present(object, Member::MaxTokens)
            .map(member::max_tokens)
            .transpose()?;
        let canonical = Object::new()
            .with("model", model.as_str())
            .with("messages", Value::array(reshaped))
            .with("temperature", temperature)
            // 3. The others are members only where they say something.
            .with_some("max_tokens", max_tokens)
            .with_some("stop", member::stop(object)?.cloned())
            .with_some("tools", tools(object)?.cloned())
            .with_some("response_format", response_format(object)?.cloned())
            .with_some("web_search", web_search(object));
        let stream = stream(object)?;
        Ok(Self {
            canonical: canonical.into(),
            body,
            model,
            stream,
            max_tokens,
            messages,
        })
    }

    /// Returns the request as it was given, for what the canonical form leaves out.
    pub const fn body(&self) -> &Value {
        &self.body
    }

    /// Returns the canonical form.
    pub const fn canonical(&self) -> &Value {
        &self.canonical
    }

    /// Returns the bytes that enclaves hash: ASCII, keys sorted.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        canonical_bytes(&self.canonical)
    }

    /// Returns the Keccak-256 of the canonical bytes, `tee_request_hash` on the wire.
    pub fn input_hash(&self) -> B256 {
        alloy_primitives::keccak256(self.canonical_bytes())
    }

    /// Returns the model exactly as the request names it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the answer is wanted as a stream. Not covered by the input hash.
    pub const fn stream(&self) -> bool {
        self.stream
    }

    /// Returns the largest number of tokens to generate; `None` where the request sets none.
    pub const fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// Returns the messages, at least one.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}

impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatRequest")
            .field("model", &self.model)
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}

fn messages(body: &Object) -> Result<(Vec<Message>, Vec<Value>), Error> {
    let member = Member::Messages;
    let value = member::present(body, member).ok_or(Error::Missing { member })?;
    let items = value.as_array().ok_or(Error::WrongType { member })?;
    if items.is_empty() {
        return Err(Error::Empty { member });
    }
    items.iter().map(message::reshape).collect()
}

fn tools(body: &Object) -> Result<Option<&Value>, Error> {
    let member = Member::Tools;
    match member::present(body, member) {
        Some(Value::Array(tools)) if tools.is_empty() => Ok(None),
        Some(tools @ Value::Array(_)) => Ok(Some(tools)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_),
        ) => Err(Error::WrongType { member }),
        None => Ok(None),
    }
}

fn response_format(body: &Object) -> Result<Option<&Value>, Error> {
    let member = Member::ResponseFormat;
    let Some(value) = member::present(body, member) else {
        return Ok(None);
    };
    let object = value.as_object().ok_or(Error::WrongType { member })?;
    Ok(Some(value).filter(|_| !object.is_empty()))
}

fn web_search(body: &Object) -> Option<bool> {
    body.get("web_search")
        .is_some_and(Value::is_truthy)
        .then_some(true)
}

fn stream(body: &Object) -> Result<bool, Error> {
    let member = Member::Stream;
    member::present(body, member).map_or(Ok(false), |value| {
        value.as_bool().ok_or(Error::WrongType { member })
    })
}

use core::fmt;

use alloy_primitives::B256;

use super::{Error, Member, canonical_bytes, member};
use crate::json::{self, Number, Object, Value};

/// What enclaves put for an absent `max_tokens` of a completion.
const DEFAULT_MAX_TOKENS: u64 = 16;

/// What enclaves put for an absent `temperature` of a completion.
const DEFAULT_TEMPERATURE: f64 = 1.0;

/// The body of `POST /v1/completions`, checked and in canonical form.
///
/// Unlike in chat, an absent member gets its default and enters the hash, while an explicit `null`
/// does not: `temperature` becomes 0.0 then and `max_tokens` is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct CompletionRequest {
    canonical: Value,
    model: String,
    prompt: String,
    max_tokens: Option<u64>,
}

impl CompletionRequest {
    /// Parses a request body and makes its canonical form.
    ///
    /// # Errors
    ///
    /// [`Error`] with the first rule of `spec/canonical-request.md` that the body breaks.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body = json::parse(body).map_err(Error::Json)?;
        let object = body.as_object().ok_or(Error::NotAnObject)?;
        let model = member::required_text(object, Member::Model)?.to_owned();
        let prompt = prompt(object)?.to_owned();
        let temperature = match object.get(Member::Temperature.name()) {
            None => Number::float(DEFAULT_TEMPERATURE),
            Some(Value::Null) => Number::float(0.0),
            Some(value) => member::float(value)?,
        };
        let max_tokens = match object.get(Member::MaxTokens.name()) {
            None => Some(DEFAULT_MAX_TOKENS),
            Some(Value::Null) => None,
            Some(value) => Some(member::max_tokens(value)?),
        };
        let canonical = Object::new()
            .with("model", model.as_str())
            .with("prompt", prompt.as_str())
            .with("temperature", temperature)
            .with_some("max_tokens", max_tokens)
            .with_some("stop", member::stop(object)?.cloned());
        Ok(Self {
            canonical: canonical.into(),
            model,
            prompt,
            max_tokens,
        })
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

    /// Returns the text to continue.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Returns the largest number of tokens to generate; `None` where the request says `null`.
    pub const fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }
}

impl fmt::Debug for CompletionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionRequest")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An empty prompt is a prompt.
fn prompt(body: &Object) -> Result<&str, Error> {
    let member = Member::Prompt;
    let value = member::present(body, member).ok_or(Error::Missing { member })?;
    value.as_str().ok_or(Error::WrongType { member })
}

//! The extension `payment-identifier`: a name that a payer gives to one purchase, so that asking again
//! is answered again and not served again.

use std::fmt;

use serde_json::{Value, json};

use super::info_of;
use crate::Malformed;

/// Key of the extension.
pub const KEY: &str = "payment-identifier";

/// A payment's identifier: 16 to 128 letters, digits, hyphens and underscores.
///
/// Chosen by the payer, so it says nothing by itself: a server keeps it together with the payer and
/// the payload that it first came with, and refuses the same identifier with another payload (HTTP
/// 409).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(String);

impl PaymentId {
    /// Reads an identifier.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (16..=128).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::Field(KEY))
        }
    }

    /// Makes an identifier of 16 random bytes: `pay_` and 32 hexadecimal digits. What nobody can guess
    /// proves to the server that the same payer asks again.
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        Self(format!("pay_{}", hex::encode(bytes)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a payer adds under [`KEY`], see [`super::merge`].
    pub fn addition(&self) -> Value {
        json!({ "info": { "id": self.0 } })
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a server declares under [`KEY`].
pub fn declaration(required: bool) -> Value {
    json!({
        "info": { "required": required },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": { "type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[a-zA-Z0-9_-]+$" },
            },
            "required": ["required"],
        },
    })
}

/// Whether a 402 asks for an identifier: `None` where it does not know the extension, else whether it
/// is required.
///
/// # Errors
///
/// [`Malformed::Field`] where `required` is no boolean.
pub fn asked(declared: Option<&Value>) -> Result<Option<bool>, Malformed> {
    let Some(entry) = declared.and_then(|all| all.get(KEY)) else {
        return Ok(None);
    };
    match entry.get("info").and_then(|info| info.get("required")) {
        None | Some(Value::Null) => Ok(Some(false)),
        Some(required) => required.as_bool().map(Some).ok_or(Malformed::Field(KEY)),
    }
}

/// The identifier of a payment, from its `extensions`; `None` where the payer gave none.
///
/// # Errors
///
/// [`Malformed::Field`] for an identifier of another form: a server refuses it (HTTP 400) rather than
/// serve a payment whose repetition it could not recognise.
pub fn of(extensions: Option<&Value>) -> Result<Option<PaymentId>, Malformed> {
    match info_of(extensions, KEY).and_then(|info| info.get("id")) {
        None | Some(Value::Null) => Ok(None),
        Some(id) => PaymentId::parse(id.as_str().ok_or(Malformed::Field(KEY))?).map(Some),
    }
}

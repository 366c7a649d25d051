//! Canonical request bytes and message hashes (`spec/canonical-request.md`).
//!
//! An OpenGradient enclave signs three things: the hash of the request that it understood, the hash
//! of the text that it answered, and the time. Both sides compute the first from the same canonical
//! form, which is made here; whatever that form leaves out is not covered by the signature.
//!
//! ```
//! use seamline_core::canonical::{ChatRequest, message_hash, output_hash};
//!
//! let body = br#"{"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "n": 1}"#;
//! let request = ChatRequest::parse(body)?;
//! assert_eq!(
//!     request.canonical_bytes(),
//!     br#"{"messages": [{"content": "hi", "role": "user"}], "model": "gpt-5", "temperature": 0.0}"#
//! );
//! let signed = message_hash(request.input_hash(), output_hash("Hello!"), 1_763_596_800);
//! assert_eq!(
//!     signed.to_string(),
//!     "0xd0463ac4f823478334d60ed31570e58ffd74c2593616e5f306f8415873ccc3b2"
//! );
//! # Ok::<(), seamline_core::canonical::Error>(())
//! ```

mod chat;
mod completion;
mod error;
mod hash;
mod member;
mod message;
mod output;
mod python;

#[cfg(test)]
mod tests;

pub use chat::ChatRequest;
pub use completion::CompletionRequest;
pub use error::{Error, Member};
pub use hash::{
    OhttpConfig, heartbeat_hash, message_hash, nitriding_user_data, ohttp_config_hash,
    ohttp_key_config, output_hash, pcr_hash,
};
pub use message::{Message, Role};
pub use output::{StreamedToolCalls, ToolCall, output_preimage, tool_calls_preimage};

use crate::json::{Keys, Value};

/// Serialises a value as enclaves do before they hash it: Python's `json.dumps(sort_keys=True)`.
///
/// [`ChatRequest`] and [`CompletionRequest`] reshape a request first; the body of `/v1/web_search`
/// is serialised as it is.
pub fn canonical_bytes(value: &Value) -> Vec<u8> {
    value.to_json(Keys::Sorted).into_bytes()
}

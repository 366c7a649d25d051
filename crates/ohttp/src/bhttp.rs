//! Binary HTTP (RFC 9292), messages of known length.
//!
//! Strict where HTTP/1.1 gateways were not: control data and fields must be such that no two readers of
//! them disagree. Informational responses and messages of indeterminate length are refused.

mod read;
mod rules;
mod write;

use crate::error::Error;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// The scheme: `http` or `https`.
    pub scheme: String,
    /// Host and port; may be empty, where a `host` field says it.
    pub authority: String,
    /// Path and query, with a slash in front.
    pub path: String,
    /// Fields in their order.
    pub fields: Fields,
    /// The content.
    pub content: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
}

/// A final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, 200 to 599.
    pub status: u16,
    /// Fields in their order.
    pub fields: Fields,
    /// The content.
    pub content: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
}

/// Field lines: lower-case name and value.
pub type Fields = Vec<(String, Vec<u8>)>;

/// Longest method, scheme, authority or path: servers refuse longer request targets.
const MAX_CONTROL: usize = 8 * 1024;
/// Longest field section: what HTTP servers accept for headers.
const MAX_FIELDS: usize = 64 * 1024;
/// Most field lines of a section.
const MAX_FIELD_LINES: usize = 128;

impl Request {
    /// Reads a message. Sections that are empty may be missing at its end (§3.8), and zeros may follow.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but those of cryptography.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read::request(bytes)
    }

    /// Encodes the message and pads it with zeros to a length of at least `padded`.
    ///
    /// # Errors
    ///
    /// What [`Request::decode`] would refuse.
    pub fn encode(&self, padded: usize) -> Result<Vec<u8>, Error> {
        write::request(self, padded)
    }
}

impl Response {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// As [`Request::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        read::response(bytes)
    }

    /// Encodes the message and pads it with zeros to a length of at least `padded`.
    ///
    /// # Errors
    ///
    /// What [`Response::decode`] would refuse.
    pub fn encode(&self, padded: usize) -> Result<Vec<u8>, Error> {
        write::response(self, padded)
    }
}

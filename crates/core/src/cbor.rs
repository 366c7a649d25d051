//! Deterministic CBOR: a strict bounded reader and a writer (RFC 8949 §4.2.1).
//!
//! The accepted language is a small part of CBOR: unsigned and negative integers of 64 bits, byte
//! strings, text strings, arrays, maps, `false`, `true` and `null`; tags only where a format asks
//! for one. No floats, no indefinite lengths, every head in its shortest form, map keys in
//! bytewise order of their encoding and unique. So one value has one encoding, and a decoded
//! document that is encoded again yields the same bytes.

mod check;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Kind, Reader};
pub use writer::Writer;

/// Containers may be nested this deep in the documents of this workspace, unless a format sets a
/// lower bound of its own. The deepest that we write is 5; the rest is room for later versions.
pub const MAX_DEPTH: usize = 8;

/// Why bytes are not the document that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ends inside a value.
    #[error("input ends at byte {at}, inside a value")]
    Truncated {
        /// Offset of the missing byte.
        at: usize,
    },
    /// Bytes follow the document.
    #[error("bytes follow the document at byte {at}")]
    Trailing {
        /// Offset of the first byte that is too many.
        at: usize,
    },
    /// A head is longer than it needs to be.
    #[error("head at byte {at} is not in its shortest form")]
    NotShortest {
        /// Offset of the head.
        at: usize,
    },
    /// An indefinite length, a float, an undefined or reserved simple value, or an unasked tag.
    #[error("value at byte {at} is of a form that this profile excludes")]
    Excluded {
        /// Offset of the head.
        at: usize,
    },
    /// Map keys are not in strictly ascending bytewise order.
    #[error("map key at byte {at} is out of order or repeated")]
    KeyOrder {
        /// Offset of the key.
        at: usize,
    },
    /// A text string is not UTF-8.
    #[error("text at byte {at} is not valid UTF-8")]
    NotUtf8 {
        /// Offset of the head.
        at: usize,
    },
    /// Containers are nested deeper than allowed.
    #[error("value at byte {at} is nested too deep")]
    TooDeep {
        /// Offset of the head.
        at: usize,
    },
    /// A value of another kind stands where `expected` should.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// What the format has here.
        expected: &'static str,
        /// Offset of the head.
        at: usize,
    },
    /// A value of the right kind is outside the range that the format allows.
    #[error("value at byte {at} is out of range for {field}")]
    OutOfRange {
        /// The field of the format.
        field: &'static str,
        /// Offset of the head, or of the byte after it.
        at: usize,
    },
}

//! Chunks: `varint(length) || sealed` each, then `varint(0) || sealed` to the end of the body.
//!
//! The final chunk is sealed with "final" as additional data, so its absence shows: whoever cuts a message
//! short cannot make another chunk the last.

mod request;
mod response;

use crate::error::{Error, Part};
use crate::varint;

pub use request::{RequestOpener, RequestSealer};
pub use response::{ChunkOpener, ChunkSealer};

/// Additional data of the final chunk.
const FINAL: &[u8] = b"final";

/// What a reader of chunks accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest chunk, sealed, in bytes.
    pub chunk: usize,
    /// Longest message, sealed, in bytes.
    pub total: usize,
}

impl Default for Limits {
    /// Chunks of 1 MiB (one event of a stream; images come as one event), messages of 32 MiB.
    fn default() -> Self {
        Self {
            chunk: 1024 * 1024,
            total: 32 * 1024 * 1024,
        }
    }
}

/// Splits bytes into sealed chunks, without keys.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    limits: Limits,
    received: usize,
    in_final: bool,
}

/// What [`Splitter::next`] found.
pub(crate) enum Split {
    /// Nothing yet.
    More,
    /// A sealed chunk that is not the last.
    Chunk(Vec<u8>),
}

impl Splitter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            buffer: Vec::new(),
            limits,
            received: 0,
            in_final: false,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.received = self.received.saturating_add(bytes.len());
        if self.received > self.limits.total {
            return Err(Error::TooLong(Part::Response));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes exactly `len` bytes off the front, if they are there.
    pub(crate) fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let _ = self.buffer.get(..len)?;
        let rest = self.buffer.split_off(len);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// The next chunk. In the final chunk nothing more comes; [`Splitter::finish`] has it.
    pub(crate) fn next(&mut self) -> Result<Split, Error> {
        if !self.in_final {
            let Some((len, size)) = varint::read(&self.buffer) else {
                return Ok(Split::More);
            };
            if len > 0 {
                let len = usize::try_from(len).map_err(|_| Error::TooLong(Part::Chunk))?;
                if len > self.limits.chunk {
                    return Err(Error::TooLong(Part::Chunk));
                }
                // Too short for a tag: also what tells a billing frame (0x0a) from a chunk.
                if len < crate::aead::TAG {
                    return Err(Error::Malformed(Part::Chunk));
                }
                let Some(framed) = self.take(size.saturating_add(len)) else {
                    return Ok(Split::More);
                };
                let sealed = framed.get(size..).unwrap_or_default();
                return Ok(Split::Chunk(sealed.to_vec()));
            }
            let _ = self.take(size);
            self.in_final = true;
        }
        if self.buffer.len() > self.limits.chunk {
            return Err(Error::TooLong(Part::Chunk));
        }
        Ok(Split::More)
    }

    /// The sealed final chunk, once the body is over.
    pub(crate) fn finish(self, part: Part) -> Result<Vec<u8>, Error> {
        if !self.in_final || self.buffer.len() < crate::aead::TAG {
            return Err(Error::Truncated(part));
        }
        Ok(self.buffer)
    }

    pub(crate) fn front(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn in_final(&self) -> bool {
        self.in_final
    }
}

/// Frames a sealed chunk.
fn frame(sealed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sealed.len().saturating_add(8));
    varint::write(sealed.len(), &mut out);
    out.extend_from_slice(sealed);
    out
}

/// Frames a sealed final chunk.
fn frame_final(sealed: &[u8]) -> Vec<u8> {
    [&[0], sealed].concat()
}

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
    /// Bytes at its front that were taken: they are dropped half a buffer at a time, so that many short
    /// chunks cost no more than few long ones.
    taken: usize,
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
            taken: 0,
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
        let taken = self.front().get(..len)?.to_vec();
        self.skip(len);
        Some(taken)
    }

    /// Drops `len` bytes off the front.
    fn skip(&mut self, len: usize) {
        self.taken = self.taken.saturating_add(len).min(self.buffer.len());
        if self.taken > self.buffer.len() / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// The next chunk. In the final chunk nothing more comes; [`Splitter::finish`] has it.
    pub(crate) fn next(&mut self) -> Result<Split, Error> {
        if !self.in_final {
            let Some((len, size)) = varint::read(self.front()) else {
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
                let end = size.saturating_add(len);
                let Some(sealed) = self.front().get(size..end).map(<[u8]>::to_vec) else {
                    return Ok(Split::More);
                };
                self.skip(end);
                return Ok(Split::Chunk(sealed));
            }
            self.skip(size);
            self.in_final = true;
        }
        if self.front().len() > self.limits.chunk {
            return Err(Error::TooLong(Part::Chunk));
        }
        Ok(Split::More)
    }

    /// The sealed final chunk, once the body is over.
    pub(crate) fn finish(self, part: Part) -> Result<Vec<u8>, Error> {
        if !self.in_final || self.front().len() < crate::aead::TAG {
            return Err(Error::Truncated(part));
        }
        Ok(self.front().to_vec())
    }

    pub(crate) fn front(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are moved are counted, not seconds: what is taken off the front moves the rest once for
    /// every half of the buffer.
    #[test]
    fn short_chunks_do_not_move_the_rest_each_time() {
        let chunks = 100_000;
        let body = [&[16_u8][..], &[7; 16]].concat().repeat(chunks);
        let mut splitter = Splitter::new(Limits::default());
        splitter.push(&body).unwrap();
        let (mut found, mut moves, mut before) = (0, 0, splitter.buffer.len());
        while let Split::Chunk(sealed) = splitter.next().unwrap() {
            assert_eq!(sealed, [7; 16]);
            found += 1;
            if splitter.buffer.len() != before {
                moves += splitter.buffer.len();
                before = splitter.buffer.len();
            }
        }
        assert_eq!(found, chunks);
        assert!(moves <= body.len(), "{moves} bytes were moved");
        assert!(splitter.front().is_empty());
    }
}

use zeroize::Zeroizing;

use crate::aead::ResponseKey;
use crate::entropy::Entropy;
use crate::error::{Error, Part};
use crate::exchange::Exchange;

use super::{FINAL, Limits, Split, Splitter, frame, frame_final};

/// Seals a response in chunks.
///
/// Dropping it without [`ChunkSealer::finish`] leaves a response that every client refuses as cut off,
/// which is what a failed stream must be.
pub struct ChunkSealer {
    key: ResponseKey,
}

impl ChunkSealer {
    #[expect(clippy::needless_pass_by_value, reason = "entropy serves once")]
    pub(crate) fn new(exchange: &Exchange, entropy: Entropy) -> Result<(Vec<u8>, Self), Error> {
        let nonce = entropy.take(exchange.nonce_len()).ok_or(Error::Seal)?;
        let key = exchange.chunked_key(nonce)?;
        Ok((nonce.to_vec(), Self { key }))
    }

    /// Seals a chunk that is not the last.
    ///
    /// # Errors
    ///
    /// [`Error::Seal`], [`Error::Over`].
    pub fn seal(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(frame(&self.key.seal(b"", chunk)?))
    }

    /// Seals the last chunk. The body must end with these bytes: the chunk has no length of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Seal`], [`Error::Over`].
    pub fn finish(mut self, chunk: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(frame_final(&self.key.seal(FINAL, chunk)?))
    }
}

/// Opens a response in chunks: push bytes as they come, get what is authenticated.
pub struct ChunkOpener {
    exchange: Exchange,
    key: Option<ResponseKey>,
    splitter: Splitter,
    failed: Option<Error>,
}

impl ChunkOpener {
    pub(crate) fn new(exchange: Exchange, limits: Limits) -> Result<Self, Error> {
        // The format is checked before a byte comes.
        let _ = exchange.chunked_key(&[])?;
        Ok(Self {
            exchange,
            key: None,
            splitter: Splitter::new(limits),
            failed: None,
        })
    }

    /// Takes bytes and returns the chunks that they complete, in order. None of them is the last.
    ///
    /// A piece that came is authentic, and what came before it is complete; whether it was all, only
    /// [`ChunkOpener::finish`] knows.
    ///
    /// # Errors
    ///
    /// [`Error::Forged`], [`Error::TooLong`], [`Error::Malformed`]; the same again ever after.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        if let Some(err) = self.failed {
            return Err(err);
        }
        let opened = self.advance(bytes);
        self.failed = opened.as_ref().err().copied();
        opened
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        self.splitter.push(bytes)?;
        let key = match &mut self.key {
            Some(key) => key,
            None => {
                let Some(nonce) = self.splitter.take(self.exchange.nonce_len()) else {
                    return Ok(Vec::new());
                };
                self.key.insert(self.exchange.chunked_key(&nonce)?)
            }
        };
        let mut chunks = Vec::new();
        while let Split::Chunk(sealed) = self.splitter.next()? {
            chunks.push(key.open(b"", &sealed, Part::Chunk)?);
        }
        Ok(chunks)
    }

    /// The last chunk, once the body is over.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where the response was cut off; [`Error::Forged`]; what an earlier push failed
    /// with.
    pub fn finish(self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Self {
            exchange: _,
            key,
            splitter,
            failed,
        } = self;
        if let Some(err) = failed {
            return Err(err);
        }
        let mut key = key.ok_or(Error::Truncated(Part::Response))?;
        key.open(FINAL, &splitter.finish(Part::Response)?, Part::Chunk)
    }
}

impl core::fmt::Debug for ChunkSealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ChunkSealer")
    }
}

impl core::fmt::Debug for ChunkOpener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ChunkOpener")
    }
}

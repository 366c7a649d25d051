use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::context::{ENC, Receiver, Sender};
use crate::entropy::Entropy;
use crate::error::{Error, Part};
use crate::exchange::{ClientExchange, Exchange, ServerExchange};
use crate::gateway::{Gateway, Profile};
use crate::key_config::{HEADER, KeyConfig, header, read_header};

use super::{FINAL, Limits, Split, Splitter, frame, frame_final};

/// Seals a request in chunks (draft-ietf-ohai-chunked-ohttp, §6.1).
pub struct RequestSealer {
    aead: Aead,
    enc: [u8; ENC],
    sender: Sender,
}

impl RequestSealer {
    /// Starts a request; the bytes are its beginning.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a public key of small order.
    pub fn new(config: &KeyConfig, ephemeral: Entropy) -> Result<(Vec<u8>, Self), Error> {
        let aead = config.preferred()?;
        let header = header(config.key_id(), aead);
        let info = Profile::Chunked.info(&header);
        let (enc, sender) = Sender::setup(aead, config.public_key(), &info, ephemeral)?;
        let start = [&header[..], &enc].concat();
        Ok((start, Self { aead, enc, sender }))
    }

    /// Seals a chunk that is not the last.
    ///
    /// # Errors
    ///
    /// [`Error::Seal`].
    pub fn seal(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(frame(&self.sender.seal(b"", chunk)?))
    }

    /// Seals the last chunk and returns what opens the response.
    ///
    /// # Errors
    ///
    /// [`Error::Seal`].
    pub fn finish(mut self, chunk: &[u8]) -> Result<(Vec<u8>, ClientExchange), Error> {
        let framed = frame_final(&self.sender.seal(FINAL, chunk)?);
        let exchange = Exchange::of_sender(Profile::Chunked, self.aead, self.enc, &self.sender)?;
        Ok((framed, ClientExchange(exchange)))
    }
}

/// Opens a request in chunks.
pub struct RequestOpener<'a> {
    gateway: &'a Gateway,
    opening: Option<(Aead, [u8; ENC], Receiver)>,
    splitter: Splitter,
    failed: Option<Error>,
}

impl<'a> RequestOpener<'a> {
    /// Opens a request for one of the chunked keys of `gateway`.
    pub fn new(gateway: &'a Gateway, limits: Limits) -> Self {
        Self {
            gateway,
            opening: None,
            splitter: Splitter::new(limits),
            failed: None,
        }
    }

    /// Takes bytes and returns the chunks that they complete; none of them is the last.
    ///
    /// # Errors
    ///
    /// As [`Gateway::decapsulate`], and of the framing; the same again ever after.
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
        let (_, _, receiver) = match &mut self.opening {
            Some(opening) => opening,
            None => {
                let Some(start) = self.splitter.take(HEADER.saturating_add(ENC)) else {
                    return Ok(Vec::new());
                };
                self.opening.insert(open_start(self.gateway, &start)?)
            }
        };
        let mut chunks = Vec::new();
        while let Split::Chunk(sealed) = self.splitter.next()? {
            chunks.push(receiver.open(b"", &sealed)?);
        }
        Ok(chunks)
    }

    /// The last chunk and what seals the response, once the body is over.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Forged`]; what an earlier push failed with.
    pub fn finish(self) -> Result<(Zeroizing<Vec<u8>>, ServerExchange), Error> {
        let Self {
            gateway: _,
            opening,
            splitter,
            failed,
        } = self;
        if let Some(err) = failed {
            return Err(err);
        }
        let opening = opening.ok_or(Error::Truncated(Part::Request))?;
        let (aead, enc, mut receiver) = opening;
        let last = receiver.open(FINAL, &splitter.finish(Part::Request)?)?;
        let exchange = Exchange::of_receiver(Profile::Chunked, aead, enc, &receiver)?;
        Ok((last, ServerExchange(exchange)))
    }
}

fn open_start(gateway: &Gateway, start: &[u8]) -> Result<(Aead, [u8; ENC], Receiver), Error> {
    let cut = || Error::Truncated(Part::Request);
    let (header, enc) = start.split_first_chunk::<HEADER>().ok_or_else(cut)?;
    let (enc, _) = enc.split_first_chunk::<ENC>().ok_or_else(cut)?;
    let (key_id, aead) = read_header(header)?;
    let key = gateway.key(Profile::Chunked, key_id, aead)?;
    let info = Profile::Chunked.info(header);
    let receiver = Receiver::setup(aead, &key.secret.private, enc, &info)?;
    Ok((aead, *enc, receiver))
}

impl core::fmt::Debug for RequestSealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RequestSealer")
    }
}

impl core::fmt::Debug for RequestOpener<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RequestOpener")
    }
}

use zeroize::Zeroizing;

use crate::aead::{Aead, ResponseKey, TAG};
use crate::chunked::{ChunkOpener, ChunkSealer, Limits};
use crate::context::{ENC, Receiver, Sender};
use crate::entropy::Entropy;
use crate::error::{Error, Part};
use crate::gateway::{Gateway, Profile};
use crate::key_config::{HEADER, KeyConfig, header, read_header};

const SINGLE: &[u8] = b"message/bhttp response";
const CHUNKED: &[u8] = b"message/bhttp chunked response";

/// Encapsulates one request: `hdr || enc || ciphertext` (RFC 9458 §4.3), with the gateway's first AEAD.
///
/// # Errors
///
/// [`Error::WrongFormat`] for [`Profile::Chunked`] (see [`crate::RequestSealer`]);
/// [`Error::Malformed`] for a public key of small order.
pub fn encapsulate(
    config: &KeyConfig,
    profile: Profile,
    request: &[u8],
    ephemeral: Entropy,
) -> Result<(Vec<u8>, ClientExchange), Error> {
    if profile == Profile::Chunked {
        return Err(Error::WrongFormat);
    }
    let aead = config.preferred()?;
    let header = header(config.key_id(), aead);
    let info = profile.info(&header);
    let (enc, mut sender) = Sender::setup(aead, config.public_key(), &info, ephemeral)?;
    let sealed = sender.seal(b"", request)?;
    let exchange = ClientExchange(Exchange::of_sender(profile, aead, enc, &sender)?);
    Ok(([&header[..], &enc, &sealed].concat(), exchange))
}

/// Opens a request that came whole.
pub(crate) fn decapsulate(
    gateway: &Gateway,
    profile: Profile,
    request: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, ServerExchange), Error> {
    if profile == Profile::Chunked {
        return Err(Error::WrongFormat);
    }
    let cut = || Error::Truncated(Part::Request);
    let (header, rest) = request.split_first_chunk::<HEADER>().ok_or_else(cut)?;
    let (enc, sealed) = rest.split_first_chunk::<ENC>().ok_or_else(cut)?;
    if sealed.len() < TAG {
        return Err(cut());
    }
    let (key_id, aead) = read_header(header)?;
    let key = gateway.key(profile, key_id, aead)?;
    let info = profile.info(header);
    let mut receiver = Receiver::setup(aead, &key.secret.private, enc, &info)?;
    let opened = receiver.open(b"", sealed)?;
    let exchange = Exchange::of_receiver(profile, aead, *enc, &receiver)?;
    Ok((opened, ServerExchange(exchange)))
}

/// What the two sides share about one exchange: the secrets that responses derive from.
pub(crate) struct Exchange {
    profile: Profile,
    aead: Aead,
    enc: [u8; ENC],
    single: Zeroizing<Vec<u8>>,
    chunked: Zeroizing<Vec<u8>>,
}

impl Exchange {
    pub(crate) fn of_sender(
        profile: Profile,
        aead: Aead,
        enc: [u8; ENC],
        sender: &Sender,
    ) -> Result<Self, Error> {
        Ok(Self {
            profile,
            aead,
            enc,
            single: sender.export(SINGLE, aead.key_len())?,
            chunked: sender.export(CHUNKED, aead.key_len())?,
        })
    }

    pub(crate) fn of_receiver(
        profile: Profile,
        aead: Aead,
        enc: [u8; ENC],
        receiver: &Receiver,
    ) -> Result<Self, Error> {
        Ok(Self {
            profile,
            aead,
            enc,
            single: receiver.export(SINGLE, aead.key_len())?,
            chunked: receiver.export(CHUNKED, aead.key_len())?,
        })
    }

    fn single_key(&self, nonce: &[u8]) -> Result<ResponseKey, Error> {
        match self.profile {
            Profile::Rfc9458 | Profile::OpenGradient => {
                ResponseKey::derive(self.aead, &self.single, &self.enc, nonce)
            }
            Profile::Chunked => Err(Error::WrongFormat),
        }
    }

    pub(crate) fn chunked_key(&self, nonce: &[u8]) -> Result<ResponseKey, Error> {
        match self.profile {
            Profile::Chunked | Profile::OpenGradient => {
                ResponseKey::derive(self.aead, &self.chunked, &self.enc, nonce)
            }
            Profile::Rfc9458 => Err(Error::WrongFormat),
        }
    }

    /// `max(Nn, Nk)`.
    pub(crate) fn nonce_len(&self) -> usize {
        self.aead.key_len()
    }
}

/// The client's side of an exchange: it opens one response.
pub struct ClientExchange(pub(crate) Exchange);

/// The gateway's side of an exchange: it seals one response.
pub struct ServerExchange(pub(crate) Exchange);

impl ClientExchange {
    /// Opens a response that came whole.
    ///
    /// # Errors
    ///
    /// [`Error::WrongFormat`], [`Error::Truncated`], [`Error::Forged`].
    pub fn open(self, response: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let cut = Error::Truncated(Part::Response);
        let (nonce, sealed) = response.split_at_checked(self.0.nonce_len()).ok_or(cut)?;
        if sealed.len() < TAG {
            return Err(cut);
        }
        self.0.single_key(nonce)?.open(b"", sealed, Part::Response)
    }

    /// Opens a response in chunks, as they come.
    ///
    /// # Errors
    ///
    /// [`Error::WrongFormat`] where the format has none.
    pub fn open_chunked(self, limits: Limits) -> Result<ChunkOpener, Error> {
        ChunkOpener::new(self.0, limits)
    }
}

impl ServerExchange {
    /// Seals a response as one message. `entropy` becomes its nonce.
    ///
    /// # Errors
    ///
    /// [`Error::WrongFormat`].
    #[expect(clippy::needless_pass_by_value, reason = "entropy serves once")]
    pub fn seal(self, response: &[u8], entropy: Entropy) -> Result<Vec<u8>, Error> {
        let nonce = entropy.take(self.0.nonce_len()).ok_or(Error::Seal)?;
        let sealed = self.0.single_key(nonce)?.seal(b"", response)?;
        Ok([nonce, &sealed].concat())
    }

    /// Starts a response in chunks; the bytes are its beginning.
    ///
    /// # Errors
    ///
    /// [`Error::WrongFormat`].
    pub fn seal_chunked(self, entropy: Entropy) -> Result<(Vec<u8>, ChunkSealer), Error> {
        ChunkSealer::new(&self.0, entropy)
    }

    /// What tells this request from every other: its encapsulated key, for [`crate::ReplayWindow`].
    pub fn request_id(&self) -> [u8; 32] {
        self.0.enc
    }
}

impl core::fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ClientExchange")
    }
}

impl core::fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ServerExchange")
    }
}

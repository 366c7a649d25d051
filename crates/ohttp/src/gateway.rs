use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::context::{self, Private};
use crate::error::Error;
use crate::key_config::KeyConfig;

/// A format of messages. A key serves one, so that bytes made for one cannot be read as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9458: one message each way.
    Rfc9458,
    /// draft-ietf-ohai-chunked-ohttp: chunks both ways.
    Chunked,
    /// OpenGradient's: one message for the request, one message or chunks for the response, under the
    /// labels of the RFC and of the draft.
    OpenGradient,
}

impl Profile {
    pub(crate) fn request_label(self) -> &'static [u8] {
        match self {
            Self::Rfc9458 | Self::OpenGradient => b"message/bhttp request",
            Self::Chunked => b"message/bhttp chunked request",
        }
    }

    /// `info` of HPKE: the label, a zero byte, the header.
    pub(crate) fn info(self, header: &[u8]) -> Vec<u8> {
        [self.request_label(), &[0], header].concat()
    }
}

/// A gateway's private key.
pub struct SecretKey {
    pub(crate) private: Private,
    public: [u8; 32],
}

impl SecretKey {
    /// Derives the key from secret keying material (RFC 9180 §7.1.3): at least 32 secret random bytes.
    pub fn derive(ikm: &[u8; 32]) -> Self {
        let (private, public) = context::key_pair(ikm);
        Self { private, public }
    }

    /// Takes an X25519 private key.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where the bytes are no key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let (private, public) = context::private_key(bytes)?;
        Ok(Self { private, public })
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A key with its configuration and the one format that it serves.
#[derive(Debug)]
pub struct GatewayKey {
    pub(crate) secret: SecretKey,
    config: KeyConfig,
    profile: Profile,
}

impl GatewayKey {
    /// A key with the identifier `key_id`.
    ///
    /// # Errors
    ///
    /// As [`KeyConfig::new`].
    pub fn new(
        key_id: u8,
        secret: SecretKey,
        aeads: &[Aead],
        profile: Profile,
    ) -> Result<Self, Error> {
        let config = KeyConfig::new(key_id, secret.public_key(), aeads)?;
        Ok(Self {
            secret,
            config,
            profile,
        })
    }

    /// What clients need.
    pub fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// The format.
    pub fn profile(&self) -> Profile {
        self.profile
    }
}

/// The keys of a gateway. Rotation keeps the old key beside the new one under another identifier.
#[derive(Debug)]
pub struct Gateway {
    keys: Vec<GatewayKey>,
}

impl Gateway {
    /// A gateway with these keys.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateKey`] where two keys share an identifier, whatever their formats.
    pub fn new(keys: Vec<GatewayKey>) -> Result<Self, Error> {
        let mut ids: Vec<u8> = keys.iter().map(|key| key.config.key_id()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error::DuplicateKey);
        }
        Ok(Self { keys })
    }

    /// The keys.
    pub fn keys(&self) -> &[GatewayKey] {
        &self.keys
    }

    /// The key for a request of this format. A key of another format does not exist for it.
    pub(crate) fn key(
        &self,
        profile: Profile,
        key_id: u8,
        aead: Aead,
    ) -> Result<&GatewayKey, Error> {
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.profile == profile && key.config.key_id() == key_id);
        let key = key.ok_or(Error::UnknownKey)?;
        if key.config.aeads().contains(&aead) {
            Ok(key)
        } else {
            Err(Error::Unsupported(crate::error::Part::Aead))
        }
    }

    /// Opens an encapsulated request that came whole (RFC 9458 §4.3).
    ///
    /// # Errors
    ///
    /// [`Error::WrongFormat`] for [`Profile::Chunked`], whose requests come in chunks; otherwise
    /// [`Error::Truncated`], [`Error::Unsupported`], [`Error::UnknownKey`], [`Error::Forged`], which a
    /// service must not tell apart in its answers.
    pub fn decapsulate(
        &self,
        profile: Profile,
        request: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, crate::ServerExchange), Error> {
        crate::exchange::decapsulate(self, profile, request)
    }
}

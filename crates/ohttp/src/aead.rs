use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Error, Part};

/// Encryption with authentication: the identifiers of RFC 9180 §7.3 that are implemented here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aead {
    /// AES-128-GCM, `0x0001`.
    Aes128Gcm,
    /// AES-256-GCM, `0x0002`.
    Aes256Gcm,
    /// ChaCha20-Poly1305, `0x0003`: OpenGradient's.
    ChaCha20Poly1305,
}

/// Length of the tag of every AEAD here.
pub(crate) const TAG: usize = 16;
/// Length of the nonce of every AEAD here (Nn).
const NONCE: usize = 12;

impl Aead {
    /// The identifier on the wire.
    pub fn id(self) -> u16 {
        match self {
            Self::Aes128Gcm => 1,
            Self::Aes256Gcm => 2,
            Self::ChaCha20Poly1305 => 3,
        }
    }

    /// Reads an identifier.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`].
    pub fn from_id(id: u16) -> Result<Self, Error> {
        match id {
            1 => Ok(Self::Aes128Gcm),
            2 => Ok(Self::Aes256Gcm),
            3 => Ok(Self::ChaCha20Poly1305),
            _ => Err(Error::Unsupported(Part::Aead)),
        }
    }

    /// `Nk`; with `Nn` = 12 also the length of response nonces and exported secrets.
    pub(crate) fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// The key and base nonce of a response (RFC 9458 §4.4), and how many messages they have served.
pub(crate) struct ResponseKey {
    cipher: Cipher,
    base: Zeroizing<[u8; NONCE]>,
    counter: u64,
}

enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Box<ChaCha20Poly1305>),
}

impl ResponseKey {
    /// Extract with salt `enc || response_nonce`, expand with "key" and "nonce".
    pub(crate) fn derive(
        aead: Aead,
        secret: &[u8],
        enc: &[u8],
        response_nonce: &[u8],
    ) -> Result<Self, Error> {
        let salt = [enc, response_nonce].concat();
        let kdf = Hkdf::<Sha256>::new(Some(&salt), secret);
        let mut key = Zeroizing::new(vec![0; aead.key_len()]);
        let mut base = Zeroizing::new([0; NONCE]);
        kdf.expand(b"key", &mut key).map_err(|_| Error::Seal)?;
        kdf.expand(b"nonce", &mut *base).map_err(|_| Error::Seal)?;
        let cipher = match aead {
            Aead::Aes128Gcm => {
                let cipher = Aes128Gcm::new_from_slice(&key).map_err(|_| Error::Seal)?;
                Cipher::Aes128(Box::new(cipher))
            }
            Aead::Aes256Gcm => {
                let cipher = Aes256Gcm::new_from_slice(&key).map_err(|_| Error::Seal)?;
                Cipher::Aes256(Box::new(cipher))
            }
            Aead::ChaCha20Poly1305 => {
                let cipher = ChaCha20Poly1305::new_from_slice(&key).map_err(|_| Error::Seal)?;
                Cipher::ChaCha(Box::new(cipher))
            }
        };
        Ok(Self {
            cipher,
            base,
            counter: 0,
        })
    }

    pub(crate) fn seal(&mut self, aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = self.next_nonce()?;
        let payload = Payload { msg, aad };
        let sealed = match &self.cipher {
            Cipher::Aes128(cipher) => cipher.encrypt(&nonce.into(), payload),
            Cipher::Aes256(cipher) => cipher.encrypt(&nonce.into(), payload),
            Cipher::ChaCha(cipher) => cipher.encrypt(&nonce.into(), payload),
        };
        sealed.map_err(|_| Error::Seal)
    }

    /// Opens the next message; the counter moves on only then.
    pub(crate) fn open(
        &mut self,
        aad: &[u8],
        sealed: &[u8],
        part: Part,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let nonce = self.next_nonce()?;
        let payload = Payload { msg: sealed, aad };
        let opened = match &self.cipher {
            Cipher::Aes128(cipher) => cipher.decrypt(&nonce.into(), payload),
            Cipher::Aes256(cipher) => cipher.decrypt(&nonce.into(), payload),
            Cipher::ChaCha(cipher) => cipher.decrypt(&nonce.into(), payload),
        };
        opened.map(Zeroizing::new).map_err(|_| Error::Forged(part))
    }

    /// The base nonce with the counter XORed into its end. Fails before a counter would repeat.
    fn next_nonce(&mut self) -> Result<[u8; NONCE], Error> {
        let mut nonce = *self.base;
        let counter = self.counter.to_be_bytes();
        for (byte, count) in nonce.iter_mut().rev().zip(counter.iter().rev()) {
            *byte ^= count;
        }
        self.counter = self.counter.checked_add(1).ok_or(Error::Over)?;
        Ok(nonce)
    }
}

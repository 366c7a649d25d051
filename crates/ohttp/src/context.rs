//! HPKE in base mode with X25519 and HKDF-SHA256, over the AEADs of [`Aead`].

use hpke::aead::{AeadCtxR, AeadCtxS, AesGcm128, AesGcm256, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use crate::aead::Aead;
use crate::entropy::Entropy;
use crate::error::{Error, Part};

/// Length of an encapsulated X25519 key, and of a public key.
pub(crate) const ENC: usize = 32;

pub(crate) type Private = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;
type Send<A> = AeadCtxS<A, HkdfSha256, X25519HkdfSha256>;
type Receive<A> = AeadCtxR<A, HkdfSha256, X25519HkdfSha256>;

pub(crate) enum Sender {
    Aes128(Box<Send<AesGcm128>>),
    Aes256(Box<Send<AesGcm256>>),
    ChaCha(Box<Send<ChaCha20Poly1305>>),
}

pub(crate) enum Receiver {
    Aes128(Box<Receive<AesGcm128>>),
    Aes256(Box<Receive<AesGcm256>>),
    ChaCha(Box<Receive<ChaCha20Poly1305>>),
}

/// Derives a key pair from keying material (RFC 9180 §7.1.3).
pub(crate) fn key_pair(ikm: &[u8]) -> (Private, [u8; ENC]) {
    let (private, public) = X25519HkdfSha256::derive_keypair(ikm);
    (private, public.to_bytes().into())
}

pub(crate) fn private_key(bytes: &[u8; 32]) -> Result<(Private, [u8; ENC]), Error> {
    let private = Private::from_bytes(bytes).map_err(|_| Error::Malformed(Part::PublicKey))?;
    let public = X25519HkdfSha256::sk_to_pk(&private);
    Ok((private, public.to_bytes().into()))
}

impl Sender {
    pub(crate) fn setup(
        aead: Aead,
        public: &[u8; ENC],
        info: &[u8],
        mut entropy: Entropy,
    ) -> Result<([u8; ENC], Self), Error> {
        let bad_key = |_| Error::Malformed(Part::PublicKey);
        let public = Public::from_bytes(public).map_err(bad_key)?;
        let rng = &mut entropy;
        let mode = OpModeS::Base;
        // Fails for public keys of small order, whose shared secret everybody knows.
        let (enc, sender) = match aead {
            Aead::Aes128Gcm => hpke::setup_sender_with_rng(&mode, &public, info, rng)
                .map(|(enc, context)| (enc, Self::Aes128(Box::new(context)))),
            Aead::Aes256Gcm => hpke::setup_sender_with_rng(&mode, &public, info, rng)
                .map(|(enc, context)| (enc, Self::Aes256(Box::new(context)))),
            Aead::ChaCha20Poly1305 => hpke::setup_sender_with_rng(&mode, &public, info, rng)
                .map(|(enc, context)| (enc, Self::ChaCha(Box::new(context)))),
        }
        .map_err(bad_key)?;
        if !entropy.is_spent() {
            return Err(Error::Seal);
        }
        Ok((enc.to_bytes().into(), sender))
    }

    pub(crate) fn seal(&mut self, aad: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Aes128(context) => context.seal(message, aad),
            Self::Aes256(context) => context.seal(message, aad),
            Self::ChaCha(context) => context.seal(message, aad),
        }
        .map_err(|_| Error::Seal)
    }

    pub(crate) fn export(&self, label: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut secret = Zeroizing::new(vec![0; len]);
        match self {
            Self::Aes128(context) => context.export(label, &mut secret),
            Self::Aes256(context) => context.export(label, &mut secret),
            Self::ChaCha(context) => context.export(label, &mut secret),
        }
        .map_err(|_| Error::Seal)?;
        Ok(secret)
    }
}

impl Receiver {
    pub(crate) fn setup(
        aead: Aead,
        private: &Private,
        enc: &[u8; ENC],
        info: &[u8],
    ) -> Result<Self, Error> {
        let forged = |_| Error::Forged(Part::Request);
        let enc = Encapped::from_bytes(enc).map_err(forged)?;
        let mode = OpModeR::Base;
        match aead {
            Aead::Aes128Gcm => hpke::setup_receiver(&mode, private, &enc, info)
                .map(|context| Self::Aes128(Box::new(context))),
            Aead::Aes256Gcm => hpke::setup_receiver(&mode, private, &enc, info)
                .map(|context| Self::Aes256(Box::new(context))),
            Aead::ChaCha20Poly1305 => hpke::setup_receiver(&mode, private, &enc, info)
                .map(|context| Self::ChaCha(Box::new(context))),
        }
        .map_err(forged)
    }

    pub(crate) fn open(&mut self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        match self {
            Self::Aes128(context) => context.open(sealed, aad),
            Self::Aes256(context) => context.open(sealed, aad),
            Self::ChaCha(context) => context.open(sealed, aad),
        }
        .map(Zeroizing::new)
        .map_err(|_| Error::Forged(Part::Request))
    }

    pub(crate) fn export(&self, label: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut secret = Zeroizing::new(vec![0; len]);
        match self {
            Self::Aes128(context) => context.export(label, &mut secret),
            Self::Aes256(context) => context.export(label, &mut secret),
            Self::ChaCha(context) => context.export(label, &mut secret),
        }
        .map_err(|_| Error::Seal)?;
        Ok(secret)
    }
}

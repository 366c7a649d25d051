//! The envelope: COSE_Sign1 (RFC 9052 §4.2) with Ed25519 and nothing to choose.

use alloy_primitives::B256;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Error, Part};
use crate::binding::first;
use crate::cbor::{Reader, Writer};
use crate::sha256;

/// What is signed. A signature over the one is good for none of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    Receipt,
    Amendment,
}

impl Signed {
    /// The `typ` (RFC 9596), in the protected header.
    const fn content_type(self) -> &'static str {
        match self {
            Self::Receipt => "application/seamline-receipt+cbor",
            Self::Amendment => "application/seamline-amendment+cbor",
        }
    }

    /// Bound into the signature.
    const fn external_aad(self) -> &'static [u8] {
        match self {
            Self::Receipt => b"seamline/v1/receipt",
            Self::Amendment => b"seamline/v1/amendment",
        }
    }
}

/// The COSE_Sign1 tag.
const TAG_SIGN1: u64 = 18;

/// The key that seals the receipts of one installation. Zeroized when dropped.
pub struct SealingKey(SigningKey);

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SealingKey({})", self.public_key())
    }
}

impl SealingKey {
    /// Makes the key of an Ed25519 seed. The caller zeroizes its own copy.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key under which receipts verify.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `payload` into the bytes of a COSE_Sign1.
    pub(super) fn sign(&self, what: Signed, payload: Vec<u8>) -> Sign1 {
        let protected = protected_header(what, &self.public_key());
        let message = to_be_signed(what, &protected, &payload);
        let signature = self.0.sign(&message).to_bytes();
        Sign1 {
            protected,
            payload,
            signature,
        }
    }
}

/// The Ed25519 public key of a recorder.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

impl core::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PublicKey {
    /// Takes the 32 bytes of a public key.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`] for bytes that are not the canonical encoding of a point of the curve, and
    /// for points of small order, under which one signature fits many messages.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| Error::BadKey)?;
        // A point has one canonical encoding; the library also decodes others.
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(Error::BadKey);
        }
        Ok(Self(key))
    }

    /// Parses 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`] for anything else, or as [`PublicKey::from_bytes`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = hex::decode_to_array(text).map_err(|_| Error::BadKey)?;
        Self::from_bytes(&bytes)
    }

    /// Returns the 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies an Ed25519 signature, refusing non-canonical encodings and small-order points.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`].
    pub fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), Error> {
        let signature = Signature::from_bytes(signature);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| Error::BadSignature)
    }
}

/// A COSE_Sign1 with attached payload.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sign1 {
    protected: Vec<u8>,
    pub(super) payload: Vec<u8>,
    signature: [u8; 64],
}

impl Sign1 {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.payload.len().saturating_add(160));
        writer.tag(TAG_SIGN1).array(4).bytes(&self.protected);
        writer.map(0).bytes(&self.payload).bytes(&self.signature);
        writer.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let part = Part::Envelope;
        let malformed = |source| Error::Malformed { part, source };
        let mut reader = Reader::new(bytes).map_err(malformed)?;
        reader.tag(TAG_SIGN1).map_err(malformed)?;
        reader.array_of(4).map_err(malformed)?;
        let protected = reader.bytes().map_err(malformed)?.to_vec();
        if reader.map().map_err(malformed)? != 0 {
            return Err(Error::UnprotectedHeader);
        }
        let payload = reader.bytes().map_err(malformed)?.to_vec();
        let signature = reader.fixed::<64>("signature").map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(Self {
            protected,
            payload,
            signature,
        })
    }

    /// Verifies header and signature under `key`.
    pub(super) fn verify(&self, what: Signed, key: &PublicKey) -> Result<(), Error> {
        if self.protected != protected_header(what, key) {
            return Err(Error::ProtectedHeader);
        }
        let message = to_be_signed(what, &self.protected, &self.payload);
        key.verify_strict(&message, &self.signature)
    }
}

/// The hash that names a receipt: over the signed payload, not over the signature, so that it is
/// one whoever signs it again. `SHA-256("seamline/v1/receipt-hash" || payload)`.
pub(super) fn receipt_hash(payload: &[u8]) -> B256 {
    sha256(&[b"seamline/v1/receipt-hash", payload])
}

/// `{1: -8 (EdDSA), 4: kid, 16: typ}`; the kid is the first 8 bytes of SHA-256 of the key.
fn protected_header(what: Signed, key: &PublicKey) -> Vec<u8> {
    let kid: [u8; 8] = first(&sha256(&[key.as_bytes()]));
    let mut writer = Writer::new();
    writer.map(3).uint(1).int(-8);
    writer
        .uint(4)
        .bytes(&kid)
        .uint(16)
        .text(what.content_type());
    writer.finish()
}

/// The Sig_structure of RFC 9052 §4.4.
fn to_be_signed(what: Signed, protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(payload.len().saturating_add(160));
    writer.array(4).text("Signature1").bytes(protected);
    writer.bytes(what.external_aad()).bytes(payload);
    writer.finish()
}

use seamline_core::{B256, NodeId, SourceClass};

use crate::crypto::RsaKey;
use crate::error::{Check, Error};
use crate::policy::At;

/// An enclave's response signing key: RSA-2048..4096, exponent 65537.
///
/// A [`Verified<ResponseKey>`](crate::Verified) comes from
/// [`bind_signing_key`](crate::Verified::bind_signing_key).
#[derive(Clone, Debug)]
pub struct ResponseKey {
    node: NodeId,
    spki_der: Vec<u8>,
    key: RsaKey,
    source: SourceClass,
    at: At,
}

impl ResponseKey {
    pub(crate) fn parse(spki_der: &[u8], source: SourceClass, at: At) -> Result<Self, Error> {
        let key = RsaKey::parse(spki_der).ok_or(Check::SigningKey)?;
        Ok(Self {
            node: NodeId::of_signing_key(spki_der),
            spki_der: spki_der.to_vec(),
            key,
            source,
            at,
        })
    }

    /// The node that signs with this key: Keccak-256 over the SubjectPublicKeyInfo.
    pub const fn node_id(&self) -> NodeId {
        self.node
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Where the key's trust comes from: [`SourceClass::Hardware`] or [`SourceClass::Dev`].
    pub const fn source(&self) -> SourceClass {
        self.source
    }

    /// Whether the evidence was checked at `now` or at its own time.
    pub const fn at(&self) -> At {
        self.at
    }

    /// Checks the enclave's signature: RSA-PSS with SHA-256 and MGF1-SHA-256, a salt of exactly
    /// 32 bytes, over the 32 bytes of `message_hash` (which PSS hashes once more).
    ///
    /// # Errors
    ///
    /// [`Check::ResponseSignature`] if it does not verify.
    pub fn verify(&self, message_hash: &B256, signature: &[u8]) -> Result<(), Error> {
        if self.key.verify(message_hash, signature) {
            Ok(())
        } else {
            Err(Check::ResponseSignature.into())
        }
    }
}

/// Checks an enclave's signature under a key that no evidence is held against: see
/// [`ResponseKey::verify`] for the scheme. What signs with this key is not known from this.
///
/// # Errors
///
/// [`Check::SigningKey`] if the key is not canonical RSA-2048..4096 with exponent 65537,
/// [`Check::ResponseSignature`] if the signature does not verify.
pub fn verify_rsa_pss(spki_der: &[u8], message_hash: &B256, signature: &[u8]) -> Result<(), Error> {
    let key = RsaKey::parse(spki_der).ok_or(Check::SigningKey)?;
    if key.verify(message_hash, signature) {
        Ok(())
    } else {
        Err(Check::ResponseSignature.into())
    }
}

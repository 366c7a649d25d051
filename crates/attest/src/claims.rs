use core::ops::Deref;
use std::collections::BTreeMap;

use seamline_core::{B256, SourceClass, Timestamp, sha256};

use crate::error::{BindingFault, Check, Error};
use crate::policy::At;
use crate::response_key::ResponseKey;

/// What [`Claims::kind`] says about evidence that an AWS Nitro enclave signed.
pub const KIND_NITRO: &str = "aws-nitro";

/// One platform configuration register, 48 bytes.
pub type Pcr = [u8; 48];

/// A value that a check of this crate returned. Only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The one constructor; called after the last check only.
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What verified evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// [`SourceClass::Hardware`] or [`SourceClass::Dev`], by the root that the chain starts at.
    pub source: SourceClass,
    /// [`KIND_NITRO`] or [`dev::KIND`](crate::dev::KIND).
    pub kind: &'static str,
    /// Whether the chain was checked at `now` or at the document's own time.
    pub at: At,
    /// The enclave's id: printable ASCII, at most 128 bytes.
    pub module_id: String,
    /// When the document was made, by the clock of the attester.
    pub timestamp: Timestamp,
    /// The locked registers by index; 0, 1 and 2 are always there.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// The measurement: Keccak-256 over PCR0, PCR1 and PCR2.
    pub pcr_hash: B256,
    /// The nonce in the document.
    pub nonce: Option<Vec<u8>>,
    /// The user data in the document.
    pub user_data: Option<Vec<u8>>,
    /// The public key in the document; nitriding writes `dummy`.
    pub public_key: Option<Vec<u8>>,
    /// The end of the leaf certificate's validity.
    pub leaf_not_after: Timestamp,
    /// The earliest end of validity in the whole chain.
    pub chain_not_after: Timestamp,
    /// The bound keys, if [`BindingRule::Nitriding`](crate::BindingRule::Nitriding) was asked for.
    pub binding: Option<NitridingBinding>,
    /// The identity of the document: SHA-256 over its protected header and payload. The bytes
    /// of the document are no identity, since an ECDSA signature has a second valid form.
    pub document_id: B256,
}

/// The two digests that nitriding writes into `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NitridingBinding {
    /// SHA-256 over the DER bytes of the TLS certificate.
    pub tls_cert_sha256: B256,
    /// SHA-256 that the application registered: over the DER bytes of the SubjectPublicKeyInfo
    /// of its response signing key. Never zero.
    pub app_sha256: B256,
}

/// A TLS certificate that evidence binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsBinding {
    cert_der: Vec<u8>,
    cert_sha256: B256,
}

impl TlsBinding {
    /// The certificate, DER: what a connection to the enclave pins.
    pub fn cert_der(&self) -> &[u8] {
        &self.cert_der
    }

    /// SHA-256 over the certificate.
    pub const fn cert_sha256(&self) -> &B256 {
        &self.cert_sha256
    }
}

impl Verified<Claims> {
    /// Binds the TLS certificate, in DER, of the connection that will carry the request.
    ///
    /// # Errors
    ///
    /// [`Check::Historical`] if the claims were checked at the document's own time;
    /// [`Check::Binding`] if they bind no certificate or another one.
    pub fn bind_tls(&self, cert_der: &[u8]) -> Result<Verified<TlsBinding>, Error> {
        if self.at != At::Live {
            return Err(Check::Historical.into());
        }
        let cert_sha256 = sha256(&[cert_der]);
        if self.bound()?.tls_cert_sha256 != cert_sha256 {
            return Err(Check::Binding(BindingFault::TlsCertificate).into());
        }
        Ok(Verified::new(TlsBinding {
            cert_der: cert_der.to_vec(),
            cert_sha256,
        }))
    }

    /// Binds the response signing key, a SubjectPublicKeyInfo in DER. Historical claims bind one
    /// too, and the key says so: checking an archived response is what they are for.
    ///
    /// # Errors
    ///
    /// [`Check::Binding`] if the claims bind no key or another one; [`Check::SigningKey`] if the
    /// bound key is not canonical RSA-2048..4096 with exponent 65537.
    pub fn bind_signing_key(&self, spki_der: &[u8]) -> Result<Verified<ResponseKey>, Error> {
        if self.bound()?.app_sha256 != sha256(&[spki_der]) {
            return Err(Check::Binding(BindingFault::SigningKey).into());
        }
        ResponseKey::parse(spki_der, self.source, self.at).map(Verified::new)
    }

    fn bound(&self) -> Result<&NitridingBinding, Error> {
        let absent = Error::Reject(Check::Binding(BindingFault::Absent));
        self.binding.as_ref().ok_or(absent)
    }
}

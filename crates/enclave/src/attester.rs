use std::error::Error;

/// What makes evidence: the security module of a real enclave, or software that imitates one.
///
/// Implementations live where the device is: a Nitro Security Module in a production binary, the
/// development authority in the local network.
pub trait Attester: Send + Sync {
    /// Makes one evidence document (a Nitro `COSE_Sign1`) over the three fields.
    ///
    /// `nonce` is the caller's `evidence_nonce` (20 bytes), `user_data` the 68 bytes that bind the
    /// TLS certificate and the signing key (see [`EnclaveIdentity::user_data`]), `public_key` is
    /// empty in this version.
    ///
    /// # Errors
    ///
    /// [`AttestError`] when the device refuses or cannot be reached.
    ///
    /// [`EnclaveIdentity::user_data`]: crate::EnclaveIdentity::user_data
    fn document(
        &self,
        nonce: &[u8],
        user_data: &[u8],
        public_key: &[u8],
    ) -> Result<Vec<u8>, AttestError>;

    /// Says what stands behind the documents, so that whatever they touch can say so too.
    fn kind(&self) -> AttesterKind;
}

/// What stands behind an attester's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttesterKind {
    /// A hardware security module of the platform.
    Hardware,
    /// Software of a development network. Every answer of the enclave then carries
    /// `X-Seamline-Evidence: dev`.
    Software,
}

/// Why no evidence could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make evidence")]
pub struct AttestError {
    source: Box<dyn Error + Send + Sync>,
}

impl AttestError {
    /// Wraps the device's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}

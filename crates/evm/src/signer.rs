//! Who signs: a key in this process, or one that never leaves another program or device.

use alloy_primitives::{Address, B256};

use crate::{Error, Signature, Wallet};

/// A key that signs 32-byte digests as an Ethereum account.
///
/// [`Wallet`] implements it without blocking and without failing. External commands and key services
/// may block for seconds and may refuse: an async caller gives them a thread of their own
/// (`spawn_blocking`).
///
/// # Security
///
/// A digest says nothing about what it authorizes: whoever can call [`Signer::sign_hash`] can spend
/// everything of the account. A signer that shows something to people needs the typed data itself.
pub trait Signer: Send + Sync {
    /// The account that signs; the same for the whole life of the signer.
    fn address(&self) -> Address;

    /// Signs a digest with low `s` and `v` 27 or 28.
    ///
    /// # Retries
    ///
    /// Safe to ask again: a signature of the same digest authorizes nothing more, even where it is
    /// made of other bytes.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError>;

    /// Whether signing neither blocks nor fails, so that async code may call it: a key in this process.
    /// Everything else says no, which is the default.
    fn is_immediate(&self) -> bool {
        false
    }
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The signature is of another key than [`Signer::address`] says.
    #[error("the signer answered a signature of another key")]
    OtherKey,
    /// The signer or its user said no: asking again asks the same question.
    #[error("the signer refused")]
    Refused,
    /// The signer could not be asked, or did not answer in time. The detail is for people and holds
    /// no secret.
    #[error("the signer is not available: {detail}")]
    Unavailable {
        /// What went wrong.
        detail: String,
    },
}

/// Signs `digest` and checks that the account's own key did: what a signer of another process answers
/// is looked at before it is stored or sent.
///
/// # Errors
///
/// [`Error::Sign`].
pub fn sign_checked(signer: &dyn Signer, digest: &B256) -> Result<Signature, Error> {
    let signature = signer.sign_hash(digest)?;
    let signed_by = signature.recover(digest);
    if signed_by.is_ok_and(|account| account == signer.address()) {
        Ok(signature)
    } else {
        Err(Error::Sign(SignError::OtherKey))
    }
}

impl Signer for Wallet {
    fn address(&self) -> Address {
        Self::address(self)
    }

    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError> {
        Ok(Self::sign_hash(self, digest))
    }

    fn is_immediate(&self) -> bool {
        true
    }
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn address(&self) -> Address {
        self.as_ref().address()
    }

    fn sign_hash(&self, digest: &B256) -> Result<Signature, SignError> {
        self.as_ref().sign_hash(digest)
    }

    fn is_immediate(&self) -> bool {
        self.as_ref().is_immediate()
    }
}

#[cfg(test)]
mod tests;

use core::time::Duration;

use seamline_core::{B256, keccak256};

use crate::error::{Check, Error};

/// What a verifier demands of evidence. Nonce and measurements have no default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The nonce that the document must carry.
    pub nonce: NonceRule,
    /// Which code may run in the enclave.
    pub measurements: Measurements,
    /// Measurements that are refused even if they are allowed.
    pub revoked: Vec<B256>,
    /// What `user_data` must bind.
    pub binding: BindingRule,
    /// The longest time since the document was made; [`Policy::DEFAULT_MAX_AGE`] at first.
    pub max_age: Duration,
    /// How far the document's clock may run ahead; [`Policy::DEFAULT_MAX_FUTURE_SKEW`] at first.
    pub max_future_skew: Duration,
    /// The time at which the chain must be valid.
    pub time: At,
}

impl Policy {
    /// 300 s: the age that OpenGradient's on-chain verifier accepts.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
    /// 60 s: the skew that OpenGradient's on-chain verifier accepts.
    pub const DEFAULT_MAX_FUTURE_SKEW: Duration = Duration::from_secs(60);

    /// A policy for evidence that is used now: the chain is valid at `now`, the document is at
    /// most five minutes old, `user_data` binds a TLS certificate and a signing key.
    pub const fn live(nonce: NonceRule, measurements: Measurements) -> Self {
        Self {
            nonce,
            measurements,
            revoked: Vec::new(),
            binding: BindingRule::Nitriding,
            max_age: Self::DEFAULT_MAX_AGE,
            max_future_skew: Self::DEFAULT_MAX_FUTURE_SKEW,
            time: At::Live,
        }
    }

    /// A policy for evidence from an archive: the chain was valid when the document was made.
    /// The result is labelled [`At::Historical`] and admits no connection.
    pub const fn historical(nonce: NonceRule, measurements: Measurements) -> Self {
        let mut policy = Self::live(nonce, measurements);
        policy.time = At::Historical;
        policy
    }

    /// Refuses a policy that cannot mean anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let empty_nonce = matches!(&self.nonce, NonceRule::Expect(nonce) if nonce.is_empty());
        // PCR0..2 of a debug-mode enclave are 3 x 48 zero bytes.
        let debug = keccak256([0_u8; 144]);
        let allows_debug =
            matches!(&self.measurements, Measurements::Allow(list) if list.contains(&debug));
        if empty_nonce || allows_debug {
            return Err(Check::PolicyInvalid.into());
        }
        Ok(())
    }
}

/// Which nonce a document must carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NonceRule {
    /// Exactly these bytes; an empty list is refused as a policy.
    Expect(Vec<u8>),
    /// Any, or none. Such evidence may be a recording of up to [`Policy::max_age`].
    Any,
}

/// Which code may run in the enclave, by measurement: Keccak-256 over PCR0, PCR1 and PCR2
/// (`seamline_core::canonical::pcr_hash`), always all three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measurements {
    /// One of these; an empty list allows none. The debug-mode measurement is refused as a policy.
    Allow(Vec<B256>),
    /// Any: the caller compares [`Claims::pcr_hash`](crate::Claims::pcr_hash) itself. Debug mode
    /// is refused all the same.
    AnyReported,
}

/// What `user_data` must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingRule {
    /// nitriding's 68 bytes: multihash of the TLS certificate, multihash of the signing key.
    Nitriding,
    /// Anything. Claims verified so cannot be bound to a certificate or key.
    Any,
}

/// The time at which the certificate chain must be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// At `now`, and the document's age is checked. A receipt's verifier passes the time that
    /// the receipt records.
    Live,
    /// At the document's own time, which only must not lie in the future; its age is not checked.
    Historical,
}

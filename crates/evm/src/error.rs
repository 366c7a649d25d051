use crate::rpc::{RpcError, TransportError};
use crate::signer::SignError;

/// Why something of this crate failed.
///
/// Refusals of the spend policy are [`crate::policy::NotAdmitted`], refusals of the facilitator
/// [`crate::facilitator::Invalid`]: they are answers, not failures.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An amount does not fit.
    #[error("an amount exceeds its range")]
    AmountRange,
    /// The chain's endpoint answered something else than what its name promises.
    #[error("the chain's endpoint did not answer {0}")]
    Answer(&'static str),
    /// The endpoint answered another number of results than it was asked.
    #[error("the chain's endpoint answered {received} of {sent} calls")]
    BatchLength {
        /// Calls in the batch.
        sent: usize,
        /// Results in the answer.
        received: usize,
    },
    /// The block at the pinned number changed between two reads: the chain reorganised.
    #[error("the block at number {number} changed while it was being read")]
    BlockChanged {
        /// Number of the block.
        number: u64,
    },
    /// The endpoint answered one call with an error.
    #[error("the chain refused a call")]
    Call(#[source] RpcError),
    /// The chain asks more for gas than the ceiling allows.
    #[error("the chain asks {observed} wei per gas, the ceiling is {bound}")]
    FeeOverCeiling {
        /// Base fee of the next block, wei per gas.
        observed: u128,
        /// Ceiling, wei per gas.
        bound: u128,
    },
    /// Not a private key.
    #[error("a private key is 32 bytes, not zero and below the order of secp256k1")]
    Key,
    /// A payment message that is not what x402 says.
    #[error("malformed x402 message: {0}")]
    Malformed(Malformed),
    /// Nothing was signed.
    #[error("nothing was signed")]
    Sign(#[from] SignError),
    /// A signature that does not parse or recovers to no key.
    #[error("malformed signature")]
    Signature,
    /// The endpoint did not answer.
    #[error("the chain could not be asked")]
    Transport(#[from] TransportError),
}

/// What is wrong with an x402 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Not base64, neither standard nor url-safe.
    #[error("the header is not base64")]
    Base64,
    /// Nested deeper than [`crate::x402::MAX_DEPTH`].
    #[error("nested too deep")]
    Depth,
    /// An object names a member twice.
    #[error("an object has a member twice")]
    Duplicate,
    /// This member is missing or of another type than x402 says.
    #[error("member `{0}` is missing or malformed")]
    Field(&'static str),
    /// Not JSON, or bytes after it.
    #[error("not one JSON document")]
    Json,
    /// Larger than [`crate::x402::MAX_HEADER`].
    #[error("larger than the limit")]
    Size,
    /// A version of x402 that is not read here: other than 2, or than 1 where version 1 is read.
    #[error("x402 version is not supported")]
    Version,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

//! Who may use a relay, and how much of it.

use seamline_core::{Amount, sha256};

/// An account holder.
#[derive(Clone)]
pub struct Account {
    /// SHA-256 of the bearer token: the token itself is not kept.
    pub token_sha256: [u8; 32],
    /// Base units that 24 hours may cost.
    pub per_day: Amount,
    /// Requests within 60 seconds.
    pub per_minute: u32,
    /// Requests under way at a time.
    pub at_once: u32,
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Account")
    }
}

/// Hash of a bearer token, by which an account is known.
pub fn token_hash(token: &str) -> [u8; 32] {
    sha256(&[token.as_bytes()]).0
}

/// Why a request is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No account, or two, has this token.
    #[error("no single account has this token")]
    Unknown,
    /// The account's budget of 24 hours does not cover the most that a request may cost.
    #[error("the budget of 24 hours is used up")]
    Budget,
    /// Too many requests within a minute.
    #[error("too many requests within a minute")]
    Rate,
    /// Too many requests under way.
    #[error("too many requests at a time")]
    AtOnce,
    /// The books cannot be written: nothing is carried that is not reserved first.
    #[error("the books cannot be written")]
    Books,
}

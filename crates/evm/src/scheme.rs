//! The ways to pay: schemes, the methods that move the token, and a payer's signed promise in each
//! of them.

mod authorization;
mod read;
mod signed;
mod sponsor;
mod wrapped;

use std::fmt;

use serde_json::Value;

use crate::x402::OfferTerms;

pub use authorization::{APPROVAL_GAS, Authorization, EIP3009_GAS, PERMIT2_GAS, payment_key};
pub(crate) use read::Members;
pub use signed::{
    FALLBACK_EXTENSION, Marks, SignedAuthorization, VALID_AFTER_SLACK_S, is_fallback, sign,
    sign_with,
};
pub use sponsor::{Eip2612, SPONSORING_EXTENSION, approve_permit2_call, sign_approval};
pub(crate) use wrapped::Wrapped;
#[cfg(test)]
pub(crate) use wrapped::wrap;

/// A scheme of x402 on EVM chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Exactly the amount, once.
    Exact,
    /// At most the amount, once, by one facilitator, for what was metered.
    Upto,
    /// A payment channel with vouchers.
    BatchSettlement,
}

/// What moves the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The token itself, by `transferWithAuthorization` (ERC-3009).
    Eip3009,
    /// Permit2, which the payer approved once, through a proxy of x402.
    Permit2,
}

impl Scheme {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Upto => "upto",
            Self::BatchSettlement => "batch-settlement",
        }
    }

    /// Reads a name of the wire; `None` for a scheme that is not spoken here.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Exact, Self::Upto, Self::BatchSettlement]
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
    }
}

impl Method {
    /// The name on the wire: a value of `extra.assetTransferMethod`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 => "permit2",
        }
    }

    /// Reads a name of the wire.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Eip3009, Self::Permit2]
            .into_iter()
            .find(|method| method.as_str() == name)
    }

    /// The method that an offer of `scheme` asks for: what `extra.assetTransferMethod` names, else
    /// ERC-3009, and for `upto` always Permit2, because only its proxy settles less than was signed.
    /// `None` where it names a method that the scheme does not have.
    pub fn of(scheme: Scheme, terms: &OfferTerms) -> Option<Self> {
        let named = match terms.extra.get("assetTransferMethod") {
            None | Some(Value::Null) => None,
            Some(value) => Some(Self::parse(value.as_str()?)?),
        };
        match (scheme, named) {
            (Scheme::Upto, None | Some(Self::Permit2)) => Some(Self::Permit2),
            (Scheme::Upto, Some(Self::Eip3009)) => None,
            (Scheme::Exact | Scheme::BatchSettlement, named) => {
                Some(named.unwrap_or(Self::Eip3009))
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;

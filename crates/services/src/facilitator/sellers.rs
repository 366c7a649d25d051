//! Who may have payments verified and settled (`spec/payment.md`, "Sellers of a facilitator").

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use seamline_core::{Address, sha256};
use seamline_evm::x402::FacilitatorRequest;
use subtle::ConstantTimeEq as _;

/// The sellers whose payments a facilitator verifies and settles over HTTP.
///
/// The amount of an `upto` settlement is the asker's word: a payer that is taken for its seller settles
/// its own authorization for one unit, and the seller's settlement comes too late.
#[derive(Clone)]
pub struct Sellers(Option<Arc<Listed>>);

/// SHA-256 of the bearer tokens; the tokens are not kept.
#[derive(Default)]
struct Listed {
    /// Of the sellers at each address, several while a token is changed.
    tokens: HashMap<Address, Vec<[u8; 32]>>,
    /// For payments to whatever address.
    any: Vec<[u8; 32]>,
}

impl Sellers {
    /// Whoever reaches the facilitator is taken for the seller.
    ///
    /// # Security
    ///
    /// For a facilitator that no payer reaches: on loopback, or behind a service that authenticates.
    pub const fn danger_anybody() -> Self {
        Self(None)
    }

    /// The sellers who are paid at these addresses, each with the SHA-256 of a bearer token; `None`
    /// stands for any address: an operator's own token. An address may occur more than once. Without
    /// an entry nothing is settled.
    pub fn listed(entries: impl IntoIterator<Item = (Option<Address>, [u8; 32])>) -> Self {
        let mut listed = Listed::default();
        for (pay_to, token_sha256) in entries {
            match pay_to {
                Some(pay_to) => listed.tokens.entry(pay_to).or_default().push(token_sha256),
                None => listed.any.push(token_sha256),
            }
        }
        Self(Some(Arc::new(listed)))
    }

    /// Whether whoever sent these headers may ask about this payment.
    ///
    /// # Cost
    ///
    /// One SHA-256 and a comparison with each token of the seller; the time tells nothing about a token.
    pub(crate) fn admit(&self, headers: &HeaderMap, request: &FacilitatorRequest) -> bool {
        let Some(listed) = &self.0 else {
            return true;
        };
        // Where the requirement names another recipient than the authorization, it is refused.
        let pay_to = request.payment_requirements.terms().pay_to_address();
        let (Some(token), Some(pay_to)) = (bearer(headers), pay_to) else {
            return false;
        };
        let said = sha256(&[token.as_bytes()]);
        let own = listed.tokens.get(&pay_to).map(Vec::as_slice);
        let known = own.unwrap_or_default().iter().chain(&listed.any);
        known.fold(false, |found, known| {
            found | bool::from(known.ct_eq(&said.0))
        })
    }
}

impl fmt::Debug for Sellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Some(_) => "Listed",
            None => "Anybody",
        })
    }
}

/// The one bearer token (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

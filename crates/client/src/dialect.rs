//! How an enclave wants to be spoken to: as one of ours, or as OpenGradient's public gateway.
//!
//! The dialect follows from the measurement that the registry names and that evidence then proves: code
//! that was measured is what decides how it speaks, and no answer is looked at for it. Of the two, the
//! public gateway promises less:
//!
//! | | ours | OpenGradient's gateway |
//! |---|---|---|
//! | prices | a list with a price per model | none; one ceiling for every call, asked for without a prompt |
//! | offers | remembered | asked for each time |
//! | the same payment presented again | the same answer | another inference: never done |
//! | word about the settlement | with the answer | none: the chain says it, later |
//! | `usage` | priced into the settlement that is promised | asserted: held against what was sent and asked |
//! | `x-tee-*`, `x-settlement-*` | as there | asserted: held against the proof and what was asked |

mod asserted;

use core::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use seamline_core::{Address, Amount, B256};
use seamline_evm::registry::NodeRecord;
use seamline_evm::scheme::Scheme;
use seamline_net::HttpClient;
use seamline_net::client::Error as NetError;

pub(crate) use self::asserted::{Framed, Proven, Published, Said, Usage};
use crate::call::offers;
use crate::error::ErrorKind;

/// Measurements of OpenGradient's public gateway: the PCR hash of its published build.
pub const OPENGRADIENT_GATEWAYS: [B256; 1] = [B256::new([
    0xb4, 0xc9, 0x58, 0x51, 0x38, 0x43, 0x8b, 0x60, 0xa7, 0x2e, 0x11, 0x25, 0x7b, 0x3c, 0x8a, 0x96,
    0xd2, 0x0c, 0x62, 0x1e, 0x53, 0xd0, 0x16, 0xf2, 0x76, 0x57, 0x28, 0x53, 0x61, 0xf7, 0x7e, 0x87,
])];

/// How an enclave wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As an enclave of this project.
    Seamline,
    /// As OpenGradient's public gateway.
    OpenGradient,
}

impl Dialect {
    /// The dialect of the code that the registry names; `gateways` are the measurements of gateways.
    pub(crate) fn of(record: &NodeRecord, gateways: &[B256]) -> Self {
        if gateways.contains(&record.pcr_hash) {
            Self::OpenGradient
        } else {
            Self::Seamline
        }
    }

    /// Whether a payment that is presented again is answered again without another charge.
    pub(crate) const fn answers_again(self) -> bool {
        matches!(self, Self::Seamline)
    }
}

/// What a node that lists no models asks at most, whatever the call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ceiling {
    /// The most that a call can cost, base units.
    pub amount: Amount,
    /// The token.
    pub asset: Address,
    /// CAIP-2 id of the chain.
    pub network: String,
}

/// Longest name of a network that is read: what a decision can record.
const MAX_NETWORK: usize = 64;

/// Asks a gateway for its ceiling: a request without a prompt, which it answers with its offer.
pub(crate) async fn fetch_ceiling(
    http: &HttpClient,
    record: &NodeRecord,
    timeout: Duration,
) -> Result<Ceiling, ErrorKind> {
    let node = record.node;
    let unreachable = |source| ErrorKind::Unreachable { node, source };
    let url = format!("{}/v1/chat/completions", record.endpoint);
    let asked = http.post_json(&url, HeaderMap::new(), Bytes::from_static(b"{}"));
    let response = tokio::time::timeout(timeout, asked)
        .await
        .map_err(|_| unreachable(NetError::Timeout))?
        .map_err(unreachable)?;
    let status = response.status().as_u16();
    if status != 402 {
        return Err(ErrorKind::Status { node, status });
    }
    ceiling(response.headers()).ok_or(ErrorKind::Listing { node })
}

/// The dearest `upto` offer of a 402: no call costs more.
fn ceiling(headers: &HeaderMap) -> Option<Ceiling> {
    let required = offers(headers)?.ok()?;
    let metered = required.offers.iter().filter_map(|offer| {
        let terms = offer.terms();
        let upto = terms.scheme == Scheme::Upto.as_str();
        let plain = (1..=MAX_NETWORK).contains(&terms.network.len())
            && terms.network.bytes().all(|byte| byte.is_ascii_graphic());
        if !upto || !plain {
            return None;
        }
        Some(Ceiling {
            amount: Amount::parse(&terms.amount).ok()?,
            asset: terms.asset.parse().ok()?,
            network: terms.network.clone(),
        })
    });
    metered.max_by_key(|ceiling| ceiling.amount)
}

#[cfg(test)]
mod tests;

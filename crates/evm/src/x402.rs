//! The wire types of x402 version 2 (and, in [`v1`], of version 1), with every seller's bytes kept as
//! they came.

pub mod extensions;
mod header;
mod networks;
mod offer;
mod payload;
mod reason;
mod required;
mod response;
mod shape;
pub mod v1;

pub use header::{MAX_HEADER, decode_header, encode_header};
pub use networks::{is_test_network, name_of_network, network_of_name};
pub use offer::{Offer, OfferTerms};
pub(crate) use offer::{address, uint256};
pub use payload::{FacilitatorRequest, PaymentPayload};
pub use reason::Reason;
pub use required::{PaymentRequired, Resource};
pub use response::{SettleResponse, Supported, SupportedKind, VerifyResponse};
pub use shape::MAX_DEPTH;

/// The version of x402 that these types speak.
pub const VERSION: u64 = 2;
/// Request header that carries a payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Response header that carries the offers, with status 402.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Response header that carries what became of a payment.
pub const PAYMENT_RESPONSE: &str = "payment-response";

#[cfg(test)]
mod tests;

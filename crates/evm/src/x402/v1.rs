//! Version 1 of x402, for clients and servers that still speak it: its messages, and what they are
//! in version 2 (`spec/payment.md`, "Version 1").
//!
//! Everything behind the messages (policy, signing, verification, settlement) knows version 2 only.
//! A payer converts the 402 with [`PaymentRequired::to_v2`], pays as always, and writes its answer
//! with [`Payload::answering`]; a server or facilitator reads a payment with [`Payload::to_v2`].

mod payload;
mod required;

pub use payload::Payload;
pub use required::{PaymentRequired, Requirements, RequirementsTerms};

/// The version of x402 that these types speak.
pub const VERSION: u64 = 1;
/// Request header that carries a payment.
pub const X_PAYMENT: &str = "x-payment";
/// Response header that carries what became of a payment.
pub const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// The network as version 1 says it: its name, where it has one, else the text itself.
pub fn network_said(network: &str) -> &str {
    super::name_of_network(network).unwrap_or(network)
}

#[cfg(test)]
mod tests;

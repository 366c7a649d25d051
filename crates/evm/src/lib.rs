//! x402 payments, EIP-712 signing, spend policy, contract bindings and registry reads.
//!
//! Nothing here opens a socket or reads a clock: a chain is asked through [`Rpc`], time is an
//! argument, and the facilitator's and the payer's rules are plain functions.
//!
//! | module | what |
//! |---|---|
//! | [`x402`] | wire types of x402 version 2, with every seller's bytes kept as they came |
//! | [`policy`] | what a caller allows to be spent |
//! | [`upto`] | the authorization of the scheme `upto` over Permit2 |
//! | [`registry`] | the nodes, read at one block |
//! | [`rpc`] | the seam to a chain |
//!
//! The payment rules are specified in `spec/payment.md`.

mod error;
pub mod policy;
pub mod registry;
pub mod rpc;
mod wallet;
pub mod x402;

pub use error::{Error, Malformed};
pub use rpc::{Rpc, RpcCall, RpcError, TransportError};
pub use wallet::{Signature, Wallet};

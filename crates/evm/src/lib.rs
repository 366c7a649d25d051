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
//! | [`payment`] | what became of a call's payment: a state machine that pays at most once |
//! | [`facilitator`] | verification and settlement, as plain functions |
//! | [`registry`] | the nodes, read at one block |
//! | [`chain`] | nonces, settlements and balances, read at one block |
//! | [`tx`] | EIP-1559 transactions and fees |
//! | [`typed`] | EIP-712 digests |
//! | [`cost`], [`heartbeat`], [`merkle`] | metered prices, heartbeats, settlement batches |
//! | [`bindings`], [`rpc`] | interfaces of the contracts; the seam to a chain |
//!
//! The payment rules are specified in `spec/payment.md`.

pub mod bindings;
pub mod chain;
pub mod cost;
mod error;
pub mod facilitator;
#[cfg(test)]
mod fixtures;
pub mod heartbeat;
pub mod merkle;
pub mod payment;
pub mod policy;
pub mod registry;
pub mod rpc;
pub mod tx;
pub mod typed;
pub mod upto;
mod wallet;
pub mod x402;

pub use error::{Error, Malformed};
pub use rpc::{Rpc, RpcCall, RpcError, TransportError};
pub use wallet::{Signature, Wallet};

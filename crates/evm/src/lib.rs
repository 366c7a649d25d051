//! x402 payments, EIP-712 signing, spend policy, contract bindings and registry reads.
//!
//! Nothing here opens a socket or reads a clock: a chain is asked through [`Rpc`], time is an
//! argument, and the facilitator's and the payer's rules are plain functions.
//!
//! ```
//! use seamline_core::{Amount, B256, Timestamp};
//! use seamline_evm::policy::{SpendPolicy, Spent};
//! use seamline_evm::scheme::{self, Marks, Scheme};
//! use seamline_evm::x402::PaymentRequired;
//! use seamline_evm::{Wallet, payment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let header = seamline_evm::x402::encode_header(br#"{"x402Version":2,"accepts":[{"scheme":"upto",
//! #   "network":"eip155:31610","asset":"0x5fbdb2315678afecb367f032d93f642f64180aa3","amount":"5000",
//! #   "payTo":"0x90f79bf6eb2c4f870365e785982e1f101e93b906","maxTimeoutSeconds":300,
//! #   "extra":{"assetTransferMethod":"permit2","facilitatorAddress":"0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"}}]}"#);
//! # let registered_address = "0x90f79bf6eb2c4f870365e785982e1f101e93b906".parse()?;
//! # let h_bind = B256::repeat_byte(7);
//! # let wallet = Wallet::from_bytes(&[1; 32])?;
//! # let now = Timestamp::from_secs(1_763_596_800);
//! // A node's 402, and what the caller allows.
//! let required = PaymentRequired::from_header(header.as_bytes())?;
//! let policy = SpendPolicy {
//!     per_call: Amount::new(10_000),
//!     per_hour: None,
//!     per_day: Amount::new(100_000),
//!     per_node_day: None,
//!     per_model_day: None,
//!     per_channel: None,
//!     schemes: vec![Scheme::Upto],
//!     networks: vec!["eip155:31610".to_owned()],
//!     assets: vec!["0x5FbDB2315678afecb367f032d93F642f64180aa3".parse()?],
//!     facilitators: None,
//!     max_lifetime_s: 120,
//! };
//! let admitted = policy.admit(&required, registered_address, &Spent::default())?;
//!
//! // The call's one nonce; the journal comes before the network.
//! let authorization = scheme::sign(&admitted, h_bind, Marks::default(), &wallet, now)?;
//! assert_eq!(authorization.deadline_s, now.as_secs() + 120);
//! let mut payment = payment::Payment::new(h_bind);
//! let signed = payment::Event::Signed((&authorization).into());
//! assert_eq!(payment.on_event(signed, now)?, [payment::Action::Store(authorization.digest)]);
//! # Ok(())
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`x402`] | wire types of x402 version 2, with every seller's bytes kept as they came |
//! | [`policy`] | what a caller allows to be spent |
//! | [`scheme`] | schemes and methods; a payer's authorization in any of them, read or signed |
//! | [`eip3009`], [`exact`], [`upto`] | `exact` over ERC-3009, `exact` and `upto` over Permit2 |
//! | [`signer`] | the seam to a key |
//! | [`payment`] | what became of a call's payment: a state machine that pays at most once |
//! | [`facilitator`] | verification and settlement, as plain functions |
//! | [`registry`] | the nodes, read at one block |
//! | [`channel`] | payment channels: the scheme `batch-settlement` |
//! | [`chain`] | nonces, settlements and balances, read at one block |
//! | [`settlement`] | records of answers on chain: data, batches, proofs |
//! | [`tx`] | EIP-1559 transactions and fees |
//! | [`typed`] | EIP-712 digests |
//! | [`cost`], [`heartbeat`], [`merkle`] | metered prices, heartbeats, settlement batches |
//! | [`bindings`], [`rpc`] | interfaces of the contracts; the seam to a chain |
//!
//! The payment rules are specified in `spec/payment.md`.

pub mod bindings;
pub mod chain;
pub mod channel;
pub mod cost;
pub mod eip3009;
mod error;
pub mod exact;
pub mod facilitator;
#[cfg(test)]
mod fixtures;
pub mod heartbeat;
pub mod merkle;
pub mod payment;
pub mod policy;
pub mod registry;
pub mod rpc;
pub mod scheme;
pub mod settlement;
pub mod signer;
pub mod tx;
pub mod typed;
pub mod upto;
mod wallet;
pub mod x402;

pub use error::{Error, Malformed};
pub use rpc::{Rpc, RpcCall, RpcError, TransportError};
pub use signer::{SignError, Signer};
pub use wallet::{Signature, Wallet};

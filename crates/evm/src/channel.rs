//! Payment channels: the scheme `batch-settlement` of x402.
//!
//! A payer deposits once, then signs one voucher per request: a promise of a growing total. The
//! seller keeps the newest one and claims it later, so that a request costs a signature instead of a
//! transaction. The rules are those of `spec/channel.md`; the numbers on the wire are base units in
//! decimal strings.
//!
//! | module | whose |
//! |---|---|
//! | [`payer`] | what to sign next, and what became of it; a pool of channels for parallel requests |
//! | [`seller`] | what to accept, charge and claim, and when |
//! | [`facilitator`] | what to refuse, to ask the chain, to send and to believe |
//!
//! Nothing here opens a socket, reads a clock or draws a random number.

mod bindings;
mod charge;
mod claimed;
mod config;
mod deposit;
pub mod facilitator;
pub mod payer;
mod payload;
pub mod seller;
mod state;
mod terms;
mod typed;
mod voucher;
mod wire;

use alloy_primitives::{Address, address};

pub use bindings::{IBatchSettlement, IDepositToken};
pub use charge::Charge;
pub use claimed::{Claimed, find_claims};
pub use config::ChannelConfig;
pub use deposit::{Deposit, DepositAuthorization, Erc3009Deposit, Permit2Deposit};
pub use payload::{Claim, Payload, RefundOrder};
pub use state::{ChainState, StateRead};
pub use terms::{CorrectiveState, Terms};
pub use typed::{claim_batch_digest, deposit_nonce, refund_digest, voucher_digest};
pub use voucher::{Voucher, VoucherCheck};

/// Name of the scheme on the wire.
pub const SCHEME: &str = "batch-settlement";
/// The contract that keeps the channels, at the same address on every chain.
pub const BATCH_SETTLEMENT: Address = address!("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");
/// Collects deposits that are authorized with ERC-3009.
pub const ERC3009_COLLECTOR: Address = address!("4020806089470a89826cB9fB1f4059150b550004");
/// Collects deposits that are authorized with Permit2.
pub const PERMIT2_COLLECTOR: Address = address!("4020425FAf3B746C082C2f942b4E5159887B0005");
/// Least time between asking for a withdrawal and getting it, in seconds: the contract's bound.
pub const MIN_WITHDRAW_DELAY_S: u64 = 900;
/// Longest time between asking for a withdrawal and getting it, in seconds: the contract's bound.
pub const MAX_WITHDRAW_DELAY_S: u64 = 2_592_000;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

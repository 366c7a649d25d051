//! Signs the transactions of the settling account.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use seamline_core::{Address, U256};
use seamline_evm::Wallet;
use seamline_evm::tx::{FeeCeiling, Fees, Transaction};
use serde_json::Value;

use super::settlement::{Attempt, Call, Purpose};

/// The settling account: its key, and what it offers for gas.
///
/// Account nonces come from the store, one after the other, under its lock; transactions are waited
/// for outside it, so settlements overlap.
pub(super) struct Lane {
    wallet: Wallet,
    chain_id: u64,
    ceiling: FeeCeiling,
    market: Mutex<Option<Market>>,
}

/// Fees as of a moment of this process.
#[derive(Clone, Copy)]
struct Market {
    fees: Fees,
    at: Duration,
}

/// How long fees are offered without asking again: below the block time of every chain that has one.
const FRESH: Duration = Duration::from_secs(1);
/// Gas of a transaction that does nothing.
const NOTHING_GAS: u64 = 21_000;

impl Lane {
    pub(super) const fn new(wallet: Wallet, chain_id: u64, ceiling: FeeCeiling) -> Self {
        Self {
            wallet,
            chain_id,
            ceiling,
            market: Mutex::new(None),
        }
    }

    pub(super) const fn address(&self) -> Address {
        self.wallet.address()
    }

    /// The market's fees, where they were asked for lately.
    pub(super) fn fresh(&self, now: Duration) -> Option<Fees> {
        let market = *self.market();
        let fresh = |market: &Market| now.saturating_sub(market.at) <= FRESH;
        market.filter(fresh).map(|market| market.fees)
    }

    /// The market's fees, however old.
    pub(super) fn known(&self) -> Option<Fees> {
        self.market().map(|market| market.fees)
    }

    /// Takes in an answer to `eth_feeHistory`.
    pub(super) fn learn(
        &self,
        history: &Value,
        now: Duration,
    ) -> Result<Fees, seamline_evm::Error> {
        let fees = Fees::from_history(history, &self.ceiling)?;
        *self.market() = Some(Market { fees, at: now });
        Ok(fees)
    }

    /// Fees of a replacement: an eighth more than `offered`, the market's where they are higher.
    /// `None` where the ceiling leaves no room.
    pub(super) fn bumped(&self, offered: Option<Fees>) -> Option<Fees> {
        let market = self.market().map(|market| market.fees);
        // An older record does not say what was offered; what was is at most about the market's.
        let offered = offered.or(market)?;
        let least = offered.bumped(&self.ceiling)?;
        let market = market.unwrap_or(least);
        Some(Fees {
            max_fee_per_gas: least.max_fee_per_gas.max(market.max_fee_per_gas),
            max_priority_fee_per_gas: least
                .max_priority_fee_per_gas
                .max(market.max_priority_fee_per_gas),
        })
    }

    /// A transaction that performs `call`.
    pub(super) fn sign(&self, call: &Call, account_nonce: u64, fees: Fees) -> Attempt {
        self.attempt(Purpose::Settle, call, account_nonce, fees)
    }

    /// A transaction that does nothing.
    pub(super) fn cancel(&self, account_nonce: u64, fees: Fees) -> Attempt {
        self.attempt(Purpose::Cancel, &self.nothing(), account_nonce, fees)
    }

    /// The call that does nothing: no coin, to the account itself.
    pub(super) fn nothing(&self) -> Call {
        Call {
            to: self.address(),
            input: Vec::new(),
            gas_limit: NOTHING_GAS,
        }
    }

    fn attempt(&self, purpose: Purpose, call: &Call, account_nonce: u64, fees: Fees) -> Attempt {
        let signed = self.wallet.sign_transaction(&Transaction {
            chain_id: self.chain_id,
            account_nonce,
            fees,
            gas_limit: call.gas_limit,
            to: Some(call.to),
            value: U256::ZERO,
            input: call.input.clone().into(),
        });
        Attempt {
            purpose,
            raw: hex::encode_prefixed(&signed.raw),
            transaction: signed.hash,
            account_nonce,
            fees: Some(fees.into()),
        }
    }

    fn market(&self) -> MutexGuard<'_, Option<Market>> {
        self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The settling account: who signs for it, and what it offers for gas.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::{Address, U256};
use seamline_evm::Signer;
use seamline_evm::signer::SignError;
use seamline_evm::tx::{self, FeeCeiling, Fees, Transaction};
use serde_json::Value;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, Semaphore};
use tokio::time::timeout;

use super::settlement::{Attempt, Call, Purpose};

/// The settling account.
///
/// Account nonces come from the store, one after the other, under its lock; transactions are waited
/// for outside it, so settlements overlap. A key in this process signs under that lock, too. Any
/// other signer is asked before, for the account nonce that seems to be next, one settlement at a
/// time: while it thinks, nothing is held that others wait for, and where it fails, nothing happened.
pub(super) struct Account {
    signer: Arc<dyn Signer>,
    /// How long an external signer may take.
    patience: Duration,
    /// External signers that are asked at once; one that hangs keeps its place.
    asked: Arc<Semaphore>,
    /// Whose turn it is to take the next account nonce.
    turn: Turn<()>,
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
/// Threads that wait for an external signer at most.
const MAX_ASKED: usize = 4;

impl Account {
    pub(super) fn new(
        signer: Arc<dyn Signer>,
        patience: Duration,
        chain_id: u64,
        ceiling: FeeCeiling,
    ) -> Self {
        Self {
            signer,
            patience,
            asked: Arc::new(Semaphore::new(MAX_ASKED)),
            turn: Turn::default(),
            chain_id,
            ceiling,
            market: Mutex::new(None),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.signer.address()
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

    /// Whether the key is in this process: then [`Account::sign_now`] signs.
    pub(super) fn is_immediate(&self) -> bool {
        self.signer.is_immediate()
    }

    /// Waits for the turn to take the next account nonce with an external signer.
    pub(super) async fn turn(&self) -> Result<TurnGuard<'_, ()>, SignError> {
        let turn = timeout(self.patience, self.turn.lock()).await;
        turn.map_err(|_| late("others wait for it, too"))
    }

    /// A transaction that performs `call`, without waiting for anybody.
    pub(super) fn sign_now(
        &self,
        purpose: Purpose,
        call: &Call,
        account_nonce: u64,
        fees: Fees,
    ) -> Result<Attempt, SignError> {
        if !self.is_immediate() {
            return Err(late("it cannot be asked here"));
        }
        let transaction = self.transaction(call, account_nonce, fees);
        let signed = tx::sign(self.signer.as_ref(), &transaction).map_err(why)?;
        Ok(attempt(purpose, account_nonce, fees, &signed))
    }

    /// A transaction that performs `call`, however long the signer takes, within bounds. What is
    /// signed and not written down is never sent.
    pub(super) async fn sign(
        &self,
        purpose: Purpose,
        call: &Call,
        account_nonce: u64,
        fees: Fees,
    ) -> Result<Attempt, SignError> {
        if self.is_immediate() {
            return self.sign_now(purpose, call, account_nonce, fees);
        }
        let transaction = self.transaction(call, account_nonce, fees);
        let place = Arc::clone(&self.asked).acquire_owned();
        let place = timeout(self.patience, place).await;
        let Ok(Ok(place)) = place else {
            return Err(late("every place that may wait for it is taken"));
        };
        let signer = Arc::clone(&self.signer);
        let asked = tokio::task::spawn_blocking(move || {
            // Held until it has answered: signers that hang do not pile up.
            let _place = place;
            tx::sign(signer.as_ref(), &transaction).map_err(why)
        });
        match timeout(self.patience, asked).await {
            Ok(Ok(signed)) => Ok(attempt(purpose, account_nonce, fees, &signed?)),
            Ok(Err(_)) => Err(late("the runtime stopped")),
            Err(_) => Err(late("it did not answer in time")),
        }
    }

    /// A transaction that does nothing.
    pub(super) async fn cancel(
        &self,
        account_nonce: u64,
        fees: Fees,
    ) -> Result<Attempt, SignError> {
        let nothing = self.nothing();
        self.sign(Purpose::Cancel, &nothing, account_nonce, fees)
            .await
    }

    /// The call that does nothing: no coin, to the account itself.
    pub(super) fn nothing(&self) -> Call {
        Call {
            to: self.address(),
            input: Vec::new(),
            gas_limit: NOTHING_GAS,
        }
    }

    fn transaction(&self, call: &Call, account_nonce: u64, fees: Fees) -> Transaction {
        Transaction {
            chain_id: self.chain_id,
            account_nonce,
            fees,
            gas_limit: call.gas_limit,
            to: Some(call.to),
            value: U256::ZERO,
            input: call.input.clone().into(),
        }
    }

    fn market(&self) -> MutexGuard<'_, Option<Market>> {
        self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attempt(
    purpose: Purpose,
    account_nonce: u64,
    fees: Fees,
    signed: &tx::SignedTransaction,
) -> Attempt {
    Attempt {
        purpose,
        raw: hex::encode_prefixed(&signed.raw),
        transaction: signed.hash,
        account_nonce,
        fees: Some(fees.into()),
    }
}

fn late(detail: &str) -> SignError {
    SignError::Unavailable {
        detail: detail.to_owned(),
    }
}

fn why(error: seamline_evm::Error) -> SignError {
    if let seamline_evm::Error::Sign(error) = error {
        error
    } else {
        late(&error.to_string())
    }
}

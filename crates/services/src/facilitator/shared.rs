//! What the parts of a running facilitator share.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::{Address, B256};
use seamline_evm::chain::Depths;
use seamline_evm::{Rpc, RpcCall};
use seamline_net::{Clock, Tasks};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Unavailable;
use super::account::Account;
use super::board::Board;
use super::budget::Gas;
use super::config::FacilitatorConfig;
use super::keeper::Mail;
use super::outbox::Outgoing;
use super::patient::Patient;
use super::sellers::Sellers;
use super::settle::{market_calls, market_fees};
use super::settlement::{Now, Pace, Settlement};
use super::store::{Store, StoreError, with};
use super::verify::Lately;

pub(super) struct Core {
    pub(super) rpc: Arc<dyn Rpc>,
    pub(super) chain_id: u64,
    pub(super) network: String,
    pub(super) assets: Vec<Address>,
    pub(super) factories: Vec<Address>,
    pub(super) sponsor_approvals: bool,
    pub(super) sellers: Sellers,
    pub(super) store: Arc<dyn Store>,
    pub(super) account: Arc<Account>,
    pub(super) lately: Lately,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) settle_wait: Duration,
    pub(super) poll: Duration,
    /// How deep a settlement is when it is answered, and when it is watched no longer.
    pub(super) depths: Depths,
    pub(super) max_in_flight: u64,
    pub(super) lease: Duration,
    pub(super) pace: Pace,
    /// This replica.
    pub(super) owner: u64,
    pub(super) mail: mpsc::UnboundedSender<Mail>,
    pub(super) outbox: mpsc::UnboundedSender<Outgoing>,
    /// Told when transactions were mined: the lane has room again.
    pub(super) room: Notify,
    /// What runs besides requests, each holding the endpoint and the store.
    pub(super) workers: Tasks,
    gas: Mutex<Gas>,
    value_floor: Option<super::ValueFloor>,
    began: Instant,
    /// Account nonces below this are taken on chain.
    floor: AtomicU64,
    /// Account nonces below this are in blocks.
    mined: AtomicU64,
    /// Time of the newest block, Unix seconds.
    chain_s: AtomicU64,
    /// Number of the newest block of the last look.
    head: AtomicU64,
    /// Settlements that are open here.
    open: AtomicUsize,
}

/// How often the same bytes are sent again while they are in no block.
const RESEND: Duration = Duration::from_secs(2);
/// See [`Pace::displaced`].
const DISPLACED: Duration = Duration::from_secs(2);
/// See [`Pace::refused`].
const REFUSED: Duration = Duration::from_secs(10);

impl Core {
    pub(super) fn new(
        config: FacilitatorConfig,
        store: Arc<dyn Store>,
        owner: u64,
        mail: mpsc::UnboundedSender<Mail>,
        outbox: mpsc::UnboundedSender<Outgoing>,
    ) -> Self {
        let FacilitatorConfig {
            signer,
            sign_wait,
            rpc,
            chain_id,
            assets,
            store: _,
            clock,
            fee_ceiling,
            settle_wait,
            poll,
            confirmations,
            finality_depth,
            bump_after,
            max_in_flight,
            lease,
            gas,
            factories,
            sponsor_approvals,
            sellers,
        } = config;
        Self {
            rpc: Arc::new(Patient(rpc)),
            chain_id,
            network: format!("eip155:{chain_id}"),
            assets,
            factories,
            sponsor_approvals,
            sellers,
            store,
            account: Arc::new(Account::new(signer, sign_wait, chain_id, fee_ceiling)),
            lately: Lately::default(),
            workers: Tasks::new(),
            board: Board::default(),
            clock,
            settle_wait,
            poll,
            depths: Depths::new(confirmations, finality_depth),
            max_in_flight: max_in_flight.max(1),
            lease,
            pace: Pace {
                bump_after,
                resend: RESEND,
                displaced: DISPLACED,
                refused: REFUSED,
            },
            owner,
            mail,
            outbox,
            room: Notify::new(),
            value_floor: gas.value_floor,
            gas: Mutex::new(Gas::new(gas)),
            began: Instant::now(),
            floor: AtomicU64::new(0),
            mined: AtomicU64::new(0),
            chain_s: AtomicU64::new(0),
            head: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.account.address()
    }

    /// A third of the lease: two beats may get lost.
    pub(super) fn beat_every(&self) -> Duration {
        self.lease.checked_div(3).unwrap_or(self.lease)
    }

    /// Time of this process.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn now(&self) -> Now {
        Now {
            elapsed: self.elapsed(),
            chain_s: self.chain_s.load(Ordering::Relaxed),
        }
    }

    pub(super) fn gas(&self) -> MutexGuard<'_, Gas> {
        self.gas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn value_floor(&self) -> Option<super::ValueFloor> {
        self.value_floor
    }

    /// Posts to the keeper, which lives as long as the facilitator.
    pub(super) fn post(&self, mail: Mail) {
        drop(self.mail.send(mail));
    }

    /// Takes in what the chain said about the account and the time.
    pub(super) fn learn_head(&self, mined: u64, chain_s: u64) {
        self.chain_s.store(chain_s, Ordering::Relaxed);
        let before = self.mined.swap(mined, Ordering::Relaxed);
        self.learn_floor(mined);
        if mined != before {
            self.room.notify_waiters();
        }
    }

    /// The block that the last look was at; lower again after a reorganisation.
    pub(super) fn see_head(&self, number: u64) {
        self.head.store(number, Ordering::Relaxed);
    }

    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// Account nonces below this are in blocks.
    pub(super) fn learn_mined(&self, mined: u64) {
        if self.mined.fetch_max(mined, Ordering::Relaxed) < mined {
            self.room.notify_waiters();
        }
    }

    /// Account nonces below this are taken, by whomever.
    pub(super) fn learn_floor(&self, taken: u64) {
        self.floor.fetch_max(taken, Ordering::Relaxed);
    }

    /// As the endpoint says now: one wrong answer must not count for ever.
    pub(super) fn set_floor(&self, pending: u64) {
        let taken = pending.max(self.mined());
        self.floor.store(taken, Ordering::Relaxed);
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// Account nonces below this are in blocks.
    pub(super) fn mined(&self) -> u64 {
        self.mined.load(Ordering::Relaxed)
    }

    pub(super) fn set_open(&self, open: usize) {
        self.open.store(open, Ordering::Relaxed);
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Hands a transaction of `settlement` to the endpoint.
    pub(super) fn send(&self, settlement: &Settlement, transaction: B256) {
        if let Some(attempt) = settlement.attempt(transaction) {
            drop(self.outbox.send(Outgoing {
                key: settlement.key(),
                transaction,
                account_nonce: attempt.account_nonce,
                raw: attempt.raw.clone(),
            }));
        }
    }

    /// Fees, and where the account stands: asked for at once.
    pub(super) async fn market(&self) -> Result<seamline_evm::tx::Fees, Unavailable> {
        let answer = self.rpc.batch(&market_calls(self)).await;
        let answer = answer.map_err(|_| Unavailable::Chain)?;
        market_fees(self, &answer)
    }

    /// Writes a settlement, unless another replica carries it now.
    pub(super) async fn persist(&self, settlement: &Settlement) -> Result<(), StoreError> {
        let (key, mine) = (settlement.key(), settlement.clone());
        let written = with(self.store.as_ref(), key, None, move |page| {
            let known = page.settlement.as_ref();
            let fenced = known.is_none_or(|known| known.lease() != mine.lease());
            if !fenced {
                page.settlement = Some(mine);
            }
            !fenced
        });
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Fenced),
            Err(error) => Err(error),
        }
    }

    /// The market's fees: asked for where they are not fresh.
    pub(super) async fn fees(&self) -> Result<seamline_evm::tx::Fees, seamline_evm::Error> {
        let now = self.elapsed();
        if let Some(fees) = self.account.fresh(now) {
            return Ok(fees);
        }
        let answer = self.rpc.batch(&[RpcCall::fee_history()]).await?;
        match answer.as_slice() {
            [Ok(history)] => self.account.learn(history, now),
            [Err(error)] => Err(seamline_evm::Error::Call(error.clone())),
            _ => Err(seamline_evm::Error::Answer("one answer")),
        }
    }
}

/// Reads a JSON-RPC quantity below 2^64.
pub(super) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

//! The settling account for other work than payments: channels, data settlement, whatever calls a
//! contract at the facilitator's expense.
//!
//! A job is a settlement without a payment behind it. It has the same life: one sequence of account
//! nonces, a record with the signed bytes before they are sent, fee bumps, recovery at start, another
//! replica that takes it up, and the gas budgets.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::Rpc;
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_net::Clock;
use seamline_net::news::Listener;
use tokio::time::{Instant, timeout};

use super::board::Progress;
use super::budget::Full;
use super::keeper::Mail;
use super::settle::{carried, release};
use super::settlement::{Call, End, Settlement, Stage};
use super::shared::Core;
use super::signing::Signing;
use super::{Error, Unavailable};

/// The settling account of a running facilitator. Clones share it, and keep its state but not its
/// work alive: that ends with the last [`super::Facilitator`].
#[derive(Clone)]
pub struct Lane(Arc<Core>);

/// A call of a contract that the settling account is to make, without native coin.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// What the call is made once for: 32 bytes that nothing else of the caller has. Repeating a job
    /// under the same id joins it, or gets its outcome for a day, whatever the other members say; to
    /// try again what failed, choose another id.
    pub id: B256,
    /// The contract.
    pub to: Address,
    /// The input.
    pub input: Vec<u8>,
    /// Most gas that it may use.
    pub gas_limit: u64,
    /// Who has the gas counted; `None` for the facilitator's own business, which only the budget of
    /// everybody bounds.
    pub payer: Option<Address>,
    /// Whether code that the payer chose runs in the call.
    pub runs_payers_code: bool,
    /// What the caller keeps with the job, given back by [`Lane::find`]; at most 16 KiB, no secrets.
    pub memo: String,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call was made, and the contract did not revert. Where its block leaves the chain, the same
    /// transaction is sent again by itself.
    Done {
        /// Hash of the transaction.
        transaction: B256,
        /// Number of its block.
        block_number: u64,
        /// Hash of its block.
        block_hash: B256,
    },
    /// The contract reverted.
    Reverted {
        /// Hash of the transaction.
        transaction: B256,
    },
    /// The call was not made: its account nonce went to another transaction. Under a new id it may be
    /// tried again.
    Displaced,
}

/// A job whose record is durable. Dropping it stops nothing.
pub struct Sent {
    core: Arc<Core>,
    key: B256,
    news: Listener<Progress>,
    settlement: Settlement,
}

/// Why a job was not taken on. Nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The gas budgets leave no room; the code and a retry hint, where waiting helps.
    #[error("the gas budgets leave no room: {code}")]
    Budget {
        /// The code on the wire.
        code: &'static str,
        /// When asking again makes sense.
        retry_after: Option<Duration>,
    },
    /// The memo is longer than 16 KiB.
    #[error("the memo of a job is too long")]
    Memo,
    /// It cannot be taken on now.
    #[error(transparent)]
    Facilitator(#[from] Error),
}

/// How long a record is not looked at without news: another replica may carry it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longest [`Job::memo`]: a record is one row of a store.
const MAX_MEMO: usize = 16 * 1024;

impl Lane {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// The account that sends.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// The chain.
    pub fn rpc(&self) -> &Arc<dyn Rpc> {
        &self.0.rpc
    }

    /// EIP-155 id of the chain.
    pub fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// CAIP-2 id of the chain.
    pub fn network(&self) -> &str {
        &self.0.network
    }

    /// Who is served over HTTP.
    pub(crate) fn sellers(&self) -> &super::Sellers {
        &self.0.sellers
    }

    /// The wall clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Makes a call, once, and waits for its end: as long as that takes, unless the caller stops
    /// waiting.
    ///
    /// # Cancellation
    ///
    /// Once the record is durable the call goes on; ask again under the same id.
    ///
    /// # Errors
    ///
    /// [`JobError`]: nothing was signed, or it is not known what became of it; ask again.
    pub async fn send(&self, job: Job) -> Result<Outcome, JobError> {
        Ok(self.begin(job).await?.outcome().await?)
    }

    /// Makes a call, once, and returns as soon as its record is durable and its transaction on the way.
    ///
    /// # Cancellation
    ///
    /// As [`Lane::send`].
    ///
    /// # Errors
    ///
    /// As [`Lane::send`].
    pub async fn begin(&self, job: Job) -> Result<Sent, JobError> {
        let core = &self.0;
        if job.memo.len() > MAX_MEMO {
            return Err(JobError::Memo);
        }
        if core.mail.is_closed() {
            return Err(Error::Unavailable(Unavailable::Busy).into());
        }
        let key = self.key(job.id);
        // Listened first, read and written second: no outcome can fall in between.
        let news = core.board.listen(key);
        let known = core.store.read(vec![key]).await;
        if let [Some(known)] = known.map_err(Error::Store)?.as_slice() {
            return Ok(self.join(key, news, known.clone()));
        }
        let payer = job.payer.unwrap_or_else(|| core.address());
        let began = Instant::now();
        loop {
            let fees = core.market().await.map_err(Error::Unavailable)?;
            let others = core.others_spent(payer).await.map_err(Error::Store)?;
            let checked = core.gas().check_job(
                job.payer,
                job.runs_payers_code,
                job.gas_limit,
                others,
                core.elapsed(),
            );
            checked.map_err(full)?;
            match carried(core, self.record(key, &job, payer), payer, fees).await? {
                Signing::Signed(settlement, _) => {
                    let transaction = settlement.newest();
                    tracing::info!(%key, ?transaction, "call sent");
                    release(core, &settlement, None);
                    return Ok(Sent {
                        core: Arc::clone(core),
                        key,
                        news,
                        settlement: *settlement,
                    });
                }
                Signing::Known(known) => return Ok(self.join(key, news, *known)),
                Signing::NoRoom | Signing::Lost => {
                    if began.elapsed() >= core.settle_wait {
                        return Err(Error::Unavailable(Unavailable::Busy).into());
                    }
                    drop(timeout(core.poll, core.room.notified()).await);
                }
            }
        }
    }

    /// Finds a job by its id, with what the caller kept with it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn find(&self, id: B256) -> Result<Option<Sent>, Error> {
        let key = self.key(id);
        let news = self.0.board.listen(key);
        let known = self.0.store.read(vec![key]).await.map_err(Error::Store)?;
        let known = known.into_iter().next().flatten();
        Ok(known.map(|known| self.join(key, news, known)))
    }

    fn join(&self, key: B256, news: Listener<Progress>, settlement: Settlement) -> Sent {
        if settlement.response().is_none() {
            // Where this replica carries it, the keeper tells already.
            self.0.post(Mail::Follow(key));
        }
        Sent {
            core: Arc::clone(&self.0),
            key,
            news,
            settlement,
        }
    }

    fn record(&self, key: B256, job: &Job, payer: Address) -> Settlement {
        let core = &self.0;
        let now_s = (core.clock)().as_secs();
        let call = Call {
            to: job.to,
            input: job.input.clone(),
            gas_limit: job.gas_limit,
        };
        let blank =
            SettleResponse::failed(&core.network, job.payer, Reason::TransactionFailed, None);
        let (signer, lease) = (core.address(), core.fresh_lease());
        let mut record = Settlement::new(
            key,
            B256::ZERO,
            String::new(),
            now_s,
            signer,
            Some(call),
            blank,
            lease,
        );
        record.gas = Some(core.gas_use(payer, job.gas_limit));
        record.memo = Some(job.memo.clone());
        record.began_s = now_s;
        record
    }

    fn key(&self, id: B256) -> B256 {
        seamline_core::sha256(&[
            b"seamline/v1/job".as_slice(),
            &self.0.chain_id.to_be_bytes(),
            self.address().as_slice(),
            id.as_slice(),
        ])
    }
}

impl Sent {
    /// The newest transaction; it may be replaced by one that pays more.
    pub fn transaction(&mut self) -> Option<B256> {
        match self.news.latest() {
            Progress::Pending(transaction) => Some(transaction),
            Progress::Preparing
            | Progress::Done(_)
            | Progress::Forgotten(_)
            | Progress::Failed(_) => self.settlement.newest(),
        }
    }

    /// What the caller kept with the job.
    pub fn memo(&self) -> &str {
        self.settlement.memo.as_deref().unwrap_or_default()
    }

    /// How it ended, as far as is known now.
    pub fn ended(&self) -> Option<Outcome> {
        ended(&self.settlement)
    }

    /// Waits for its end.
    ///
    /// # Cancellation
    ///
    /// The call goes on.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]; [`Error::Unavailable`] where the facilitator stopped: the next start, or
    /// another replica, goes on.
    pub async fn outcome(mut self) -> Result<Outcome, Error> {
        loop {
            if let Some(outcome) = ended(&self.settlement) {
                return Ok(outcome);
            }
            if self.core.mail.is_closed() {
                return Err(Error::Unavailable(Unavailable::Busy));
            }
            // The record decides; news and the pause only say when to look again.
            let news = timeout(LOOK_AGAIN, self.news.changed()).await;
            if matches!(news, Ok(Err(_))) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            drop(self.news.latest());
            let known = self.core.store.read(vec![self.key]).await;
            let known = known.map_err(Error::Store)?.into_iter().next().flatten();
            let Some(known) = known else {
                return Ok(Outcome::Displaced);
            };
            self.settlement = known;
        }
    }
}

fn ended(settlement: &Settlement) -> Option<Outcome> {
    let Stage::Done {
        end,
        response,
        block,
        settled_for_good: _,
    } = &settlement.stage
    else {
        return None;
    };
    let transaction = response.transaction_hash();
    Some(match (end, transaction, block) {
        (End::Settled, Some(transaction), Some(block)) => Outcome::Done {
            transaction,
            block_number: block.number,
            block_hash: block.hash,
        },
        (End::Reverted, Some(transaction), _) => Outcome::Reverted { transaction },
        (End::Settled | End::Reverted | End::Replaced | End::Expired, _, _) => Outcome::Displaced,
    })
}

fn full(full: Full) -> JobError {
    JobError::Budget {
        code: full.code(),
        retry_after: full.retry_after(),
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The input may hold a live authorization.
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

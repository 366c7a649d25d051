//! The x402 facilitator: verifies payments and settles them, each at most once.
//!
//! The rules are [`seamline_evm::facilitator`]; this module performs them and remembers. A
//! settlement is written to the store with the signed bytes of its transaction before they are
//! sent, so that a crash at any point leaves either nothing or something that sending again
//! completes. The same request is answered from the store for ever; another request for the same
//! nonce is refused. Replicas share a store, and a signer where they like: one of them carries a
//! settlement, all of them answer the same.
//!
//! | endpoint | answer |
//! |---|---|
//! | `POST /verify` | 200 with `isValid`, whatever the verdict |
//! | `POST /settle` | 200 with `success`, whatever the outcome |
//! | `GET /supported` | schemes, networks and the settling account |
//! | `GET /health` | lag of the chain, coin of the settling account, open settlements |
//!
//! Where [`Sellers`] are listed, the first two answer a request without its seller's token with 401.

mod account;
mod board;
mod budget;
mod classify;
mod config;
mod health;
mod http;
mod keeper;
mod lane;
mod outbox;
mod paid;
mod patient;
mod respond;
mod sellers;
mod settle;
mod settlement;
mod shared;
mod signing;
mod store;
mod subject;
mod supported;
mod unavailable;
mod verify;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::RpcCall;
use seamline_evm::rpc::At;
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse};
use seamline_net::{FacilitatorApi, FacilitatorError, FacilitatorFuture, Tasks};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use self::budget::{GasBudget, ValueFloor};
pub use self::config::{
    BUMP_AFTER, FINALITY_DEPTH, FacilitatorConfig, MAX_IN_FLIGHT, POLL, SETTLE_WAIT, SIGN_WAIT,
};
pub use self::health::Health;
pub use self::http::router;
pub(crate) use self::http::{failed, stranger};
pub use self::lane::{Job, JobError, Lane, Outcome, Sent};
pub(crate) use self::respond::retry_after;
pub use self::sellers::Sellers;
pub(crate) use self::settle::has_code;
pub use self::settlement::{GasUse, Lease, Settlement};
pub(crate) use self::store::postgres_pool;
#[cfg(test)]
pub(crate) use self::store::tests::server as postgres_server;
pub use self::store::{
    Change, LEASE, MemoryStore, Page, Spent, Store, StoreError, StoreFuture, StoreLocation,
    open_store,
};
pub use self::unavailable::Unavailable;

use self::board::Flights;
use self::keeper::Mail;
use self::shared::{Core, quantity};

/// Why a facilitator does not start, or cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint speaks for another chain.
    #[error("the endpoint speaks for chain {actual}, not for chain {configured}")]
    Chain {
        /// Chain id in the configuration.
        configured: u64,
        /// Chain id that the endpoint answered.
        actual: u64,
    },
    /// What another request for the same payment failed with, which this one had joined.
    #[error(transparent)]
    Flight(Arc<Self>),
    /// The system has no randomness to name this replica.
    #[error("the system has no randomness")]
    Randomness,
    /// The chain could not be asked.
    #[error("the chain does not answer")]
    Rpc(#[source] seamline_evm::Error),
    /// The store failed: nothing is settled that cannot be remembered.
    #[error("the settlement store failed")]
    Store(#[source] StoreError),
    /// There is no answer now: nothing was signed, and the same request may be repeated.
    #[error("the facilitator cannot answer now")]
    Unavailable(#[source] Unavailable),
}

/// A running facilitator. Clones share everything; with the last one its work stops, and the next
/// start, or another replica, takes it up.
#[derive(Clone)]
pub struct Facilitator(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    flights: Flights,
    tasks: Tasks,
    health: health::Cache,
    workers: [AbortHandle; 2],
}

impl Facilitator {
    /// Opens the store, checks the chain, and takes up every settlement that a crash left open:
    /// their transactions are sent again, byte for byte.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; nothing was sent where it is [`Error::Chain`].
    pub async fn start(config: FacilitatorConfig) -> Result<Self, Error> {
        check_chain(&config).await?;
        let (location, chain_id) = (config.store.clone(), config.chain_id);
        let store = open_store(location, chain_id, config.signer.address()).await;
        Self::run(config, store.map_err(Error::Store)?).await
    }

    /// As [`Facilitator::start`], with a store that is open already, perhaps shared with another
    /// facilitator; [`FacilitatorConfig::store`] is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Facilitator::start`].
    pub async fn start_with(
        config: FacilitatorConfig,
        store: Arc<dyn Store>,
    ) -> Result<Self, Error> {
        check_chain(&config).await?;
        Self::run(config, store).await
    }

    async fn run(config: FacilitatorConfig, store: Arc<dyn Store>) -> Result<Self, Error> {
        let (mail, letters) = mpsc::unbounded_channel();
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let owner = name_replica()?;
        let core = Arc::new(Core::new(config, store, owner, mail.clone(), outbox));
        // 1. This replica is alive: nobody takes from it what it takes up now.
        let beat = core.store.beat(core.owner, core.lease).await;
        beat.map_err(Error::Store)?;
        // 2. Where the account stands.
        learn_account(&core).await?;
        // 3. What a crash left open, in the order of the account.
        let orphans = keeper::orphans(&core).await.map_err(Error::Store)?;
        let sending = outbox::run(Arc::clone(&core.rpc), outgoing, mail);
        let sender = core.workers.spawn(sending);
        let keeper = core.workers.spawn(keeper::run(Arc::clone(&core), letters));
        for held in orphans {
            core.post(Mail::Adopt(Box::new(held)));
        }
        Ok(Self(Arc::new(Inner {
            core,
            flights: Flights::default(),
            tasks: Tasks::new(),
            health: health::Cache::default(),
            workers: [sender.abort_handle(), keeper.abort_handle()],
        })))
    }

    /// Stops for good, within `limit`; returns whether everything has let go of the endpoint and the
    /// store, which may then be opened again. Drain [`Facilitator::tasks`] before.
    ///
    /// What is open is taken up by the next start, or by another replica.
    pub async fn stop(&self, limit: Duration) -> bool {
        for worker in &self.0.workers {
            worker.abort();
        }
        self.0.core.workers.drain(limit).await
    }

    /// The account that settles.
    pub fn address(&self) -> Address {
        self.0.core.address()
    }

    /// The settling account, for other work that goes through its sequence.
    pub fn lane(&self) -> Lane {
        Lane::new(Arc::clone(&self.0.core))
    }

    /// Requests to settle under way: drain them after the listener has stopped. What is cut is
    /// taken up by the next start, or by another replica.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }
}

impl FacilitatorApi for Facilitator {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        Box::pin(async move {
            let verdict = self.verify_payment(request).await;
            verdict.map_err(|error| FacilitatorError::Unreachable(error.into()))
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        Box::pin(async move {
            let settled = self.settle_payment(request).await;
            settled.map_err(|error| FacilitatorError::Unreachable(error.into()))
        })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        Box::pin(async { Ok(self.supported_kinds()) })
    }
}

async fn check_chain(config: &FacilitatorConfig) -> Result<(), Error> {
    let head = seamline_evm::chain::head(config.rpc.as_ref()).await;
    let (actual, _) = head.map_err(Error::Rpc)?;
    if actual == config.chain_id {
        return Ok(());
    }
    Err(Error::Chain {
        configured: config.chain_id,
        actual,
    })
}

/// Reads where the account stands. Where nothing of it is open, the chain's word replaces what the
/// store remembers: a chain that was made anew begins at zero.
async fn learn_account(core: &Core) -> Result<(), Error> {
    let calls = [
        RpcCall::account_nonce(core.address(), At::Latest),
        RpcCall::account_nonce(core.address(), At::Pending),
        RpcCall::block(At::Latest),
    ];
    let answer = core.rpc.batch(&calls).await;
    let answer = answer.map_err(|error| Error::Rpc(error.into()))?;
    let unreadable = || Error::Rpc(seamline_evm::Error::Answer("an account nonce"));
    let [Ok(mined), Ok(pending), Ok(block)] = answer.as_slice() else {
        return Err(unreadable());
    };
    let mined = quantity(mined).ok_or_else(unreadable)?;
    let pending = quantity(pending).ok_or_else(unreadable)?;
    let time_s = block.get("timestamp").and_then(quantity);
    core.learn_head(mined, time_s.unwrap_or(0));
    core.learn_floor(pending);
    let open = core.store.unfinished(core.address()).await;
    if open.map_err(Error::Store)?.is_empty() {
        let lowered = store::with(
            core.store.as_ref(),
            B256::ZERO,
            Some(core.address()),
            move |page| page.next = page.next.min(pending),
        );
        lowered.await.map_err(Error::Store)?;
    }
    Ok(())
}

/// A number that no other replica has: 63 random bits, which every database can keep.
fn name_replica() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(u64::from_be_bytes(bytes) >> 1)
}

impl Drop for Inner {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl core::fmt::Debug for Facilitator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Facilitator")
            .field("network", &self.0.core.network)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

//! Data settlement: puts on record what enclaves signed, beside the payments.
//!
//! An enclave hands over the hashes of an answer and its signature. The desk checks the signature under
//! the key that the registry has for the node, and that the payment which the answer was bought with
//! settled to the node; remembers it, durably, before it says so; makes batches of what waits; stores
//! the tree of a batch, reads it back, and only then settles its root. Each of these steps is a stage
//! of [`seamline_evm::settlement::Job`], written before the next one begins: after a crash the desk goes
//! on where it stopped. Replicas share a table, and the lane that sends.
//!
//! | endpoint | answer |
//! |---|---|
//! | `POST /settle_data` | 202 with the job, also of data that is known already |
//! | `GET /settle/{job}` | the job |
//! | `POST /heartbeat` | 200 once the transaction is signed |
//! | `GET /settlement/batches` | batches, oldest first |
//! | `GET /settlement/batches/{root}` | the tree of a batch, as it is stored |
//! | `GET /settlement/proof/{id}` | the proof that a batch holds an answer |
//!
//! # Limits
//!
//! What a batch holds is as public as the chain: hashes, signatures and times, and with an individual
//! settlement the prompt and the answer. Somebody who can guess a prompt can confirm it.

mod admit;
pub mod blob;
mod book;
mod drive;
mod heartbeat;
mod http;
mod lane;
mod nodes;
mod seams;
mod status;
mod store;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::settlement::BatchRule;
use seamline_evm::{Error as ChainError, Rpc};
use seamline_net::{Clock, Tasks};
use tokio::sync::Notify;

pub use self::admit::Refusal;
pub use self::heartbeat::HeartbeatError;
pub use self::http::router;
pub use self::seams::{Call, Paid, Payments, SeamFuture, SendError, Sender, VerifySignature};
pub use self::store::{MemoryTable, Table, Transaction, Work, open_table};
use crate::facilitator::StoreError;

/// What a data desk needs.
pub struct DataConfig {
    /// The chain, which must be the sender's.
    pub rpc: Arc<dyn Rpc>,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The registry of nodes.
    pub registry: Address,
    /// The settlement contract; the sender's account must have its relay role.
    pub contract: Address,
    /// Where data waits.
    pub table: Arc<dyn Table>,
    /// Where trees and individual answers are stored.
    pub blobs: Arc<dyn blob::BlobStore>,
    /// Sends transactions.
    pub sender: Arc<dyn Sender>,
    /// Knows what was paid. `None` takes data without asking: for networks whose enclaves name no
    /// payment, where only they can reach the desk.
    pub payments: Option<Arc<dyn Payments>>,
    /// Checks an enclave's signature.
    pub verify: VerifySignature,
    /// The wall clock.
    pub clock: Clock,
    /// When a batch is closed.
    pub rule: BatchRule,
    /// Pause between two looks at jobs that are under way.
    pub poll: Duration,
    /// Blocks that hold a transaction, its own included, until nothing is watched any more.
    pub finality_depth: u64,
    /// Least time between two heartbeats of one node that are delivered.
    pub heartbeat_pause: Duration,
}

/// Why the desk cannot answer now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too many ask about ids that the registry does not list. It may come again in a moment.
    #[error("the desk is busy with ids that the registry does not list")]
    Busy,
    /// The blob store failed.
    #[error("the blob store failed")]
    Blob(#[source] blob::BlobError),
    /// The chain could not be asked.
    #[error("the chain does not answer")]
    Chain(#[source] ChainError),
    /// The payments could not be looked up.
    #[error("the payments cannot be looked up")]
    Payments(#[source] StoreError),
    /// The sender did not take a transaction.
    #[error("the transaction cannot be sent now")]
    Send(#[source] SendError),
    /// The table failed.
    #[error("the table of data failed")]
    Store(#[source] StoreError),
}

/// A running data desk. Clones share it; its work ends with [`DataDesk::stop`] or with the last clone.
#[derive(Clone)]
pub struct DataDesk(Arc<Inner>);

pub(crate) struct Inner {
    core: Arc<Core>,
    worker: Option<tokio::task::AbortHandle>,
    tasks: Tasks,
}

/// What the parts share.
pub(crate) struct Core {
    config: DataConfig,
    nodes: nodes::Nodes,
    beats: heartbeat::Beats,
    /// Told when data came.
    news: Notify,
}

/// How long finished records are kept: far longer than a signature is taken, and a quarter of a year to
/// ask for a proof. The chain and the blobs keep what matters.
const KEEP_S: u64 = 90 * 24 * 60 * 60;

impl DataDesk {
    /// Starts, and takes up what an earlier process left open.
    pub fn start(config: DataConfig) -> Self {
        let core = Arc::new(Core::new(config));
        let tasks = Tasks::new();
        let worker = tasks.spawn(drive::run(Arc::clone(&core)));
        Self(Arc::new(Inner {
            worker: Some(worker.abort_handle()),
            core,
            tasks,
        }))
    }

    /// A desk that does nothing by itself; see [`DataDesk::round`].
    pub fn still(config: DataConfig) -> Self {
        Self(Arc::new(Inner {
            core: Arc::new(Core::new(config)),
            worker: None,
            tasks: Tasks::new(),
        }))
    }

    /// Stops within `limit`, at any step; returns whether everything has let go of the table. The next
    /// start goes on.
    pub async fn stop(&self, limit: Duration) -> bool {
        if let Some(worker) = &self.0.worker {
            worker.abort();
        }
        self.0.tasks.drain(limit).await
    }

    /// The settlement contract.
    pub fn contract(&self) -> Address {
        self.0.core.config.contract
    }
}

impl From<nodes::NoWord> for Error {
    fn from(why: nodes::NoWord) -> Self {
        match why {
            nodes::NoWord::Busy => Self::Busy,
            nodes::NoWord::Chain(error) => Self::Chain(error),
        }
    }
}

impl Core {
    fn new(config: DataConfig) -> Self {
        Self {
            nodes: nodes::Nodes::default(),
            beats: heartbeat::Beats::default(),
            news: Notify::new(),
            config,
        }
    }

    fn now_s(&self) -> u64 {
        (self.config.clock)().as_secs()
    }

    /// Runs a change of the book.
    async fn book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let done = store::with(self.config.table.as_ref(), work).await;
        done.map_err(Error::Store)
    }

    async fn item(&self, id: B256) -> Result<Option<book::Item>, Error> {
        self.book(move |book| book::item(book, id)).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

impl core::fmt::Debug for DataDesk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DataDesk")
            .field("contract", &self.contract())
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for DataConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DataConfig")
            .field("chain_id", &self.chain_id)
            .field("registry", &self.registry)
            .field("contract", &self.contract)
            .field("table", &self.table.kind())
            .field("blobs", &self.blobs.kind())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

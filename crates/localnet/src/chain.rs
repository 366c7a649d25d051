//! An EVM chain inside the process: revm for execution, redb for state, JSON-RPC for clients.
//!
//! [`Chain`] is a handle; clones share one chain. Each block is one durable write transaction that is
//! complete before anyone can see the block, so a process killed at any moment leaves a chain that
//! ends at a block boundary. Reads run on a snapshot and never wait for the block being built.
//!
//! The rules are Ethereum's of the Prague upgrade, with the deviations that
//! `docs/reference/json-rpc.md` lists: the state root is a hash chain over state changes, the base fee
//! has a floor, the attestation verifier lives at [`VERIFIER`], and models run at [`MODELS`].

mod call;
mod edition;
mod error;
mod evm;
mod genesis;
mod http;
mod mine;
mod models;
mod pool;
mod precompile;
mod record;
mod reorg;
mod rpc;
mod send;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, address};
use seamline_attest::TrustRoots;
use seamline_core::Timestamp;
use seamline_core::infer::ModelRunner;

pub use error::{Error, Rejection};
pub use genesis::{Artifact, ArtifactError, Genesis, GenesisAccount};
pub use reorg::Orphans;
pub use rpc::{MAX_BATCH, RpcError};
pub use send::{SendError, Sent};

use models::Models;
use pool::Pool;
use store::Store;

/// The chain id of the local network.
pub const CHAIN_ID: u64 = 31_610;

/// Address of the attestation verifier, a precompile of OpenGradient's chain.
pub const VERIFIER: Address = address!("0x0000000000000000000000000000000000000900");

/// Address of the models, a precompile of OpenGradient's alpha chain.
pub const MODELS: Address = address!("0x00000000000000000000000000000000000000F4");

/// Gas that one block can hold.
pub const BLOCK_GAS_LIMIT: u64 = 30_000_000;

/// Wei per gas below which the base fee does not fall, and the base fee of the first block. Without a
/// floor, a chain of near-empty blocks decays to a base fee of 7 wei and no client shows a usable price.
pub const MIN_BASE_FEE: u64 = 1_000_000;

/// Blocks behind the head whose state can still be read, and that a snapshot can be reverted over.
pub const HISTORY_BLOCKS: u64 = 128;

/// Tells the chain what time it is; only binaries and tests own clocks.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// One block as soon as a transaction can be executed; no empty blocks.
    Instant,
    /// One block per period while [`Chain::run`] runs, empty or not.
    Interval(Duration),
    /// Only by [`Chain::mine`], [`Chain::transact`] and `evm_mine`.
    Manual,
}

/// What a chain needs to know before it opens.
pub struct ChainConfig {
    /// The database file; `None` keeps everything in memory.
    pub path: Option<PathBuf>,
    /// Identifies the chain to signers (EIP-155).
    pub chain_id: u64,
    /// State before the first transaction. A stored chain must have been made from the same accounts, or
    /// from those of an earlier edition ([`Genesis::edition`]).
    pub genesis: Genesis,
    /// When blocks are made.
    pub mining: Mining,
    /// Roots that the verifier at [`VERIFIER`] accepts evidence under.
    pub roots: TrustRoots,
    /// Source of block timestamps.
    pub clock: Clock,
    /// Answers `evm_*` methods: they let any client of the endpoint move time and rewind the chain.
    pub dev_methods: bool,
    /// The only accounts that transactions are taken from; `None` takes everybody's. For a chain that shares
    /// the id of a real one, where a transaction sent here could be sent there too.
    pub only_from: Option<BTreeSet<Address>>,
    /// Runs the models that contracts ask for at [`MODELS`]; without it they are told that there is none.
    pub models: Option<Arc<dyn ModelRunner>>,
}

impl std::fmt::Debug for ChainConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainConfig")
            .field("path", &self.path)
            .field("chain_id", &self.chain_id)
            .field("mining", &self.mining)
            .finish_non_exhaustive()
    }
}

/// Names one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Distance from genesis.
    pub number: u64,
    /// Keccak-256 of the RLP of the header.
    pub hash: B256,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
}

/// A handle of an open chain; clones share it.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    chain_id: u64,
    mining: Mining,
    roots: Arc<TrustRoots>,
    clock: Clock,
    dev_methods: bool,
    only_from: Option<BTreeSet<Address>>,
    models: Option<Arc<Models>>,
    /// Held while a transaction is admitted and while a block is made; never across an await.
    core: Mutex<Core>,
}

/// What changes and is not stored: lost at a restart.
struct Core {
    pool: Pool,
    /// Added to the clock (`evm_increaseTime`).
    time_offset: Duration,
    /// Make a block as soon as a transaction can be executed.
    automine: bool,
    /// Wei per gas of the next block, where a test has set it.
    next_base_fee: Option<u64>,
    /// Blocks made by reorganisations, so that no two are alike.
    reorgs: u64,
    /// Head numbers that `evm_revert` can return to; the index is the snapshot's id less one.
    snapshots: Vec<u64>,
}

impl Chain {
    /// Opens the chain at `config.path`, or makes it from `config.genesis`.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::Store`] for the database, [`Error::OtherChain`] and
    /// [`Error::OtherGenesis`] where it holds another chain, [`Error::Genesis`] where a constructor of
    /// the genesis fails.
    pub fn open(config: ChainConfig) -> Result<Self, Error> {
        let store = Store::open(config.path.as_deref())?;
        let roots = Arc::new(config.roots);
        genesis::establish(&store, config.chain_id, &config.genesis, &roots)?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                chain_id: config.chain_id,
                mining: config.mining,
                roots,
                clock: config.clock,
                dev_methods: config.dev_methods,
                only_from: config.only_from,
                models: config.models.map(Models::new).map(Arc::new),
                core: Mutex::new(Core {
                    pool: Pool::default(),
                    time_offset: Duration::ZERO,
                    automine: config.mining == Mining::Instant,
                    next_base_fee: None,
                    reorgs: 0,
                    snapshots: Vec::new(),
                }),
            }),
        })
    }

    /// Returns the chain id.
    pub fn chain_id(&self) -> u64 {
        self.inner.chain_id
    }

    /// Returns the newest block.
    ///
    /// # Errors
    /// [`Error::Store`] where the database cannot be read.
    pub fn head(&self) -> Result<BlockRef, Error> {
        let head = self.inner.store.reader()?.head()?;
        Ok(head.reference())
    }

    /// Makes blocks at the configured interval until `shutdown` completes; otherwise it
    /// only waits. A failed block is logged and tried again at the next tick.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Mining::Interval(period) = self.inner.mining else {
            return shutdown.await;
        };
        let ticking = async {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let chain = self.clone();
                let made = tokio::task::spawn_blocking(move || chain.mine().map(drop));
                match made.await {
                    Ok(Ok(())) => {}
                    Ok(Err(err)) => {
                        tracing::error!(error = %seamline_core::chain(&err), "block not made");
                    }
                    Err(err) => tracing::error!(error = %err, "block not made"),
                }
            }
        };
        tokio::select! {
            () = ticking => {}
            () = shutdown => {}
        }
    }

    /// Returns the time that the next block would carry, before it is held to its parent's.
    fn now(&self, core: &Core) -> Timestamp {
        (self.inner.clock)().saturating_add(core.time_offset)
    }

    /// Locks what is not stored. A panic elsewhere leaves it usable: the pool is advisory and the chain
    /// itself lives in the store.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.inner
            .core
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("chain_id", &self.inner.chain_id)
            .finish_non_exhaustive()
    }
}

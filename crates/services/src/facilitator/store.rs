//! Where settlements are remembered.
//!
//! A store does one thing: it reads and writes one settlement, and the next account nonce of its
//! signer, as one atomic change. Every rule is in the change itself, which is the same for every
//! store; `tests/it/stores.rs` runs one suite over all of them.

mod embedded;
mod ledger;
mod memory;
mod postgres;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use seamline_core::{Address, B256};

pub use self::ledger::Spent;
pub use self::memory::MemoryStore;
pub(crate) use self::postgres::pool as postgres_pool;
use super::settlement::Settlement;

/// Where a facilitator remembers.
#[derive(Clone)]
pub enum StoreLocation {
    /// A file, made if it is absent, readable by its owner only: it holds authorizations. One
    /// process at a time.
    File(PathBuf),
    /// Nowhere: for tests, and for networks that end with the process.
    Memory,
    /// A `postgres://` or `postgresql://` URL: several replicas may share it, and one signer. TLS is
    /// used for every host that is not loopback and no socket. Tables are made on start.
    ///
    /// # Security
    ///
    /// Holds a password, perhaps; `Debug` leaves it out.
    Postgres(String),
}

/// Default of [`super::FacilitatorConfig::lease`].
pub const LEASE: Duration = Duration::from_secs(15);

/// What is changed at once: a settlement, and the sequence of its signer.
#[derive(Debug)]
pub struct Page {
    /// The settlement; `None` where there is none. Left `None`, nothing is written, or what was
    /// there is removed.
    pub settlement: Option<Settlement>,
    /// The account nonce that the signer takes next; 0 for a signer that never took one. Read and
    /// written only where the change names a signer.
    pub next: u64,
}

/// A change of a [`Page`]; called at most once.
pub type Change = Box<dyn FnOnce(&mut Page) + Send>;

/// An answer of a store, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Remembers settlements, for one replica or for several.
///
/// # Cancellation
///
/// Dropping a future leaves the change done or not done, never half.
pub trait Store: Send + Sync {
    /// Name of the kind, for `/health`.
    fn kind(&self) -> &'static str;

    /// Reads settlements, in the order of the keys.
    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>>;

    /// Applies `change` to the settlement of `key`, and to the sequence of `signer` where there is
    /// one: exclusively, atomically, and durably before this returns.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Database`] the change may or may not be done.
    /// [`StoreError::AccountNonce`] where another unfinished settlement has this account nonce.
    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()>;

    /// Says that `owner` is alive, for as long as `lease`.
    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()>;

    /// Hands every unfinished settlement of `signer` whose owner is not alive to `owner`, and
    /// returns them.
    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>>;

    /// Returns every unfinished settlement of `signer`, whoever owns it.
    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>>;

    /// Gas that the records of `signer` count in the hour that ends with `minute`: of everybody, and
    /// of `payer`. What the replica `except` signed is left out: it knows that better itself.
    ///
    /// Every change of a record's [`Settlement::gas`] is in the ledger with the record.
    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent>;

    /// Removes what is finished and was to be kept until before `before_s`, Unix seconds
    /// ([`Settlement::keep_until_s`]), and gas of before then.
    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()>;
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file holds settlements of another chain.
    #[error("the settlement store is of chain {found}, not of chain {configured}")]
    Chain {
        /// Chain whose settlements the file holds.
        found: u64,
        /// Chain id in the configuration.
        configured: u64,
    },
    /// Another unfinished settlement of the signer has the account nonce.
    #[error("the account nonce is taken by another settlement")]
    AccountNonce,
    /// A record is not what this version writes.
    #[error("a record of the settlement store cannot be read")]
    Corrupt,
    /// The database failed.
    #[error("the database of settlements failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another replica carries the settlement now.
    #[error("another replica carries the settlement")]
    Fenced,
    /// The file cannot be opened; another process may hold it.
    #[error("cannot open the settlement store `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A newer version made the tables.
    #[error("the settlement database has layout {found}, this version writes {known}")]
    Schema {
        /// Layout that the database has.
        found: i32,
        /// Layout that this version writes.
        known: i32,
    },
    /// The URL of the database cannot be used.
    #[error("the URL of the settlement database cannot be used")]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Opens a store for the chain `chain_id` and the account `signer`, for
/// [`super::Facilitator::start_with`].
///
/// # Errors
///
/// [`StoreError`].
pub async fn open_store(
    location: StoreLocation,
    chain_id: u64,
    signer: Address,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match location {
        StoreLocation::Memory => Arc::new(MemoryStore::new()),
        StoreLocation::File(path) => {
            Arc::new(embedded::Embedded::open(path, chain_id, signer).await?)
        }
        StoreLocation::Postgres(url) => Arc::new(postgres::Postgres::open(&url, chain_id).await?),
    })
}

/// Runs `change` and returns what it returned.
pub(super) async fn with<T: Send + 'static>(
    store: &dyn Store,
    key: B256,
    signer: Option<Address>,
    change: impl FnOnce(&mut Page) -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, mut receiver) = tokio::sync::oneshot::channel();
    let run: Change = Box::new(move |page| {
        // Nobody waits any more where the receiver is gone: the change is done all the same.
        drop(sender.send(change(page)));
    });
    store.change(key, signer, run).await?;
    receiver.try_recv().map_err(|_| StoreError::Corrupt)
}

impl core::fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Memory => f.write_str("Memory"),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

//! Where data waits: an ordered table of keys and values with transactions, in memory, in a file, or
//! in Postgres. What is kept in it is [`super::book`]'s, the same for every one of them.

mod embedded;
mod memory;
mod postgres;

use std::sync::Arc;

use seamline_core::{Address, B256};

pub use self::memory::MemoryTable;
use crate::facilitator::{StoreError, StoreFuture, StoreLocation};

/// One transaction: exclusive among all that share the table, atomic, durable when it is over.
pub trait Transaction {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the transaction is to be given up.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// As [`Transaction::get`].
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a value, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Transaction::get`].
    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError>;

    /// Keys from `first` on and before `end`, in ascending order, `limit` at most.
    ///
    /// # Errors
    ///
    /// As [`Transaction::get`].
    fn keys(&mut self, first: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError>;
}

/// What a transaction does; where it fails, nothing of it is done.
pub type Work = Box<dyn FnOnce(&mut dyn Transaction) -> Result<(), StoreError> + Send>;

/// A table that is shared by whoever opens the same place.
pub trait Table: Send + Sync {
    /// Name of the kind, for `/health`.
    fn kind(&self) -> &'static str;

    /// Runs `work` as one transaction.
    ///
    /// # Errors
    ///
    /// What `work` failed with; otherwise [`StoreError::Database`], after which it may or may not be
    /// done.
    fn transact(&self, work: Work) -> StoreFuture<'_, ()>;
}

/// Opens a table for the records of `contract` on the chain `chain_id`.
///
/// # Errors
///
/// [`StoreError`].
pub async fn open_table(
    location: StoreLocation,
    chain_id: u64,
    contract: Address,
) -> Result<Arc<dyn Table>, StoreError> {
    Ok(match location {
        StoreLocation::Memory => Arc::new(MemoryTable::new()),
        StoreLocation::File(path) => Arc::new(embedded::Embedded::open(path).await?),
        StoreLocation::Postgres(url) => {
            let scope = scope(chain_id, contract);
            Arc::new(postgres::Postgres::open(&url, scope).await?)
        }
    })
}

/// Runs `work` and returns what it returned.
pub(super) async fn with<T: Send + 'static>(
    table: &dyn Table,
    work: impl FnOnce(&mut dyn Transaction) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, mut receiver) = tokio::sync::oneshot::channel();
    let run: Work = Box::new(move |transaction| {
        // Nobody waits any more where the receiver is gone: it is done all the same.
        drop(sender.send(work(transaction)?));
        Ok(())
    });
    table.transact(run).await?;
    receiver.try_recv().map_err(|_| StoreError::Corrupt)
}

/// Replicas of several networks may share one database.
fn scope(chain_id: u64, contract: Address) -> B256 {
    seamline_core::sha256(&[
        b"seamline/v1/data-scope".as_slice(),
        &chain_id.to_be_bytes(),
        contract.as_slice(),
    ])
}

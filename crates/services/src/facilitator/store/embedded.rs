//! The store of one process: a redb file.

mod write;

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use seamline_core::{Address, B256};
use tokio::sync::oneshot;

use self::write::{Write, put, write_all};
use super::ledger::oldest;
use super::{Change, Spent, Store, StoreError, StoreFuture};
use crate::facilitator::settlement::Settlement;

/// Settlements in a file. All writes that wait are committed together, by one thread.
pub(super) struct Embedded {
    database: Arc<Database>,
    /// Taken when the store is dropped, which ends the writer.
    writes: Option<mpsc::Sender<Write>>,
    writer: Option<JoinHandle<()>>,
}

/// Payment key to the JSON of a settlement.
const SETTLEMENTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("settlements");
/// Payment keys of the unfinished settlements, each with its signer and, while it is open, the
/// account nonce of its newest transaction.
const UNFINISHED: TableDefinition<'_, [u8; 32], ([u8; 20], Option<u64>)> =
    TableDefinition::new("unfinished");
/// Signer to the account nonce that it takes next.
const LANES: TableDefinition<'_, [u8; 20], u64> = TableDefinition::new("lanes");
/// Gas by signer, payer, minute and replica.
const GAS: TableDefinition<'_, GasKey, u64> = TableDefinition::new("gas");
/// Facts of the file; `chain_id` so far.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// Records that are removed in one write: others wait for it.
const PRUNED_TOGETHER: usize = 1024;

type GasKey = ([u8; 20], [u8; 20], u64, u64);

impl Embedded {
    /// Opens the file, makes its tables, and takes up what a process before this one left: records
    /// of the first layout included, which were all of `signer`.
    pub(super) async fn open(
        path: PathBuf,
        chain_id: u64,
        signer: Address,
    ) -> Result<Self, StoreError> {
        let database = blocking(move || {
            let file = private_file(&path).map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
            let database = Database::builder().create_file(file).map_err(failed)?;
            prepare(&database, chain_id, signer)?;
            Ok(Arc::new(database))
        })
        .await?;
        let (writes, queue) = mpsc::channel();
        let writer = Arc::clone(&database);
        let writer = std::thread::Builder::new()
            .name("settlements".to_owned())
            .spawn(move || write_all(&writer, &queue))
            .map_err(failed)?;
        Ok(Self {
            database,
            writes: Some(writes),
            writer: Some(writer),
        })
    }

    async fn keys(&self) -> Result<Vec<B256>, StoreError> {
        let database = Arc::clone(&self.database);
        blocking(move || {
            let read = database.begin_read().map_err(failed)?;
            let table = read.open_table(UNFINISHED).map_err(failed)?;
            let mut keys = Vec::new();
            for entry in table.iter().map_err(failed)? {
                let (key, _) = entry.map_err(failed)?;
                keys.push(B256::from(key.value()));
            }
            Ok(keys)
        })
        .await
    }
}

impl Store for Embedded {
    fn kind(&self) -> &'static str {
        "redb"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        let database = Arc::clone(&self.database);
        Box::pin(blocking(move || {
            let read = database.begin_read().map_err(failed)?;
            let table = read.open_table(SETTLEMENTS).map_err(failed)?;
            let mut found = Vec::new();
            for key in keys {
                let bytes = table.get(key.0).map_err(failed)?;
                let settlement = bytes.map(|bytes| Settlement::decode(key, bytes.value()));
                found.push(settlement.transpose()?);
            }
            Ok(found)
        }))
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (done, outcome) = oneshot::channel();
            let write = Write {
                key,
                signer,
                change,
                done,
            };
            let writes = self.writes.as_ref().ok_or_else(stopped)?;
            writes.send(write).map_err(|_| stopped())?;
            outcome.await.map_err(|_| stopped())?
        })
    }

    /// The file belongs to this process alone: whoever else was alive is not.
    fn beat(&self, _: u64, _: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move {
            let mut taken = Vec::new();
            for settlement in self.unfinished(signer).await? {
                if settlement.lease().owner == owner {
                    continue;
                }
                let key = settlement.key();
                let handed = super::with(self, key, None, move |page| {
                    let settlement = page.settlement.as_mut()?;
                    settlement.hand_over(owner);
                    Some(settlement.clone())
                });
                taken.extend(handed.await?);
            }
            Ok(taken)
        })
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move {
            let found = self.read(self.keys().await?).await?;
            let own = |it: &Settlement| it.signer() == signer && it.is_unfinished();
            Ok(found.into_iter().flatten().filter(own).collect())
        })
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        let database = Arc::clone(&self.database);
        Box::pin(blocking(move || {
            let read = database.begin_read().map_err(failed)?;
            let table = read.open_table(GAS).map_err(failed)?;
            let signer = signer.into_array();
            let sum = |payer: Address| {
                let payer = payer.into_array();
                let (first, last) = (oldest(minute), (signer, payer, minute, u64::MAX));
                let mut sum = 0_u64;
                for entry in table
                    .range((signer, payer, first, 0)..=last)
                    .map_err(failed)?
                {
                    let (place, gas) = entry.map_err(failed)?;
                    let (_, _, _, owner) = place.value();
                    let gas = if owner == except { 0 } else { gas.value() };
                    sum = sum.saturating_add(gas);
                }
                Ok(sum)
            };
            Ok(Spent {
                all: sum(Address::ZERO)?,
                payer: sum(payer)?,
            })
        }))
    }

    /// Looks without holding up the writer, then removes a little at a time.
    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        let database = Arc::clone(&self.database);
        Box::pin(blocking(move || {
            let read = database.begin_read().map_err(failed)?;
            let mut over = Vec::new();
            for entry in read
                .open_table(SETTLEMENTS)
                .map_err(failed)?
                .iter()
                .map_err(failed)?
            {
                let (key, bytes) = entry.map_err(failed)?;
                let settlement = Settlement::decode(key.value().into(), bytes.value())?;
                if !settlement.is_unfinished() && settlement.keep_until_s() < before_s {
                    over.push(key.value());
                }
            }
            let mut old = Vec::new();
            for entry in read
                .open_table(GAS)
                .map_err(failed)?
                .iter()
                .map_err(failed)?
            {
                let (place, _) = entry.map_err(failed)?;
                let (_, _, minute, _) = place.value();
                if minute < before_s.div_euclid(60) {
                    old.push(place.value());
                }
            }
            // A finished record is not written again: what was looked at is still so.
            for keys in over.chunks(PRUNED_TOGETHER) {
                let write = database.begin_write().map_err(failed)?;
                {
                    let mut table = write.open_table(SETTLEMENTS).map_err(failed)?;
                    for key in keys {
                        table.remove(key).map_err(failed)?;
                    }
                }
                write.commit().map_err(failed)?;
            }
            for places in old.chunks(PRUNED_TOGETHER) {
                let write = database.begin_write().map_err(failed)?;
                {
                    let mut table = write.open_table(GAS).map_err(failed)?;
                    for place in places {
                        table.remove(place).map_err(failed)?;
                    }
                }
                write.commit().map_err(failed)?;
            }
            Ok(())
        }))
    }
}

impl Drop for Embedded {
    /// Waits for the last commit: whoever opens the file next finds it closed.
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

/// Makes the tables. A file of the first layout has no list of the unfinished yet.
fn prepare(database: &Database, chain_id: u64, signer: Address) -> Result<(), StoreError> {
    let listed = {
        let read = database.begin_read().map_err(failed)?;
        match read.open_table(UNFINISHED) {
            Ok(_) => true,
            Err(TableError::TableDoesNotExist(_)) => false,
            Err(error) => return Err(failed(error)),
        }
    };
    let write = database.begin_write().map_err(failed)?;
    write.open_table(LANES).map_err(failed)?;
    write.open_table(UNFINISHED).map_err(failed)?;
    write.open_table(GAS).map_err(failed)?;
    {
        // The transactions of one chain are nothing on another.
        let mut facts = write.open_table(FACTS).map_err(failed)?;
        let found = facts.get("chain_id").map_err(failed)?;
        let found = found.map_or(chain_id, |found| found.value());
        if found != chain_id {
            return Err(StoreError::Chain {
                found,
                configured: chain_id,
            });
        }
        facts.insert("chain_id", chain_id).map_err(failed)?;
    }
    let mut older = Vec::new();
    {
        let table = write.open_table(SETTLEMENTS).map_err(failed)?;
        if !listed {
            for entry in table.iter().map_err(failed)? {
                let (key, bytes) = entry.map_err(failed)?;
                let mut settlement = Settlement::decode(key.value().into(), bytes.value())?;
                settlement.adopt_signer(signer);
                older.push(settlement);
            }
        }
    }
    for settlement in older {
        put(&write, &settlement)?;
    }
    write.commit().map_err(failed)
}

/// Opens or makes a file that only its owner can read: records hold signed authorizations.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(Box::new(error))
}

fn stopped() -> StoreError {
    failed(io::Error::other("the writer of the store stopped"))
}

/// Runs what waits for the disk beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(failed(io::Error::other("the runtime stopped"))),
    }
}

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};
use seamline_core::{B256, Timestamp};

use super::{PaywallStore, Record, StoreError, StoreFuture};

/// Records in a file that one process holds; every change is on disk before it returns.
#[derive(Clone)]
pub struct FileStore(Arc<Database>);

/// Key to JSON of a [`Record`].
const RECORDS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("paywall-v1");

impl FileStore {
    /// Opens the file at `path`, or makes it, readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`]; [`StoreError::Database`] where another process holds it, or it is no
    /// such file.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        blocking(move || {
            let file = private_file(&path).map_err(|source| StoreError::Open { path, source })?;
            let database = Database::builder().create_file(file).map_err(failed)?;
            let write = database.begin_write().map_err(failed)?;
            write.open_table(RECORDS).map_err(failed)?;
            write.commit().map_err(failed)?;
            Ok(Self(Arc::new(database)))
        })
        .await
    }

    /// Changes the table as `change` says, and commits where it says that it did.
    fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Records<'_>) -> Result<(T, bool), StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let write = store.0.begin_write().map_err(failed)?;
            let mut records = Records(write.open_table(RECORDS).map_err(failed)?);
            let (outcome, changed) = change(&mut records)?;
            drop(records);
            if changed {
                write.commit().map_err(failed)?;
            }
            Ok(outcome)
        }))
    }

    fn list(
        &self,
        wanted: impl Fn(&Record) -> bool + Send + 'static,
    ) -> StoreFuture<'_, Vec<Record>> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let transaction = store.0.begin_read().map_err(failed)?;
            let table = transaction.open_table(RECORDS).map_err(failed)?;
            let mut found = Vec::new();
            for entry in table.iter().map_err(failed)? {
                let record = decode(entry.map_err(failed)?.1.value())?;
                if wanted(&record) {
                    found.push(record);
                }
            }
            Ok(found)
        }))
    }
}

impl PaywallStore for FileStore {
    fn insert<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, Option<Record>> {
        let record = record.clone();
        self.change(move |records| {
            let present = records.get(record.key)?;
            let free = present.is_none();
            if free {
                records.put(&record)?;
            }
            Ok((present, free))
        })
    }

    fn replace<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, bool> {
        let record = record.clone();
        self.change(move |records| {
            let is_next = records
                .get(record.key)?
                .is_some_and(|present| present.version.checked_add(1) == Some(record.version));
            if is_next {
                records.put(&record)?;
            }
            Ok((is_next, is_next))
        })
    }

    fn remove(&self, key: B256, version: u64) -> StoreFuture<'_, bool> {
        self.change(move |records| {
            let present = records.get(key)?;
            let is_it = present.is_some_and(|present| present.version == version);
            if is_it {
                records.0.remove(key.0).map_err(failed)?;
            }
            Ok((is_it, is_it))
        })
    }

    fn get(&self, key: B256) -> StoreFuture<'_, Option<Record>> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let transaction = store.0.begin_read().map_err(failed)?;
            let table = transaction.open_table(RECORDS).map_err(failed)?;
            let bytes = table.get(key.0).map_err(failed)?;
            bytes.map(|bytes| decode(bytes.value())).transpose()
        }))
    }

    fn abandoned(&self, now: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>> {
        self.list(move |record| record.is_open() && !now.is_some_and(|now| record.is_leased(now)))
    }

    fn sweep(&self, now: Timestamp) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let expired = self.list(move |record| record.is_expired(now)).await?;
            if expired.is_empty() {
                return Ok(());
            }
            self.change(move |records| {
                for record in expired {
                    records.0.remove(record.key.0).map_err(failed)?;
                }
                Ok(((), true))
            })
            .await
        })
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileStore")
    }
}

struct Records<'a>(Table<'a, [u8; 32], &'static [u8]>);

impl Records<'_> {
    fn get(&self, key: B256) -> Result<Option<Record>, StoreError> {
        let bytes = self.0.get(key.0).map_err(failed)?;
        bytes.map(|bytes| decode(bytes.value())).transpose()
    }

    fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).map_err(|_| StoreError::Corrupt)?;
        self.0
            .insert(record.key.0, json.as_slice())
            .map_err(failed)?;
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Corrupt)
}

fn private_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}

/// Runs a commit, which waits for the disk, beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let stopped = io::Error::other("the runtime stopped");
            Err(failed(redb::Error::Io(stopped)))
        }
    }
}

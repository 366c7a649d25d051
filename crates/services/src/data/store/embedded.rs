use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableTable as _, TableDefinition};

use super::{Table, Transaction, Work};
use crate::facilitator::{StoreError, StoreFuture};

/// A table in a redb file: one process at a time.
pub(super) struct Embedded(Arc<Database>);

struct Open<'a>(redb::Table<'a, &'static [u8], &'static [u8]>);

const DATA: TableDefinition<'_, &'static [u8], &'static [u8]> = TableDefinition::new("data");

impl Embedded {
    pub(super) async fn open(path: PathBuf) -> Result<Self, StoreError> {
        blocking(move || {
            let file = private_file(&path).map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
            let database = Database::builder().create_file(file).map_err(failed)?;
            let write = database.begin_write().map_err(failed)?;
            write.open_table(DATA).map_err(failed)?;
            write.commit().map_err(failed)?;
            Ok(Self(Arc::new(database)))
        })
        .await
    }
}

impl Table for Embedded {
    fn kind(&self) -> &'static str {
        "redb"
    }

    fn transact(&self, work: Work) -> StoreFuture<'_, ()> {
        let database = Arc::clone(&self.0);
        Box::pin(blocking(move || {
            let write = database.begin_write().map_err(failed)?;
            // Dropped uncommitted where the work fails.
            work(&mut Open(write.open_table(DATA).map_err(failed)?))?;
            write.commit().map_err(failed)
        }))
    }
}

impl Transaction for Open<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.0.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.0.insert(key, value).map_err(failed)?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.0.remove(key).map_err(failed)?;
        Ok(())
    }

    fn keys(&mut self, first: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        for entry in self.0.range(first..end).map_err(failed)?.take(limit) {
            let (key, _) = entry.map_err(failed)?;
            keys.push(key.value().to_vec());
        }
        Ok(keys)
    }
}

/// Opens or makes a file that only its owner can read: it may hold prompts and answers that are not
/// published yet.
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

/// Runs what waits for the disk beside the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(failed(io::Error::other("the runtime stopped"))),
    }
}

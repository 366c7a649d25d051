use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seamline_core::B256;

use super::StoreLocation;
use super::record::{Record, State, VERSION};

/// Settlements by payment key. Every write is on disk before it returns.
#[derive(Clone)]
pub(super) struct Store(Arc<Database>);

/// Payment key to JSON of a [`Record`].
const SETTLEMENTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("settlements");

/// How long a finished settlement is kept after its authorization expired: the chain refuses the
/// nonce from then on, and a day is longer than any reorganisation.
const KEEP_S: u64 = 24 * 60 * 60;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record is not what this version writes.
    #[error("a record of the settlement store cannot be read")]
    Corrupt,
    /// The database failed.
    #[error("the database of settlements failed")]
    Database(#[source] Box<redb::Error>),
    /// The file cannot be opened; another process may hold it.
    #[error("cannot open the settlement store `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Store {
    /// Opens the store, makes its table, and forgets nothing.
    pub(super) async fn open(location: StoreLocation) -> Result<Self, StoreError> {
        blocking(move || {
            let database = match location {
                StoreLocation::Memory => {
                    let backend = InMemoryBackend::new();
                    Database::builder()
                        .create_with_backend(backend)
                        .map_err(database)?
                }
                StoreLocation::File(path) => {
                    let file = private_file(&path).map_err(|source| StoreError::Open {
                        path: path.clone(),
                        source,
                    })?;
                    Database::builder().create_file(file).map_err(database)?
                }
            };
            let write = database.begin_write().map_err(self::database)?;
            write.open_table(SETTLEMENTS).map_err(self::database)?;
            write.commit().map_err(self::database)?;
            Ok(Self(Arc::new(database)))
        })
        .await
    }

    /// Reads a record.
    pub(super) async fn get(&self, key: B256) -> Result<Option<Record>, StoreError> {
        let store = self.clone();
        blocking(move || {
            let read = store.0.begin_read().map_err(database)?;
            let table = read.open_table(SETTLEMENTS).map_err(database)?;
            let bytes = table.get(key.0).map_err(database)?;
            bytes.map(|bytes| decode(bytes.value())).transpose()
        })
        .await
    }

    /// Writes a record, durably.
    pub(super) async fn put(&self, key: B256, record: Record) -> Result<(), StoreError> {
        self.change(key, Some(record)).await
    }

    /// Removes a record, durably: of a transaction that the chain never took.
    pub(super) async fn remove(&self, key: B256) -> Result<(), StoreError> {
        self.change(key, None).await
    }

    /// Returns every settlement that is not done, and drops what expired before `now_s`.
    pub(super) async fn open_settlements(
        &self,
        now_s: u64,
    ) -> Result<Vec<(B256, Record)>, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut open = Vec::new();
            let mut expired = Vec::new();
            let write = store.0.begin_write().map_err(database)?;
            {
                let mut table = write.open_table(SETTLEMENTS).map_err(database)?;
                for entry in table.iter().map_err(database)? {
                    let (key, bytes) = entry.map_err(database)?;
                    let record = decode(bytes.value())?;
                    let over = record.deadline_s.saturating_add(KEEP_S) < now_s;
                    match record.state {
                        State::Broadcasting(_) => open.push((B256::from(key.value()), record)),
                        State::Done { .. } if over => expired.push(key.value()),
                        State::Done { .. } => {}
                    }
                }
                for key in expired {
                    table.remove(key).map_err(database)?;
                }
            }
            write.commit().map_err(database)?;
            Ok(open)
        })
        .await
    }

    async fn change(&self, key: B256, record: Option<Record>) -> Result<(), StoreError> {
        let store = self.clone();
        blocking(move || {
            let write = store.0.begin_write().map_err(database)?;
            {
                let mut table = write.open_table(SETTLEMENTS).map_err(database)?;
                match record {
                    Some(record) => {
                        let bytes = serde_json::to_vec(&record).map_err(|_| StoreError::Corrupt)?;
                        table.insert(key.0, bytes.as_slice()).map_err(database)?;
                    }
                    None => {
                        table.remove(key.0).map_err(database)?;
                    }
                }
            }
            write.commit().map_err(database)
        })
        .await
    }
}

fn decode(bytes: &[u8]) -> Result<Record, StoreError> {
    let record: Record = serde_json::from_slice(bytes).map_err(|_| StoreError::Corrupt)?;
    if record.version == VERSION {
        Ok(record)
    } else {
        Err(StoreError::Corrupt)
    }
}

/// Opens or makes a file that only its owner can read: records hold signed authorizations.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn database(error: impl Into<redb::Error>) -> StoreError {
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
            Err(database(redb::Error::Io(stopped)))
        }
    }
}

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seamline_core::B256;
use seamline_evm::channel::seller::Channel;
use tokio::sync::oneshot;

use super::ChannelStore;
use crate::paywall::{StoreError, StoreFuture};

/// Books in a file that one process holds. Every change is on disk before it returns; changes that
/// arrive together share one write to the disk. Clones share the file.
#[derive(Clone)]
pub struct ChannelFile {
    database: Arc<Database>,
    changes: mpsc::Sender<Change>,
}

/// A channel's id, its books or none to forget it, and who waits.
struct Change {
    id: B256,
    books: Option<Vec<u8>>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Channel id to the books as [`Channel::encode`] writes them.
const BOOKS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("channels-v1");
/// Most changes of one write: bounds how long the first of them waits.
const MOST_AT_ONCE: usize = 256;

impl ChannelFile {
    /// Opens the file at `path`, or makes it, readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`]; [`StoreError::Database`] where another process holds it, or it is no
    /// such file.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let opened = tokio::task::spawn_blocking(move || {
            let file = private_file(&path).map_err(|source| StoreError::Open { path, source })?;
            let database = Database::builder().create_file(file).map_err(failed)?;
            let write = database.begin_write().map_err(failed)?;
            write.open_table(BOOKS).map_err(failed)?;
            write.commit().map_err(failed)?;
            let database = Arc::new(database);
            let (changes, queue) = mpsc::channel();
            let writer = Arc::clone(&database);
            let named = thread::Builder::new().name("channel-books".to_owned());
            named
                .spawn(move || write_all(&writer, &queue))
                .map_err(|source| failed(redb::Error::Io(source)))?;
            Ok(Self { database, changes })
        });
        opened.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn change(&self, id: B256, books: Option<Vec<u8>>) -> StoreFuture<'_, ()> {
        let (done, outcome) = oneshot::channel();
        let sent = self.changes.send(Change { id, books, done });
        Box::pin(async move {
            sent.map_err(|_| stopped())?;
            outcome.await.unwrap_or_else(|_| Err(stopped()))
        })
    }
}

impl ChannelStore for ChannelFile {
    fn load(&self) -> StoreFuture<'_, Vec<Channel>> {
        let database = Arc::clone(&self.database);
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read_all(&database));
            read.await.unwrap_or_else(|_| Err(stopped()))
        })
    }

    fn save<'a>(&'a self, channel: &'a Channel) -> StoreFuture<'a, ()> {
        self.change(channel.id(), Some(channel.encode()))
    }

    fn forget(&self, channel_id: B256) -> StoreFuture<'_, ()> {
        self.change(channel_id, None)
    }
}

impl fmt::Debug for ChannelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelFile")
    }
}

fn read_all(database: &Database) -> Result<Vec<Channel>, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    let table = transaction.open_table(BOOKS).map_err(failed)?;
    let mut channels = Vec::new();
    for entry in table.iter().map_err(failed)? {
        let (_, bytes) = entry.map_err(failed)?;
        let channel = Channel::decode(bytes.value());
        channels.push(channel.map_err(|_| StoreError::Corrupt)?);
    }
    Ok(channels)
}

/// Writes whatever waits in one transaction, until every sender is gone.
fn write_all(database: &Database, queue: &mpsc::Receiver<Change>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(MOST_AT_ONCE));
        let outcome = write(database, &batch);
        for change in batch {
            let told = match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(failed(redb::Error::Io(io::Error::other(error.to_string())))),
            };
            // Nobody waits where the request is gone; the change is made all the same.
            drop(change.done.send(told));
        }
    }
}

fn write(database: &Database, batch: &[Change]) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    {
        let mut table = transaction.open_table(BOOKS).map_err(failed)?;
        for Change { id, books, .. } in batch {
            match books {
                Some(books) => table.insert(id.0, books.as_slice()).map_err(failed)?,
                None => table.remove(id.0).map_err(failed)?,
            };
        }
    }
    transaction.commit().map_err(failed)
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

fn stopped() -> StoreError {
    failed(redb::Error::Io(io::Error::other("the writer stopped")))
}

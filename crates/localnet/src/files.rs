//! What the local network keeps between runs, or nowhere when it runs in memory.

use core::time::Duration;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend as _;
use redb::backends::FileBackend;

use crate::Error;

/// The network's folder; `None` keeps everything in memory.
///
/// Locked for one network at a time: two that start at once on a new folder would each make keys, and the
/// chain of one would not belong to the keys that the other left there.
#[derive(Debug)]
pub(crate) struct Files {
    root: Option<PathBuf>,
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")]
    lock: Option<fs::File>,
    /// Databases that were given out.
    databases: Mutex<Vec<PathBuf>>,
}

const LOCK: &str = "lock";
/// How often it is looked whether a database was closed: closing one takes about as long.
const CLOSED_POLL: Duration = Duration::from_millis(1);

impl Files {
    pub(crate) fn open(root: Option<PathBuf>) -> Result<Self, Error> {
        let lock = match &root {
            Some(root) => {
                fs::create_dir_all(root).map_err(|source| Error::File {
                    path: root.clone(),
                    source,
                })?;
                Some(lock(root)?)
            }
            None => None,
        };
        let databases = Mutex::default();
        Ok(Self {
            root,
            lock,
            databases,
        })
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join(name))
    }

    /// Reads a file with `read`, or makes its content with `fresh` and keeps it. A file that does
    /// not read is an error, never replaced: it may hold the key to something.
    pub(crate) fn keep<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Option<T>,
        fresh: impl FnOnce() -> Result<(T, Vec<u8>), Error>,
    ) -> Result<T, Error> {
        if let Some(kept) = self.look(name, read)? {
            return Ok(kept);
        }
        let (value, bytes) = fresh()?;
        self.put(name, &bytes)?;
        Ok(value)
    }

    /// Reads a file, if there is one.
    pub(crate) fn look<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(path) = self.path(name) else {
            return Ok(None);
        };
        match fs::read(&path) {
            Ok(bytes) => match read(&bytes) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::Damaged { path }),
            },
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// The path of a database that exists and is whole.
    ///
    /// redb makes a new file in several steps, and a process killed between them leaves one that never
    /// opens again. So a new one is made under another name, and gets its own when it is whole. An
    /// empty file is a damaged one, which redb would take for a new one.
    pub(crate) fn database(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let Some(path) = self.path(name) else {
            return Ok(None);
        };
        match fs::metadata(&path) {
            Ok(found) if found.len() == 0 => return Err(Error::Damaged { path }),
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                make_database(&path).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })?;
            }
            Err(source) => return Err(Error::File { path, source }),
        }
        let databases = self.databases.lock();
        let mut databases = databases.unwrap_or_else(PoisonError::into_inner);
        databases.push(path.clone());
        Ok(Some(path))
    }

    /// Waits until every database that was given out is closed, at most `limit` for all; returns whether
    /// they are.
    ///
    /// The last owner of a database may be a task or a thread that nobody waits for, and redb writes when
    /// it closes. Its lock on the file says when it has: whoever returns before that lets the next start,
    /// or a copy of the folder, meet a file that still changes.
    pub(crate) async fn closed(&self, limit: Duration) -> bool {
        let databases = self.databases.lock();
        let databases = databases.unwrap_or_else(PoisonError::into_inner).clone();
        let all = async {
            for database in databases {
                while !is_closed(&database) {
                    tokio::time::sleep(CLOSED_POLL).await;
                }
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
    }

    /// Writes a file, over the one before.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let Some(path) = self.path(name) else {
            return Ok(());
        };
        write_private(&path, bytes).map_err(|source| Error::File { path, source })
    }
}

/// Takes the folder for this network; the system gives it back when the process ends, however it ends.
fn lock(root: &Path) -> Result<fs::File, Error> {
    let path = root.join(LOCK);
    let file = match private_options().open(&path) {
        Ok(file) => file,
        Err(source) => return Err(Error::File { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse {
            path: root.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}

fn make_database(path: &Path) -> io::Result<()> {
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        Ok(()) | Err(_) => {}
    }
    let file = private_options().read(true).open(&partial)?;
    let database = redb::Database::builder().create_file(file);
    drop(database.map_err(io::Error::other)?);
    fs::rename(partial, path)
}

/// Whether nobody has the database open. One that cannot be asked is not waited for.
fn is_closed(path: &Path) -> bool {
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let Some(file) = file.ok().and_then(|file| FileBackend::new(file).ok()) else {
        return true;
    };
    let free = file.try_lock_range(Bound::Unbounded, Bound::Unbounded);
    // The lock ends with the file.
    free.unwrap_or(true)
}

/// Options that make a file for its owner only.
fn private_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = private_options().truncate(true).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

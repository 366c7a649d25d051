//! What the local network keeps between runs, or nowhere when it runs in memory.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
}

const LOCK: &str = "lock";

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
        Ok(Self { root, lock })
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
            Ok(found) if found.len() == 0 => Err(Error::Damaged { path }),
            Ok(_) => Ok(Some(path)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                make_database(&path).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })?;
                Ok(Some(path))
            }
            Err(source) => Err(Error::File { path, source }),
        }
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

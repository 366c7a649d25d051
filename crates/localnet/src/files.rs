//! What the local network keeps between runs, or nowhere when it runs in memory.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// The network's folder; `None` keeps everything in memory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    root: Option<PathBuf>,
}

impl Files {
    pub(crate) fn open(root: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(root) = &root {
            fs::create_dir_all(root).map_err(|source| Error::File {
                path: root.clone(),
                source,
            })?;
        }
        Ok(Self { root })
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
        let Some(path) = self.path(name) else {
            return fresh().map(|(value, _)| value);
        };
        match fs::read(&path) {
            Ok(bytes) => read(&bytes).ok_or(Error::Damaged { path }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let (value, bytes) = fresh()?;
                write_private(&path, &bytes).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })?;
                Ok(value)
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

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

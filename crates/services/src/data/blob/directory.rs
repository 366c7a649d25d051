use std::io;
use std::path::{Path, PathBuf};

use axum::body::Bytes;

use super::{BlobError, BlobFuture, BlobStore, checked, content_id, is_content_id};

/// Blobs as files of a directory, each named by its hash.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Keeps blobs in `path`, which is made when the first one comes.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl BlobStore for Directory {
    fn kind(&self) -> &'static str {
        "directory"
    }

    fn put(&self, blob: Bytes) -> BlobFuture<'_, String> {
        let directory = self.0.clone();
        Box::pin(async move {
            let id = content_id(&blob);
            let name = format!("{id}.json");
            blocking(move || write(&directory, &name, &blob)).await?;
            Ok(id)
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if !is_content_id(id) {
                return Err(BlobError::Id(id.chars().take(128).collect()));
            }
            let path = self.0.join(format!("{id}.json"));
            let read = blocking(move || match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            });
            match read.await? {
                Some(bytes) => checked(id, bytes.into()),
                None => Ok(None),
            }
        })
    }
}

/// Whole or not at all, and on the disk when this returns: the root goes on chain afterwards.
fn write(directory: &Path, name: &str, blob: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let path = directory.join(name);
    // Damaged by whatever: written again.
    if std::fs::read(&path).is_ok_and(|known| known == blob) {
        return Ok(());
    }
    std::fs::create_dir_all(directory)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let partial = directory.join(format!(".{name}.{}", hex::encode(random)));
    let mut file = std::fs::File::create_new(&partial)?;
    file.write_all(blob)?;
    file.sync_all()?;
    std::fs::rename(&partial, &path)?;
    #[cfg(unix)]
    std::fs::File::open(directory)?.sync_all()?;
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(BlobError::Io),
        Err(_) => Err(BlobError::Io(io::Error::other("the runtime stopped"))),
    }
}

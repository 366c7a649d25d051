//! Where trees and individual answers are stored, for everybody to read.

mod directory;
mod memory;
mod object;
mod walrus;

use core::future::Future;
use core::pin::Pin;

use axum::body::Bytes;

pub use self::directory::Directory;
pub use self::memory::MemoryBlobs;
pub use self::object::ObjectStore;
pub use self::walrus::Walrus;

/// An answer of a blob store, later.
pub type BlobFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// Stores bytes under a name that they determine.
pub trait BlobStore: Send + Sync {
    /// Name of the kind.
    fn kind(&self) -> &'static str;

    /// Stores a blob and returns its identifier, which goes on chain as text. The same bytes have the
    /// same identifier, so that storing them again does nothing.
    fn put(&self, blob: Bytes) -> BlobFuture<'_, String>;

    /// Reads a blob; `None` where there is none of this identifier.
    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>>;
}

/// Why a blob store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The identifier is none of this store's.
    #[error("`{0}` is no identifier of this blob store")]
    Id(String),
    /// The disk failed.
    #[error("the directory of blobs failed")]
    Io(#[source] std::io::Error),
    /// The service answered something else than it should.
    #[error("the blob store's answer is malformed")]
    Malformed,
    /// What is stored under the identifier is something else.
    #[error("the blob store holds other bytes under `{0}`")]
    Other(String),
    /// The service answered with this HTTP status.
    #[error("the blob store answered http status {0}")]
    Status(u16),
    /// The service cannot be reached.
    #[error("the blob store cannot be reached")]
    Unreachable(#[source] seamline_net::client::Error),
}

/// Stores a blob, reads it back, and compares.
///
/// # Errors
///
/// [`BlobError::Other`] where it reads back as something else, or not at all.
pub async fn store_checked(store: &dyn BlobStore, blob: Bytes) -> Result<String, BlobError> {
    let id = store.put(blob.clone()).await?;
    match store.get(&id).await? {
        Some(back) if back == blob => Ok(id),
        Some(_) | None => Err(BlobError::Other(id)),
    }
}

/// The identifier of a blob in the stores that have none of their own: `sha256-` and 64 digits.
pub fn content_id(blob: &[u8]) -> String {
    format!("sha256-{}", hex::encode(seamline_core::sha256(&[blob])))
}

/// Whether an identifier is one of [`content_id`]: the only names that become paths.
fn is_content_id(id: &str) -> bool {
    let digits = id.strip_prefix("sha256-").unwrap_or_default();
    let digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    digits.len() == 64 && digits.bytes().all(digit)
}

/// What was read under a [`content_id`], if it is what the identifier says.
fn checked(id: &str, blob: Bytes) -> Result<Option<Bytes>, BlobError> {
    if content_id(&blob) == id {
        Ok(Some(blob))
    } else {
        Err(BlobError::Other(id.to_owned()))
    }
}

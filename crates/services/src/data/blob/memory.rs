use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;

use super::{BlobFuture, BlobStore, content_id};

/// Blobs in memory: for tests, and for networks that end with the process.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<HashMap<String, Bytes>>);

impl BlobStore for MemoryBlobs {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn put(&self, blob: Bytes) -> BlobFuture<'_, String> {
        Box::pin(async move {
            let id = content_id(&blob);
            let mut blobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            blobs.insert(id.clone(), blob);
            Ok(id)
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let blobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(blobs.get(id).cloned())
        })
    }
}

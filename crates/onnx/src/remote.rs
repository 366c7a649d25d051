//! A model store behind a URL: any web server that has the files under their ids.

use seamline_core::infer::ModelId;
use seamline_net::{HttpClient, client};

use crate::store::{ModelStore, StoreError};

/// Models behind `<base>/<id>`, kept in a local store once they were fetched.
///
/// The server needs no trust: what it sends is hashed before it is kept, and its length is bounded before it is read.
#[derive(Clone, Debug)]
pub struct RemoteStore {
    client: HttpClient,
    base: String,
    cache: ModelStore,
}

/// Why a remote model was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The server could not be asked, or broke off. Trying again may help.
    #[error("the model store could not be asked")]
    Fetch(#[source] client::Error),
    /// The server has no such model.
    #[error("the remote model store has no model `{0}`")]
    NotFound(ModelId),
    /// The server answered something else than a model.
    #[error("the remote model store answered with status {0}")]
    Status(u16),
    /// The bytes are those of another model. Nothing was kept.
    #[error("the remote model store sent `{found}` instead of `{id}`")]
    Other {
        /// What was asked for.
        id: ModelId,
        /// What came.
        found: ModelId,
    },
    /// The local store did not take it.
    #[error("the model could not be kept")]
    Store(#[source] StoreError),
}

impl RemoteError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "model.fetch",
            Self::NotFound(_) => "model.not_found",
            Self::Status(_) => "model.status",
            Self::Other { .. } => "model.other",
            Self::Store(reason) => reason.code(),
        }
    }
}

impl RemoteStore {
    /// Asks `base` through `client`, whose options bound time and say whom to believe; a slash at the end is optional. The
    /// client's limit on bodies should be the cache's on models.
    pub fn new(client: HttpClient, base: &str, cache: ModelStore) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self {
            client,
            base,
            cache,
        }
    }

    /// Returns the model from the local store, or fetches it and keeps it there.
    ///
    /// # Retries
    ///
    /// None.
    ///
    /// # Cancellation
    ///
    /// Nothing is kept of a fetch that was dropped.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]. A local file that was changed is replaced by what the server sends.
    pub async fn load(&self, id: ModelId) -> Result<Vec<u8>, RemoteError> {
        match self.cache.load(id) {
            Ok(model) => return Ok(model),
            Err(StoreError::NotFound(_) | StoreError::Changed { .. }) => {}
            Err(err) => return Err(RemoteError::Store(err)),
        }
        let model = self.fetch(id).await?;
        self.cache.add(&model).map_err(RemoteError::Store)?;
        Ok(model)
    }

    async fn fetch(&self, id: ModelId) -> Result<Vec<u8>, RemoteError> {
        let url = format!("{}/{id}", self.base);
        let answer = self.client.get(&url).await.map_err(RemoteError::Fetch)?;
        match answer.status().as_u16() {
            200 => {}
            404 | 410 => return Err(RemoteError::NotFound(id)),
            status => return Err(RemoteError::Status(status)),
        }
        let mut body = answer.into_body();
        let mut model = Vec::new();
        while let Some(piece) = body.chunk().await.map_err(RemoteError::Fetch)? {
            model.extend_from_slice(&piece);
            if u64::try_from(model.len()).is_ok_and(|length| length > self.cache.max_bytes()) {
                return Err(RemoteError::Store(self.cache.too_large()));
            }
        }
        let found = ModelId::of_bytes(&model);
        if found != id {
            return Err(RemoteError::Other { id, found });
        }
        Ok(model)
    }
}

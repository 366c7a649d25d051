//! A folder of models, each in a file that is named by its content.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seamline_core::infer::ModelId;

use crate::graph::{Graph, GraphError};

/// Largest model that is taken or loaded: 256 MiB. A model is held in memory while it is prepared, and its weights after.
pub const MAX_MODEL_BYTES: u64 = 256 * 1024 * 1024;

/// Models by id, in one folder.
///
/// A file is named by the id of its bytes and is hashed each time that it is loaded, so whoever else can write the folder
/// can take models away and cannot change one. Several processes may use one folder.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
    max_bytes: u64,
}

/// One file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is named.
    pub id: ModelId,
    /// How long the file is.
    pub bytes: u64,
}

/// Why a model is not kept, or not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store does not have it.
    #[error("the model store has no model `{0}`")]
    NotFound(ModelId),
    /// The file's bytes are not those that its name says. It is not used.
    #[error(
        "the file of model `{id}` was changed: its bytes are those of `{found}`; remove it and add the model again"
    )]
    Changed {
        /// What the file is named.
        id: ModelId,
        /// What it holds.
        found: ModelId,
    },
    /// Larger than the store takes.
    #[error("a model of more than {limit} bytes is not taken")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It is not a model that can be kept.
    #[error("this is not a model that can be kept")]
    Graph(#[source] GraphError),
    /// The folder or a file cannot be read or written.
    #[error("{doing} `{}`", path.display())]
    Io {
        /// The operation, such as `read`.
        doing: &'static str,
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "model.not_found",
            Self::Changed { .. } => "model.changed",
            Self::TooLarge { .. } => "model.too_large",
            Self::Graph(reason) => reason.code(),
            Self::Io { .. } => "model.store",
        }
    }
}

/// Makes names of unfinished files unlike each other within this process.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

impl ModelStore {
    /// Uses `folder`, which is made when a model is added. Models of at most [`MAX_MODEL_BYTES`] are taken.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_bytes: MAX_MODEL_BYTES,
        }
    }

    /// Takes models of at most `max_bytes`.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the most bytes that a model may have.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Returns where the file of a model is, or would be.
    pub fn path(&self, id: ModelId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Keeps a model and returns its id. The file appears whole or not at all, and is on disk when this returns. A model
    /// that is there already is left as it is, unless its file was changed.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`], [`StoreError::Graph`] or [`StoreError::Io`].
    pub fn add(&self, model: &[u8]) -> Result<ModelId, StoreError> {
        if u64::try_from(model.len()).is_ok_and(|length| length > self.max_bytes) {
            return Err(self.too_large());
        }
        Graph::read(model).map_err(StoreError::Graph)?;
        let id = ModelId::of_bytes(model);
        if self.load(id).is_ok() {
            return Ok(id);
        }
        fs::create_dir_all(&self.folder).map_err(|err| io_error("make", &self.folder, err))?;
        let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!(".unfinished-{}-{number}", std::process::id());
        let unfinished = self.folder.join(unfinished);
        let written = write_new(&unfinished, model).and_then(|()| {
            fs::rename(&unfinished, self.path(id))?;
            // The new name is on disk once the folder is.
            fs::File::open(&self.folder)?.sync_all()
        });
        written.map_err(|err| {
            // What was written of it is nobody's.
            let _ = fs::remove_file(&unfinished);
            io_error("write", &self.path(id), err)
        })?;
        Ok(id)
    }

    /// Loads a model, having checked its bytes against its id.
    ///
    /// # Errors
    ///
    /// [`StoreError`], except [`StoreError::Graph`].
    pub fn load(&self, id: ModelId) -> Result<Vec<u8>, StoreError> {
        let path = self.path(id);
        let read = |err| io_error("read", &path, err);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NotFound(id));
            }
            Err(err) => return Err(read(err)),
        };
        let announced = file.metadata().map_err(read)?;
        if !announced.is_file() {
            return Err(read(io::Error::other("not a file")));
        }
        if announced.len() > self.max_bytes {
            return Err(self.too_large());
        }
        let mut model = Vec::new();
        // It may grow while it is read.
        let limit = self.max_bytes.saturating_add(1);
        let length = file.take(limit).read_to_end(&mut model).map_err(read)?;
        if u64::try_from(length).is_ok_and(|length| length > self.max_bytes) {
            return Err(self.too_large());
        }
        let found = ModelId::of_bytes(&model);
        if found != id {
            return Err(StoreError::Changed { id, found });
        }
        Ok(model)
    }

    /// Lists the files that are named as models, ordered by id. Their bytes are not looked at; other files are nobody's
    /// business here. A folder that does not exist holds no models.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`].
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let failed = |err| io_error("read", &self.folder, err);
        let found = match fs::read_dir(&self.folder) {
            Ok(found) => found,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(failed(err)),
        };
        let mut entries = Vec::new();
        for file in found {
            let file = file.map_err(failed)?;
            let id = file.file_name().to_str().map(ModelId::parse);
            let Some(Ok(id)) = id else {
                continue;
            };
            // It may be gone by now.
            if let Ok(about) = fs::metadata(file.path())
                && about.is_file()
            {
                let bytes = about.len();
                entries.push(Entry { id, bytes });
            }
        }
        entries.sort_by_key(|entry| entry.id);
        Ok(entries)
    }

    pub(crate) const fn too_large(&self) -> StoreError {
        StoreError::TooLarge {
            limit: self.max_bytes,
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

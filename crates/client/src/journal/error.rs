use std::path::{Path, PathBuf};

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process has it open.
    #[error("the journal `{}` is in use by another process", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a journal, or is damaged.
    #[error("the journal `{}` is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said; `None` where it broke down over the file.
        #[source]
        source: Option<Box<redb::Error>>,
    },
    /// A record in the file does not read as one.
    #[error("call {seq} in the journal `{}` does not read", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Sequence number of the call.
        seq: u64,
    },
    /// The log in the file is not one unbroken chain: entries were removed, changed or reordered.
    #[error("the log in the journal `{}` is broken", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused a read or a write.
    #[error("the journal `{}` cannot be read or written", .path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Box<redb::Error>,
    },
}

/// Why a file does not open.
pub(super) fn opening(path: &Path, err: redb::Error) -> JournalError {
    let path = path.to_owned();
    if matches!(err, redb::Error::DatabaseAlreadyOpen) {
        return JournalError::InUse { path };
    }
    let source = Box::new(err);
    if let redb::Error::Io(io) = &*source
        && !is_content(io.kind())
    {
        // A folder that is missing or closed to us says nothing about the file.
        return JournalError::Storage { path, source };
    }
    let source = Some(source);
    JournalError::Damaged { path, source }
}

/// What the content of a file can cause; everything else is the system's doing.
fn is_content(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput
    )
}

/// While a file is opened, what cannot be read is damage.
pub(super) fn damaged_if_storage(err: JournalError) -> JournalError {
    if let JournalError::Storage { path, source } = err {
        let source = Some(source);
        return JournalError::Damaged { path, source };
    }
    err
}

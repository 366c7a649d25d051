use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use seamline_evm::channel::payer::Pool;

use crate::client::lock;
use crate::journal::{Journal, JournalError};

/// The journal of one installation, and what this process does with it right now. Clients and payers
/// of one installation share it: one budget, one log, one chain of receipts.
pub(crate) struct Books {
    pub(crate) journal: Journal,
    /// Calls under way: recovery leaves them alone.
    running: Mutex<BTreeSet<u64>>,
    /// One recovery at a time: two would close the same call twice.
    pub(crate) recovering: tokio::sync::Mutex<()>,
    /// Held from reading the last receipt's hash until the next receipt is in the log, so that
    /// parallel calls make one chain of receipts and not a fork.
    pub(crate) sealing: Mutex<()>,
    /// The payment channels, once they were read.
    pub(crate) channels: Mutex<Option<Pool>>,
}

impl Books {
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, JournalError> {
        let journal = Journal::open(path)?;
        Ok(Arc::new(Self {
            journal,
            running: Mutex::default(),
            recovering: tokio::sync::Mutex::default(),
            sealing: Mutex::default(),
            channels: Mutex::default(),
        }))
    }

    /// Whether the call is under way.
    pub(crate) fn runs(&self, seq: u64) -> bool {
        lock(&self.running).contains(&seq)
    }
}

/// Marks a call as under way, until it is dropped.
pub(crate) struct Running {
    books: Arc<Books>,
    seq: u64,
}

impl Running {
    pub(crate) fn new(books: &Arc<Books>, seq: u64) -> Self {
        lock(&books.running).insert(seq);
        Self {
            books: Arc::clone(books),
            seq,
        }
    }

    /// Takes a call up again; `None` if somebody else has it.
    pub(crate) fn claim(books: &Arc<Books>, seq: u64) -> Option<Self> {
        let fresh = lock(&books.running).insert(seq);
        fresh.then(|| Self {
            books: Arc::clone(books),
            seq,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.books.running).remove(&self.seq);
    }
}

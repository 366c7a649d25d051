//! The local books: the hash-chained log of calls, the authorizations signed, and what became of
//! them.
//!
//! Everything that must survive a crash is committed here before the effect that it describes: the
//! open entry before any network I/O, an authorization before it is sent. One file, one process:
//! the database locks it.

mod book;
mod budget;
mod channels;
mod decimal;
mod error;
mod history;
mod payment;
mod pins;
mod probe;
mod record;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seamline_core::receipt::log::{Body, Chain, Entry};
use seamline_core::receipt::{Outcome, Recorded};
use seamline_core::{B256, CallId, Timestamp};
use seamline_evm::policy::SpendPolicy;

use self::book::Book;
use self::error::{damaged_if_storage, opening};
use crate::client::lock;

pub(crate) use book::Token;
pub use budget::{Budget, Over, Scope, Window};
pub use channels::{ClaimRecord, VoucherRecord, VoucherState};
pub use error::JournalError;
pub use history::Paid;
pub(crate) use payment::Known;
pub use payment::{PaymentRecord, PaymentState};
pub use record::{CallRecord, CallState, NamedRecord, PurchaseRecord};

/// Log index -> entry bytes (`spec/receipt.md`, "The log").
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Call sequence number -> what we know of the call, as JSON.
const CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
/// The journal of one installation.
#[derive(Debug)]
pub struct Journal {
    db: Database,
    path: PathBuf,
    /// Where the file stands. Held across each write, so that entries are numbered, and money is
    /// counted, in the order in which they become durable.
    state: Mutex<State>,
    /// Held from reading the addresses of an origin until they are written.
    pinning: Mutex<()>,
}

/// What is known of the file without reading it.
#[derive(Debug, Default)]
struct State {
    chain: Chain,
    book: Book,
}

impl Journal {
    /// Opens or creates the journal.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] while another process has it open, [`JournalError::Damaged`] for a
    /// file that does not open, [`JournalError::Record`] and [`JournalError::Log`] for one whose
    /// content does not hold together. Such a file is left as it is, byte for byte.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = private_file(path).map_err(|err| opening(path, err.into()))?;
        // A database repairs as it opens. What cannot be read whole is not opened for writing. The
        // file stays locked in between, so that what was read is what is opened.
        let state = probe::check(path, &file)?;
        let db = Database::builder().create_file(file);
        let db = db.map_err(|err| opening(path, err.into()))?;
        let journal = Self::over(path, db)?;
        *lock(&journal.state) = state;
        Ok(journal)
    }

    fn over(path: &Path, db: Database) -> Result<Self, JournalError> {
        let journal = Self {
            db,
            path: path.to_owned(),
            state: Mutex::default(),
            pinning: Mutex::default(),
        };
        let tables = journal.transact(|_, _| Ok((true, ())));
        tables.map_err(damaged_if_storage)?;
        Ok(journal)
    }

    /// Reads everything once: the log must be one chain, every call must read.
    fn read_through(path: &Path, db: Database) -> Result<State, JournalError> {
        let journal = Self::over(path, db)?;
        let log = journal.log().map_err(damaged_if_storage)?;
        let broken = || JournalError::Log {
            path: path.to_owned(),
        };
        let entries = log.iter().map(|bytes| Entry::decode(bytes));
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(|_| broken())?;
        let chain = Chain::check(&entries).map_err(|_| broken())?;
        let mut book = Book::default();
        let calls = journal.calls().map_err(damaged_if_storage)?;
        // Oldest first: who had an answer first has it.
        for call in calls.iter().rev() {
            book.note(call);
        }
        // Every opened call has its record, and no other call has.
        if u64::try_from(calls.len()) != Ok(chain.next_seq()) {
            return Err(broken());
        }
        Ok(State { chain, book })
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an open entry and its call record, durably. `build` gets the next gap-free number.
    pub(crate) fn open_call(
        &self,
        wall_ms: u64,
        build: impl FnOnce(u64) -> (CallId, B256, CallRecord),
    ) -> Result<CallRecord, JournalError> {
        let mut state = lock(&self.state);
        let seq = state.chain.next_seq();
        let (call_id, open_leaf, record) = build(seq);
        self.append(
            &mut state,
            wall_ms,
            Body::Open {
                seq,
                call_id,
                open_leaf,
            },
            &record,
        )?;
        Ok(record)
    }

    /// Appends a close entry and writes the call's record, in one transaction. `receipt_hash` is zero
    /// where no receipt could be sealed.
    pub(crate) fn close_call(
        &self,
        record: &CallRecord,
        wall_ms: u64,
        receipt_hash: B256,
        outcome: Outcome,
    ) -> Result<(), JournalError> {
        let body = Body::Close {
            seq: record.seq,
            receipt_hash,
            outcome,
        };
        self.append(&mut lock(&self.state), wall_ms, body, record)
    }

    /// Appends what became known about a sealed call and writes its record, in one transaction.
    pub(crate) fn amend_call(
        &self,
        record: &CallRecord,
        wall_ms: u64,
        receipt_hash: B256,
        event: Recorded,
    ) -> Result<(), JournalError> {
        let body = Body::Amend {
            seq: record.seq,
            receipt_hash,
            event: Box::new(event),
        };
        self.append(&mut lock(&self.state), wall_ms, body, record)
    }

    fn append(
        &self,
        state: &mut State,
        wall_ms: u64,
        body: Body,
        record: &CallRecord,
    ) -> Result<(), JournalError> {
        let broken = || JournalError::Log {
            path: self.path.clone(),
        };
        // Checked before it is written: a call that is closed twice would break the log for good.
        let is_open = |seq| state.chain.open_calls().any(|(open, ..)| open == seq);
        if matches!(body, Body::Close { seq, .. } if !is_open(seq)) {
            return Err(broken());
        }
        let entry = state.chain.next(wall_ms, body);
        self.transact(|log, calls| {
            log.insert(entry.index, entry.encode().as_slice())?;
            calls.insert(record.seq, record.to_bytes().as_slice())?;
            Ok((true, ()))
        })?;
        state.book.note(record);
        state.chain.append(&entry).map_err(|_| broken())
    }

    /// Stores a call's authorization before it is sent, if the budget still covers it.
    ///
    /// The check and the reservation are one transaction: parallel calls cannot both take the last
    /// of the budget.
    pub(crate) fn reserve(
        &self,
        record: &CallRecord,
        policy: &SpendPolicy,
        now: Timestamp,
    ) -> Result<Result<(), Over>, JournalError> {
        let mut state = lock(&self.state);
        if let Err(over) = budget::allows(&state.book, record, policy, now) {
            return Ok(Err(over));
        }
        self.put(record)?;
        state.book.note(record);
        Ok(Ok(()))
    }

    /// Writes a call's record over the one before.
    pub(crate) fn update(&self, record: &CallRecord) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        self.put(record)?;
        state.book.note(record);
        Ok(())
    }

    fn put(&self, record: &CallRecord) -> Result<(), JournalError> {
        self.transact(|_, calls| {
            calls.insert(record.seq, record.to_bytes().as_slice())?;
            Ok((true, ()))
        })
    }

    /// One call.
    pub(crate) fn call(&self, seq: u64) -> Result<Option<CallRecord>, JournalError> {
        self.read(|calls| {
            let bytes = calls.get(seq)?;
            bytes.map(|bytes| record_of(seq, bytes.value())).transpose()
        })
    }

    /// Purchases of this key that may have been paid and brought no answer, oldest first.
    pub(crate) fn undelivered(&self, key: &B256) -> Vec<u64> {
        lock(&self.state).book.undelivered(key)
    }

    /// Takes what is an answer only once, a signature or a transaction, for a call; `false` where another
    /// call of this installation had it. It is durable with the call's record, which the caller writes
    /// before the answer is used.
    pub(crate) fn claim_answer(&self, seq: u64, mark: B256) -> bool {
        lock(&self.state).book.claim_answer(seq, mark)
    }

    /// All calls, newest first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be read.
    pub fn calls(&self) -> Result<Vec<CallRecord>, JournalError> {
        self.read(|calls| {
            let mut records = Vec::new();
            for row in calls.iter()?.rev() {
                let (seq, bytes) = row?;
                records.push(record_of(seq.value(), bytes.value())?);
            }
            Ok(records)
        })
    }

    /// The log's entries, oldest first, as they were hashed.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be read.
    pub fn log(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_read()?;
        let log = txn.open_table(LOG).map_err(|err| storage(err.into()))?;
        let mut entries = Vec::new();
        for row in log.iter().map_err(|err| storage(err.into()))? {
            let (_, bytes) = row.map_err(|err| storage(err.into()))?;
            entries.push(bytes.value().to_vec());
        }
        Ok(entries)
    }

    /// The log's amendments, oldest first.
    pub(crate) fn amendments(&self) -> Result<Vec<Entry>, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_read()?;
        let log = txn.open_table(LOG).map_err(|err| storage(err.into()))?;
        let mut entries = Vec::new();
        for row in log.iter().map_err(|err| storage(err.into()))? {
            let (_, bytes) = row.map_err(|err| storage(err.into()))?;
            let entry = Entry::decode(bytes.value()).map_err(|_| JournalError::Log {
                path: self.path.clone(),
            })?;
            if matches!(entry.body, Body::Amend { .. }) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The hash of the newest sealed receipt; zero before the first.
    pub(crate) fn last_receipt(&self) -> B256 {
        lock(&self.state).chain.last_receipt()
    }

    /// Runs `work` in one durable write transaction; keeps it only if `work` says so.
    fn transact<T>(
        &self,
        work: impl FnOnce(&mut LogTable<'_>, &mut CallTable<'_>) -> Result<(bool, T), Fault>,
    ) -> Result<T, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_write()?;
        let (keep, value) = {
            let mut log = txn.open_table(LOG).map_err(|err| storage(err.into()))?;
            let mut calls = txn.open_table(CALLS).map_err(|err| storage(err.into()))?;
            work(&mut log, &mut calls).map_err(|fault| self.fault(fault))?
        };
        if keep {
            txn.commit().map_err(|err| storage(err.into()))?;
        } else {
            txn.abort().map_err(|err| storage(err.into()))?;
        }
        Ok(value)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadOnlyTable<u64, &'static [u8]>) -> Result<T, Fault>,
    ) -> Result<T, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_read()?;
        let calls = txn.open_table(CALLS).map_err(|err| storage(err.into()))?;
        work(&calls).map_err(|fault| self.fault(fault))
    }

    fn begin_read(&self) -> Result<redb::ReadTransaction, JournalError> {
        let begun = self.db.begin_read();
        begun.map_err(|err| self.storage(err.into()))
    }

    fn begin_write(&self) -> Result<redb::WriteTransaction, JournalError> {
        let begun = self.db.begin_write();
        begun.map_err(|err| self.storage(err.into()))
    }

    fn storage(&self, source: redb::Error) -> JournalError {
        JournalError::Storage {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }

    fn fault(&self, fault: Fault) -> JournalError {
        match fault {
            Fault::Storage(err) => self.storage(err.into()),
            Fault::Record(seq) => JournalError::Record {
                path: self.path.clone(),
                seq,
            },
        }
    }
}

type LogTable<'a> = redb::Table<'a, u64, &'static [u8]>;
type CallTable<'a> = redb::Table<'a, u64, &'static [u8]>;

/// What can go wrong inside a transaction.
enum Fault {
    Storage(redb::StorageError),
    Record(u64),
}

impl From<redb::StorageError> for Fault {
    fn from(err: redb::StorageError) -> Self {
        Self::Storage(err)
    }
}

fn record_of(seq: u64, bytes: &[u8]) -> Result<CallRecord, Fault> {
    CallRecord::from_bytes(bytes).ok_or(Fault::Record(seq))
}

/// Opens or makes a file that only its owner can read: records hold signed authorizations.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests;

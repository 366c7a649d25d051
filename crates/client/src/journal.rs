//! The local books: the hash-chained log of calls, the authorizations signed, and what became of
//! them.
//!
//! Everything that must survive a crash is committed here before the effect that it describes: the
//! open entry before any network I/O, an authorization before it is sent. One file, one process:
//! the database locks it.

mod record;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use seamline_core::receipt::log::{Body, Chain, Entry};
use seamline_core::receipt::{Outcome, Recorded};
use seamline_core::{Amount, B256, CallId, NodeId, Timestamp};
use seamline_evm::policy::{SpendPolicy, Spent};

use crate::client::lock;

pub use record::{CallRecord, CallState, PaymentRecord, PaymentState};

/// Log index -> entry bytes (`spec/receipt.md`, "The log").
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Call sequence number -> what we know of the call, as JSON.
const CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
/// Budgets per day look back this far.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The journal of one installation.
#[derive(Debug)]
pub struct Journal {
    db: Database,
    path: PathBuf,
    /// Where the log stands. Held across each write, so that entries are numbered in the order in
    /// which they become durable.
    chain: Mutex<Chain>,
}

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
        /// What the database said.
        #[source]
        source: Box<redb::Error>,
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

/// An authorization would go over the budget of the day or of the node's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverDaily;

impl Journal {
    /// Opens or creates the journal.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] while another process has it open, [`JournalError::Damaged`] for a
    /// file that does not open. A damaged file is left as it is.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let damaged = |source: redb::Error| JournalError::Damaged {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let db = open_database(path).map_err(|err| match err {
            redb::Error::DatabaseAlreadyOpen => JournalError::InUse {
                path: path.to_owned(),
            },
            other => damaged(other),
        })?;
        let mut journal = Self {
            db,
            path: path.to_owned(),
            chain: Mutex::new(Chain::new()),
        };
        journal
            .transact(|_, _| Ok((true, ())))
            .map_err(|err| match err {
                JournalError::Storage { path, source } => JournalError::Damaged { path, source },
                other => other,
            })?;
        let log = journal.log()?;
        let broken = |_| JournalError::Log {
            path: path.to_owned(),
        };
        let entries = log.iter().map(|bytes| Entry::decode(bytes));
        let entries: Vec<_> = entries
            .collect::<Result<_, _>>()
            .map_err(|_| JournalError::Log {
                path: path.to_owned(),
            })?;
        journal.chain = Mutex::new(Chain::check(&entries).map_err(broken)?);
        Ok(journal)
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
        let mut chain = lock(&self.chain);
        let seq = chain.next_seq();
        let (call_id, open_leaf, record) = build(seq);
        self.append(
            &mut chain,
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
        self.append(&mut lock(&self.chain), wall_ms, body, record)
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
        self.append(&mut lock(&self.chain), wall_ms, body, record)
    }

    fn append(
        &self,
        chain: &mut Chain,
        wall_ms: u64,
        body: Body,
        record: &CallRecord,
    ) -> Result<(), JournalError> {
        let entry = chain.next(wall_ms, body);
        self.transact(|log, calls| {
            log.insert(entry.index, entry.encode().as_slice())?;
            calls.insert(record.seq, record.to_bytes().as_slice())?;
            Ok((true, ()))
        })?;
        // Cannot fail for an entry that the chain itself made; the next one would show it.
        chain.append(&entry).map_err(|_| JournalError::Log {
            path: self.path.clone(),
        })
    }

    /// Stores a call's authorization before it is sent, if the day's budget still covers it.
    ///
    /// The check and the reservation are one transaction: parallel calls cannot both take the last
    /// of the budget.
    pub(crate) fn reserve(
        &self,
        record: &CallRecord,
        policy: &SpendPolicy,
        now: Timestamp,
    ) -> Result<Result<(), OverDaily>, JournalError> {
        let payment = record.payment.as_ref();
        let amount = payment.map_or(Amount::ZERO, |payment| payment.amount());
        let node = payment.map_or(B256::ZERO, |payment| payment.node);
        self.transact(|_, calls| {
            let spent = spent(calls, now, &node, Some(record.seq))?;
            let within = |used: Amount, cap: Amount| {
                used.checked_add(amount).is_some_and(|total| total <= cap)
            };
            let today = spent
                .today
                .checked_add(spent.reserved)
                .unwrap_or(Amount::MAX);
            let node_cap = policy.per_node_day.unwrap_or(Amount::MAX);
            if !within(today, policy.per_day) || !within(spent.node_today, node_cap) {
                return Ok((false, Err(OverDaily)));
            }
            calls.insert(record.seq, record.to_bytes().as_slice())?;
            Ok((true, Ok(())))
        })
    }

    /// Writes a call's record over the one before.
    pub(crate) fn update(&self, record: &CallRecord) -> Result<(), JournalError> {
        self.transact(|_, calls| {
            calls.insert(record.seq, record.to_bytes().as_slice())?;
            Ok((true, ()))
        })
    }

    /// What was settled in the last 24 hours, what is authorized and may still settle, and both
    /// together for one node.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be read.
    pub fn spent(&self, now: Timestamp, node: &NodeId) -> Result<Spent, JournalError> {
        self.read(|calls| spent(calls, now, node.as_b256(), None))
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
        let txn = self.db.begin_read().map_err(|err| storage(err.into()))?;
        let log = txn.open_table(LOG).map_err(|err| storage(err.into()))?;
        let mut entries = Vec::new();
        for row in log.iter().map_err(|err| storage(err.into()))? {
            let (_, bytes) = row.map_err(|err| storage(err.into()))?;
            entries.push(bytes.value().to_vec());
        }
        Ok(entries)
    }

    /// The hash of the newest sealed receipt; zero before the first.
    pub(crate) fn last_receipt(&self) -> B256 {
        lock(&self.chain).last_receipt()
    }

    /// Runs `work` in one durable write transaction; keeps it only if `work` says so.
    fn transact<T>(
        &self,
        work: impl FnOnce(&mut LogTable<'_>, &mut CallTable<'_>) -> Result<(bool, T), Fault>,
    ) -> Result<T, JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.db.begin_write().map_err(|err| storage(err.into()))?;
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
        let txn = self.db.begin_read().map_err(|err| storage(err.into()))?;
        let calls = txn.open_table(CALLS).map_err(|err| storage(err.into()))?;
        work(&calls).map_err(|fault| self.fault(fault))
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

/// Opens the database; a file that is too short or not a database is an error, never recreated.
fn open_database(path: &Path) -> Result<Database, redb::Error> {
    Ok(Database::create(path)?)
}

/// Sums the books of the last 24 hours, leaving one call out.
fn spent(
    calls: &impl redb::ReadableTable<u64, &'static [u8]>,
    now: Timestamp,
    node: &B256,
    except: Option<u64>,
) -> Result<Spent, Fault> {
    let since = now.as_millis().saturating_sub(DAY_MS);
    let mut spent = Spent::default();
    let add = |sum: Amount, amount: Amount| sum.checked_add(amount).unwrap_or(Amount::MAX);
    for row in calls.iter()?.rev() {
        let (seq, bytes) = row?;
        let record = record_of(seq.value(), bytes.value())?;
        if record.opened_ms < since {
            break;
        }
        let Some(payment) = record
            .payment
            .as_ref()
            .filter(|_| Some(record.seq) != except)
        else {
            continue;
        };
        match payment.state {
            PaymentState::Settled => spent.today = add(spent.today, record.committed()),
            PaymentState::Authorized | PaymentState::Unknown => {
                spent.reserved = add(spent.reserved, record.committed());
            }
            PaymentState::NotSettled => {}
        }
        if payment.node == *node {
            spent.node_today = add(spent.node_today, record.committed());
        }
    }
    Ok(spent)
}

fn record_of(seq: u64, bytes: &[u8]) -> Result<CallRecord, Fault> {
    CallRecord::from_bytes(bytes).ok_or(Fault::Record(seq))
}

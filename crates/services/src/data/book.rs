//! What is kept about data: each answer once, in one queue or one job.
//!
//! | key | value |
//! |---|---|
//! | `i` id | the answer and its state |
//! | `a` time id | nothing: answers by when they came |
//! | `q` queue time id | nothing: answers that wait, by when they came |
//! | `j` id | a job |
//! | `t` time id | nothing: jobs by when they were made |
//! | `o` id | nothing: jobs that are open |

use seamline_core::{Address, B256};
use seamline_evm::settlement::{BatchRule, Job, Queue, SettlementData, SettlementType};
use serde::{Deserialize, Serialize};

use super::store::Transaction;
use crate::facilitator::StoreError;

/// An answer that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    version: u32,
    mode: String,
    /// The JSON of its [`SettlementData`].
    data: String,
    pub(super) accepted_s: u64,
    pub(super) updated_s: u64,
    pub(super) state: State,
    /// Who is paid for the node's answers, as the registry said.
    pub(super) pay_to: Address,
}

/// Where an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum State {
    /// Its payment has not settled yet.
    Waiting,
    /// It waits for a job.
    Ready,
    /// It is part of a job.
    Taken { job: B256 },
    /// It is settled by nobody.
    Refused { reason: String },
}

/// Which answers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// For their payment.
    Payment,
    /// For a batch.
    Batch,
    /// For a job of their own.
    Individual,
}

/// The layout of records that this version writes.
const VERSION: u32 = 1;

impl Item {
    pub(super) fn new(data: &SettlementData, now_s: u64, state: State, pay_to: Address) -> Self {
        Self {
            version: VERSION,
            mode: data.mode().as_str().to_owned(),
            data: data.to_json(),
            accepted_s: now_s,
            updated_s: now_s,
            state,
            pay_to,
        }
    }

    pub(super) fn data(&self) -> Result<SettlementData, StoreError> {
        SettlementData::from_json(self.mode()?, self.data.as_bytes())
            .map_err(|_| StoreError::Corrupt)
    }

    pub(super) fn mode(&self) -> Result<SettlementType, StoreError> {
        SettlementType::of_enclave(&self.mode).map_err(|_| StoreError::Corrupt)
    }

    fn line(&self) -> Result<Option<Line>, StoreError> {
        Ok(match (&self.state, self.mode()?) {
            (State::Waiting, _) => Some(Line::Payment),
            (State::Ready, SettlementType::Individual) => Some(Line::Individual),
            (State::Ready, SettlementType::Batch | SettlementType::Private) => Some(Line::Batch),
            (State::Taken { .. } | State::Refused { .. }, _) => None,
        })
    }
}

impl Line {
    const fn letter(self) -> u8 {
        match self {
            Self::Payment => b'p',
            Self::Batch => b'b',
            Self::Individual => b'n',
        }
    }
}

/// Remembers an answer; returns the one that is there already, if there is one.
pub(super) fn admit(
    book: &mut dyn Transaction,
    id: B256,
    item: &Item,
) -> Result<Option<Item>, StoreError> {
    if let Some(known) = self::item(book, id)? {
        return Ok(Some(known));
    }
    book.put(&dated(b"a", item.accepted_s, id), &[])?;
    put_item(book, id, None, item)?;
    Ok(None)
}

/// Reads an answer.
pub(super) fn item(book: &mut dyn Transaction, id: B256) -> Result<Option<Item>, StoreError> {
    let bytes = book.get(&named(b"i", id))?;
    let item = bytes.map(|bytes| serde_json::from_slice(&bytes));
    let item: Option<Item> = item.transpose().map_err(|_| StoreError::Corrupt)?;
    match item {
        Some(item) if item.version != VERSION => Err(StoreError::Corrupt),
        item => Ok(item),
    }
}

/// The oldest of those that wait in `line`, by id.
pub(super) fn waiting(
    book: &mut dyn Transaction,
    line: Line,
    limit: usize,
) -> Result<Vec<(B256, Item)>, StoreError> {
    let mut found = Vec::new();
    for (_, id) in places(book, line, limit)? {
        found.push((id, item(book, id)?.ok_or(StoreError::Corrupt)?));
    }
    Ok(found)
}

/// Moves an answer that waits for its payment.
pub(super) fn decide(
    book: &mut dyn Transaction,
    id: B256,
    state: State,
    now_s: u64,
) -> Result<(), StoreError> {
    let Some(before) = item(book, id)? else {
        return Ok(());
    };
    // Another replica was quicker.
    if before.state != State::Waiting {
        return Ok(());
    }
    let after = Item {
        state,
        updated_s: now_s,
        ..before.clone()
    };
    put_item(book, id, Some(&before), &after)
}

/// What waits for a batch; its `waiting` stops at the size of one.
pub(super) fn queue(
    book: &mut dyn Transaction,
    rule: &BatchRule,
) -> Result<Option<Queue>, StoreError> {
    let places = places(book, Line::Batch, rule.max_items)?;
    let (Some((oldest_s, _)), Some((newest_s, _))) = (places.first(), places.last()) else {
        return Ok(None);
    };
    Ok(Some(Queue {
        waiting: places.len(),
        oldest_s: *oldest_s,
        newest_s: *newest_s,
    }))
}

/// Makes a batch of what waits, where the rule says so or `now` is asked for: one change, so that
/// an answer is in one batch.
pub(super) fn seal(
    book: &mut dyn Transaction,
    rule: &BatchRule,
    now_s: u64,
) -> Result<Option<Job>, StoreError> {
    let due = queue(book, rule)?.is_some_and(|queue| rule.is_due(&queue, now_s));
    if !due {
        return Ok(None);
    }
    let waiting = waiting(book, Line::Batch, rule.max_items)?;
    let items: Result<Vec<_>, _> = waiting.iter().map(|(_, item)| item.data()).collect();
    let job = Job::batch(items?, now_s).ok_or(StoreError::Corrupt)?;
    take(book, &job, &waiting, now_s)?;
    Ok(Some(job))
}

/// Begins the job of the oldest answer that has one of its own.
pub(super) fn begin(book: &mut dyn Transaction, now_s: u64) -> Result<Option<Job>, StoreError> {
    let waiting = waiting(book, Line::Individual, 1)?;
    let Some((_, item)) = waiting.first() else {
        return Ok(None);
    };
    let job = Job::individual(item.data()?, now_s);
    take(book, &job, &waiting, now_s)?;
    Ok(Some(job))
}

fn take(
    book: &mut dyn Transaction,
    job: &Job,
    items: &[(B256, Item)],
    now_s: u64,
) -> Result<(), StoreError> {
    for (id, before) in items {
        let after = Item {
            state: State::Taken { job: job.id },
            updated_s: now_s,
            ..before.clone()
        };
        put_item(book, *id, Some(before), &after)?;
    }
    book.put(&dated(b"t", job.created_s, job.id), &[])?;
    put_job(book, job)
}

/// Writes a job that `on_event` changed once since it was read.
///
/// # Errors
///
/// [`StoreError::Fenced`] where another replica changed it meanwhile.
pub(super) fn write(book: &mut dyn Transaction, job: &Job) -> Result<(), StoreError> {
    let known = self::job(book, job.id)?.ok_or(StoreError::Fenced)?;
    if known.version.saturating_add(1) != job.version {
        return Err(StoreError::Fenced);
    }
    put_job(book, job)
}

/// Reads a job.
pub(super) fn job(book: &mut dyn Transaction, id: B256) -> Result<Option<Job>, StoreError> {
    let bytes = book.get(&named(b"j", id))?;
    let job = bytes.map(|bytes| serde_json::from_slice(&bytes));
    job.transpose().map_err(|_| StoreError::Corrupt)
}

/// Ids of the jobs that are open.
pub(super) fn open(book: &mut dyn Transaction) -> Result<Vec<B256>, StoreError> {
    let keys = book.keys(b"o", b"p", usize::MAX >> 1)?;
    Ok(keys.iter().filter_map(|key| id_of(key)).collect())
}

/// Jobs that were made from `from_s` on, oldest first.
pub(super) fn jobs(
    book: &mut dyn Transaction,
    from_s: u64,
    limit: usize,
) -> Result<Vec<Job>, StoreError> {
    let keys = book.keys(&dated(b"t", from_s, B256::ZERO), b"u", limit)?;
    let mut jobs = Vec::new();
    for id in keys.iter().filter_map(|key| id_of(key)) {
        jobs.extend(job(book, id)?);
    }
    Ok(jobs)
}

/// Forgets finished jobs, and answers that are in none, from before `before_s`; `limit` of each at
/// most.
pub(super) fn prune(
    book: &mut dyn Transaction,
    before_s: u64,
    limit: usize,
) -> Result<(), StoreError> {
    for key in book.keys(b"t", &dated(b"t", before_s, B256::ZERO), limit)? {
        let Some(id) = id_of(&key) else { continue };
        if job(book, id)?.is_none_or(|job| !job.is_open()) {
            book.remove(&named(b"j", id))?;
            book.remove(&key)?;
        }
    }
    for key in book.keys(b"a", &dated(b"a", before_s, B256::ZERO), limit)? {
        let Some(id) = id_of(&key) else { continue };
        let over = match item(book, id)?.map(|item| item.state) {
            None | Some(State::Refused { .. }) => true,
            Some(State::Taken { job }) => self::job(book, job)?.is_none(),
            Some(State::Waiting | State::Ready) => false,
        };
        if over {
            book.remove(&named(b"i", id))?;
            book.remove(&key)?;
        }
    }
    Ok(())
}

fn put_item(
    book: &mut dyn Transaction,
    id: B256,
    before: Option<&Item>,
    item: &Item,
) -> Result<(), StoreError> {
    if let Some(before) = before
        && let Some(line) = before.line()?
    {
        book.remove(&place(line, before.accepted_s, id))?;
    }
    if let Some(line) = item.line()? {
        book.put(&place(line, item.accepted_s, id), &[])?;
    }
    let bytes = serde_json::to_vec(item).map_err(|_| StoreError::Corrupt)?;
    book.put(&named(b"i", id), &bytes)
}

fn put_job(book: &mut dyn Transaction, job: &Job) -> Result<(), StoreError> {
    if job.is_open() {
        book.put(&named(b"o", job.id), &[])?;
    } else {
        book.remove(&named(b"o", job.id))?;
    }
    let bytes = serde_json::to_vec(job).map_err(|_| StoreError::Corrupt)?;
    book.put(&named(b"j", job.id), &bytes)
}

fn places(
    book: &mut dyn Transaction,
    line: Line,
    limit: usize,
) -> Result<Vec<(u64, B256)>, StoreError> {
    let first = [b'q', line.letter()];
    let end = [b'q', line.letter().saturating_add(1)];
    let keys = book.keys(&first, &end, limit)?;
    let place = |key: &Vec<u8>| {
        let time = key.get(2..10)?.try_into().ok()?;
        Some((u64::from_be_bytes(time), id_of(key)?))
    };
    keys.iter()
        .map(|key| place(key).ok_or(StoreError::Corrupt))
        .collect()
}

fn place(line: Line, time_s: u64, id: B256) -> Vec<u8> {
    dated(&[b'q', line.letter()], time_s, id)
}

fn named(kind: &[u8], id: B256) -> Vec<u8> {
    [kind, id.as_slice()].concat()
}

fn dated(kind: &[u8], time_s: u64, id: B256) -> Vec<u8> {
    [kind, &time_s.to_be_bytes(), id.as_slice()].concat()
}

/// The id is the end of every key that has one.
fn id_of(key: &[u8]) -> Option<B256> {
    let start = key.len().checked_sub(32)?;
    B256::try_from(key.get(start..)?).ok()
}

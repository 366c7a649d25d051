//! What is kept about data: each answer once, in one queue or one job.
//!
//! | key | value |
//! |---|---|
//! | `i` id | the answer and its state |
//! | `a` time id | nothing: answers by when they came |
//! | `q` queue time id | nothing: answers that wait, by when they came or are looked at next |
//! | `j` id | a job |
//! | `t` time id | nothing: jobs by when they were made |
//! | `o` id | nothing: jobs that are open |
//! | `p` payment | how many answers of each mode it paid for |

mod item;

use seamline_core::B256;
use seamline_evm::settlement::{
    BatchRule, Job, JobKind, Queue, SettlementData, SettlementType, Stage,
};

pub(super) use self::item::{Item, Line, State};
use self::item::{Other, VERSION};
use super::store::Transaction;
use crate::facilitator::StoreError;

/// Words about one answer, the first one aside, that are kept.
const MOST_OTHERS: usize = 4;
/// Leaves that one payment puts on record: an authorization that a session draws on pays for many, and
/// one of a base unit must not pay for a chain's worth.
pub(super) const LEAVES: u32 = 4_096;
/// Individual settlements that one payment puts on record, each a transaction of the facilitator's.
pub(super) const INDIVIDUAL: u32 = 32;
/// Longest pause between two looks at a payment, seconds.
const LONGEST_LOOK_S: u64 = 16;

/// Remembers an answer, or another word about one that waits for its payment; returns the one that was
/// there already. One that was refused is begun anew: what it was refused for is not signed either.
pub(super) fn admit(
    book: &mut dyn Transaction,
    id: B256,
    item: &Item,
) -> Result<Option<Item>, StoreError> {
    if let Some(known) = self::item(book, id)? {
        let words = known.words()?;
        if words.contains(&item.data()?) {
            return Ok(Some(known));
        }
        let after = match &known.state {
            State::Waiting if known.others.len() < MOST_OTHERS => {
                let mut after = known.clone();
                after.others.push(Other {
                    mode: item.mode.clone(),
                    data: item.data.clone(),
                });
                after.look_s = 0;
                after
            }
            State::Refused { .. } => Item {
                accepted_s: known.accepted_s,
                ..item.clone()
            },
            State::Waiting | State::Ready | State::Taken { .. } => return Ok(Some(known)),
        };
        put_item(book, id, Some(&known), &after)?;
        return Ok(Some(after));
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

/// The answers whose payments are to be looked at by `now_s`, those that wait longest for it first; and
/// whether any others wait.
pub(super) fn unpaid(
    book: &mut dyn Transaction,
    now_s: u64,
    limit: usize,
) -> Result<(Vec<(B256, Item)>, bool), StoreError> {
    let mut found = Vec::new();
    for (due_s, id) in places(book, Line::Payment, limit)? {
        if due_s > now_s {
            return Ok((found, true));
        }
        found.push((id, item(book, id)?.ok_or(StoreError::Corrupt)?));
    }
    let others = found.len() >= limit;
    Ok((found, others))
}

/// Looks at a payment again later: each time after a longer while, so that payments that never settle
/// keep nobody from those that do.
pub(super) fn later(book: &mut dyn Transaction, id: B256, now_s: u64) -> Result<(), StoreError> {
    let Some(before) = item(book, id)? else {
        return Ok(());
    };
    if before.state != State::Waiting {
        return Ok(());
    }
    let pause_s = 1_u64.checked_shl(before.looks).unwrap_or(u64::MAX);
    let after = Item {
        look_s: now_s.saturating_add(pause_s.min(LONGEST_LOOK_S)),
        looks: before.looks.saturating_add(1).min(16),
        ..before.clone()
    };
    put_item(book, id, Some(&before), &after)
}

/// Gives an answer that waits for its payment up.
pub(super) fn refuse(
    book: &mut dyn Transaction,
    id: B256,
    reason: String,
    now_s: u64,
) -> Result<(), StoreError> {
    let Some(before) = item(book, id)?.filter(|it| it.state == State::Waiting) else {
        return Ok(());
    };
    let after = Item {
        state: State::Refused { reason },
        updated_s: now_s,
        others: Vec::new(),
        ..before.clone()
    };
    put_item(book, id, Some(&before), &after)
}

/// Takes an answer whose payment settled, as `word` has it; `false` where that payment already paid for
/// as many as it may.
pub(super) fn pay(
    book: &mut dyn Transaction,
    id: B256,
    word: &SettlementData,
    now_s: u64,
) -> Result<bool, StoreError> {
    // Another replica may have been quicker.
    let Some(before) = item(book, id)?.filter(|it| it.state == State::Waiting) else {
        return Ok(true);
    };
    if let Some(payment) = word.payment {
        let key = named(b"p", payment);
        let mut counts = match book.get(&key)? {
            Some(bytes) => {
                serde_json::from_slice::<[u32; 2]>(&bytes).map_err(|_| StoreError::Corrupt)?
            }
            None => [0, 0],
        };
        let [leaves, individual] = &mut counts;
        let (count, most) = match word.mode() {
            SettlementType::Individual => (individual, INDIVIDUAL),
            SettlementType::Batch | SettlementType::Private => (leaves, LEAVES),
        };
        if *count >= most {
            return Ok(false);
        }
        *count = count.saturating_add(1);
        let bytes = serde_json::to_vec(&counts).map_err(|_| StoreError::Corrupt)?;
        book.put(&key, &bytes)?;
    }
    let after = Item {
        state: State::Ready,
        updated_s: now_s,
        ..before.clone()
    };
    put_item(book, id, Some(&before), &after.of_word(word))?;
    Ok(true)
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

/// Begins the job of the oldest answer that has one of its own, where fewer than `most` of those are
/// on their way to a block.
pub(super) fn begin(
    book: &mut dyn Transaction,
    now_s: u64,
    most: usize,
) -> Result<Option<Job>, StoreError> {
    let mut under_way: usize = 0;
    for id in open(book)? {
        let job = job(book, id)?;
        let sent = job.is_some_and(|job| {
            let settled = matches!(job.stage, Stage::Settled { .. });
            job.kind == JobKind::Individual && !settled
        });
        under_way = under_way.saturating_add(usize::from(sent));
    }
    if under_way >= most {
        return Ok(None);
    }
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
            // No payment is asked about that is this old.
            let item = item(book, id)?.map(|item| item.words()).transpose()?;
            for payment in item.iter().flatten().filter_map(|word| word.payment) {
                book.remove(&named(b"p", payment))?;
            }
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
        book.remove(&place(line, before.due_s(), id))?;
    }
    if let Some(line) = item.line()? {
        book.put(&place(line, item.due_s(), id), &[])?;
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

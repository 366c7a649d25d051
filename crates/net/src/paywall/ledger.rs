//! Which authorizations are in use, and what became of them.

mod credit;
mod entry;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::x402::SettleResponse;

pub(super) use self::credit::{Affords, Exposure, Limits};
use self::credit::{Credits, Standing};
use self::entry::{Entry, State};
use super::answer::Answer;
use crate::news::{Listener, Teller};

/// What the chain spends once: `Permit::key`, over chain id, payer and nonce. The token is not in
/// it, because Permit2 spends a nonce of a payer once for all tokens.
pub(super) type Key = B256;

/// One presentation of an authorization with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Presentation {
    pub(super) key: Key,
    /// Who pays, as far as the message says.
    pub(super) payer: Address,
    /// SHA-256 of the payment message, signature included: who only knows the nonce has another.
    pub(super) authorization: B256,
    /// SHA-256 over method, path and body.
    pub(super) request: B256,
    /// When the authorization expires.
    pub(super) deadline: Timestamp,
}

/// What became of an authorization.
#[derive(Clone)]
pub(super) enum Outcome {
    /// Paid and answered; the answer can be had again.
    Answered(Answer, SettleResponse),
    /// Settled, but the answer is not kept: it was too long, or its stream was cut.
    Spent(SettleResponse),
    /// The settlement was refused after the handler had run.
    Unpaid(SettleResponse),
    /// The handler ran and nobody knows yet whether the settlement went through.
    Unsettled(Option<Answer>, Amount),
}

/// What the ledger says to a presentation.
pub(super) enum Admission {
    /// Nobody uses the authorization: go on, with the reservation in hand.
    New(Reservation),
    /// The handler ran for it; only its settlement is open.
    Resume(Reservation, Option<Answer>, Amount),
    /// The same presentation is being worked on; look again when this changes.
    Join(Listener<()>),
    /// The same presentation came to this.
    Done(Outcome),
    /// The authorization serves another request, or its nonce another authorization.
    Conflict,
    /// No room for more reservations.
    Full,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Claim {
    /// The authorization is this reservation's.
    Ours,
    /// Another authorization of the same nonce was verified before.
    Conflict,
    /// The payer has as much under way as it may.
    Owing,
}

/// What the ledger says to who settles in the background.
pub(super) enum Resumed {
    /// The settlement is still open.
    Open(Reservation, Option<Box<Answer>>, Amount),
    /// Somebody presents the authorization right now.
    Busy,
    /// There is nothing open any more.
    Gone,
}

/// Reservations and outcomes of one paywall. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Books>>);

/// A presentation under way. Dropping it without an outcome makes the authorization free again.
pub(super) struct Reservation {
    ledger: Ledger,
    presentation: Presentation,
    open: bool,
}

#[derive(Default)]
struct Books {
    entries: HashMap<(Key, B256), Entry>,
    /// The one authorization of each key that was verified. Before, two may claim the same key:
    /// whoever saw a nonce could otherwise block its owner with a forged signature.
    owners: HashMap<Key, B256>,
    credits: Credits,
    /// Entries with a stored answer, oldest first, and the size of these answers together.
    stored: VecDeque<((Key, B256), usize)>,
    stored_bytes: usize,
    /// When the entries are next looked through for expired ones.
    next_sweep: Timestamp,
}

/// Most entries at a time: each is below 1 KiB without its answer.
const MAX_ENTRIES: usize = 16_384;
/// How many entries are forgotten at once where there is no room for another.
const ROOM: usize = MAX_ENTRIES / 16;
/// Most answers that are kept.
const MAX_ANSWERS: usize = 256;
/// Most bytes of answers that are kept, together.
const MAX_ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// Longest single answer that is kept: a quarter, so that one payer does not evict all others.
pub(super) const LONGEST_ANSWER: usize = MAX_ANSWER_BYTES / 4;
/// How often expired entries are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long an answer is kept, and an outcome after its authorization expired.
pub(super) const KEEP: Duration = Duration::from_secs(15 * 60);

impl Ledger {
    /// Reserves an authorization for a request, or says why not.
    pub(super) fn begin(&self, presentation: Presentation, now: Timestamp) -> Admission {
        let Presentation {
            key,
            payer,
            authorization,
            request,
            deadline,
        } = presentation;
        let mut books = self.lock();
        if now >= books.next_sweep || books.entries.len() >= MAX_ENTRIES {
            books.sweep(now);
        }
        if books.entries.len() >= MAX_ENTRIES {
            books.make_room();
        }
        if books
            .owners
            .get(&key)
            .is_some_and(|owner| *owner != authorization)
        {
            return Admission::Conflict;
        }
        let room = books.entries.len() < MAX_ENTRIES;
        let id = (key, authorization);
        let Some(entry) = books.entries.get_mut(&id) else {
            if !room {
                return Admission::Full;
            }
            let entry = Entry {
                payer,
                request,
                expires: now.max(deadline).saturating_add(KEEP),
                verified: false,
                refused: false,
                exposure: None,
                state: State::Running(Teller::new(())),
            };
            books.entries.insert(id, entry);
            return Admission::New(self.reservation(presentation));
        };
        if entry.request != request {
            return Admission::Conflict;
        }
        let outcome = match &entry.state {
            State::Running(changes) => return Admission::Join(changes.listen()),
            State::Done(outcome) => outcome.as_ref().clone(),
        };
        match outcome {
            Outcome::Unsettled(answer, amount) => {
                entry.state = State::Running(Teller::new(()));
                Admission::Resume(self.reservation(presentation), answer, amount)
            }
            Outcome::Answered(..) | Outcome::Spent(_) | Outcome::Unpaid(_) => {
                Admission::Done(outcome)
            }
        }
    }

    /// What a presentation came to, where it is over; changes nothing.
    pub(super) fn recall(&self, presentation: Presentation) -> Option<Outcome> {
        let books = self.lock();
        let id = (presentation.key, presentation.authorization);
        let entry = books.entries.get(&id)?;
        let same = entry.request == presentation.request;
        match &entry.state {
            State::Done(outcome) if same => Some(outcome.as_ref().clone()),
            State::Done(_) | State::Running(_) => None,
        }
    }

    /// Takes an open settlement up again without anybody presenting it.
    pub(super) fn resume(&self, presentation: Presentation) -> Resumed {
        let mut books = self.lock();
        let id = (presentation.key, presentation.authorization);
        let Some(entry) = books.entries.get_mut(&id) else {
            return Resumed::Gone;
        };
        match &entry.state {
            State::Running(_) => Resumed::Busy,
            State::Done(outcome) => match outcome.as_ref() {
                Outcome::Unsettled(answer, amount) => {
                    let (answer, amount) = (answer.clone(), *amount);
                    entry.state = State::Running(Teller::new(()));
                    let answer = answer.map(Box::new);
                    Resumed::Open(self.reservation(presentation), answer, amount)
                }
                Outcome::Answered(..) | Outcome::Spent(_) | Outcome::Unpaid(_) => Resumed::Gone,
            },
        }
    }

    fn reservation(&self, presentation: Presentation) -> Reservation {
        Reservation {
            ledger: self.clone(),
            presentation,
            open: true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Makes this authorization the only one of its nonce, once it is verified, and counts what it
    /// promises; or says why not.
    pub(super) fn claim(&self, credit: Option<(Exposure, Limits)>) -> Claim {
        let Presentation {
            key,
            authorization,
            payer,
            ..
        } = self.presentation;
        let mut books = self.ledger.lock();
        let owner = books.owners.get(&key);
        if owner.is_some_and(|owner| *owner != authorization) {
            return Claim::Conflict;
        }
        if let Some((exposure, limits)) = credit {
            // Asked and counted under one lock: of many that were verified together, no more than
            // the payer affords go on.
            match books.credits.affords(&payer, &exposure, limits) {
                Affords::Yes => {}
                Affords::Later(_) | Affords::No => return Claim::Owing,
            }
        }
        books.owners.insert(key, authorization);
        books.change((key, authorization), |entry| {
            entry.verified = true;
            entry.exposure = credit.map(|(exposure, _)| exposure);
        });
        Claim::Ours
    }

    /// Whether the payer may owe `exposure` too, before anybody is asked whether it is good.
    pub(super) fn affords(&self, exposure: &Exposure, limits: Limits) -> Affords {
        let books = self.ledger.lock();
        let payer = &self.presentation.payer;
        books.credits.affords(payer, exposure, limits)
    }

    /// Whether answers may leave before they are settled: a verification reserves nothing, so that
    /// one balance passes it for many authorizations at once. A payer who has more than `most` under
    /// way, or whose settlement was refused, gets answers that are settled first.
    pub(super) fn on_credit(&self, most: usize) -> bool {
        let books = self.ledger.lock();
        books.credits.has(&self.presentation.payer, most)
    }

    /// What is reserved.
    pub(super) const fn presentation(&self) -> Presentation {
        self.presentation
    }

    /// Writes down what became of the authorization and wakes who waits for it.
    pub(super) fn close(self, outcome: Outcome, now: Timestamp) {
        self.leave(outcome, false, now);
    }

    /// As [`close`](Self::close); with `refused` the payer counts as one whose settlement was refused
    /// until this one ends.
    pub(super) fn leave(mut self, outcome: Outcome, refused: bool, now: Timestamp) {
        self.open = false;
        let id = (self.presentation.key, self.presentation.authorization);
        self.ledger.lock().close(id, outcome, refused, now);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.open {
            let id = (self.presentation.key, self.presentation.authorization);
            self.ledger.lock().remove(id);
        }
    }
}

impl Books {
    fn close(&mut self, id: (Key, B256), outcome: Outcome, refused: bool, now: Timestamp) {
        let answer = match &outcome {
            Outcome::Answered(answer, _) => Some(answer),
            Outcome::Unsettled(answer, _) => answer.as_ref(),
            Outcome::Spent(_) | Outcome::Unpaid(_) => None,
        };
        let kept_bytes = answer.map(|answer| answer.body.len());
        let answered = matches!(outcome, Outcome::Answered(..));
        let known = self.change(id, |entry| {
            entry.state = State::Done(Box::new(outcome));
            // What was refused once stays so until it is known how it ended.
            entry.refused |= refused;
            if answered {
                // The chain refuses a second settlement from here on: only the answer needs keeping.
                entry.expires = now.saturating_add(KEEP);
            }
        });
        if !known {
            return;
        }
        self.stored.retain(|(stored, _)| *stored != id);
        if let Some(bytes) = kept_bytes {
            self.stored.push_back((id, bytes));
        }
        self.evict();
    }

    /// Forgets the oldest answers beyond the limits. What is settled goes whole; what is not
    /// keeps its entry, because the settlement is still to be resumed.
    fn evict(&mut self) {
        self.count();
        while self.stored.len() > MAX_ANSWERS || self.stored_bytes > MAX_ANSWER_BYTES {
            let Some((id, _)) = self.stored.pop_front() else {
                return;
            };
            match self.entries.get_mut(&id).map(|entry| &mut entry.state) {
                Some(State::Done(outcome)) => match outcome.as_mut() {
                    Outcome::Unsettled(answer, _) => *answer = None,
                    Outcome::Answered(..) => self.remove(id),
                    Outcome::Spent(_) | Outcome::Unpaid(_) => {}
                },
                Some(State::Running(_)) | None => {}
            }
            self.count();
        }
    }

    fn count(&mut self) {
        self.stored_bytes = self
            .stored
            .iter()
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes));
    }

    fn sweep(&mut self, now: Timestamp) {
        self.next_sweep = now.saturating_add(SWEEP);
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.expires < now && matches!(entry.state, State::Done(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Forgets what has no answer to give and what the store, or the chain, knows as well: neither
    /// steady traffic nor whoever makes many settlements fail must keep others out. What is settled
    /// goes first, then the oldest; never what is worked on or not settled.
    fn make_room(&mut self) {
        let mut known: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| Some((entry.rank()?, entry.expires, *id)))
            .collect();
        known.sort_unstable();
        for (_, _, id) in known.into_iter().take(ROOM) {
            self.remove(id);
        }
    }

    /// Changes an entry, and its payer's credit with it; `false` where there is none.
    fn change(&mut self, id: (Key, B256), change: impl FnOnce(&mut Entry)) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let was = entry.standing();
        change(entry);
        self.credits.change(entry.payer, was, entry.standing());
        true
    }

    fn remove(&mut self, id: (Key, B256)) {
        if let Some(entry) = self.entries.remove(&id) {
            self.credits
                .change(entry.payer, entry.standing(), Standing::Clear);
        }
        self.stored.retain(|(stored, _)| *stored != id);
        let (key, authorization) = id;
        if self.owners.get(&key) == Some(&authorization) {
            self.owners.remove(&key);
        }
    }
}

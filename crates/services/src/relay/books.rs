//! What accounts have used, and what is reserved for requests under way.

use std::collections::{HashMap, VecDeque};

use seamline_core::{Amount, Timestamp};

use super::accounts::{Account, Denied};
use super::file::{BookFile, BooksError, Kept};

/// What accounts have used: in memory, and on disk where there is a file. A reservation is on disk before
/// its request is sent and until its cost is, so a crash in between charges the account the most that the
/// request could cost.
pub(super) struct Books {
    accounts: HashMap<[u8; 32], Usage>,
    file: Option<BookFile>,
    next: u64,
    /// Reservations that end by themselves.
    held: Vec<(Timestamp, Open)>,
}

/// A reservation. To be handed to [`Books::end`].
#[derive(Debug)]
pub(super) struct Open {
    id: u64,
    token: [u8; 32],
    pub(super) most: Amount,
    placed: bool,
}

struct Usage {
    limits: Account,
    /// What was spent, by minute.
    spent: VecDeque<(u64, Amount)>,
    reserved: Amount,
    requests: VecDeque<Timestamp>,
    open: u32,
}

const DAY_MINUTES: u64 = 24 * 60;
const MINUTE: core::time::Duration = core::time::Duration::from_secs(60);

impl Books {
    pub(super) fn new(accounts: &[Account], file: Option<BookFile>) -> Result<Self, BooksError> {
        let mut known = HashMap::new();
        for account in accounts {
            let usage = Usage {
                limits: account.clone(),
                spent: VecDeque::new(),
                reserved: Amount::ZERO,
                requests: VecDeque::new(),
                open: 0,
            };
            if known.insert(account.token_sha256, usage).is_some() {
                return Err(BooksError::Twice);
            }
        }
        let kept = file
            .as_ref()
            .map_or_else(|| Ok(Kept::default()), BookFile::load)?;
        for (token, minute, amount) in kept.spent {
            // An account that was taken off the list keeps its entries until they are a day old.
            if let Some(usage) = known.get_mut(&token) {
                usage.spend(minute, amount);
            }
        }
        Ok(Self {
            accounts: known,
            file,
            next: kept.next,
            held: Vec::new(),
        })
    }

    pub(super) fn knows(&self, token: &[u8; 32]) -> bool {
        self.accounts.contains_key(token)
    }

    /// Reserves `most` for one request.
    pub(super) fn begin(
        &mut self,
        token: [u8; 32],
        most: Amount,
        now: Timestamp,
    ) -> Result<Open, Denied> {
        self.release(now);
        let usage = self.accounts.get_mut(&token).ok_or(Denied::Unknown)?;
        // 1. Rate: a request that is denied counts for nothing.
        usage.within_rate(now)?;
        // 2. Places.
        if usage.open >= usage.limits.at_once {
            return Err(Denied::AtOnce);
        }
        // 3. Budget: what was spent, what may be, and what this may cost.
        let used = usage.window(now).get().checked_add(usage.reserved.get());
        let used = used.and_then(|used| used.checked_add(most.get()));
        if used.is_none_or(|used| used > usage.limits.per_day.get()) {
            return Err(Denied::Budget);
        }
        // 4. On disk, before it counts as reserved and before anything is sent.
        let id = self.next;
        if let Some(file) = &self.file {
            let written = file.reserve(id, &token, now.as_secs() / 60, most);
            written.map_err(|err| {
                tracing::error!(error = %seamline_core::chain(&err), "cannot keep the books");
                Denied::Books
            })?;
        }
        self.next = self.next.saturating_add(1);
        usage.requests.push_back(now);
        usage.reserved = add(usage.reserved, most);
        usage.open = usage.open.saturating_add(1);
        Ok(Open {
            id,
            token,
            most,
            placed: true,
        })
    }

    /// Gives the place of a request back, and keeps its reservation.
    pub(super) fn answered(&mut self, open: &mut Open) {
        if core::mem::take(&mut open.placed)
            && let Some(usage) = self.accounts.get_mut(&open.token)
        {
            usage.open = usage.open.saturating_sub(1);
        }
    }

    /// Counts something that is free within the account's rate.
    pub(super) fn count(&mut self, token: &[u8; 32], now: Timestamp) -> Result<(), Denied> {
        let usage = self.accounts.get_mut(token).ok_or(Denied::Unknown)?;
        usage.within_rate(now)?;
        usage.requests.push_back(now);
        Ok(())
    }

    /// Keeps a reservation until `until`, and ends it for nothing then: its payment may still be
    /// settled, which nobody who asked for nothing useful should have others wait for.
    pub(super) fn hold(&mut self, mut open: Open, until: Timestamp) {
        self.answered(&mut open);
        self.held.push((until, open));
    }

    fn release(&mut self, now: Timestamp) {
        let (over, held) = core::mem::take(&mut self.held)
            .into_iter()
            .partition(|(until, _)| *until <= now);
        self.held = held;
        for (_, open) in over {
            self.end(open, Amount::ZERO, now);
        }
    }

    /// Ends a request that cost `cost`.
    pub(super) fn end(&mut self, mut open: Open, cost: Amount, now: Timestamp) {
        self.answered(&mut open);
        let minute = now.as_secs() / 60;
        if let Some(usage) = self.accounts.get_mut(&open.token) {
            usage.reserved = Amount::new(usage.reserved.get().saturating_sub(open.most.get()));
            usage.spend(minute, cost);
        }
        if let Some(file) = &self.file
            && let Err(err) = file.charge(open.id, &open.token, minute, cost)
        {
            // The reservation stays on disk: after a restart it counts in full.
            tracing::error!(error = %seamline_core::chain(&err), "cannot keep the books");
        }
    }

    pub(super) fn spent(&mut self, token: &[u8; 32], now: Timestamp) -> Option<(Amount, Amount)> {
        self.release(now);
        let usage = self.accounts.get_mut(token)?;
        Some((usage.window(now), usage.reserved))
    }
}

impl Usage {
    fn within_rate(&mut self, now: Timestamp) -> Result<(), Denied> {
        while let Some(first) = self.requests.front()
            && now.saturating_since(*first) >= MINUTE
        {
            self.requests.pop_front();
        }
        let per_minute = usize::try_from(self.limits.per_minute).unwrap_or(usize::MAX);
        if self.requests.len() >= per_minute {
            return Err(Denied::Rate);
        }
        Ok(())
    }

    fn spend(&mut self, minute: u64, cost: Amount) {
        if cost.is_zero() {
            return;
        }
        match self.spent.back_mut() {
            Some((last, sum)) if *last >= minute => *sum = add(*sum, cost),
            Some(_) | None => self.spent.push_back((minute, cost)),
        }
    }

    /// What the last 24 hours cost.
    fn window(&mut self, now: Timestamp) -> Amount {
        let oldest = oldest(now);
        while let Some((minute, _)) = self.spent.front()
            && *minute < oldest
        {
            self.spent.pop_front();
        }
        let spent = self.spent.iter().map(|(_, amount)| *amount);
        spent.fold(Amount::ZERO, add)
    }
}

/// The first minute that still counts.
fn oldest(now: Timestamp) -> u64 {
    (now.as_secs() / 60).saturating_sub(DAY_MINUTES)
}

pub(super) fn add(one: Amount, other: Amount) -> Amount {
    Amount::new(one.get().saturating_add(other.get()))
}

#[cfg(test)]
mod tests;

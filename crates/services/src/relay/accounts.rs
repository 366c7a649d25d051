//! Who may use a relay, and how much of it.

use std::collections::{HashMap, VecDeque};

use seamline_core::{Amount, Timestamp, sha256};

/// An account holder.
#[derive(Clone)]
pub struct Account {
    /// SHA-256 of the bearer token: the token itself is not kept.
    pub token_sha256: [u8; 32],
    /// Base units that 24 hours may cost.
    pub per_day: Amount,
    /// Requests within 60 seconds.
    pub per_minute: u32,
    /// Requests under way at a time.
    pub at_once: u32,
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Account")
    }
}

/// Hash of a bearer token, by which an account is known.
pub fn token_hash(token: &str) -> [u8; 32] {
    sha256(&[token.as_bytes()]).0
}

/// Why a request is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No account, or two, has this token.
    #[error("no single account has this token")]
    Unknown,
    /// The account's budget of 24 hours does not cover the most that a request may cost.
    #[error("the budget of 24 hours is used up")]
    Budget,
    /// Too many requests within a minute.
    #[error("too many requests within a minute")]
    Rate,
    /// Too many requests under way.
    #[error("too many requests at a time")]
    AtOnce,
}

/// What accounts have used. In memory: a restart forgets it, and the payer's own budget, which is on
/// disk, still holds over all accounts together.
pub(super) struct Books {
    accounts: HashMap<[u8; 32], Usage>,
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
    pub(super) fn new(accounts: &[Account]) -> Result<Self, Denied> {
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
                return Err(Denied::Unknown);
            }
        }
        Ok(Self { accounts: known })
    }

    pub(super) fn knows(&self, token: &[u8; 32]) -> bool {
        self.accounts.contains_key(token)
    }

    /// Reserves `most` for one request.
    pub(super) fn begin(
        &mut self,
        token: &[u8; 32],
        most: Amount,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let usage = self.accounts.get_mut(token).ok_or(Denied::Unknown)?;
        // 1. Rate: a request that is denied counts for nothing.
        while let Some(first) = usage.requests.front()
            && now.saturating_since(*first) >= MINUTE
        {
            usage.requests.pop_front();
        }
        let per_minute = usize::try_from(usage.limits.per_minute).unwrap_or(usize::MAX);
        if usage.requests.len() >= per_minute {
            return Err(Denied::Rate);
        }
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
        usage.requests.push_back(now);
        usage.reserved = add(usage.reserved, most);
        usage.open = usage.open.saturating_add(1);
        Ok(())
    }

    /// Ends a request that was begun with `most` and cost `cost`.
    pub(super) fn end(&mut self, token: &[u8; 32], most: Amount, cost: Amount, now: Timestamp) {
        let Some(usage) = self.accounts.get_mut(token) else {
            return;
        };
        usage.reserved = Amount::new(usage.reserved.get().saturating_sub(most.get()));
        usage.open = usage.open.saturating_sub(1);
        if cost.is_zero() {
            return;
        }
        let minute = now.as_secs() / 60;
        match usage.spent.back_mut() {
            Some((last, sum)) if *last >= minute => *sum = add(*sum, cost),
            Some(_) | None => usage.spent.push_back((minute, cost)),
        }
    }

    pub(super) fn spent(&mut self, token: &[u8; 32], now: Timestamp) -> Option<(Amount, Amount)> {
        let usage = self.accounts.get_mut(token)?;
        Some((usage.window(now), usage.reserved))
    }
}

impl Usage {
    /// What the last 24 hours cost.
    fn window(&mut self, now: Timestamp) -> Amount {
        let oldest = (now.as_secs() / 60).saturating_sub(DAY_MINUTES);
        while let Some((minute, _)) = self.spent.front()
            && *minute < oldest
        {
            self.spent.pop_front();
        }
        let spent = self.spent.iter().map(|(_, amount)| *amount);
        spent.fold(Amount::ZERO, add)
    }
}

fn add(one: Amount, other: Amount) -> Amount {
    Amount::new(one.get().saturating_add(other.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
    const TOKEN: [u8; 32] = [1; 32];

    fn books() -> Books {
        let account = Account {
            token_sha256: TOKEN,
            per_day: Amount::new(100),
            per_minute: 3,
            at_once: 2,
        };
        Books::new(&[account]).unwrap()
    }

    fn later(seconds: u64) -> Timestamp {
        NOW.saturating_add(core::time::Duration::from_secs(seconds))
    }

    #[test]
    fn a_budget_covers_what_is_under_way_and_rolls() {
        let (mut books, forty) = (books(), Amount::new(40));
        assert_eq!(books.begin(&TOKEN, forty, NOW), Ok(()));
        assert_eq!(
            books.begin(&TOKEN, Amount::new(61), NOW),
            Err(Denied::Budget)
        );
        books.end(&TOKEN, forty, Amount::new(30), NOW);
        assert_eq!(
            books.spent(&TOKEN, NOW),
            Some((Amount::new(30), Amount::ZERO))
        );
        assert_eq!(
            books.begin(&TOKEN, Amount::new(71), NOW),
            Err(Denied::Budget)
        );
        assert_eq!(books.begin(&TOKEN, Amount::new(70), NOW), Ok(()));
        books.end(&TOKEN, Amount::new(70), Amount::new(70), NOW);
        let almost = later(24 * 3600);
        assert_eq!(
            books.begin(&TOKEN, Amount::new(1), almost),
            Err(Denied::Budget)
        );
        let over = later(24 * 3600 + 60);
        assert_eq!(books.begin(&TOKEN, Amount::new(100), over), Ok(()));
    }

    #[test]
    fn places_and_rates_are_bounded() {
        let (mut books, one) = (books(), Amount::new(1));
        assert_eq!(books.begin(&TOKEN, one, NOW), Ok(()));
        assert_eq!(books.begin(&TOKEN, one, NOW), Ok(()));
        assert_eq!(books.begin(&TOKEN, one, NOW), Err(Denied::AtOnce));
        books.end(&TOKEN, one, one, NOW);
        assert_eq!(books.begin(&TOKEN, one, NOW), Ok(()));
        books.end(&TOKEN, one, one, NOW);
        assert_eq!(books.begin(&TOKEN, one, later(59)), Err(Denied::Rate));
        assert_eq!(books.begin(&TOKEN, one, later(60)), Ok(()));
    }

    #[test]
    fn absurd_amounts_are_no_way_around_a_budget() {
        let mut books = books();
        assert_eq!(books.begin(&TOKEN, Amount::MAX, NOW), Err(Denied::Budget));
        assert_eq!(
            books.begin(&[2; 32], Amount::ZERO, NOW),
            Err(Denied::Unknown)
        );
        let account = Account {
            token_sha256: TOKEN,
            per_day: Amount::MAX,
            per_minute: 1,
            at_once: 1,
        };
        let twice = Books::new(&[account.clone(), account]);
        assert_eq!(twice.err(), Some(Denied::Unknown));
    }
}

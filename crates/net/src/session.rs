//! One authorization for many requests: the books of a session (`X-Upto-Session`).
//!
//! A payer signs one `upto` authorization for more than a request can cost and names it with a
//! token from then on. What a request may cost is set aside before its handler runs and what it cost
//! is charged when it ends, so that a sum never passes what was signed; the sum is settled once.
//!
//! This is the state of one session, without a clock, a lock or a socket: the paywall drives it.

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeMap;

use seamline_core::{Amount, Timestamp};

/// How a paywall keeps sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// What payers are asked to authorize for a session, in base units; a request whose ceiling is not
    /// lower is paid alone. OpenGradient's gateways ask for 0.1 OPG, later ones for 5.
    pub cap: Amount,
    /// How long a session may rest before it is settled; 100 s, as OpenGradient's gateways.
    pub idle: Duration,
    /// How long an authorization must still live for another request to begin; 60 s, what the
    /// published SDK waits for an answer.
    pub least_life: Duration,
    /// Most sessions at a time; 4,096. A payer beyond that pays its request alone.
    pub max_sessions: usize,
    /// Most sessions of one payer at a time; 4. What a session bought is paid when it ends: this many
    /// caps is what a payer can run away with, from one balance. Further requests are paid alone.
    pub max_per_payer: usize,
    /// Most requests of one session at a time; 64. A further one is told to come back.
    pub max_at_once: usize,
}

impl SessionRules {
    /// The defaults, for sessions of at most `cap`.
    pub const fn new(cap: Amount) -> Self {
        Self {
            cap,
            idle: Duration::from_secs(100),
            least_life: Duration::from_secs(60),
            max_sessions: 4_096,
            max_per_payer: 4,
            max_at_once: 64,
        }
    }
}

/// What a session says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It takes requests, or works for some.
    Open,
    /// Nothing is under way and nothing may begin: this much is to be settled, once.
    Due(Amount),
    /// It was handed out for settling.
    Ended,
}

/// Why a session takes no request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// It is over, or has not that much left.
    Over,
    /// It works for as many as it may.
    Full,
}

/// A request that a session pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 0 in each session.
    pub(crate) number: u64,
    /// What was charged when it began.
    pub(crate) spent_before: Amount,
}

/// The books of one session. Charges and reserves together never pass the cap.
#[derive(Debug)]
pub(crate) struct Session {
    cap: u128,
    spent: u128,
    holds: BTreeMap<u64, Hold>,
    next: u64,
    /// When something last began or ended.
    active: Timestamp,
    /// When the authorization expires.
    deadline: Timestamp,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing begins any more.
    Closing,
    /// Handed out for settling.
    Ended,
}

/// What is set aside for one request.
#[derive(Clone, Copy, Debug)]
struct Hold {
    max: u128,
    /// What it delivered so far.
    so_far: u128,
}

impl Session {
    pub(crate) const fn new(cap: Amount, deadline: Timestamp, now: Timestamp) -> Self {
        Self {
            cap: cap.get(),
            spent: 0,
            holds: BTreeMap::new(),
            next: 0,
            active: now,
            deadline,
            phase: Phase::Open,
        }
    }

    /// Sets `max` aside for a request.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] where it takes none now; nothing is set aside then.
    pub(crate) fn begin(
        &mut self,
        max: Amount,
        now: Timestamp,
        rules: &SessionRules,
    ) -> Result<Place, NoPlace> {
        let takes = self.phase == Phase::Open && !self.is_over(now, rules);
        if !takes || max.get() > self.free() {
            return Err(NoPlace::Over);
        }
        if self.holds.len() >= rules.max_at_once {
            return Err(NoPlace::Full);
        }
        let number = self.next;
        self.next = number.checked_add(1).ok_or(NoPlace::Over)?;
        let hold = Hold {
            max: max.get(),
            so_far: 0,
        };
        self.holds.insert(number, hold);
        self.active = self.active.max(now);
        let spent_before = Amount::new(self.spent);
        Ok(Place {
            number,
            spent_before,
        })
    }

    /// Notes what a request delivered so far; at most what was set aside for it.
    pub(crate) fn note(&mut self, number: u64, so_far: Amount) {
        if let Some(hold) = self.holds.get_mut(&number) {
            hold.so_far = so_far.get().min(hold.max);
        }
    }

    /// Charges what a request cost, at most what was set aside for it, and returns the charge.
    /// A request that has ended costs nothing more.
    pub(crate) fn charge(&mut self, number: u64, actual: Amount, now: Timestamp) -> Amount {
        let Some(hold) = self.holds.remove(&number) else {
            return Amount::ZERO;
        };
        let charged = actual.get().min(hold.max);
        // A hold was part of what is free: the sum stays below the cap.
        self.spent = self.spent.saturating_add(charged).min(self.cap);
        self.active = self.active.max(now);
        Amount::new(charged)
    }

    /// Forgets a request that costs nothing.
    pub(crate) fn release(&mut self, number: u64, now: Timestamp) {
        self.charge(number, Amount::ZERO, now);
    }

    /// Takes no further requests where nothing runs: who was refused for want of what is left asks for
    /// another session.
    pub(crate) fn exhaust(&mut self) {
        if self.holds.is_empty() {
            self.close();
        }
    }

    /// Takes no further requests, whatever is left.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    /// What would be due if the process ended now: charges and what was delivered meanwhile.
    pub(crate) fn owed(&self) -> Amount {
        let delivered = self.holds.values().map(|hold| hold.so_far);
        let owed = delivered.fold(self.spent, u128::saturating_add);
        Amount::new(owed.min(self.cap))
    }

    /// What was charged so far.
    #[cfg(test)]
    pub(crate) const fn spent(&self) -> Amount {
        Amount::new(self.spent)
    }

    /// Whether it is to be settled now. Says [`Standing::Due`] once.
    pub(crate) fn take_due(&mut self, now: Timestamp, rules: &SessionRules) -> Standing {
        match self.phase {
            Phase::Ended => return Standing::Ended,
            Phase::Open if !self.is_over(now, rules) => return Standing::Open,
            Phase::Open | Phase::Closing => {}
        }
        self.phase = Phase::Closing;
        if !self.holds.is_empty() {
            return Standing::Open;
        }
        self.phase = Phase::Ended;
        Standing::Due(Amount::new(self.spent))
    }

    /// Whether nothing may begin any more: it rested too long, its authorization expires, or nothing
    /// is left. A session that works for somebody does not rest.
    fn is_over(&self, now: Timestamp, rules: &SessionRules) -> bool {
        let rested = self.holds.is_empty() && now.saturating_since(self.active) > rules.idle;
        // The request that opens a session was judged by the rules of a single payment.
        let fresh = self.next == 0;
        let expires = self.deadline <= now.saturating_add(rules.least_life);
        rested || (expires && !fresh) || self.spent >= self.cap
    }

    fn free(&self) -> u128 {
        let held = self.holds.values().map(|hold| hold.max);
        let taken = held.fold(self.spent, u128::saturating_add);
        self.cap.saturating_sub(taken)
    }
}

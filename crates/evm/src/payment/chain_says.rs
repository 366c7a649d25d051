//! What the chain says about a payment, and when it is asked again.

use core::time::Duration;

use seamline_core::Timestamp;

use super::{Action, MAX_ASKS, Misuse, Payment, State, Terms};
use crate::chain::{ChainFacts, SettlementFacts};
use crate::scheme::Scheme;

impl Payment {
    pub(super) fn chain_says(
        &mut self,
        facts: &ChainFacts,
        now: Timestamp,
    ) -> Result<Vec<Action>, Misuse> {
        let lost = self.state == State::Unknown { refused: None };
        if let Some(settlement) = facts.settlement {
            // Permit2 lets no other settlement of this nonce happen: whoever says so errs or lies.
            if !self.allows(&settlement) {
                return Ok(self.silent(now));
            }
            self.state = State::Settled(settlement);
            let again = if lost {
                self.ask_for_the_answer()
            } else {
                Vec::new()
            };
            return Ok(if again.is_empty() {
                vec![Action::Conclude]
            } else {
                again
            });
        }
        // 5. Permit2 accepts a settlement in the very second of the deadline, so that only a later
        //    block proves that none can follow. Our own clock is asked as well: it cannot be
        //    talked into letting go of money early.
        let over = facts.block.time_s.min(now.as_secs()) > self.deadline_s();
        if (!facts.nonce_used || facts.cancelled) && over && !self.terms.is_empty() {
            self.state = State::NotSettled(facts.block);
            return Ok(vec![Action::Conclude]);
        }
        // 3. Nothing is settled: the same bytes again, where an answer is still wanted and a
        //    refusal does not say that they will be refused again.
        let alive = now.as_secs() < self.deadline_s();
        if lost
            && alive
            && !facts.nonce_used
            && let Some(digest) = self.current()
            && self.spend_resend()
        {
            self.state = State::Sent;
            return Ok(vec![Action::ResendSame(digest)]);
        }
        match self.state {
            State::Submitted { .. } | State::Unknown { .. } => Ok(self.wait_or_conclude(now)),
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Settled(_)
            | State::NotSettled(_)
            | State::Abandoned => Ok(Vec::new()),
        }
    }

    /// One of the authorizations allows this settlement.
    fn allows(&self, settlement: &SettlementFacts) -> bool {
        let allows = |terms: &Terms| {
            let amount = match terms.scheme {
                Scheme::Exact => settlement.amount == terms.amount,
                Scheme::Upto | Scheme::BatchSettlement => settlement.amount <= terms.amount,
            };
            amount && terms.pay_to == settlement.pay_to
        };
        self.terms.iter().any(allows)
    }

    /// Presents the same bytes after the settlement, for the answer that was lost.
    pub(super) fn ask_for_the_answer(&mut self) -> Vec<Action> {
        let settled = matches!(self.state, State::Settled(_));
        match self.current() {
            Some(digest) if settled && self.spend_resend() => {
                self.asking_again = true;
                vec![Action::ResendSame(digest)]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Takes one of the presentations that are left, if the answer is still wanted.
    pub(super) const fn spend_resend(&mut self) -> bool {
        match self.resends_left.checked_sub(1) {
            Some(left) if self.wanted => {
                self.resends_left = left;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn silent(&mut self, now: Timestamp) -> Vec<Action> {
        if self.ask().is_empty() {
            return Vec::new();
        }
        self.wait_or_conclude(now)
    }

    pub(super) fn ask(&self) -> Vec<Action> {
        match self.state {
            State::Sent | State::Submitted { .. } | State::Unknown { .. } => vec![Action::AskChain],
            State::New
            | State::Signed
            | State::Authorized
            | State::Settled(_)
            | State::NotSettled(_)
            | State::Abandoned => Vec::new(),
        }
    }

    /// Waits a little while an answer may come soon; then the call reports what is known, and the
    /// next look is after the deadline.
    pub(super) fn wait_or_conclude(&mut self, now: Timestamp) -> Vec<Action> {
        self.asked = self.asked.saturating_add(1);
        let refused = matches!(self.state, State::Unknown { refused: Some(_) });
        if self.asked < MAX_ASKS && !refused {
            return vec![Action::Wait(backoff(self.asked))];
        }
        let deadline = Timestamp::from_secs(self.deadline_s().saturating_add(1));
        let rest = deadline.saturating_since(now).max(backoff(MAX_ASKS));
        let wait = Action::Wait(rest);
        if self.asked == MAX_ASKS || (refused && self.asked == 1) {
            vec![Action::Conclude, wait]
        } else {
            vec![wait]
        }
    }
}

/// A tenth of a second, doubled with every question, at most two seconds: one block of Base.
fn backoff(asked: u32) -> Duration {
    let millis = 100_u64
        .checked_shl(asked.saturating_sub(1))
        .unwrap_or(u64::MAX);
    Duration::from_millis(millis.min(2_000))
}

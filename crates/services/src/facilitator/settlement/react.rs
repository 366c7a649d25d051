//! What follows from what happened.

use core::time::Duration;

use seamline_evm::x402::{Reason, SettleResponse};

use super::{
    Action, Attempt, End, Event, Inspection, Now, Pace, Place, Purpose, Question, Reply,
    Settlement, Stage, Watch,
};

/// Pause between two questions about an authorization whose state did not resolve the settlement.
const INSPECT_AGAIN: Duration = Duration::from_secs(2);
/// How far the chain's time must be beyond a deadline: blocks that replace the newest are earlier
/// than it by a slot at most.
const EXPIRY_MARGIN_S: u64 = 12;
/// How many times longer a job counts as not displaced than a payment.
const JOB_PATIENCE: u32 = 15;
/// How long a spent authorization is looked for in the logs after a transaction of ours reverted.
const LOGS_BEHIND: Duration = Duration::from_secs(6);
/// How long after the deadline, in the chain's time, a spent authorization whose settlement nobody
/// shows counts as spent by something else: an indexer that is further behind does not work.
const SEARCH_S: u64 = 600;

impl Settlement {
    /// Takes in what happened and says what is to be done, in order.
    pub(crate) fn on_event(&mut self, event: Event, now: Now, pace: &Pace) -> Vec<Action> {
        match event {
            Event::Signed(attempt) => self.signed(attempt, now),
            Event::Offered(transaction, reply) => self.offered(transaction, reply, now, pace),
            Event::Mined {
                transaction,
                block,
                response,
                confirmed,
            } => {
                let Some(attempt) = self.attempt(transaction) else {
                    return Vec::new();
                };
                let purpose = attempt.purpose;
                self.mined(purpose, block, response, confirmed, now)
            }
            Event::Absent { passed } => self.absent(passed, now, pace),
            Event::Inspected(inspection) => self.inspected(inspection, now),
            Event::Refused(reason) => self.refused(reason),
            Event::Vanished => self.vanished(),
            Event::Final => self.finish(),
        }
    }

    const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Broadcasting | Stage::Pending)
    }

    fn signed(&mut self, attempt: Attempt, now: Now) -> Vec<Action> {
        if !self.is_open() || self.attempt(attempt.transaction).is_some() {
            return Vec::new();
        }
        let transaction = attempt.transaction;
        self.attempts.push(attempt);
        self.stage = Stage::Broadcasting;
        self.watch = Watch {
            signed: Some(now.elapsed),
            sent: Some(now.elapsed),
            ..Watch::default()
        };
        vec![Action::Persist, Action::Send(transaction)]
    }

    fn offered(
        &mut self,
        transaction: seamline_core::B256,
        reply: Reply,
        now: Now,
        pace: &Pace,
    ) -> Vec<Action> {
        let newest = self.attempts.last().map(|attempt| attempt.transaction);
        if !self.is_open() || newest != Some(transaction) {
            return Vec::new();
        }
        match reply {
            Reply::Taken => {
                self.watch.refused = None;
                self.stage = Stage::Pending;
                Vec::new()
            }
            Reply::Underpriced => vec![Action::Bump],
            Reply::Refused => {
                let since = *self.watch.refused.get_or_insert(now.elapsed);
                let patient = now.elapsed.saturating_sub(since) < pace.refused;
                if patient || self.last_purpose() == Some(Purpose::Cancel) {
                    Vec::new()
                } else {
                    vec![Action::Cancel]
                }
            }
            // Money may come, an endpoint may come back, a receipt will tell: the bytes stay.
            Reply::NoFunds | Reply::NonceTaken | Reply::Later => Vec::new(),
        }
    }

    fn mined(
        &mut self,
        purpose: Purpose,
        block: Place,
        response: SettleResponse,
        confirmed: bool,
        now: Now,
    ) -> Vec<Action> {
        if !self.is_open() {
            return Vec::new();
        }
        self.watch.passed = None;
        if !confirmed {
            return Vec::new();
        }
        match (purpose, response.success) {
            (Purpose::Settle, true) => self.end(End::Settled, response, Some(block)),
            (Purpose::Settle, false) => self.ask(Question::Reverted(response, block), now),
            (Purpose::Cancel, _) if self.is_filler() => {
                self.end(End::Expired, response, Some(block))
            }
            (Purpose::Cancel, _) => self.ask(Question::Cancelled(block), now),
        }
    }

    fn absent(&mut self, passed: bool, now: Now, pace: &Pace) -> Vec<Action> {
        if !self.is_open() {
            return Vec::new();
        }
        let Some(last) = self.attempts.last() else {
            return Vec::new();
        };
        let (transaction, purpose) = (last.transaction, last.purpose);
        if passed {
            let since = *self.watch.passed.get_or_insert(now.elapsed);
            // Nothing on the chain tells whether a job was done, but its transaction receipt.
            let patience = if self.memo.is_some() {
                pace.displaced.saturating_mul(JOB_PATIENCE)
            } else {
                pace.displaced
            };
            if now.elapsed.saturating_sub(since) < patience {
                return Vec::new();
            }
            return self.ask(Question::Displaced, now);
        }
        self.watch.passed = None;
        let mut actions = Vec::new();
        // Whatever is mined from now on reverts: free the account nonce.
        if self.is_over(now) && purpose == Purpose::Settle && !self.is_filler() {
            return self.ask(Question::Expired, now);
        }
        let age = |since: Option<Duration>| now.elapsed.saturating_sub(since.unwrap_or_default());
        if *self.watch.signed.get_or_insert(now.elapsed) <= now.elapsed
            && age(self.watch.signed) >= pace.bump_after
        {
            // Asked for once per pause: the ceiling may leave no room.
            self.watch.signed = Some(now.elapsed);
            actions.push(Action::Bump);
        }
        if self.watch.sent.is_none() || age(self.watch.sent) >= pace.resend {
            self.watch.sent = Some(now.elapsed);
            actions.push(Action::Send(transaction));
        }
        actions
    }

    fn inspected(&mut self, inspection: Inspection, now: Now) -> Vec<Action> {
        let Some(question) = self.watch.question.take() else {
            return Vec::new();
        };
        if !self.is_open() {
            return Vec::new();
        }
        match (inspection, question) {
            // Deep enough is what is answered, whoever settled: the next look asks again.
            (
                Inspection::Settled {
                    confirmed: false, ..
                },
                _,
            ) => Vec::new(),
            (
                Inspection::Settled {
                    response,
                    block,
                    confirmed: true,
                },
                _,
            ) => {
                let ours = response
                    .transaction_hash()
                    .is_some_and(|hash| self.attempt(hash).is_some());
                let end = if ours { End::Settled } else { End::Replaced };
                self.end(end, response, Some(block))
            }
            // Our own transaction failed, and whatever spent the nonce is not shown yet: an endpoint's
            // logs may be behind its state.
            (Inspection::Spent { .. }, Question::Reverted(..))
                if now
                    .elapsed
                    .saturating_sub(*self.watch.spent.get_or_insert(now.elapsed))
                    < LOGS_BEHIND =>
            {
                Vec::new()
            }
            // Our own transaction failed, and nobody else's succeeded: that is the end.
            (_, Question::Reverted(response, block)) => {
                self.end(End::Reverted, response, Some(block))
            }
            // After the deadline nothing is left to sign.
            (Inspection::Unspent { expired }, Question::Displaced) => {
                if self.watch.passed.is_none() {
                    // The account nonce is back: the transaction may be mined yet.
                    Vec::new()
                } else if self.is_over(now) || self.is_filler() {
                    self.expire(expired, None)
                } else {
                    vec![Action::SignAnew]
                }
            }
            (Inspection::Unspent { .. }, Question::Expired) => vec![Action::Cancel],
            (Inspection::Unspent { expired }, Question::Cancelled(block)) => {
                if self.is_over(now) {
                    self.expire(expired, Some(block))
                } else {
                    vec![Action::Forget(Reason::UnexpectedSettleError)]
                }
            }
            // Perhaps a receipt is late; perhaps the payer spent it otherwise. Time tells.
            (Inspection::Spent { reason }, _) => {
                if now.chain_s > self.deadline_s.saturating_add(SEARCH_S) {
                    return self.fail(reason);
                }
                Vec::new()
            }
        }
    }

    fn refused(&self, reason: Reason) -> Vec<Action> {
        if self.is_open() {
            vec![Action::Forget(reason)]
        } else {
            Vec::new()
        }
    }

    fn vanished(&mut self) -> Vec<Action> {
        if self.is_open() || !self.is_unfinished() {
            return Vec::new();
        }
        let mut actions = vec![Action::Persist];
        if self.attempts.is_empty() {
            return vec![Action::Forget(Reason::SettlementPending)];
        }
        self.stage = Stage::Pending;
        self.watch = Watch::default();
        let last = self.attempts.last();
        actions.extend(last.map(|attempt| Action::Send(attempt.transaction)));
        actions
    }

    fn finish(&mut self) -> Vec<Action> {
        match &mut self.stage {
            Stage::Done {
                settled_for_good, ..
            } if !*settled_for_good => {
                *settled_for_good = true;
                vec![Action::Persist]
            }
            Stage::Broadcasting | Stage::Pending | Stage::Done { .. } => Vec::new(),
        }
    }

    fn ask(&mut self, question: Question, now: Now) -> Vec<Action> {
        let asked = self.watch.inspected;
        let waited = asked.is_none_or(|at| now.elapsed.saturating_sub(at) >= INSPECT_AGAIN);
        if !waited {
            return Vec::new();
        }
        self.watch.inspected = Some(now.elapsed);
        self.watch.question = Some(question);
        vec![Action::Inspect]
    }

    fn end(&mut self, end: End, response: SettleResponse, block: Option<Place>) -> Vec<Action> {
        self.forget_unused();
        self.stage = Stage::Done {
            end,
            response,
            block,
            settled_for_good: block.is_none(),
        };
        vec![Action::Persist, Action::Answer]
    }

    /// Whether no block to come can hold a settlement, nor one that replaces the newest.
    const fn is_over(&self, now: Now) -> bool {
        now.chain_s > self.deadline_s.saturating_add(EXPIRY_MARGIN_S)
    }

    fn expire(&mut self, reason: Reason, block: Option<Place>) -> Vec<Action> {
        let response = self.failure(reason);
        self.end(End::Expired, response, block)
    }

    fn fail(&mut self, reason: Reason) -> Vec<Action> {
        let response = self.failure(reason);
        self.end(End::Reverted, response, None)
    }

    fn last_purpose(&self) -> Option<Purpose> {
        self.attempts.last().map(|attempt| attempt.purpose)
    }
}

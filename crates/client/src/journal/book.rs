use std::collections::BTreeMap;

use seamline_core::{Amount, B256, Timestamp};
use seamline_evm::policy::{SpendPolicy, Spent};

use super::CallRecord;

/// Budgets per day look back this far.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What every call cost, or may still cost.
///
/// Held in memory: budgets are asked for at each call, and the order of call numbers says nothing
/// about wall times once a clock was wrong.
#[derive(Debug, Default)]
pub(super) struct Book {
    lines: BTreeMap<u64, Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// The last moment at which the money can have moved, Unix milliseconds.
    until_ms: u64,
    node: B256,
    amount: Amount,
    /// Whether it may still move.
    live: bool,
}

impl Book {
    /// Takes over what a call's record says.
    pub(super) fn note(&mut self, record: &CallRecord) {
        let line = record.payment.as_ref().map(|payment| Line {
            until_ms: payment
                .deadline_s
                .saturating_mul(1_000)
                .max(record.opened_ms),
            node: payment.node,
            amount: record.committed(),
            live: payment.state.is_live(),
        });
        match line {
            Some(line) => self.lines.insert(record.seq, line),
            None => self.lines.remove(&record.seq),
        };
    }

    /// Whether the day's budget and the node's cover the authorization of `record` beside all
    /// others.
    pub(super) fn allows(&self, record: &CallRecord, policy: &SpendPolicy, now: Timestamp) -> bool {
        let Some(payment) = &record.payment else {
            return false;
        };
        let spent = self.spent(now, &payment.node, Some(record.seq));
        let within = |used: Amount, cap: Amount| {
            used.checked_add(payment.amount)
                .is_some_and(|total| total <= cap)
        };
        let node_cap = policy.per_node_day.unwrap_or(Amount::MAX);
        payment.amount <= policy.per_call
            && within(sum(spent.today, spent.reserved), policy.per_day)
            && within(spent.node_today, node_cap)
    }

    /// Sums the last 24 hours, leaving one call out. What may still move counts whatever its age.
    pub(super) fn spent(&self, now: Timestamp, node: &B256, except: Option<u64>) -> Spent {
        let since = now.as_millis().saturating_sub(DAY_MS);
        let mut spent = Spent::default();
        for (seq, line) in &self.lines {
            if Some(*seq) == except || !(line.live || line.until_ms >= since) {
                continue;
            }
            let total = if line.live {
                &mut spent.reserved
            } else {
                &mut spent.today
            };
            *total = sum(*total, line.amount);
            if line.node == *node {
                spent.node_today = sum(spent.node_today, line.amount);
            }
        }
        spent
    }
}

fn sum(a: Amount, b: Amount) -> Amount {
    a.checked_add(b).unwrap_or(Amount::MAX)
}

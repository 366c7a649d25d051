use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use seamline_core::{Address, Amount, B256, Timestamp};

use super::channels::VoucherState;
use super::{CallRecord, PaymentRecord};

/// Budgets per hour look back this far.
pub(super) const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Budgets per day look back this far.
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// What every call cost, or may still cost.
///
/// Held in memory: budgets are asked for at each call, and the order of call numbers says nothing
/// about wall times once a clock was wrong.
#[derive(Debug, Default)]
pub(super) struct Book {
    lines: BTreeMap<u64, Line>,
    answers: Answers,
}

/// Marks of answers that are remembered: at ten answers a second, what is signed in more than the five
/// minutes for which a signature is accepted, many times over.
const MAX_ANSWERS: usize = 65_536;

/// What is only an answer once: signatures, and transactions of records. Each belongs to the call that had
/// it first; the oldest are forgotten.
#[derive(Debug, Default)]
struct Answers {
    of: HashMap<B256, u64>,
    order: VecDeque<B256>,
}

impl Answers {
    /// Whether the mark is the call's own, from now on.
    fn claim(&mut self, seq: u64, mark: B256) -> bool {
        if let Some(owner) = self.of.get(&mark) {
            return *owner == seq;
        }
        if self.order.len() >= MAX_ANSWERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.of.insert(mark, seq);
        self.order.push_back(mark);
        true
    }
}

/// A token on a chain. Base units of different tokens do not add up, so each has books of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    /// CAIP-2 id of the chain.
    pub(crate) network: String,
    /// The ERC-20.
    pub(crate) asset: Address,
}

/// Which of the money one asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    All,
    Node(&'a B256),
    Model(&'a str),
}

/// Money of one token in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Settled in the window.
    pub(super) settled: Amount,
    /// May still settle, whatever its age.
    pub(super) reserved: Amount,
    /// The first moment at which some of it leaves the window, Unix milliseconds.
    pub(super) frees_ms: Option<u64>,
}

#[derive(Clone, Debug)]
struct Line {
    /// The last moment at which the money can have moved, Unix milliseconds.
    until_ms: u64,
    token: Token,
    node: B256,
    model: String,
    amount: Amount,
    /// Whether it may still move.
    live: bool,
    /// The purchase that it may have paid for and that brought no answer.
    undelivered: Option<B256>,
    /// The channel in which its promise is not answered.
    open_in: Option<B256>,
}

impl Book {
    /// Takes over what a call's record says.
    pub(super) fn note(&mut self, record: &CallRecord) {
        let payment = record.payment.as_ref();
        let voucher = record.voucher.as_ref().filter(|_| payment.is_none());
        let open = voucher.filter(|voucher| voucher.state == VoucherState::Open);
        let deadline_s = payment.map_or(0, PaymentRecord::last_deadline_s);
        let line = record.bill().map(|bill| Line {
            until_ms: deadline_s.saturating_mul(1_000).max(record.opened_ms),
            token: bill.token,
            node: bill.node,
            model: record.model.clone(),
            amount: record.committed(),
            live: payment.is_some_and(|it| it.state.is_live()) || open.is_some(),
            undelivered: record.undelivered(),
            open_in: open.map(|voucher| voucher.channel),
        });
        match line {
            Some(line) => self.lines.insert(record.seq, line),
            None => self.lines.remove(&record.seq),
        };
        let named = record.named_record.and_then(|it| it.transaction);
        for mark in record.answer.into_iter().chain(named) {
            self.answers.claim(record.seq, mark);
        }
    }

    /// Takes an answer's mark for a call; `false` where another call had it.
    pub(super) fn claim_answer(&mut self, seq: u64, mark: B256) -> bool {
        self.answers.claim(seq, mark)
    }

    /// Sums one token over a window, leaving one call out. What may still move counts whatever its
    /// age.
    pub(super) fn sums(
        &self,
        now: Timestamp,
        window_ms: u64,
        token: &Token,
        part: Part<'_>,
        except: Option<u64>,
    ) -> Sums {
        let since = now.as_millis().saturating_sub(window_ms);
        let mut sums = Sums::default();
        for (seq, line) in &self.lines {
            let asked = match part {
                Part::All => true,
                Part::Node(node) => line.node == *node,
                Part::Model(model) => line.model == model,
            };
            let counts = line.live || line.until_ms >= since;
            if !asked || !counts || line.token != *token || Some(*seq) == except {
                continue;
            }
            // What is live can be proven unspent right after its deadline.
            let (total, frees_ms) = if line.open_in.is_some() {
                // Nobody knows when: a voucher has no deadline.
                sums.reserved = sum(sums.reserved, line.amount);
                continue;
            } else if line.live {
                (&mut sums.reserved, line.until_ms.saturating_add(1_000))
            } else {
                let leaves = line.until_ms.saturating_add(window_ms).saturating_add(1);
                (&mut sums.settled, leaves)
            };
            *total = sum(*total, line.amount);
            if !line.amount.is_zero() {
                sums.frees_ms = Some(sums.frees_ms.map_or(frees_ms, |first| first.min(frees_ms)));
            }
        }
        sums
    }

    /// Purchases of this key that may have been paid and brought no answer, oldest first.
    pub(super) fn undelivered(&self, key: &B256) -> Vec<u64> {
        let lines = self.lines.iter();
        let found = lines.filter(|(_, line)| line.undelivered.as_ref() == Some(key));
        found.map(|(seq, _)| *seq).collect()
    }

    /// Calls whose promise in a channel is not answered, oldest first.
    pub(super) fn open_in(&self, channel: &B256) -> Vec<u64> {
        let lines = self.lines.iter();
        let found = lines.filter(|(_, line)| line.open_in.as_ref() == Some(channel));
        found.map(|(seq, _)| *seq).collect()
    }

    /// Every token that was ever paid with.
    pub(super) fn tokens(&self) -> BTreeSet<Token> {
        self.lines.values().map(|line| line.token.clone()).collect()
    }

    /// Every node that was ever paid with a token.
    pub(super) fn nodes(&self, token: &Token) -> BTreeSet<B256> {
        let lines = self.lines.values().filter(|line| line.token == *token);
        lines.map(|line| line.node).collect()
    }

    /// Every model that was ever paid for with a token.
    pub(super) fn models(&self, token: &Token) -> BTreeSet<String> {
        let lines = self.lines.values().filter(|line| line.token == *token);
        lines.map(|line| line.model.clone()).collect()
    }
}

impl Sums {
    /// Settled and reserved together.
    pub(super) fn used(&self) -> Amount {
        sum(self.settled, self.reserved)
    }
}

fn sum(a: Amount, b: Amount) -> Amount {
    a.checked_add(b).unwrap_or(Amount::MAX)
}

//! What payers have open and what they paid, counted as it changes: it is asked for with every
//! request.

use std::collections::HashMap;
use std::sync::Arc;

use seamline_core::{Address, Amount, U256};
use tokio::sync::Notify;

/// Credit of all payers who have anything open, unpaid or paid.
#[derive(Default)]
pub(in crate::paywall) struct Credits(HashMap<Address, Credit>);

/// What a promise that the facilitator settles later could cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::paywall) struct Exposure {
    pub(in crate::paywall) asset: Address,
    /// The ceiling.
    pub(in crate::paywall) max: Amount,
    /// What is settled where the settlement does not say how much: the price of `exact`.
    pub(in crate::paywall) sure: Amount,
}

/// How much a payer may owe.
#[derive(Clone, Copy, Debug)]
pub(in crate::paywall) struct Limits {
    /// Promises under way of a payer about whom nothing is known.
    pub(in crate::paywall) unsettled: usize,
    /// Promises under way of a payer whose settled amounts cover them.
    pub(in crate::paywall) earned: usize,
    /// Refused settlements after which nothing is served any more.
    pub(in crate::paywall) refused: usize,
}

/// What one entry does to its payer's credit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Clear,
    Open(Exposure),
    Unpaid,
    /// Its payer had it settled for another amount.
    Cheated,
    Paid {
        asset: Address,
        amount: Amount,
    },
}

/// Whether another promise of a payer may be worked for.
#[derive(Clone)]
pub(in crate::paywall) enum Affords {
    Yes,
    /// Not before something else of this payer ends; who waits hears of that here.
    Later(Arc<Notify>),
    /// Not at all: too many of its settlements were refused, or it cheated.
    No,
}

#[derive(Default)]
struct Credit {
    open: usize,
    unpaid: usize,
    cheated: usize,
    tokens: HashMap<Address, Sums>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Sums {
    open: U256,
    paid: U256,
    /// Entries behind these sums.
    entries: usize,
}

impl Credits {
    /// Whether a payer has at most `most` open, and nothing unpaid.
    pub(super) fn has(&self, payer: &Address, most: usize) -> bool {
        let credit = self.0.get(payer);
        credit.is_none_or(|it| it.unpaid == 0 && it.cheated == 0 && it.open <= most)
    }

    /// Whether `payer` may have `exposure` open besides what it has.
    ///
    /// A balance passes a verification as often as it is asked about, so that everything that is not
    /// settled may be covered by one balance: a payer gets a few promises on trust, and then as much
    /// as it has paid lately.
    pub(super) fn affords(&self, payer: &Address, exposure: &Exposure, limits: Limits) -> Affords {
        let Some(credit) = self.0.get(payer) else {
            return Affords::Yes;
        };
        if credit.cheated > 0 || credit.unpaid >= limits.refused.max(1) {
            return Affords::No;
        }
        let most = if credit.unpaid > 0 {
            1
        } else {
            limits.unsettled.max(1)
        };
        let covered = || {
            credit
                .tokens
                .get(&exposure.asset)
                .is_some_and(|sums| sums.open.saturating_add(number(exposure.max)) <= sums.paid)
        };
        let trusted = credit.unpaid == 0 && credit.open < limits.earned && covered();
        if credit.open < most || trusted {
            Affords::Yes
        } else {
            Affords::Later(Arc::clone(&credit.news))
        }
    }

    /// One entry of `payer` stands otherwise now.
    pub(super) fn change(&mut self, payer: Address, was: Standing, is: Standing) {
        if was == is {
            return;
        }
        let credit = self.0.entry(payer).or_default();
        credit.take(was);
        credit.put(is);
        if credit.is_blank() {
            credit.news.notify_waiters();
            self.0.remove(&payer);
        } else {
            credit.news.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Credit {
    fn put(&mut self, standing: Standing) {
        match standing {
            Standing::Clear => {}
            Standing::Unpaid => self.unpaid = self.unpaid.saturating_add(1),
            Standing::Cheated => self.cheated = self.cheated.saturating_add(1),
            Standing::Open(Exposure { asset, max, .. }) => {
                self.open = self.open.saturating_add(1);
                let sums = self.tokens.entry(asset).or_default();
                sums.open = sums.open.saturating_add(number(max));
                sums.entries = sums.entries.saturating_add(1);
            }
            Standing::Paid { asset, amount } => {
                let sums = self.tokens.entry(asset).or_default();
                sums.paid = sums.paid.saturating_add(number(amount));
                sums.entries = sums.entries.saturating_add(1);
            }
        }
    }

    fn take(&mut self, standing: Standing) {
        let (asset, open, paid) = match standing {
            Standing::Clear => return,
            Standing::Unpaid => {
                self.unpaid = self.unpaid.saturating_sub(1);
                return;
            }
            Standing::Cheated => {
                self.cheated = self.cheated.saturating_sub(1);
                return;
            }
            Standing::Open(Exposure { asset, max, .. }) => {
                self.open = self.open.saturating_sub(1);
                (asset, number(max), U256::ZERO)
            }
            Standing::Paid { asset, amount } => (asset, U256::ZERO, number(amount)),
        };
        let Some(sums) = self.tokens.get_mut(&asset) else {
            return;
        };
        sums.open = sums.open.saturating_sub(open);
        sums.paid = sums.paid.saturating_sub(paid);
        sums.entries = sums.entries.saturating_sub(1);
        if sums.entries == 0 {
            self.tokens.remove(&asset);
        }
    }

    fn is_blank(&self) -> bool {
        self.open == 0 && self.unpaid == 0 && self.cheated == 0 && self.tokens.is_empty()
    }
}

fn number(amount: Amount) -> U256 {
    U256::from(amount.get())
}

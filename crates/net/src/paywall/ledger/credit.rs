//! What payers have open, counted as it changes: it is asked for with every request.

use std::collections::HashMap;

use seamline_core::Address;

/// Credit of all payers who have anything open or unpaid.
#[derive(Default)]
pub(super) struct Credits(HashMap<Address, Credit>);

/// What one entry does to its payer's credit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Clear,
    Open,
    Unpaid,
}

#[derive(Default, PartialEq, Eq)]
struct Credit {
    open: usize,
    unpaid: usize,
}

impl Credits {
    /// Whether a payer has at most `most` open, and nothing unpaid.
    pub(super) fn has(&self, payer: &Address, most: usize) -> bool {
        let credit = self.0.get(payer);
        credit.is_none_or(|credit| credit.unpaid == 0 && credit.open <= most)
    }

    /// One entry of `payer` stands otherwise now.
    pub(super) fn change(&mut self, payer: Address, was: Standing, is: Standing) {
        if was == is {
            return;
        }
        let credit = self.0.entry(payer).or_default();
        if let Some(count) = credit.count(was) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = credit.count(is) {
            *count = count.saturating_add(1);
        }
        if *credit == Credit::default() {
            self.0.remove(&payer);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Credit {
    const fn count(&mut self, standing: Standing) -> Option<&mut usize> {
        match standing {
            Standing::Clear => None,
            Standing::Open => Some(&mut self.open),
            Standing::Unpaid => Some(&mut self.unpaid),
        }
    }
}

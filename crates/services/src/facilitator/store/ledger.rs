//! Gas by minute, as the stores keep it.

use seamline_core::Address;

use crate::facilitator::settlement::GasUse;

/// Minutes that count: an hour, the one under way included.
pub(super) const MINUTES: u64 = 60;

/// Gas that was spent in the last hour, or is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// For everybody together.
    pub all: u64,
    /// For one payer.
    pub payer: u64,
}

/// One entry of the ledger; that of everybody is under [`Address::ZERO`].
pub(super) struct Entry {
    pub(super) payer: Address,
    pub(super) minute: u64,
    pub(super) owner: u64,
    /// How the entry changes: taken away first, added second.
    pub(super) less: u64,
    pub(super) more: u64,
}

impl Entry {
    pub(super) const fn apply(&self, before: u64) -> u64 {
        before.saturating_sub(self.less).saturating_add(self.more)
    }
}

/// How the ledger changes where a record changes from `old` to `new`.
pub(super) fn entries(old: Option<GasUse>, new: Option<GasUse>) -> Vec<Entry> {
    if old == new {
        return Vec::new();
    }
    let entry = |of: GasUse, payer, less, more| Entry {
        payer,
        minute: of.minute,
        owner: of.owner,
        less,
        more,
    };
    let taken =
        old.map(|old| [old.payer, Address::ZERO].map(|payer| entry(old, payer, old.gas, 0)));
    let added =
        new.map(|new| [new.payer, Address::ZERO].map(|payer| entry(new, payer, 0, new.gas)));
    taken.into_iter().chain(added).flatten().collect()
}

/// The oldest minute that counts in `minute`.
pub(super) const fn oldest(minute: u64) -> u64 {
    minute.saturating_sub(MINUTES.saturating_sub(1))
}

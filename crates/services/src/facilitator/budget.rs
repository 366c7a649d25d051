//! What may be spent on gas, and for whom: a settlement that passes its simulation can still be
//! made to fail, at our expense (x402 §6.3, item 15).

use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use seamline_core::{Address, Amount, B256, U256};

use super::store::Spent;

/// Bounds of the gas that a facilitator spends, in gas per rolling hour, and of what it takes on at
/// once. Gas is counted in the store, with the settlements, for all replicas that share it and across
/// restarts; replicas see each other's once it is written, so that together they may exceed a bound
/// by what they take on at the same moment. What is under way at once is counted by each for itself.
///
/// A settlement counts as its gas limit while it is under way, as the gas that it used once it is
/// in a block, and as twice that where it reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasBudget {
    /// For everybody together. Default: 2,000,000,000, about 20,000 settlements.
    pub all_per_hour: u64,
    /// For one payer. Default: 100,000,000, about 1,000 settlements.
    pub payer_per_hour: u64,
    /// For one payer that is a contract, whose code runs in its settlements. Default: 20,000,000.
    pub contract_payer_per_hour: u64,
    /// Settlements of one payer under way at once. Default: 64.
    pub in_flight_per_payer: usize,
    /// The least that a settlement must be worth; `None`, the default, has no bound.
    pub value_floor: Option<ValueFloor>,
}

/// The least worth of a settlement: `factor` times the gas that it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueFloor {
    /// How many times its gas a settlement must be worth.
    pub factor: u32,
    /// A number of base units of the token, and
    pub units: u128,
    /// what they are worth in wei of the native coin.
    pub wei: u128,
}

/// Why a settlement is not taken on now. Nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The gas of the hour is spent.
    All { retry_after: Duration },
    /// The payer's gas of the hour is spent.
    Payer { retry_after: Duration },
    /// Too many settlements of the payer are under way.
    InFlight,
    /// It is worth less than its gas: not with this amount.
    Floor,
}

/// Gas that was spent lately, and gas that is set aside.
pub(super) struct Gas {
    budget: GasBudget,
    /// By payment key: what is set aside.
    reserved: HashMap<B256, Reserved>,
    /// When, by whom and how much, oldest first.
    spent: VecDeque<(Duration, Address, u64)>,
}

/// What is set aside for one settlement.
struct Reserved {
    payer: Address,
    /// Its gas, where this replica signed it; the store counts what others signed.
    gas: u64,
    is_own: bool,
}

const HOUR: Duration = Duration::from_secs(3600);
/// Retry hint where no time is known: a few blocks.
const SOON: Duration = Duration::from_secs(5);
/// Entries that are remembered: 2 Ggas an hour of the cheapest settlement stay far below.
const MAX_SPENT: usize = 100_000;

impl Default for GasBudget {
    fn default() -> Self {
        Self {
            all_per_hour: 2_000_000_000,
            payer_per_hour: 100_000_000,
            contract_payer_per_hour: 20_000_000,
            in_flight_per_payer: 64,
            value_floor: None,
        }
    }
}

impl GasBudget {
    /// No bounds: for networks whose gas costs nothing.
    pub const UNLIMITED: Self = Self {
        all_per_hour: u64::MAX,
        payer_per_hour: u64::MAX,
        contract_payer_per_hour: u64::MAX,
        in_flight_per_payer: usize::MAX,
        value_floor: None,
    };
}

impl ValueFloor {
    /// Whether `amount` is worth `gas` at `wei_per_gas`.
    pub fn admits(&self, amount: Amount, gas: u64, wei_per_gas: u128) -> bool {
        let cost = U256::from(gas)
            .saturating_mul(U256::from(wei_per_gas))
            .saturating_mul(U256::from(self.factor));
        // amount * wei / units >= cost, without the division.
        let worth = U256::from(amount.get()).saturating_mul(U256::from(self.wei));
        worth >= cost.saturating_mul(U256::from(self.units))
    }
}

impl Gas {
    pub(super) fn new(budget: GasBudget) -> Self {
        Self {
            budget,
            reserved: HashMap::new(),
            spent: VecDeque::new(),
        }
    }

    /// Whether `gas` more may be spent for `payer`, where `others` is what the store counts that this
    /// replica did not sign.
    pub(super) fn check(
        &mut self,
        payer: Address,
        is_contract: bool,
        gas: u64,
        others: Spent,
        now: Duration,
    ) -> Result<(), Full> {
        self.forget(now);
        let GasBudget {
            all_per_hour,
            payer_per_hour,
            contract_payer_per_hour,
            in_flight_per_payer,
            value_floor: _,
        } = self.budget;
        let own = self.reserved.values().filter(|it| it.payer == payer);
        if own.count() >= in_flight_per_payer {
            return Err(Full::InFlight);
        }
        let wanted = gas.saturating_add(others.all);
        if self.sum(None).saturating_add(wanted) > all_per_hour {
            let retry_after = self.retry_after(None, now);
            return Err(Full::All { retry_after });
        }
        let cap = if is_contract {
            payer_per_hour.min(contract_payer_per_hour)
        } else {
            payer_per_hour
        };
        let wanted = gas.saturating_add(others.payer);
        if self.sum(Some(payer)).saturating_add(wanted) > cap {
            let retry_after = self.retry_after(Some(payer), now);
            return Err(Full::Payer { retry_after });
        }
        Ok(())
    }

    /// As [`Gas::check`] for a call without a payment; without a payer only the budget of everybody
    /// counts.
    pub(super) fn check_job(
        &mut self,
        payer: Option<Address>,
        is_contract: bool,
        gas: u64,
        others: Spent,
        now: Duration,
    ) -> Result<(), Full> {
        if let Some(payer) = payer {
            return self.check(payer, is_contract, gas, others, now);
        }
        self.forget(now);
        let wanted = gas.saturating_add(others.all);
        if self.sum(None).saturating_add(wanted) > self.budget.all_per_hour {
            let retry_after = self.retry_after(None, now);
            return Err(Full::All { retry_after });
        }
        Ok(())
    }

    /// Sets gas aside for a settlement, whether there is any: check first. Says whether nothing was
    /// set aside for it before.
    pub(super) fn reserve(&mut self, key: B256, payer: Address, gas: u64) -> bool {
        let reserved = Reserved {
            payer,
            gas,
            is_own: true,
        };
        let is_new = !self.reserved.contains_key(&key);
        self.reserved.entry(key).or_insert(reserved);
        is_new
    }

    /// Takes up a settlement that the store counts already.
    pub(super) fn adopt(&mut self, key: B256, payer: Address) {
        let adopted = Reserved {
            payer,
            gas: 0,
            is_own: false,
        };
        self.reserved.entry(key).or_insert(adopted);
    }

    /// Another replica carries a settlement now: what was set aside counts as spent.
    pub(super) fn lose(&mut self, key: B256, now: Duration) {
        let gas = self.reserved.get(&key).map_or(0, |it| it.gas);
        self.settle(key, gas, false, now);
    }

    /// Takes what was set aside for a settlement back and counts what it used.
    pub(super) fn settle(&mut self, key: B256, used: u64, reverted: bool, now: Duration) {
        let Some(reserved) = self.reserved.remove(&key) else {
            return;
        };
        let (payer, counted) = (reserved.payer, counted(used, reverted));
        if counted > 0 && reserved.is_own {
            self.spent.push_back((now, payer, counted));
            if self.spent.len() > MAX_SPENT {
                self.spent.pop_front();
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        let old = |at: Duration| now.saturating_sub(at) > HOUR;
        while self.spent.front().is_some_and(|(at, _, _)| old(*at)) {
            self.spent.pop_front();
        }
    }

    fn sum(&self, of: Option<Address>) -> u64 {
        let reserved = self.reserved.values().map(|it| (it.payer, it.gas));
        let spent = self.spent.iter().map(|(_, who, gas)| (*who, *gas));
        reserved
            .chain(spent)
            .filter(|(who, _)| of.is_none_or(|payer| payer == *who))
            .fold(0, |sum, (_, gas)| sum.saturating_add(gas))
    }

    /// When the oldest of what was spent no longer counts.
    fn retry_after(&self, of: Option<Address>, now: Duration) -> Duration {
        let mut spent = self.spent.iter();
        let oldest = spent.find(|(_, who, _)| of.is_none_or(|payer| payer == *who));
        oldest.map_or(SOON, |(at, _, _)| {
            at.saturating_add(HOUR).saturating_sub(now).max(SOON)
        })
    }
}

/// What counts of the gas that a transaction used: twice as much where it reverted.
pub(super) const fn counted(used: u64, reverted: bool) -> u64 {
    used.saturating_mul(if reverted { 2 } else { 1 })
}

impl Full {
    /// The code on the wire.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::All { .. } => "gas_budget_exhausted",
            Self::Payer { .. } => "payer_gas_budget_exhausted",
            Self::InFlight => "payer_in_flight_limit",
            Self::Floor => "value_below_gas_floor",
        }
    }

    /// When asking again makes sense; `None` where it never does.
    pub(super) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::All { retry_after } | Self::Payer { retry_after } => Some(retry_after),
            Self::InFlight => Some(SOON),
            Self::Floor => None,
        }
    }
}

#[cfg(test)]
mod tests;

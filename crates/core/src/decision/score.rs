//! Scores (`spec/decision.md` §4).

use alloy_primitives::U256;

use super::{Candidate, RoutePolicy};

/// Parts per million.
pub(super) const MILLION: u64 = 1_000_000;

/// The part of a policy that scores, at one cap.
#[derive(Clone, Copy)]
pub(super) struct Scorer {
    pub(super) cap: u128,
    pub(super) latency_bound: u64,
    pub(super) price: u64,
    pub(super) latency: u64,
    pub(super) health: u64,
}

/// A candidate that passed all filters, or all but the cap.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) candidate: &'a Candidate,
    /// What latency and health add to the weighted sum.
    pub(super) base: u64,
    pub(super) score: i64,
}

impl Scorer {
    pub(super) fn new(policy: &RoutePolicy) -> Self {
        Self {
            cap: policy.cap.get(),
            latency_bound: policy.latency_bound_us,
            price: policy.weight_price.into(),
            latency: policy.weight_latency.into(),
            health: policy.weight_health.into(),
        }
    }

    pub(super) const fn at_cap(self, cap: u128) -> Self {
        Self { cap, ..self }
    }

    pub(super) fn entry<'a>(&self, candidate: &'a Candidate) -> Entry<'a> {
        let base = self
            .latency_part(candidate)
            .saturating_add(self.health_part(candidate));
        Entry {
            candidate,
            base,
            score: self.score(candidate.cost.get(), base),
        }
    }

    /// The sum of the weights, below 2^34.
    pub(super) const fn total(&self) -> u64 {
        self.price
            .saturating_add(self.latency)
            .saturating_add(self.health)
    }

    /// Weights are below 2^32 and what they weigh is at most a million, so that the sum of the
    /// three parts stays below 2^54: nothing saturates.
    pub(super) fn score(&self, cost: u128, base: u64) -> i64 {
        let sum = self.price_part(cost).saturating_add(base);
        let score = sum.checked_div(self.total()).unwrap_or(0);
        i64::try_from(score).unwrap_or(i64::MAX)
    }

    pub(super) fn price_part(&self, cost: u128) -> u64 {
        let headroom = self.cap.saturating_sub(cost);
        self.price.saturating_mul(share_ppm(headroom, self.cap))
    }

    pub(super) fn latency_part(&self, candidate: &Candidate) -> u64 {
        let headroom = self.latency_bound.saturating_sub(candidate.latency_us);
        self.latency
            .saturating_mul(share_ppm(headroom.into(), self.latency_bound.into()))
    }

    pub(super) fn health_part(&self, candidate: &Candidate) -> u64 {
        self.health
            .saturating_mul(u64::from(candidate.health_ppm).min(MILLION))
    }
}

/// Returns `floor(part * 1,000,000 / whole)`, where `part <= whole`; 0 where `whole` is 0.
fn share_ppm(part: u128, whole: u128) -> u64 {
    let million = u128::from(MILLION);
    let share = match part.checked_mul(million) {
        Some(product) => product.checked_div(whole).unwrap_or(0),
        // Above 3.4e32 base units the product needs more than 128 bits.
        None => U256::from(part)
            .saturating_mul(U256::from(million))
            .checked_div(U256::from(whole))
            .map_or(0, |share| share.saturating_to()),
    };
    u64::try_from(share).unwrap_or(MILLION)
}

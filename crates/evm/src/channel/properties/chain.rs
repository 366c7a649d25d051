//! The contract, as little of it as the books can see.

use super::*;

/// The contract.
#[derive(Default)]
pub(super) struct Chain {
    pub(super) balance: u128,
    pub(super) claimed: u128,
    pub(super) settled: u128,
    pub(super) withdrawal: Option<(u128, u64)>,
    pub(super) refunds: u64,
    pub(super) spent: BTreeSet<B256>,
    pub(super) deposited: u128,
    pub(super) given_back: u128,
}

impl Chain {
    pub(super) fn state(&self) -> ChainState {
        ChainState {
            balance: Amount::new(self.balance),
            total_claimed: Amount::new(self.claimed),
            withdraw_requested_at_s: self.withdrawal.map_or(0, |(_, at)| at),
            withdraw_amount: Amount::new(self.withdrawal.map_or(0, |(amount, _)| amount)),
            refund_nonce: U256::from(self.refunds),
        }
    }

    /// As a facilitator: a deposit that landed before is told again.
    pub(super) fn deposit(
        &mut self,
        deposit: &crate::channel::Deposit,
        now: Timestamp,
    ) -> Option<ChainState> {
        let nonce = deposit.auth_nonce(&config().id(CHAIN));
        if !self.spent.contains(&nonce) {
            if deposit.dead_at_s() <= U256::from(now.as_secs()) {
                return None;
            }
            self.spent.insert(nonce);
            self.balance += deposit.amount.get();
            self.deposited += deposit.amount.get();
        }
        Some(self.state())
    }

    pub(super) fn claim(&mut self, claim: &Claim) {
        let total = claim.total_claimed.get();
        assert!(total <= claim.max_claimable.get(), "above the ceiling");
        assert!(total <= self.balance, "above the balance");
        self.claimed = self.claimed.max(total);
    }

    pub(super) fn fetch(&mut self, now: Timestamp) {
        let Some((amount, at)) = self.withdrawal else {
            return;
        };
        if now.as_secs() < at + 900 {
            return;
        }
        let amount = amount.min(self.balance - self.claimed);
        self.balance -= amount;
        self.given_back += amount;
        self.withdrawal = None;
    }

    pub(super) fn refund(&mut self, amount: u128) {
        let amount = amount.min(self.balance - self.claimed);
        self.refunds += 1;
        self.balance -= amount;
        self.given_back += amount;
        if let Some((asked, at)) = self.withdrawal {
            self.withdrawal = (asked > amount).then(|| (asked - amount, at));
        }
    }
}

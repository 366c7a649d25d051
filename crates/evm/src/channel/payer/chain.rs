//! What the chain says of a channel, what is sent to it, and what the books say.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::{Amount, Timestamp};

use super::Channel;
use crate::channel::{ChainState, ChannelConfig, Deposit, IBatchSettlement};

/// What [`Channel::observe`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the seller claimed beyond what it said it had charged, base units: within what was
    /// signed, but not what was agreed.
    pub overclaimed: Amount,
    /// Whether it is still open what became of a deposit.
    pub deposit_open: bool,
}

impl Channel {
    /// Takes in the chain's state, read at or after the last answer. `deposit_spent` says whether the
    /// nonce of the open deposit is spent ([`Channel::open_nonce`]).
    pub fn observe(
        &mut self,
        chain: &ChainState,
        deposit_spent: Option<bool>,
        now: Timestamp,
    ) -> Observed {
        let before = self.charged.max(self.maybe_charged);
        let overclaimed = chain.total_claimed.checked_sub(before);
        self.charged = self.charged.max(chain.total_claimed);
        self.maybe_charged = self.maybe_charged.max(self.charged);
        self.signed = self.signed.max(chain.total_claimed);
        let now_s = U256::from(now.as_secs());
        let dead = |deposit: &Deposit| deposit.dead_at_s() <= now_s;
        match deposit_spent {
            Some(true) => self.deposit = None,
            Some(false) if self.deposit.as_ref().is_some_and(dead) => self.deposit = None,
            Some(false) | None => {}
        }
        self.balance = if self.deposit.is_some() {
            // What the open deposit adds is counted when it is known to have landed, not twice.
            self.balance.min(chain.balance)
        } else {
            chain.balance
        };
        Observed {
            overclaimed: overclaimed.unwrap_or(Amount::ZERO),
            deposit_open: self.deposit.is_some(),
        }
    }

    /// The nonce of the deposit that is open: of the token (ERC-3009) or of Permit2, as
    /// [`Deposit::method`] says.
    pub fn open_nonce(&self) -> Option<B256> {
        let deposit = self.deposit.as_ref()?;
        Some(deposit.auth_nonce(&self.id))
    }

    /// The deposit that is open.
    pub const fn open_deposit_of(&self) -> Option<&Deposit> {
        self.deposit.as_ref()
    }

    /// Gives the channel up: nothing more is signed for it. Returns the input of the contract's call
    /// that asks for `amount` back, to be sent by the payer or the authorizer; after the withdrawal
    /// delay [`Channel::finalize_call`] fetches it.
    pub fn close_call(&mut self, amount: Amount) -> Option<Bytes> {
        self.closing = true;
        let config = self.config.to_sol()?;
        let amount = amount.get();
        let call = IBatchSettlement::initiateWithdrawCall { config, amount };
        Some(call.abi_encode().into())
    }

    /// The input of the contract's call that fetches what was asked for.
    pub fn finalize_call(&self) -> Option<Bytes> {
        let config = self.config.to_sol()?;
        let call = IBatchSettlement::finalizeWithdrawCall { config };
        Some(call.abi_encode().into())
    }

    /// Takes in that the channel was given up and the withdrawal is done, as the chain says: what is left
    /// of it may be filled and used again. Does nothing while a withdrawal is pending.
    pub fn withdrawn(&mut self, chain: &ChainState, now: Timestamp) {
        if chain.withdraw_requested_at_s == 0 {
            self.observe(chain, None, now);
            self.closing = false;
        }
    }

    /// What is known to be in the channel, claimed or not.
    pub const fn balance(&self) -> Amount {
        self.balance
    }

    /// The most that may have been charged: what requests without an answer promised is in it.
    pub fn maybe_charged(&self) -> Amount {
        self.maybe_charged.max(self.charged)
    }

    /// The channel's id.
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// What the channel is.
    pub const fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// What was charged in total, as far as it was said.
    pub const fn charged(&self) -> Amount {
        self.charged
    }

    /// The most that was ever signed.
    pub const fn signed(&self) -> Amount {
        self.signed
    }

    /// What is in the channel and neither charged nor maybe charged.
    pub fn free(&self) -> Amount {
        let free = self
            .balance
            .checked_sub(self.maybe_charged.max(self.charged));
        free.unwrap_or(Amount::ZERO)
    }

    /// Whether a payment is under way.
    pub const fn busy(&self) -> bool {
        self.underway.is_some()
    }

    /// Whether the channel was given up.
    pub const fn closing(&self) -> bool {
        self.closing
    }
}

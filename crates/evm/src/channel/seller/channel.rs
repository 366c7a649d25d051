use std::fmt;

use alloy_primitives::B256;
use seamline_core::{Amount, Timestamp};

use super::super::{ChainState, ChannelConfig, Claim, Deposit, Payload, Voucher, VoucherCheck};
use super::{Decline, Request, Rules};
use crate::x402::Reason;

/// A seller's books of one channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    pub(super) config: ChannelConfig,
    pub(super) chain_id: u64,
    pub(super) id: B256,
    /// What was charged in total.
    pub(super) charged: Amount,
    /// The newest voucher; its ceiling is at least `charged`. None where nothing was ever accepted.
    pub(super) voucher: Option<Voucher>,
    /// The chain as last seen.
    pub(super) chain: ChainState,
    /// When that was; never where these books are new.
    pub(super) synced_at: Option<Timestamp>,
    /// Since when something is charged that is not claimed.
    pub(super) unclaimed_since: Option<Timestamp>,
    /// When a request was last charged.
    pub(super) last_request: Timestamp,
    pub(super) held: Option<Held>,
}

/// A request that holds the channel. Never stored: a restart releases it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) voucher: Voucher,
    /// The most that it can be charged; zero for a refund.
    pub(super) amount: Amount,
    pub(super) refund: bool,
    /// The facilitator was asked and has not answered.
    pub(super) asked: bool,
}

/// What to do with a request that [`Channel::begin`] let hold the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Settle the deposit at the facilitator, then [`Channel::confirm`] with the state it answers.
    Deposit,
    /// Ask the facilitator to verify the payment, then [`Channel::confirm`] with its `extra`.
    Verify,
    /// Serve it: the books and a fresh mirror of the chain cover it.
    Serve,
}

/// What a request was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// For this request.
    pub amount: Amount,
    /// In total.
    pub cumulative: Amount,
}

impl Channel {
    /// Opens books for a channel that none are known of. Nothing is believed of it before
    /// [`Channel::confirm`].
    pub fn new(config: ChannelConfig, chain_id: u64) -> Self {
        Self {
            id: config.id(chain_id),
            config,
            chain_id,
            charged: Amount::ZERO,
            voucher: None,
            chain: ChainState::default(),
            synced_at: None,
            unclaimed_since: None,
            last_request: Timestamp::from_secs(0),
            held: None,
        }
    }

    /// Lets a request hold the channel under `id`, a number that the caller uses once.
    ///
    /// # Errors
    ///
    /// A [`Decline`]: nothing is held then.
    pub fn begin(
        &mut self,
        request: &Request<'_>,
        rules: &Rules,
        id: u64,
        now: Timestamp,
    ) -> Result<Step, Decline> {
        let refused = |reason| Err(Decline::Refused(reason));
        // 1. It is a payer's.
        let (amount, deposit, refund) = match request.payload {
            Payload::Deposit { deposit, .. } => (request.terms.amount, Some(deposit), false),
            Payload::Voucher { .. } => (request.terms.amount, None, false),
            Payload::Refund { order: None, .. } => (Amount::ZERO, None, true),
            Payload::Refund { .. } | Payload::Claim { .. } | Payload::Settle { .. } => {
                return refused(Reason::InvalidBatchSettlementEvmPayloadType);
            }
        };
        let Some((config, voucher)) = request.payload.channel() else {
            return refused(Reason::InvalidBatchSettlementEvmPayloadType);
        };
        // 2. The channel is the one that the offer asks for, and these are its books.
        config
            .check(&voucher.channel_id, request.terms)
            .map_err(Decline::Refused)?;
        if voucher.channel_id != self.id {
            return refused(Reason::InvalidBatchSettlementEvmChannelIdMismatch);
        }
        // 3. The deposit is not too small.
        let wished = request
            .terms
            .min_deposit
            .filter(|_| rules.enforce_min_deposit);
        let too_small =
            |deposit: &Deposit| wished.is_some_and(|least| deposit.amount < least.max(amount));
        if deposit.is_some_and(too_small) {
            return refused(Reason::InvalidBatchSettlementEvmDepositBelowMinDeposit);
        }
        // 4. The payer's side signed it: a stranger is told nothing of these books.
        let check = voucher.check(config, self.chain_id);
        if check == VoucherCheck::Invalid {
            return refused(Reason::InvalidBatchSettlementEvmVoucherSignature);
        }
        // 5. It promises exactly one more request, or for a refund what was charged. Who signs by code is
        // asked about first: `confirm` compares then.
        let signed = check == VoucherCheck::Valid;
        if signed && self.known() && self.charged.checked_add(amount) != Some(voucher.max_claimable)
        {
            return Err(self.corrective());
        }
        // 6. Nobody else holds the channel.
        if self.held.is_some() {
            return refused(Reason::InvalidBatchSettlementEvmChannelBusy);
        }
        // 7. The channel covers it, where that can be known without asking.
        let fresh = self.fresh(rules.mirror_ttl_s, now);
        if fresh {
            self.covers(voucher.max_claimable, deposit, refund)
                .map_err(Decline::Refused)?;
        }
        let step = match (deposit, refund) {
            (Some(_), _) => Step::Deposit,
            (None, false) if fresh && check == VoucherCheck::Valid => Step::Serve,
            (None, _) => Step::Verify,
        };
        self.held = Some(Held {
            id,
            voucher: voucher.clone(),
            amount,
            refund,
            asked: step != Step::Serve,
        });
        Ok(step)
    }

    /// Takes in what the facilitator answered for the request that holds the channel: the chain's
    /// state now, with the deposit in it.
    ///
    /// # Errors
    ///
    /// A [`Decline`]: the channel is released then.
    pub fn confirm(&mut self, id: u64, chain: ChainState, now: Timestamp) -> Result<(), Decline> {
        let Some(mut held) = self.held.take_if(|held| held.id == id) else {
            return Err(Decline::Refused(
                Reason::InvalidBatchSettlementEvmChannelBusy,
            ));
        };
        let was_known = self.known();
        self.observe(chain, now);
        let ceiling = held.voucher.max_claimable;
        if !was_known {
            // 8. Books that begin: what the payer says was charged, at least what was claimed.
            let base = ceiling.checked_sub(held.amount);
            match base.filter(|base| *base >= self.chain.total_claimed) {
                Some(base) => self.charged = base,
                None => {
                    self.charged = self.chain.total_claimed;
                    return Err(self.corrective());
                }
            }
        } else if self.charged.checked_add(held.amount) != Some(ceiling) {
            // The chain had more claimed than these books knew.
            return Err(self.corrective());
        }
        // 9. The channel covers it.
        self.covers(ceiling, None, held.refund)
            .map_err(Decline::Refused)?;
        held.asked = false;
        self.held = Some(held);
        Ok(())
    }

    /// Charges `actual` for the request that holds the channel, and releases it. Store these books
    /// durably before the payer gets its answer.
    ///
    /// # Errors
    ///
    /// `…_channel_busy` where `id` does not hold the channel, or was not confirmed;
    /// `…_charge_exceeds_signed_cumulative` above what it promised. Then nothing is charged, and
    /// the channel is released.
    pub fn commit(&mut self, id: u64, actual: Amount, now: Timestamp) -> Result<Charged, Reason> {
        let held = self.held.take_if(|held| held.id == id);
        let held = held.filter(|held| !held.asked && !held.refund);
        let held = held.ok_or(Reason::InvalidBatchSettlementEvmChannelBusy)?;
        let exceeds = || Reason::InvalidBatchSettlementEvmChargeExceedsSignedCumulative;
        let cumulative = self.charged.checked_add(actual).ok_or_else(exceeds)?;
        if actual > held.amount || cumulative > held.voucher.max_claimable {
            return Err(exceeds());
        }
        self.charged = cumulative;
        self.voucher = Some(held.voucher);
        self.last_request = now;
        if cumulative > self.chain.total_claimed {
            self.unclaimed_since = self.unclaimed_since.or(Some(now));
        }
        Ok(Charged {
            amount: actual,
            cumulative,
        })
    }

    /// The books as they would be if the request that holds the channel were charged `so_far`: what
    /// to store while an answer streams, so that a crash does not forgive it.
    ///
    /// # Errors
    ///
    /// As [`Channel::commit`].
    pub fn with_charge(&self, id: u64, so_far: Amount, now: Timestamp) -> Result<Self, Reason> {
        let mut books = self.clone();
        books.commit(id, so_far, now)?;
        Ok(books)
    }

    /// Releases the channel uncharged, where `id` holds it.
    pub fn cancel(&mut self, id: u64) {
        self.held.take_if(|held| held.id == id);
    }

    /// What can be claimed; `None` where nothing is due, or the chain no longer covers it.
    pub fn claim(&self) -> Option<Claim> {
        let voucher = self.voucher.as_ref()?;
        let claim = self.claim_with(voucher);
        (claim.total_claimed > self.chain.total_claimed).then_some(claim)
    }

    /// Takes in that `total` was claimed, as a transaction receipt showed.
    pub fn claimed(&mut self, total: Amount, now: Timestamp) {
        let chain = ChainState {
            total_claimed: total,
            ..self.chain
        };
        let synced_at = self.synced_at;
        self.observe(chain, now);
        // A transaction receipt says nothing of the balance or of withdrawals.
        self.synced_at = synced_at;
    }

    /// Takes in the chain's state. What was claimed never shrinks: an endpoint that lags is not
    /// believed about it.
    pub fn observe(&mut self, chain: ChainState, now: Timestamp) {
        let total_claimed = self.chain.total_claimed.max(chain.total_claimed);
        self.chain = ChainState {
            total_claimed,
            ..chain
        };
        self.synced_at = Some(now);
        self.charged = self.charged.max(total_claimed);
        self.unclaimed_since = if self.charged > total_claimed {
            self.unclaimed_since.or(Some(now))
        } else {
            None
        };
    }

    pub(super) fn known(&self) -> bool {
        self.synced_at.is_some() || self.voucher.is_some()
    }

    fn fresh(&self, ttl_s: u64, now: Timestamp) -> bool {
        // A mirror from the future is a clock that was set back: ask.
        self.synced_at
            .is_some_and(|at| at <= now && now.saturating_since(at).as_secs() <= ttl_s)
    }

    /// Whether the chain as last seen covers a promise. While a withdrawal is pending nothing new is
    /// covered: the payer has asked for its money back.
    fn covers(
        &self,
        ceiling: Amount,
        deposit: Option<&Deposit>,
        refund: bool,
    ) -> Result<(), Reason> {
        let exceeds = || Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance;
        let added = deposit.map_or(Amount::ZERO, |deposit| deposit.amount);
        let balance = self.chain.balance.checked_add(added).ok_or_else(exceeds)?;
        if !refund && self.chain.withdraw_requested_at_s != 0 {
            return Err(exceeds());
        }
        if ceiling > balance {
            return Err(exceeds());
        }
        let above = if refund {
            ceiling >= self.chain.total_claimed
        } else {
            ceiling > self.chain.total_claimed
        };
        if above {
            Ok(())
        } else {
            Err(Reason::InvalidBatchSettlementEvmCumulativeBelowClaimed)
        }
    }

    pub(super) fn claim_with(&self, voucher: &Voucher) -> Claim {
        // Above the balance the whole batch would revert: what is lost already must not take the
        // rest with it.
        let total = self.charged.min(self.chain.balance);
        Claim {
            config: self.config.clone(),
            max_claimable: voucher.max_claimable,
            signature: voucher.signature.clone(),
            total_claimed: total.min(voucher.max_claimable),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("charged", &self.charged)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

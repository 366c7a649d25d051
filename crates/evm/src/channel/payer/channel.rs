use std::fmt;

use alloy_primitives::{B256, U256};
use seamline_core::{Amount, Timestamp};

use super::{DepositRule, Keys, Payment, Refusal, sign};
use crate::channel::{ChainState, ChannelConfig, Charge, Deposit, Payload, Voucher};
use crate::facilitator::DEADLINE_BUFFER_S;
use crate::policy::Admitted;
use crate::x402::SettleResponse;

/// A payer's books of one channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    pub(super) config: ChannelConfig,
    pub(super) chain_id: u64,
    pub(super) id: B256,
    /// What is known to be in it, claimed or not.
    pub(super) balance: Amount,
    /// What was charged in total.
    pub(super) charged: Amount,
    /// What requests without an answer may have brought `charged` to.
    pub(super) maybe_charged: Amount,
    /// The most that was ever signed; never shrinks.
    pub(super) signed: Amount,
    /// A deposit that was sent, until the chain says what became of it.
    pub(super) deposit: Option<Deposit>,
    pub(super) underway: Option<Underway>,
    pub(super) closing: bool,
    /// Whether these books know every voucher that was signed; not after they were begun again.
    pub(super) complete: bool,
}

/// A payment that was signed and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Underway {
    pub(super) amount: Amount,
    pub(super) max_claimable: Amount,
    pub(super) refund: bool,
    /// Whether its deposit was signed for it, and never presented before.
    pub(super) fresh_deposit: bool,
    /// The most that was signed before it.
    pub(super) signed_before: Amount,
}

impl Channel {
    /// Opens books for a channel that was never used.
    pub fn new(config: ChannelConfig, chain_id: u64) -> Self {
        Self {
            id: config.id(chain_id),
            config,
            chain_id,
            balance: Amount::ZERO,
            charged: Amount::ZERO,
            maybe_charged: Amount::ZERO,
            signed: Amount::ZERO,
            deposit: None,
            underway: None,
            closing: false,
            complete: true,
        }
    }

    /// Opens books for a channel whose books were lost, from what the chain says. Until the seller
    /// shows the newest voucher ([`Channel::adopt`]), what was signed is not known.
    pub fn recovered(config: ChannelConfig, chain_id: u64, chain: &ChainState) -> Self {
        Self {
            balance: chain.balance,
            charged: chain.total_claimed,
            maybe_charged: chain.total_claimed,
            signed: chain.total_claimed,
            complete: false,
            ..Self::new(config, chain_id)
        }
    }

    /// Signs the next payment: a voucher for what was charged and the amount of `admitted`, with a
    /// deposit where the channel holds less. `salt` makes the deposit's nonce: fresh randomness.
    ///
    /// The policy has reserved the amount of `admitted` for this request. Store the books before
    /// sending. Signers may block.
    ///
    /// # Retries
    ///
    /// A payment whose answer is lost is sent again as it is. Only after [`Channel::lost`] another
    /// one is signed.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing is signed and the books are as before.
    pub fn pay(
        &mut self,
        admitted: &Admitted,
        keys: &Keys<'_>,
        rule: &DepositRule,
        salt: B256,
        now: Timestamp,
    ) -> Result<Payment, Refusal> {
        self.pay_beside(Amount::ZERO, admitted, keys, rule, salt, now)
    }

    /// As [`Channel::pay`], where the payer's other channels of the token hold `elsewhere`.
    pub(super) fn pay_beside(
        &mut self,
        elsewhere: Amount,
        admitted: &Admitted,
        keys: &Keys<'_>,
        rule: &DepositRule,
        salt: B256,
        now: Timestamp,
    ) -> Result<Payment, Refusal> {
        // 1. The channel is this offer's, and idle.
        let terms = admitted.channel().ok_or(Refusal::OtherChannel)?;
        self.check_idle(admitted, keys)?;
        // 2. One more request.
        let out_of_range = || Refusal::Sign(crate::Error::AmountRange);
        let amount = admitted.amount();
        let max_claimable = self.charged.checked_add(amount).ok_or_else(out_of_range)?;
        // 3. The channel covers it, or is made to.
        let deposit = match &self.deposit {
            Some(deposit) => Some(self.open_deposit(deposit, max_claimable, now)?),
            None if max_claimable <= self.balance => None,
            None => {
                let wanted = (max_claimable, amount);
                let amount = self.deposit_amount(wanted, terms, rule, elsewhere)?;
                Some(sign::deposit(
                    self, admitted, amount, salt, keys.payer, now,
                )?)
            }
        };
        // 4. The promise.
        let voucher = Voucher::sign(self.id, max_claimable, self.chain_id, keys.authorizer)?;
        let payload = match &deposit {
            Some(deposit) => Payload::Deposit {
                config: self.config.clone(),
                voucher,
                deposit: deposit.clone(),
            },
            None => Payload::Voucher {
                config: self.config.clone(),
                voucher,
            },
        };
        let payment = Payment {
            payload: sign::message(admitted, &payload)?,
            max_claimable,
            deposit: deposit.as_ref().map(|deposit| deposit.amount),
        };
        let signed_before = self.signed;
        self.signed = self.signed.max(max_claimable);
        let fresh_deposit = self.deposit.is_none() && deposit.is_some();
        self.deposit = deposit;
        self.underway = Some(Underway {
            amount,
            max_claimable,
            refund: false,
            fresh_deposit,
            signed_before,
        });
        Ok(payment)
    }

    /// What the next payment of `amount` would put into the channel; `None` where nothing is needed, or
    /// where a deposit is under way.
    pub(super) fn deposit_wanted(
        &self,
        elsewhere: Amount,
        amount: Amount,
        terms: &crate::policy::ChannelTerms,
        rule: &DepositRule,
    ) -> Result<Option<Amount>, Refusal> {
        let out_of_range = || Refusal::Sign(crate::Error::AmountRange);
        let max_claimable = self.charged.checked_add(amount).ok_or_else(out_of_range)?;
        if self.deposit.is_some() || max_claimable <= self.balance {
            return Ok(None);
        }
        let wanted = (max_claimable, amount);
        self.deposit_amount(wanted, terms, rule, elsewhere)
            .map(Some)
    }

    /// Signs the request for what is left of the channel, or for `amount` of it: a promise of exactly
    /// what was charged, which costs nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`].
    pub fn refund(
        &mut self,
        admitted: &Admitted,
        keys: &Keys<'_>,
        amount: Option<Amount>,
    ) -> Result<Payment, Refusal> {
        self.check_idle(admitted, keys)?;
        if self.deposit.is_some() {
            return Err(Refusal::DepositUnknown);
        }
        let max_claimable = self.charged;
        let voucher = Voucher::sign(self.id, max_claimable, self.chain_id, keys.authorizer)?;
        let payload = Payload::Refund {
            config: self.config.clone(),
            voucher,
            amount,
            order: None,
        };
        let payment = Payment {
            payload: sign::message(admitted, &payload)?,
            max_claimable,
            deposit: None,
        };
        self.signed = self.signed.max(max_claimable);
        self.underway = Some(Underway {
            amount: Amount::ZERO,
            max_claimable,
            refund: true,
            fresh_deposit: false,
            signed_before: self.signed,
        });
        Ok(payment)
    }

    /// Takes in the seller's answer to the payment under way. Returns what was charged.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] and [`Refusal::Overcharged`]: the payment counts as lost then. Nothing
    /// is under way afterwards in any case.
    pub fn answered(&mut self, response: &SettleResponse) -> Result<Amount, Refusal> {
        let Some(underway) = self.underway else {
            return Err(Refusal::Malformed);
        };
        if !response.success {
            self.lost();
            let reason = response.error_reason.clone();
            return Err(reason.map_or(Refusal::Malformed, Refusal::Refused));
        }
        if underway.refund {
            self.underway = None;
            return self.given_back(response);
        }
        match charged(response, underway.amount, self.charged) {
            Ok((amount, total)) => {
                self.underway = None;
                self.charged = total;
                // The seller took the voucher, so that earlier requests without an answer were
                // charged nothing.
                self.maybe_charged = total;
                self.complete = true;
                if let Some(deposit) = self.deposit.take() {
                    let balance = self.balance.checked_add(deposit.amount);
                    self.balance = balance.unwrap_or(self.balance);
                }
                Ok(amount)
            }
            Err(refusal) => {
                self.lost();
                Err(refusal)
            }
        }
    }

    /// No answer came, or one that does not say what was charged: the seller may charge up to what
    /// was signed. What the policy reserved for the request stays reserved until a later answer, a
    /// correction or the chain settles it.
    pub fn lost(&mut self) {
        if let Some(underway) = self.underway.take() {
            self.maybe_charged = self.maybe_charged.max(underway.max_claimable);
        }
    }

    /// The payment was never sent, and its signatures are forgotten: nothing of it counts.
    pub fn unsent(&mut self) {
        let Some(underway) = self.underway.take() else {
            return;
        };
        self.signed = underway.signed_before;
        if underway.fresh_deposit {
            self.deposit = None;
        }
    }

    fn check_idle(&self, admitted: &Admitted, keys: &Keys<'_>) -> Result<(), Refusal> {
        let (payer, authorizer) = (keys.payer.address(), keys.authorizer.address());
        let asked = super::config_of(admitted, payer, authorizer, self.config.salt);
        if asked.as_ref() != Some(&self.config) || admitted.chain_id() != self.chain_id {
            return Err(Refusal::OtherChannel);
        }
        if self.underway.is_some() {
            return Err(Refusal::Busy);
        }
        if self.closing {
            return Err(Refusal::Closing);
        }
        Ok(())
    }

    /// The open deposit once more, where it still covers the promise and can still land.
    fn open_deposit(
        &self,
        deposit: &Deposit,
        max_claimable: Amount,
        now: Timestamp,
    ) -> Result<Deposit, Refusal> {
        let covered = self.balance.checked_add(deposit.amount);
        let covers = covered.is_some_and(|covered| max_claimable <= covered);
        let soon = now.as_secs().saturating_add(DEADLINE_BUFFER_S);
        if covers && deposit.dead_at_s() > U256::from(soon) {
            Ok(deposit.clone())
        } else {
            Err(Refusal::DepositUnknown)
        }
    }

    fn deposit_amount(
        &self,
        (max_claimable, price): (Amount, Amount),
        terms: &crate::policy::ChannelTerms,
        rule: &DepositRule,
        elsewhere: Amount,
    ) -> Result<Amount, Refusal> {
        let gap = max_claimable.checked_sub(self.balance);
        let needed = gap.unwrap_or(Amount::ZERO);
        let room = terms.max_held.checked_sub(elsewhere);
        let cap = terms.max_deposit.min(room.unwrap_or(Amount::ZERO));
        let left = cap.checked_sub(self.held()).unwrap_or(Amount::ZERO);
        if needed > left {
            return Err(Refusal::DepositCap { needed, left });
        }
        let times = price.get().saturating_mul(u128::from(rule.multiplier));
        let wished = terms.min_deposit.filter(|wished| *wished >= price);
        let target = wished.unwrap_or_else(|| Amount::new(times));
        Ok(target.max(needed).min(left))
    }

    /// What the channel holds, or will where its deposit lands: what was charged is the seller's already.
    pub(super) fn held(&self) -> Amount {
        let open = self.deposit.as_ref().map_or(Amount::ZERO, |it| it.amount);
        let all = self
            .balance
            .checked_add(open)
            .unwrap_or(Amount::new(u128::MAX));
        all.checked_sub(self.charged).unwrap_or(Amount::ZERO)
    }

    fn given_back(&mut self, response: &SettleResponse) -> Result<Amount, Refusal> {
        // The seller's word; the chain is read before the channel is used again.
        let given = response.settled_amount().ok_or(Refusal::Malformed)?;
        let left = self.balance.checked_sub(self.charged);
        let given = given.min(left.unwrap_or(Amount::ZERO));
        self.balance = self.balance.checked_sub(given).unwrap_or(self.balance);
        Ok(Amount::ZERO)
    }
}

/// What the answer says was charged: for this request, and in total.
fn charged(
    response: &SettleResponse,
    bound: Amount,
    before: Amount,
) -> Result<(Amount, Amount), Refusal> {
    let said = Charge::of(response).map_err(|_| Refusal::Malformed)?;
    let amount = said.amount;
    let total = before.checked_add(amount).ok_or(Refusal::Malformed)?;
    if amount > bound {
        let bound = before.checked_add(bound).unwrap_or(before);
        return Err(Refusal::Overcharged { said: total, bound });
    }
    if let Some(said) = said.total.filter(|said| *said != total) {
        return Err(Refusal::Overcharged { said, bound: total });
    }
    Ok((amount, total))
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("balance", &self.balance)
            .field("charged", &self.charged)
            .field("signed", &self.signed)
            .finish_non_exhaustive()
    }
}

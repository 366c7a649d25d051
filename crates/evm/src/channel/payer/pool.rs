use std::fmt;

use alloy_primitives::{Address, B256, keccak256};

use super::{Channel, DepositRule, Keys, Payment, Refusal, config_of};
use crate::policy::Admitted;
use crate::x402::extensions::payment_identifier::PaymentId;
use seamline_core::{Amount, Timestamp, binding};

/// Channels with any number of sellers, several with each: one request at a time goes through a
/// channel.
///
/// What all of them hold together is at most the policy's cap per channel times the number of channels,
/// and of one token at most its cap per day.
#[derive(Clone)]
pub struct Pool {
    recorder: [u8; 32],
    seed: B256,
    per_seller: u32,
    channels: Vec<Channel>,
}

impl Pool {
    /// A pool of at most `per_seller` channels with each seller, of the installation whose receipts verify
    /// under `recorder`. `seed` is random and kept for ever: the channels' salts are session commitments
    /// ([`binding::session_commitment`]) made of both, so that two installations with one key do not meet
    /// in one channel.
    pub const fn new(recorder: [u8; 32], seed: B256, per_seller: u32) -> Self {
        Self {
            recorder,
            seed,
            per_seller,
            channels: Vec::new(),
        }
    }

    /// A name for the voucher of `max_claimable` in the channel `id`: the same for the same voucher, and
    /// secret as long as the seed is.
    pub fn name_of(&self, id: &B256, max_claimable: Amount) -> PaymentId {
        let domain = b"seamline/v1/voucher-name".as_slice();
        let total = max_claimable.get().to_be_bytes();
        let hash = keccak256([domain, self.seed.as_slice(), id.as_slice(), &total].concat());
        let [half, ..] = hash.0.as_chunks::<16>().0 else {
            return PaymentId::from_bytes(&[0; 16]);
        };
        PaymentId::from_bytes(half)
    }

    /// Takes in books that were stored.
    pub fn restore(&mut self, channel: Channel) {
        self.channels.retain(|known| known.id() != channel.id());
        self.channels.push(channel);
    }

    /// Signs the next payment in an idle channel: one that covers it without a deposit, else one
    /// that can be filled, else a new one. Returns the channel's id; store its books before
    /// sending.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the last channel that was tried; [`Refusal::Busy`] where all of them have
    /// a request under way.
    pub fn pay(
        &mut self,
        admitted: &Admitted,
        keys: &Keys<'_>,
        rule: &DepositRule,
        salt: B256,
        now: Timestamp,
    ) -> Result<(B256, Payment), Refusal> {
        let mut last = Refusal::Busy;
        let parties = (keys.payer.address(), keys.authorizer.address());
        for config in self.configs(admitted, parties)? {
            let id = config.id(admitted.chain_id());
            if self.get(&id).is_none() {
                self.channels
                    .push(Channel::new(config, admitted.chain_id()));
            }
        }
        for id in self.order(admitted, parties)? {
            match self.pay_in(&id, admitted, keys, rule, salt, now) {
                Ok(payment) => return Ok((id, payment)),
                Err(refusal) => last = refusal,
            }
        }
        Err(last)
    }

    /// What [`Pool::pay`] would put into a channel for an offer now; `None` where an idle channel covers
    /// it, or has a deposit of its own under way. Signs nothing.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] of the last channel that was tried, as [`Pool::pay`] has it.
    pub fn deposit_for(
        &self,
        admitted: &Admitted,
        payer: Address,
        authorizer: Address,
        rule: &DepositRule,
    ) -> Result<Option<Amount>, Refusal> {
        let terms = admitted.channel().ok_or(Refusal::OtherChannel)?;
        let parties = (payer, authorizer);
        let mut last = Refusal::Busy;
        let fill = |channel: &Channel| {
            let elsewhere = self.elsewhere(&channel.id(), admitted);
            channel.deposit_wanted(elsewhere, admitted.amount(), terms, rule)
        };
        let known = self.order(admitted, parties)?;
        for channel in known.iter().filter_map(|id| self.get(id)) {
            match fill(channel) {
                Ok(wanted) => return Ok(wanted),
                Err(refusal) => last = refusal,
            }
        }
        let chain_id = admitted.chain_id();
        for config in self.configs(admitted, parties)? {
            let fresh = Channel::new(config, chain_id);
            if self.get(&fresh.id()).is_none() {
                return fill(&fresh);
            }
        }
        Err(last)
    }

    /// Signs the next payment in this channel and no other; otherwise as [`Pool::pay`].
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; nothing is signed and the books are as before.
    pub fn pay_in(
        &mut self,
        id: &B256,
        admitted: &Admitted,
        keys: &Keys<'_>,
        rule: &DepositRule,
        salt: B256,
        now: Timestamp,
    ) -> Result<Payment, Refusal> {
        let elsewhere = self.elsewhere(id, admitted);
        let channel = self.get_mut(id).ok_or(Refusal::OtherChannel)?;
        channel.pay_beside(elsewhere, admitted, keys, rule, salt, now)
    }

    /// The books of a channel.
    pub fn get(&self, id: &B256) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id() == *id)
    }

    /// The books of a channel, to take in what came back.
    pub fn get_mut(&mut self, id: &B256) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.id() == *id)
    }

    /// The books of all channels.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// What all channels were charged, base units; of one token only where the policy allows one.
    pub fn charged(&self) -> Amount {
        let all = self.channels.iter().map(Channel::charged);
        all.fold(Amount::ZERO, |sum, it| sum.checked_add(it).unwrap_or(sum))
    }

    /// What the channels of the offer's token hold, other than this one.
    fn elsewhere(&self, id: &B256, admitted: &Admitted) -> Amount {
        let (chain, token) = (admitted.chain_id(), admitted.asset());
        let others = self.channels.iter().filter(|channel| {
            channel.id() != *id && channel.chain_id == chain && channel.config.token == token
        });
        others.fold(Amount::ZERO, |sum, it| {
            sum.checked_add(it.held()).unwrap_or(Amount::new(u128::MAX))
        })
    }

    fn configs(
        &self,
        admitted: &Admitted,
        (payer, authorizer): (Address, Address),
    ) -> Result<Vec<crate::channel::ChannelConfig>, Refusal> {
        (0..self.per_seller)
            .map(|place| {
                let salt = self.salt(place);
                config_of(admitted, payer, authorizer, salt).ok_or(Refusal::OtherChannel)
            })
            .collect()
    }

    /// The idle channels for an offer: first those that cover it as they are.
    fn order(
        &self,
        admitted: &Admitted,
        parties: (Address, Address),
    ) -> Result<Vec<B256>, Refusal> {
        let configs = self.configs(admitted, parties)?;
        let mut idle: Vec<_> = configs
            .iter()
            .filter_map(|config| {
                let channel = self.get(&config.id(admitted.chain_id()))?;
                let covers = channel.free() >= admitted.amount();
                let idle = !channel.busy() && !channel.closing();
                idle.then_some((channel.id(), covers))
            })
            .collect();
        // Stable: among equals the place decides.
        idle.sort_by_key(|(_, covers)| !covers);
        Ok(idle.into_iter().map(|(id, _)| id).collect())
    }

    /// The session nonce that a channel's salt commits to; `None` for a channel of another pool, or one
    /// beyond its number.
    pub fn session_nonce(&self, channel: &Channel) -> Option<B256> {
        let mut places = 0..self.per_seller;
        let place = places.find(|place| self.salt(*place) == channel.config().salt)?;
        Some(binding::session_nonce(&self.seed, place))
    }

    fn salt(&self, place: u32) -> B256 {
        let nonce = binding::session_nonce(&self.seed, place);
        binding::session_commitment(&self.recorder, &nonce)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

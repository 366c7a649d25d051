//! The payment channels of an installation, for whoever looks after its money.

use std::collections::HashMap;

use seamline_core::{Address, Amount, B256, Charged, NodeId};
use seamline_evm::channel::payer::{Channel, Refusal};
use seamline_evm::channel::{BATCH_SETTLEMENT, ChainState, StateRead};

use crate::client::{Client, lock};
use crate::error::{Error, ErrorKind};
use crate::journal::CallRecord;
use crate::purse::Purse;
use crate::step::Step;

/// A payment channel, as the books have it and as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// The channel's id.
    pub id: B256,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The ERC-20.
    pub token: Address,
    /// Who is paid.
    pub receiver: Address,
    /// The node that was paid last; `None` for a plain server.
    pub node: Option<NodeId>,
    /// The origin of a plain server.
    pub origin: Option<String>,
    /// What is in it, base units; what was claimed stays part of it.
    pub balance: Amount,
    /// What the seller said that it charged, in total, base units.
    pub charged: Amount,
    /// What requests without an answer may have brought that to, base units.
    pub maybe_charged: Amount,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay_s: u64,
    /// Whether a deposit was sent of which it is not known whether it landed.
    pub deposit_open: bool,
    /// Whether it was given up: nothing more is signed for it.
    pub closing: bool,
    /// What the chain says; `None` for a channel of another chain.
    pub chain: Option<ChainState>,
}

/// The next step on the way out of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withdrawal {
    /// Send this to the contract, from the payer's account: it asks for `amount` back.
    Ask {
        /// The contract.
        to: Address,
        /// The call's input.
        input: Vec<u8>,
        /// What is asked for, base units.
        amount: Amount,
        /// Seconds until it can be fetched.
        delay_s: u64,
    },
    /// Send this to the contract, from the payer's account: it fetches what was asked for. Tell
    /// [`Client::withdrawn`] when it is on the chain.
    Fetch {
        /// The contract.
        to: Address,
        /// The call's input.
        input: Vec<u8>,
        /// What was asked for, base units; a claim in between makes it less.
        amount: Amount,
    },
    /// It was asked for and can be fetched from then on, Unix seconds.
    Wait {
        /// When.
        until_s: u64,
    },
    /// There is nothing in the channel that could be taken back.
    Nothing,
}

impl ChannelStatus {
    /// What is in the channel and neither charged nor maybe charged, base units.
    pub fn left(&self) -> Amount {
        let left = self.balance.checked_sub(self.maybe_charged);
        left.unwrap_or(Amount::ZERO)
    }

    /// The stable word: `open`, `leaving`, `withdrawing`.
    pub fn state(&self) -> &'static str {
        let asked = self.chain.map_or(0, |chain| chain.withdraw_requested_at_s);
        match (asked, self.closing) {
            (0, false) => "open",
            (0, true) => "leaving",
            (_, _) => "withdrawing",
        }
    }
}

impl Client {
    /// All channels of this installation, with what the chain says of those on this client's chain.
    ///
    /// # Errors
    ///
    /// The journal or the chain cannot be read.
    pub async fn channels(&self) -> Result<Vec<ChannelStatus>, Error> {
        self.all_channels().await.map_err(outside)
    }

    /// The next step on the way out of a channel. From the first one on, which is written down before it is
    /// returned, nothing more is paid with the channel. Sends nothing.
    ///
    /// # Errors
    ///
    /// As [`Client::channels`]; [`ErrorKind::Channel`] where there is no such channel on this chain.
    pub async fn withdrawal(&self, id: &B256) -> Result<Withdrawal, Error> {
        self.next_withdrawal(id).await.map_err(outside)
    }

    /// Takes in that a withdrawal was fetched: the channel may be filled and used again.
    ///
    /// # Errors
    ///
    /// As [`Client::withdrawal`].
    pub async fn withdrawn(&self, id: &B256) -> Result<(), Error> {
        let state = self.state_of(id).await.map_err(outside)?;
        let now = self.config.env.now();
        self.with_channel(id, |channel| channel.withdrawn(&state, now))
            .map_err(outside)
    }

    fn any_purse(&self) -> Purse {
        let config = &self.config;
        Purse {
            books: std::sync::Arc::clone(&self.books),
            signer: std::sync::Arc::clone(&config.signer),
            env: config.env.clone(),
            per_seller: config.options.channels_per_node,
            recorder: *config.recorder.public_key().as_bytes(),
            h_bind: B256::ZERO,
        }
    }

    async fn all_channels(&self) -> Result<Vec<ChannelStatus>, ErrorKind> {
        let known = self.any_purse().all()?;
        let calls = self.books.journal.calls().map_err(ErrorKind::Journal)?;
        // Newest first: the first call of a channel is its last.
        let mut users: HashMap<B256, &CallRecord> = HashMap::new();
        for call in &calls {
            if let Some(voucher) = &call.voucher {
                users.entry(voucher.channel).or_insert(call);
            }
        }
        let here = self.config.network.chain_id;
        let ours = known.iter().filter(|it| it.chain_id() == here);
        let ids: Vec<_> = ours.map(Channel::id).collect();
        let states: HashMap<B256, ChainState> = self.states(ids).await?.into_iter().collect();
        let listed = known.iter().map(|channel| {
            let id = channel.id();
            status(channel, users.get(&id).copied(), states.get(&id).copied())
        });
        Ok(listed.collect())
    }

    async fn next_withdrawal(&self, id: &B256) -> Result<Withdrawal, ErrorKind> {
        let state = self.state_of(id).await?;
        let channel = self
            .any_purse()
            .all()?
            .into_iter()
            .find(|it| it.id() == *id);
        let channel = channel.ok_or(ErrorKind::Channel(Refusal::OtherChannel))?;
        let delay_s = channel.config().withdraw_delay_s;
        if state.withdraw_requested_at_s > 0 {
            let until_s = state.withdraw_requested_at_s.saturating_add(delay_s);
            if self.config.env.now().as_secs() < until_s {
                return Ok(Withdrawal::Wait { until_s });
            }
            let input = channel.finalize_call();
            return Ok(match input {
                Some(input) => Withdrawal::Fetch {
                    to: BATCH_SETTLEMENT,
                    input: input.to_vec(),
                    amount: state.withdraw_amount,
                },
                None => Withdrawal::Nothing,
            });
        }
        // What was charged, or may have been, is left for the seller.
        let owed = channel.maybe_charged().max(state.total_claimed);
        let amount = state.balance.checked_sub(owed).unwrap_or(Amount::ZERO);
        if amount.is_zero() {
            return Ok(Withdrawal::Nothing);
        }
        let mut input = None;
        self.with_channel(id, |channel| input = channel.close_call(amount))?;
        Ok(match input {
            Some(input) => Withdrawal::Ask {
                to: BATCH_SETTLEMENT,
                input: input.to_vec(),
                amount,
                delay_s,
            },
            None => Withdrawal::Nothing,
        })
    }

    async fn state_of(&self, id: &B256) -> Result<ChainState, ErrorKind> {
        let missing = || ErrorKind::Channel(Refusal::OtherChannel);
        let known = self.any_purse().all()?;
        let here = self.config.network.chain_id;
        let mut ours = known.iter().filter(|it| it.chain_id() == here);
        ours.find(|it| it.id() == *id).ok_or_else(missing)?;
        let states = self.states(vec![*id]).await?;
        states.first().map(|(_, state)| *state).ok_or_else(missing)
    }

    async fn states(&self, ids: Vec<B256>) -> Result<Vec<(B256, ChainState)>, ErrorKind> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = StateRead::new(ids);
        let results = self.config.network.rpc.batch(read.calls()).await;
        let results = results.map_err(|err| ErrorKind::Chain(err.into()))?;
        read.conclude(&results).map_err(ErrorKind::Chain)
    }

    /// Changes a channel's books, and writes them.
    fn with_channel(&self, id: &B256, work: impl FnOnce(&mut Channel)) -> Result<(), ErrorKind> {
        let mut pool = lock(&self.books.channels);
        let channel = pool.as_mut().and_then(|pool| pool.get_mut(id));
        let channel = channel.ok_or(ErrorKind::Channel(Refusal::OtherChannel))?;
        work(channel);
        let written = self.books.journal.update_channel(channel);
        written.map_err(ErrorKind::Journal)
    }
}

fn status(
    channel: &Channel,
    user: Option<&CallRecord>,
    chain: Option<ChainState>,
) -> ChannelStatus {
    let origin = user.and_then(|call| Some(call.purchase.as_ref()?.origin.clone()));
    let node = user.and_then(|call| Some(call.voucher.as_ref()?.node));
    let config = channel.config();
    ChannelStatus {
        id: channel.id(),
        chain_id: channel.chain_id(),
        token: config.token,
        receiver: config.receiver,
        node: node.filter(|_| origin.is_none()).map(NodeId::new),
        origin,
        balance: channel.balance(),
        charged: channel.charged(),
        maybe_charged: channel.maybe_charged(),
        withdraw_delay_s: config.withdraw_delay_s,
        deposit_open: channel.open_deposit_of().is_some(),
        closing: channel.closing(),
        chain,
    }
}

fn outside(kind: ErrorKind) -> Error {
    Error::new(kind, Step::Settle, Charged::No, None)
}

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use seamline_core::{Amount, Timestamp};

use super::Channel;
use crate::channel::Claim;
use crate::channel::payload::MAX_CLAIMS;

/// When to claim. What is charged and not claimed is the payer's to take back, after the channel's
/// withdrawal delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// Claim a channel as soon as this much is due of it, base units.
    pub at_amount: Amount,
    /// Claim whatever is due after this many seconds. Whatever is said here, a third of the
    /// channel's withdrawal delay is the longest: a withdrawal that starts right after a charge
    /// still comes too late then.
    pub max_age_s: u64,
    /// Look at the chain again where it was last seen longer ago than this, in seconds, for channels
    /// of which something is due.
    pub watch_s: u64,
    /// Most channels of one claim; never more than a hundred.
    pub max_rows: usize,
    /// How long to wait before something that failed is tried again, in seconds.
    pub retry_s: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Time has passed; these are the books of all channels.
    Tick(&'a [Channel]),
    /// The claim under way was settled; its totals are in the books already.
    Claimed,
    /// The claim under way was refused, reverted, or got no answer.
    ClaimFailed,
    /// The payout under way was settled, or there was nothing to pay.
    Settled,
    /// The payout under way was refused, reverted, or got no answer.
    SettleFailed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this claim to the facilitator; answer with [`Event::Claimed`] or [`Event::ClaimFailed`].
    Claim(Vec<Claim>),
    /// Have this paid out; answer with [`Event::Settled`] or [`Event::SettleFailed`].
    Settle {
        /// To whom.
        receiver: Address,
        /// Token contract.
        token: Address,
    },
    /// Read the states of these channels ([`super::super::StateRead`]) and give them to
    /// [`Channel::observe`].
    Watch(Vec<B256>),
}

/// Says when to claim and to pay out. One claim and one payout are under way at a time; a payout
/// follows a claim only after its transaction receipt.
#[derive(Clone, Debug)]
pub struct Collector {
    rules: ClaimRules,
    /// The claim under way: its channels, and whom it will owe.
    claiming: Option<(Vec<B256>, BTreeSet<Owed>)>,
    paying: Option<Owed>,
    /// Who is owed what was claimed, and when to try next.
    owed: BTreeMap<Owed, Timestamp>,
    /// Channels of claims that failed: claimed alone, not before this.
    suspect: BTreeMap<B256, Timestamp>,
}

type Owed = (Address, Address);

impl Default for ClaimRules {
    /// Every five minutes, which is a third of the shortest withdrawal delay; never by amount.
    fn default() -> Self {
        Self {
            at_amount: Amount::new(u128::MAX),
            max_age_s: 300,
            watch_s: 60,
            // A row takes about 800 bytes, and a payment that is read has at most 32 KiB.
            max_rows: 30,
            retry_s: 15,
        }
    }
}

impl Collector {
    /// A collector that has nothing under way. After a restart, give [`Collector::resume`] whom the
    /// seller is.
    pub const fn new(rules: ClaimRules) -> Self {
        Self {
            rules,
            claiming: None,
            paying: None,
            owed: BTreeMap::new(),
            suspect: BTreeMap::new(),
        }
    }

    /// Has whatever was claimed before paid out at the next tick: what a restart forgot.
    pub fn resume(&mut self, receiver: Address, token: Address, now: Timestamp) {
        self.owed.insert((receiver, token), now);
    }

    /// Takes in what happened.
    pub fn on_event(&mut self, event: Event<'_>, now: Timestamp) -> Vec<Action> {
        let later = Timestamp::from_secs(now.as_secs().saturating_add(self.rules.retry_s));
        match event {
            Event::Tick(channels) => self.tick(channels, now),
            Event::Claimed => {
                if let Some((channels, owed)) = self.claiming.take() {
                    for channel in channels {
                        self.suspect.remove(&channel);
                    }
                    self.owed.extend(owed.into_iter().map(|owed| (owed, now)));
                }
                self.pay(now)
            }
            Event::ClaimFailed => {
                let failed = self.claiming.take().map(|(channels, _)| channels);
                // Which of them it was is not known: each gets its own claim.
                let failed = failed.unwrap_or_default();
                let alone = failed.len() == 1;
                let next = if alone { later } else { now };
                self.suspect
                    .extend(failed.into_iter().map(|channel| (channel, next)));
                Vec::new()
            }
            Event::Settled => {
                self.paying = None;
                self.pay(now)
            }
            Event::SettleFailed => {
                if let Some(owed) = self.paying.take() {
                    self.owed.insert(owed, later);
                }
                Vec::new()
            }
        }
    }

    fn tick(&mut self, channels: &[Channel], now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        let watched: Vec<B256> = channels
            .iter()
            .filter(|channel| !channel.unclaimed().is_zero() && self.unseen(channel, now))
            .map(Channel::id)
            .collect();
        if !watched.is_empty() {
            actions.push(Action::Watch(watched));
        }
        if self.claiming.is_none() {
            actions.extend(self.claim(channels, now));
        }
        actions.extend(self.pay(now));
        actions
    }

    /// The next claim: due channels with one receiver authorizer, the most urgent first.
    fn claim(&mut self, channels: &[Channel], now: Timestamp) -> Option<Action> {
        let mut due: Vec<&Channel> = channels
            .iter()
            .filter(|channel| self.due(channel, now) && channel.claim().is_some())
            .collect();
        due.sort_by_key(|channel| {
            let calm = channel.chain().withdraw_requested_at_s == 0;
            (calm, channel.unclaimed_since(), channel.id())
        });
        let first = due.first()?;
        let alone = self.suspect.contains_key(&first.id());
        let authorizer = first.config().receiver_authorizer;
        let together = due.iter().filter(|channel| {
            channel.config().receiver_authorizer == authorizer
                && !self.suspect.contains_key(&channel.id())
        });
        let most = self.rules.max_rows.clamp(1, MAX_CLAIMS);
        let rows: Vec<&Channel> = if alone {
            vec![*first]
        } else {
            together.copied().take(most).collect()
        };
        let owed = rows
            .iter()
            .map(|channel| (channel.config().receiver, channel.config().token));
        let ids = rows.iter().map(|channel| channel.id()).collect();
        let claims: Vec<Claim> = rows.iter().filter_map(|channel| channel.claim()).collect();
        self.claiming = Some((ids, owed.collect()));
        Some(Action::Claim(claims))
    }

    fn due(&self, channel: &Channel, now: Timestamp) -> bool {
        let retry = self.suspect.get(&channel.id());
        if retry.is_some_and(|next| *next > now) {
            return false;
        }
        let Some(since) = channel.unclaimed_since() else {
            return false;
        };
        let third = channel
            .config()
            .withdraw_delay_s
            .checked_div(3)
            .unwrap_or(0);
        let longest = self.rules.max_age_s.min(third);
        let withdrawing = channel.chain().withdraw_requested_at_s != 0;
        withdrawing
            || channel.unclaimed() >= self.rules.at_amount
            || now.saturating_since(since).as_secs() >= longest
    }

    fn unseen(&self, channel: &Channel, now: Timestamp) -> bool {
        channel
            .synced_at()
            .is_none_or(|at| now.saturating_since(at).as_secs() >= self.rules.watch_s)
    }

    fn pay(&mut self, now: Timestamp) -> Vec<Action> {
        if self.paying.is_some() {
            return Vec::new();
        }
        let next = self.owed.iter().find(|(_, at)| **at <= now);
        let Some((receiver, token)) = next.map(|(owed, _)| *owed) else {
            return Vec::new();
        };
        self.owed.remove(&(receiver, token));
        self.paying = Some((receiver, token));
        vec![Action::Settle { receiver, token }]
    }
}

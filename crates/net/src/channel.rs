//! Payment channels behind the paywall: the scheme `batch-settlement`, judged here.
//!
//! A voucher is checked against this process's books and a mirror of the chain, without asking
//! anybody; its charge is on disk before the answer leaves. A background task claims what was
//! charged before a payer could withdraw it, and has it paid out. The rules are those of
//! [`seamline_evm::channel::seller`].

mod claims;
mod file;
mod hold;
mod memory;
mod scheme;

use core::fmt;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::{Address, B256, Timestamp};
use seamline_evm::channel::seller::{Channel, ClaimRules, Collector, Rules};
use seamline_evm::{Rpc, Signer};

pub use self::file::ChannelFile;
pub use self::memory::ChannelMemory;
use crate::clock::Clock;
use crate::facilitator::FacilitatorApi;
use crate::paywall::{StoreError, StoreFuture};

/// Where a seller keeps its books of channels. They belong to one process.
pub trait ChannelStore: Send + Sync {
    /// Reads all books, at the start.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: a seller must not start without its books.
    fn load(&self) -> StoreFuture<'_, Vec<Channel>>;

    /// Writes the books of one channel, durably before it returns. Writes of a channel are made in
    /// the order of the calls, not of the futures: the call itself takes the place in line.
    fn save<'a>(&'a self, channel: &'a Channel) -> StoreFuture<'a, ()>;

    /// Forgets the books of a channel of which nothing is left; takes its place in line as
    /// [`ChannelStore::save`] does.
    fn forget(&self, channel_id: B256) -> StoreFuture<'_, ()>;
}

/// How a seller sells through channels.
#[derive(Clone)]
pub struct ChannelConfig {
    /// CAIP-2 id of the chain.
    pub network: String,
    /// EIP-155 id of the same chain.
    pub chain_id: u64,
    /// Who is paid.
    pub receiver: Address,
    /// Token contract.
    pub token: Address,
    /// Signs claims and refunds: the offers' `receiverAuthorizer`. Hot, and able only to move what
    /// payers promised to the receiver, or back to them.
    pub authorizer: Arc<dyn Signer>,
    /// Seconds between a payer's wish to withdraw and its money; 900 to 2,592,000.
    pub withdraw_delay_s: u64,
    /// The least deposit that offers wish for, as many times the price; 10, as official servers.
    pub min_deposit_times: u32,
    /// What is accepted.
    pub rules: Rules,
    /// When to claim.
    pub claims: ClaimRules,
    /// How often the background task looks; 5 s.
    pub tick: Duration,
    /// Most channels whose books are kept; 65,536. A channel that is new then is refused.
    pub max_channels: usize,
    /// The wall clock.
    pub clock: Clock,
}

impl ChannelConfig {
    /// The defaults: withdrawals take an hour, claims are made every five minutes.
    pub fn new(
        network: impl Into<String>,
        chain_id: u64,
        receiver: Address,
        token: Address,
        authorizer: Arc<dyn Signer>,
        clock: Clock,
    ) -> Self {
        Self {
            network: network.into(),
            chain_id,
            receiver,
            token,
            authorizer,
            withdraw_delay_s: 3_600,
            min_deposit_times: 10,
            rules: Rules::default(),
            claims: ClaimRules::default(),
            tick: Duration::from_secs(5),
            max_channels: 65_536,
            clock,
        }
    }
}

/// Sells through payment channels: give it to [`crate::PaywallConfig::local`], and run
/// [`Channels::run`] beside the server. Clones share the books.
#[derive(Clone)]
pub struct Channels(Arc<Inner>);

struct Inner {
    config: ChannelConfig,
    facilitator: Arc<dyn FacilitatorApi>,
    rpc: Option<Arc<dyn Rpc>>,
    store: Arc<dyn ChannelStore>,
    books: Mutex<Books>,
}

struct Books {
    channels: HashMap<B256, Channel>,
    /// Channels whose stored books differ from these: a stream noted what it then did not charge, or
    /// something was learned while a request held the channel.
    dirty: HashSet<B256>,
    collector: Collector,
    next_hold: u64,
}

impl Channels {
    /// Reads the books and starts selling. With `rpc`, channels of which something is due are watched
    /// for withdrawals; without it, claims are made in time for any withdrawal anyway.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn open(
        config: ChannelConfig,
        facilitator: Arc<dyn FacilitatorApi>,
        rpc: Option<Arc<dyn Rpc>>,
        store: Arc<dyn ChannelStore>,
    ) -> Result<Self, StoreError> {
        let stored = store.load().await?;
        let mut collector = Collector::new(config.claims);
        if !stored.is_empty() {
            // What was claimed before a restart may not have been paid out.
            collector.resume(config.receiver, config.token, (config.clock)());
        }
        let channels = stored.into_iter().map(|channel| (channel.id(), channel));
        Ok(Self(Arc::new(Inner {
            books: Mutex::new(Books {
                channels: channels.collect(),
                dirty: HashSet::new(),
                collector,
                next_hold: 0,
            }),
            config,
            facilitator,
            rpc,
            store,
        })))
    }

    /// The books of a channel, for operators and tests.
    pub fn channel(&self, channel_id: &B256) -> Option<Channel> {
        self.0.lock().channels.get(channel_id).cloned()
    }

    /// How many channels there are books of.
    pub fn len(&self) -> usize {
        self.0.lock().channels.len()
    }

    /// Whether there are no books.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    /// Never held across an await.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.config.clock)()
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels")
            .field("receiver", &self.0.config.receiver)
            .field("network", &self.0.config.network)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig")
            .field("receiver", &self.receiver)
            .field("token", &self.token)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

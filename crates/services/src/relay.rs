//! An Oblivious HTTP relay that pays: it carries sealed requests of its account holders to enclaves, and
//! settles with the enclaves over x402.
//!
//! It knows who asks, when, how much they send, which node answers and what that cost. It does not know
//! what is asked: bodies are sealed for the enclave, and nothing here holds a key. The enclave knows what
//! is asked and only ever sees the relay. `docs/relay.md` has the limits of that.
//!
//! | path | what |
//! |---|---|
//! | `POST /api/v1/chat/ohttp` | OpenGradient's: the node in `X-TEE-ID`; the billing frame is taken out |
//! | `POST /ohttp/{tee_id}` | RFC 9458 to the same nodes |
//! | `GET /ohttp/{tee_id}/config` | the node's signed key configuration, as it says it |
//!
//! Requests go to known nodes only, on two fixed paths, with one header: there is no way to make the relay
//! reach anything else.

mod accounts;
mod books;
mod carrier;
mod carry;
mod file;
mod http;
mod pump;
mod targets;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::body::Bytes;
use seamline_core::{Amount, NodeId, Timestamp};
use seamline_net::{Clock, Tasks};
use tokio::sync::Semaphore;

use self::books::Books;
use self::file::BookFile;

pub use self::accounts::{Account, Denied, token_hash};
pub use self::carrier::{
    Carried, Carrier, CarrierFuture, CarryError, Errand, Paid, PayingCarrier, Reply,
};
pub use self::file::BooksError;
pub use self::http::router;
pub use self::targets::{Target, TargetRefused};

/// How a relay behaves.
#[derive(Clone)]
pub struct RelayConfig {
    /// Who may use it.
    pub accounts: Vec<Account>,
    /// Most that one request may cost, in base units: what is reserved of an account's budget.
    pub max_price: Amount,
    /// The wall clock.
    pub clock: Clock,
    /// Most requests under way at a time; 256. More are answered 503.
    pub at_once: usize,
    /// Longest that a request may take until its answer begins; 300 seconds.
    pub deadline: Duration,
    /// The file (redb) that keeps what accounts have used and what is reserved; `None` keeps it in memory,
    /// and a restart forgets it.
    pub books: Option<PathBuf>,
}

impl RelayConfig {
    /// The defaults.
    pub fn new(accounts: Vec<Account>, max_price: Amount, clock: Clock) -> Self {
        Self {
            accounts,
            max_price,
            clock,
            at_once: 256,
            deadline: Duration::from_secs(300),
            books: None,
        }
    }
}

impl core::fmt::Debug for RelayConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RelayConfig").finish_non_exhaustive()
    }
}

/// A relay. Clones share accounts, targets and tasks.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    config: RelayConfig,
    carrier: Arc<dyn Carrier>,
    books: Mutex<Books>,
    targets: RwLock<BTreeMap<NodeId, Target>>,
    /// Key configurations, and when they were asked for.
    configs: Mutex<BTreeMap<NodeId, (Timestamp, Bytes)>>,
    places: Arc<Semaphore>,
    tasks: Tasks,
}

impl Relay {
    /// A relay that knows no node yet.
    ///
    /// # Errors
    ///
    /// [`BooksError`].
    pub fn new(config: RelayConfig, carrier: Arc<dyn Carrier>) -> Result<Self, BooksError> {
        let file = config.books.as_deref().map(BookFile::open).transpose()?;
        let books = Books::new(&config.accounts, file)?;
        Ok(Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(config.at_once)),
            config,
            carrier,
            books: Mutex::new(books),
            targets: RwLock::default(),
            configs: Mutex::default(),
            tasks: Tasks::new(),
        })))
    }

    /// Replaces the nodes that requests may go to. Requests under way go on.
    pub fn set_targets(&self, targets: impl IntoIterator<Item = Target>) {
        let targets = targets.into_iter().map(|target| (target.node, target));
        let targets: BTreeMap<_, _> = targets.collect();
        let configs = self.0.configs.lock();
        let mut configs = configs.unwrap_or_else(PoisonError::into_inner);
        configs.retain(|node, _| targets.contains_key(node));
        drop(configs);
        *self
            .0
            .targets
            .write()
            .unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// What an account has spent in the last 24 hours and what is reserved, in base units.
    pub fn spent(&self, token_sha256: &[u8; 32]) -> Option<(Amount, Amount)> {
        let now = (self.0.config.clock)();
        let mut books = self.0.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.spent(token_sha256, now)
    }

    /// Requests under way: drain them after the listener has stopped, for each holds a payment.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    fn target(&self, node: NodeId) -> Option<Target> {
        let targets = self.0.targets.read();
        let targets = targets.unwrap_or_else(PoisonError::into_inner);
        targets.get(&node).cloned()
    }
}

impl core::fmt::Debug for Relay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

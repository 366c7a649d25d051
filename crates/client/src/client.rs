use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use seamline_core::decision::RoutePolicy;
use seamline_core::{Amount, Charged, NodeId, Timestamp};
use seamline_evm::chain::Depths;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::registry::Snapshot;
use seamline_verify::Verdict;

use crate::amendments;
use crate::ask::Ask;
use crate::books::Books;
use crate::call::Call;
use crate::chat::{Chat, ToolCall};
use crate::claims;
use crate::config::{Config, Network, Options};
use crate::error::{Error, ErrorKind};
use crate::journal::Journal;
use crate::node::{Listing, NodeState};
use crate::purse::ChannelUse;
use crate::records;
use crate::recover::{self, Recovered};
use crate::sealing;
use crate::sign::Funds;
use crate::step::{Step, Unwatched, Watch};

/// Makes paid, verified calls and keeps their receipts.
///
/// One client owns its journal: a second one on the same file is refused. Calls may run in parallel
/// on one client; the daily budget holds over all of them.
pub struct Client {
    pub(crate) config: Arc<Config>,
    pub(crate) books: Arc<Books>,
    registry: Mutex<Option<(Timestamp, Arc<Snapshot>)>>,
    nodes: Mutex<HashMap<NodeId, NodeState>>,
    pub(crate) funds: Funds,
}

/// A proven answer.
#[non_exhaustive]
pub struct Reply {
    /// The answer's text; empty where it calls functions.
    pub text: String,
    /// The functions that it calls, of those that [`Chat::tool`] offered.
    pub tool_calls: Vec<ToolCall>,
    /// The model asked for.
    pub model: String,
    /// The node that answered.
    pub node: NodeId,
    /// The node's endpoint.
    pub endpoint: String,
    /// Most that could have been settled, base units.
    pub authorized: Amount,
    /// What was settled, where the chain says so.
    pub settled: Option<Amount>,
    /// What is known about the payment: `settled`, `unknown`, `not_settled`; over a channel `charged`,
    /// `unknown`, `not_charged`, which is the node's word.
    pub payment_state: &'static str,
    /// Whether money moved.
    pub charged: Charged,
    /// The payment channel that was used, where one was.
    pub channel: Option<ChannelUse>,
    /// The sealed receipt.
    pub receipt: Bytes,
    /// The file it was written to.
    pub receipt_path: PathBuf,
    /// What the offline verifier says about the receipt, under this client's own trust.
    pub verdict: Verdict,
}

impl Client {
    /// Opens the books.
    ///
    /// Calls that an earlier process left open are not touched here: see [`Client::recover`].
    ///
    /// # Errors
    ///
    /// A journal that is in use or damaged; nothing is written then. A folder for receipts that
    /// cannot be made or written.
    pub fn open(config: Config) -> Result<Self, Error> {
        let early = |kind| Error::new(kind, Step::Open, Charged::No, None);
        let books =
            Books::open(&config.home.journal).map_err(|err| early(ErrorKind::Journal(err)))?;
        let path = &config.home.receipts;
        sealing::ready(path).map_err(|source| {
            let path = path.clone();
            early(ErrorKind::Write { path, source })
        })?;
        Ok(Self {
            config: Arc::new(config),
            books,
            registry: Mutex::new(None),
            nodes: Mutex::new(HashMap::new()),
            funds: Funds::default(),
        })
    }

    /// Makes one call: the twelve steps of `docs/guide`, and returns the proven answer.
    ///
    /// # Cost
    ///
    /// At most the budget's `per_call`, or [`Chat::max_price`] where that is lower, in base units of the
    /// network's token. [`Reply::settled`] is what was charged.
    ///
    /// # Retries
    ///
    /// Before an authorization is sent, a node that fails is replaced by the next in the decision's
    /// order. Afterwards only the same authorization is ever sent again, to the same node.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before the authorization is sent costs nothing. Dropping it later leaves
    /// an authorization that the node may settle until its deadline; the call stays open in the
    /// journal, its amount stays reserved, and [`Client::recover`] learns the outcome.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. [`Error::charged`] says whether money moved.
    pub async fn chat(&self, chat: &Chat) -> Result<Reply, Error> {
        self.chat_watched(chat, &mut Unwatched).await
    }

    /// Makes one call as [`Client::chat`] does, and lets `watch` follow its steps and its text.
    ///
    /// # Errors
    ///
    /// As [`Client::chat`].
    pub async fn chat_watched(&self, chat: &Chat, watch: &mut dyn Watch) -> Result<Reply, Error> {
        // Boxed: the state of a call is large, and callers should not carry it in theirs.
        Box::pin(Call::make(self, chat.into(), watch)).await
    }

    /// Looks at every call that is still open, or whose payment is unknown, and asks the chain what
    /// became of it; and for the claims of what nodes charged over channels. What was learned before is held
    /// against the chain again until it is [`Options::finality_depth`](crate::Options::finality_depth) blocks
    /// deep: where a fork took it away, it is open again, with its reservation, and is among what is returned.
    /// Never signs and never sends an authorization. Calls that this client is making right now are left
    /// alone. What became known about a sealed call is written beside its receipt, as a signed amendment.
    ///
    /// # Errors
    ///
    /// The journal or the chain cannot be read; what was learned before stays written.
    pub async fn recover(&self) -> Result<Vec<Recovered>, Error> {
        let rpc = |chain_id| self.endpoint(chain_id);
        let recovered = recover::run(&self.books, &self.config.env, &rpc, self.depths()).await?;
        self.amend().await?;
        Ok(recovered)
    }

    /// Asks for claims, and writes down what became known about sealed calls.
    async fn amend(&self) -> Result<(), Error> {
        let outside = |kind| Error::new(kind, Step::Settle, Charged::Unknown, None);
        let rpc = |chain_id| self.endpoint(chain_id);
        let now = self.config.env.now();
        let claims = claims::observe(&self.books, &rpc, now).await;
        let records = self.observe_records().await;
        let (key, folder) = (&self.config.recorder, &self.config.home.receipts);
        amendments::export(&self.books, key, folder).map_err(outside)?;
        claims.map(drop).and(records).map_err(outside)
    }

    /// Looks for the records that nodes named, where it is known which contract keeps them.
    async fn observe_records(&self) -> Result<(), ErrorKind> {
        let Some(contract) = self.config.options.settlement_contract else {
            return Ok(());
        };
        let Network { rpc, chain_id, .. } = &self.config.network;
        let (folder, now) = (&self.config.home.receipts, self.config.env.now());
        records::observe(&self.books, folder, rpc, *chain_id, contract, now).await
    }

    /// Recovers as [`Client::recover`], and asks the chain once more right after each deadline that comes
    /// within `patience`. What was unknown because a node failed or lied is known then: an authorization
    /// that has not settled by its deadline never will.
    ///
    /// # Cancellation
    ///
    /// Safe: what was learned before stays written.
    ///
    /// # Errors
    ///
    /// As [`Client::recover`].
    pub async fn recover_within(&self, patience: Duration) -> Result<Vec<Recovered>, Error> {
        let rpc = |chain_id| self.endpoint(chain_id);
        let recovered =
            recover::run_within(&self.books, &self.config.env, &rpc, self.depths(), patience)
                .await?;
        self.amend().await?;
        Ok(recovered)
    }

    fn depths(&self) -> Depths {
        Depths::new(1, self.config.options.finality_depth)
    }

    fn endpoint(&self, chain_id: u64) -> Option<Arc<dyn seamline_evm::Rpc>> {
        let network = &self.config.network;
        (network.chain_id == chain_id).then(|| Arc::clone(&network.rpc))
    }

    /// Where the budget stands, token by token.
    pub fn budget_status(&self) -> Vec<crate::journal::Budget> {
        let now = self.config.env.now();
        self.books.journal.budget(&self.config.budget, now)
    }

    /// Every payment of this installation, newest first.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn history(&self) -> Result<Vec<crate::journal::Paid>, Error> {
        let paid = self.books.journal.history();
        paid.map_err(|err| Error::new(ErrorKind::Journal(err), Step::Open, Charged::No, None))
    }

    /// The books of this client.
    pub fn journal(&self) -> &Journal {
        &self.books.journal
    }

    /// The network that this client calls.
    pub fn network(&self) -> &Network {
        &self.config.network
    }

    /// Reads the registry, or uses the last read while it is young enough. Returns it with its age.
    pub(crate) async fn registry(&self) -> Result<(Arc<Snapshot>, Duration), ErrorKind> {
        let now = self.config.env.now();
        let remembered = lock(&self.registry).clone();
        if let Some((read_at, snapshot)) = remembered {
            let age = now.saturating_since(read_at);
            if age < self.config.options.registry_ttl {
                return Ok((snapshot, age));
            }
        }
        let Network {
            rpc,
            registry,
            chain_id,
            ..
        } = &self.config.network;
        let snapshot =
            seamline_evm::registry::read(&**rpc, *registry, self.config.options.tee_type)
                .await
                .map_err(ErrorKind::Chain)?;
        if snapshot.chain_id != *chain_id {
            let observed = snapshot.chain_id;
            return Err(ErrorKind::WrongChain {
                expected: *chain_id,
                observed,
            });
        }
        let snapshot = Arc::new(snapshot);
        *lock(&self.registry) = Some((now, Arc::clone(&snapshot)));
        Ok((snapshot, Duration::ZERO))
    }

    /// Looks whether the registry still has the node as active, unless its last read is young enough for
    /// the options. A node that is not is never paid, and the registry is read anew for the next call.
    pub(crate) async fn still_active(&self, node: NodeId) -> Result<(), ErrorKind> {
        let now = self.config.env.now();
        let read_at = lock(&self.registry).as_ref().map(|(read_at, _)| *read_at);
        let age = read_at.map(|read_at| now.saturating_since(read_at));
        if age.is_some_and(|age| age < self.config.options.active_ttl) {
            return Ok(());
        }
        let Network { rpc, registry, .. } = &self.config.network;
        let active = seamline_evm::registry::is_active(&**rpc, *registry, node).await;
        if active.map_err(ErrorKind::Chain)? {
            return Ok(());
        }
        *lock(&self.registry) = None;
        Err(ErrorKind::Inactive { node })
    }

    /// Runs `work` on what is remembered about a node.
    pub(crate) fn node<T>(&self, node: NodeId, work: impl FnOnce(&mut NodeState) -> T) -> T {
        work(lock(&self.nodes).entry(node).or_default())
    }

    /// The policy that decisions follow, for one call.
    pub(crate) fn route_policy(&self, ask: Ask<'_>, cap: Amount) -> RoutePolicy {
        let Options {
            weight_price,
            weight_latency,
            weight_health,
            explore_ppm,
            ..
        } = self.config.options;
        RoutePolicy {
            model: ask.model().clone(),
            cap,
            weight_price,
            weight_latency,
            weight_health,
            latency_bound_us: micros(self.config.options.latency_bound),
            explore_ppm,
            max_heartbeat_age_s: self.config.options.max_heartbeat_age.as_secs(),
            measurements: self.config.trust.measurements.clone(),
            network: format!("eip155:{}", self.config.network.chain_id),
            asset: self.config.network.asset,
            avoid: self.config.options.avoid.clone(),
        }
    }

    /// The budget of one call: the caller's own limit lowers it, never raises it.
    pub(crate) fn budget(&self, ask: Ask<'_>) -> SpendPolicy {
        let mut budget = self.config.budget.clone();
        if let Some(cap) = ask.max_price() {
            budget.per_call = budget.per_call.min(cap);
        }
        budget
    }

    /// Reads what every active node lists, for people.
    ///
    /// # Errors
    ///
    /// The chain cannot be read.
    pub async fn listings(&self) -> Result<(Arc<Snapshot>, Vec<(NodeId, Option<Listing>)>), Error> {
        let outside = |kind| Error::new(kind, Step::Discover, Charged::No, None);
        let (snapshot, _) = self.registry().await.map_err(outside)?;
        let listings = crate::node::list_all(self, &snapshot.nodes).await;
        Ok((snapshot, listings))
    }
}

/// A poisoned lock only means that another call panicked between two assignments of plain values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whole microseconds; saturates after 584,000 years.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Whole milliseconds; saturates after 584 million years.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("journal", &self.books.journal.path())
            .finish_non_exhaustive()
    }
}

/// Shows everything but the text.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("node", &self.node)
            .field("authorized", &self.authorized)
            .field("settled", &self.settled)
            .field("receipt_path", &self.receipt_path)
            .finish_non_exhaustive()
    }
}

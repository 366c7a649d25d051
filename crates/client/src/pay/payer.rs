//! The payer: keys, budget, chains and books for purchases.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use seamline_core::Charged;
use seamline_core::receipt::SealingKey;
use seamline_evm::chain::Depths;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::{Rpc, Signer};
use seamline_net::{ClientOptions, HttpClient, http_client};

use super::error::{Error, ErrorKind};
use super::outlet::Outlet;
use super::run::Buying;
use super::{PayOptions, Purchase, Purchased};
use crate::amendments;
use crate::books::Books;
use crate::claims;
use crate::client::Client;
use crate::config::{Config, Home};
use crate::env::Env;
use crate::journal::Journal;
use crate::recover::{self, Recovered};
use crate::sealing;
use crate::sign::Funds;
use crate::step::{Step, Unwatched, Watch};

/// A chain that may be paid on.
#[derive(Clone)]
pub struct Chain {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Its endpoint.
    pub rpc: Arc<dyn Rpc>,
}

/// Everything that a payer must be told. Nothing here has a default.
pub struct PayerConfig {
    /// The account that pays.
    pub signer: Arc<dyn Signer>,
    /// The key that signs receipts.
    pub recorder: SealingKey,
    /// What may be spent. Each of its networks needs an endpoint in `chains`.
    pub budget: SpendPolicy,
    /// The chains, with their endpoints.
    pub chains: Vec<Chain>,
    /// Where the books and receipts are kept.
    pub home: Home,
    /// Clock and entropy.
    pub env: Env,
    /// Everything that has a documented default.
    pub options: PayOptions,
}

/// Buys from plain x402 servers, within one budget.
///
/// Purchases may run in parallel on one payer; the budget holds over all of them. A payer made by
/// [`Client::payer`] shares budget, journal and chain of receipts with its client.
pub struct Payer {
    pub(super) books: Arc<Books>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) recorder: Recorder,
    pub(super) budget: SpendPolicy,
    pub(super) chains: Vec<Chain>,
    pub(super) receipts: PathBuf,
    pub(super) env: Env,
    pub(super) options: PayOptions,
    pub(super) http: HttpClient,
    pub(super) funds: Funds,
}

/// The sealing key: the payer's own, or its client's.
pub(super) enum Recorder {
    Own(Box<SealingKey>),
    Client(Arc<Config>),
}

impl Recorder {
    pub(super) fn key(&self) -> &SealingKey {
        match self {
            Self::Own(key) => key,
            Self::Client(config) => &config.recorder,
        }
    }
}

impl Payer {
    /// Opens the books.
    ///
    /// # Errors
    ///
    /// A journal that is in use or damaged; a folder for receipts that cannot be made or written; a
    /// budget of nothing; a network of the budget without an
    /// endpoint; TLS authorities that are none.
    pub fn open(config: PayerConfig) -> Result<Self, Error> {
        let books =
            Books::open(&config.home.journal).map_err(|err| early(ErrorKind::Journal(err)))?;
        let path = &config.home.receipts;
        sealing::ready(path).map_err(|source| {
            let path = path.clone();
            early(ErrorKind::Write { path, source })
        })?;
        let PayerConfig {
            signer,
            recorder,
            budget,
            chains,
            home,
            env,
            options,
        } = config;
        let parts = Parts {
            books,
            signer,
            recorder: Recorder::Own(Box::new(recorder)),
            budget,
            chains,
            receipts: home.receipts,
            env,
            options,
        };
        parts.build().map_err(early)
    }

    /// Makes one purchase: asks without payment, and pays if the server asks for it and the policy
    /// allows it.
    ///
    /// # Cost
    ///
    /// At most the budget's `per_call`, or [`Purchase::max_price`] where that is lower.
    ///
    /// # Retries
    ///
    /// Before an authorization is sent, none. Afterwards the same bytes are presented again, at most
    /// twice. No redirect is ever followed. A purchase whose payment is unknown is repeated by calling
    /// this again with the same request: the existing authorization is presented, nothing is signed.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before the authorization is sent costs nothing. Dropping it later leaves an
    /// authorization that may settle until its deadline, with its amount reserved; repeat the purchase
    /// or see [`Payer::recover`].
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. [`Error::charged`] says whether money moved.
    pub async fn fetch(&self, purchase: &Purchase) -> Result<Purchased, Error> {
        self.fetch_watched(purchase, &mut Unwatched).await
    }

    /// Makes one purchase as [`Payer::fetch`] does, and lets `watch` follow its steps.
    ///
    /// # Errors
    ///
    /// As [`Payer::fetch`].
    pub async fn fetch_watched(
        &self,
        purchase: &Purchase,
        watch: &mut dyn Watch,
    ) -> Result<Purchased, Error> {
        // Boxed: the state of a purchase is large, and callers should not carry it in theirs.
        Box::pin(Buying::make(self, purchase, watch, None)).await
    }

    /// Makes one purchase as [`Payer::fetch`] does, and passes an answer of success on to `outlet` as it
    /// comes; [`Purchased::answer`] has no body then. Any other answer is read whole. It runs until the
    /// settlement shows on chain, at most [`PayOptions::settle_wait`] after the last piece, so it is
    /// polled beside the reader.
    ///
    /// At most the outlet's pieces are held in memory, and [`PayOptions::max_answer_bytes`] pass in all.
    ///
    /// # Retries
    ///
    /// As [`Payer::fetch`] until the answer begins, none afterwards.
    ///
    /// # Cancellation
    ///
    /// Drop the [`Inlet`](super::Inlet), not this future: the connection to the server is closed at once
    /// and this ends with [`ErrorKind::Stopped`], with its receipt. What the server settles for the part
    /// that it served is charged, as the chain shows it ([`Error::settled`]); while it shows nothing, what was
    /// authorized stays reserved. A server that settles `upto` may take less than was authorized, one
    /// that settles `exact` takes all. A reader who takes nothing for [`PayOptions::server_timeout`] has
    /// left.
    ///
    /// # Errors
    ///
    /// As [`Payer::fetch`], and [`ErrorKind::Stopped`]. After [`ErrorKind::Interrupted`] the pieces that
    /// were passed on are a part of the answer, which may have been paid for.
    pub async fn fetch_into(
        &self,
        purchase: &Purchase,
        mut outlet: Outlet,
    ) -> Result<Purchased, Error> {
        Box::pin(Buying::make(
            self,
            purchase,
            &mut Unwatched,
            Some(&mut outlet),
        ))
        .await
    }

    /// Looks at every call and purchase that is open, or whose payment is unknown, and asks its chain
    /// what became of it, as [`Client::recover`] does, and for the claims of what sellers charged over channels. Signs and sends nothing.
    /// What became known is written beside the receipts. Those of chains without an endpoint are left alone.
    ///
    /// # Errors
    ///
    /// The journal or a chain cannot be read; what was learned before stays written.
    pub async fn recover(&self) -> Result<Vec<Recovered>, crate::Error> {
        let rpc = |chain_id: u64| {
            let mut chains = self.chains.iter();
            let chain = chains.find(|chain| chain.chain_id == chain_id);
            chain.map(|chain| Arc::clone(&chain.rpc))
        };
        let depths = Depths::new(1, self.options.finality_depth);
        let recovered = recover::run(&self.books, &self.env, &rpc, depths).await?;
        let outside =
            |kind| crate::Error::new(kind, Step::Settle, seamline_core::Charged::Unknown, None);
        let claims = claims::observe(&self.books, &rpc, self.env.now()).await;
        let exported = amendments::export(&self.books, self.recorder.key(), &self.receipts);
        exported.map_err(outside)?;
        claims.map_err(outside)?;
        Ok(recovered)
    }

    /// The books of this payer.
    pub fn journal(&self) -> &Journal {
        &self.books.journal
    }

    /// The budget of this payer.
    pub const fn budget(&self) -> &SpendPolicy {
        &self.budget
    }

    /// The endpoint of a chain.
    pub(super) fn rpc(&self, chain_id: u64) -> Option<Arc<dyn Rpc>> {
        let mut chains = self.chains.iter();
        let chain = chains.find(|chain| chain.chain_id == chain_id);
        chain.map(|chain| Arc::clone(&chain.rpc))
    }
}

impl Client {
    /// A payer for plain x402 servers that shares this client's account, budget, journal and chain of
    /// receipts. It pays on this client's chain only.
    ///
    /// # Errors
    ///
    /// As [`Payer::open`], without those of the journal.
    pub fn payer(&self, options: PayOptions) -> Result<Payer, Error> {
        let config = &self.config;
        let network = format!("eip155:{}", config.network.chain_id);
        let mut budget = config.budget.clone();
        budget.networks.retain(|listed| *listed == network);
        let chain = Chain {
            chain_id: config.network.chain_id,
            rpc: Arc::clone(&config.network.rpc),
        };
        let parts = Parts {
            books: Arc::clone(&self.books),
            signer: Arc::clone(&config.signer),
            recorder: Recorder::Client(Arc::clone(config)),
            budget,
            chains: vec![chain],
            receipts: config.home.receipts.clone(),
            env: config.env.clone(),
            options,
        };
        parts.build().map_err(early)
    }
}

struct Parts {
    books: Arc<Books>,
    signer: Arc<dyn Signer>,
    recorder: Recorder,
    budget: SpendPolicy,
    chains: Vec<Chain>,
    receipts: PathBuf,
    env: Env,
    options: PayOptions,
}

impl Parts {
    fn build(self) -> Result<Payer, ErrorKind> {
        if self.budget.per_call.is_zero() || self.budget.per_day.is_zero() {
            return Err(ErrorKind::ZeroBudget);
        }
        let known = |network: &str| {
            let mut chains = self.chains.iter();
            chains.any(|chain| network == format!("eip155:{}", chain.chain_id))
        };
        if let Some(network) = self.budget.networks.iter().find(|it| !known(it)) {
            let network = network.clone();
            return Err(ErrorKind::NoChain { network });
        }
        let http = http_client(ClientOptions {
            tls: self.options.tls.clone(),
            idle_timeout: self.options.server_timeout,
            total_timeout: self.options.total_timeout,
            max_response_bytes: self.options.max_answer_bytes,
            ..ClientOptions::default()
        });
        Ok(Payer {
            http: http.map_err(ErrorKind::Http)?,
            books: self.books,
            signer: self.signer,
            recorder: self.recorder,
            budget: self.budget,
            chains: self.chains,
            receipts: self.receipts,
            env: self.env,
            options: self.options,
            funds: Funds::default(),
        })
    }
}

fn early(kind: ErrorKind) -> Error {
    Error::new(kind, Step::Open, Charged::No)
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("chain_id", &self.chain_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PayerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayerConfig")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payer")
            .field("journal", &self.books.journal.path())
            .finish_non_exhaustive()
    }
}

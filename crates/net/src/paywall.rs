//! A price on any axum handler: x402 version 2 as a resource server (x402 §3.1, appendix C).
//!
//! The order is the protection. An authorization is reserved before the handler runs, so that a
//! hundred copies of one payment buy one answer; it is verified before the handler runs, so that
//! nobody computes for free; it is settled at the metered amount before a buffered answer leaves,
//! and at the end of a streamed one. A payer who lost an answer presents the same
//! authorization again, with the same request, and gets it; nobody is ever asked to sign twice.

mod answer;
mod body;
mod credit;
mod flow;
mod holdback;
mod job;
mod judge;
mod keeper;
mod ledger;
mod local;
mod meter;
mod outbox;
mod promise;
mod purchase;
mod request;
mod sale;
mod session;
mod settle;
mod statements;
mod store;
mod stream;
mod supported;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use axum::routing::MethodRouter;
use bytes::Bytes;
use http::request::Parts;
use seamline_core::{B256, Timestamp};
use seamline_evm::signer::Signer;
use seamline_evm::x402::{Offer, OfferTerms};

use self::body::Unpaid;
use self::ledger::Ledger;
pub use self::local::{Held, LocalFuture, LocalPromise, LocalScheme, Verdict};
pub use self::meter::{Meter, PaymentContext};
pub(crate) use self::sale::no_facilitator;
pub use self::store::{
    Debt, Duty, FileStore, MemoryStore, PaywallStore, Record, StoreError, StoreFuture,
};
pub use self::stream::{ReadOn, Streamed};
use self::supported::SupportedCache;
use crate::clock::Clock;
use crate::facilitator::FacilitatorApi;
use crate::limits::{BODY_SPEED, BODY_TIMEOUT, REQUEST_BODY_BYTES, UNPAID_BYTES};
use crate::pace::MinSpeed;
use crate::problem::{Problem, Shape};
use crate::session::SessionRules;
use crate::tasks::Tasks;

/// Asks a price for a request.
///
/// The same request must get the same terms for as long as an offer should stay acceptable: no
/// offer is stored, the terms are computed again when the payment comes.
pub trait Pricer: Send + Sync {
    /// Returns the terms for a request with the whole of its body, in the order of preference: one
    /// per way to pay, at least one.
    ///
    /// For the scheme `upto`, the paywall adds `extra.facilitatorAddress` where it is absent. An
    /// offer of `exact` with `extra.paymentFlow` `upfront` is settled before the handler runs.
    ///
    /// # Errors
    ///
    /// A [`Problem`] for a request that is not for sale, such as one for an unknown model; the
    /// peer gets it instead of an offer.
    fn offers(&self, head: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem>;

    /// Returns the same terms without the body, where they do not depend on it; `None`, the default,
    /// where they do. Who does not pay is then told so before its body is read.
    ///
    /// # Errors
    ///
    /// As [`offers`](Self::offers).
    fn offers_by_head(&self, _head: &Parts) -> Option<Result<Vec<OfferTerms>, Problem>> {
        None
    }
}

/// The same offers for every request, whatever its body.
#[derive(Clone, Debug)]
pub struct FixedOffers(pub Vec<OfferTerms>);

impl Pricer for FixedOffers {
    fn offers(&self, _: &Parts, _: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
        Ok(self.0.clone())
    }

    fn offers_by_head(&self, _: &Parts) -> Option<Result<Vec<OfferTerms>, Problem>> {
        Some(Ok(self.0.clone()))
    }
}

impl<F> Pricer for F
where
    F: Fn(&Parts, &Bytes) -> Result<Vec<OfferTerms>, Problem> + Send + Sync,
{
    fn offers(&self, head: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
        self(head, body)
    }
}

/// How a paywall behaves.
#[derive(Clone)]
pub struct PaywallConfig {
    /// Where the resource lives, such as `https://node.example`: the request's path is appended
    /// in offers. Configured, because the `Host` header is the peer's word.
    pub public_url: String,
    /// What is sold, for people.
    pub description: String,
    /// Media type of the answers, for offers; `application/json`.
    pub mime_type: String,
    /// The wall clock.
    pub clock: Clock,
    /// Shape of error bodies; [`Shape::OpenGradient`].
    pub problems: Shape,
    /// Longest request body; [`REQUEST_BODY_BYTES`].
    pub max_body_bytes: usize,
    /// Most bytes of bodies that are held before it is known that they are paid for, of all requests
    /// together; [`UNPAID_BYTES`]. More are answered 503 for a moment. Bodies whose price does not
    /// depend on them are read only where a payment came along.
    pub max_unpaid_bytes: usize,
    /// How long the body of a request may take; [`BODY_TIMEOUT`].
    pub body_timeout: Duration,
    /// The least that a client sends of it; [`BODY_SPEED`].
    pub body_speed: MinSpeed,
    /// How long to wait for a settlement before the answer is "uncertain"; 15 s.
    pub settle_wait: Duration,
    /// First pause before an uncertain settlement is asked for again in the background, doubled up
    /// to 30 s, until a minute after its authorization expired; 1 s.
    pub retry_pause: Duration,
    /// How long a second presentation waits for the first one's answer; 30 s.
    pub join_wait: Duration,
    /// How long a client of a stream may read nothing before it counts as gone; 30 s. It is cut
    /// earlier where its authorization is about to expire.
    pub stall: Duration,
    /// Most unsettled answers of one payer that leave before they are settled; 32: more than a
    /// person or an agent reads at a time, and what one balance can cheat us of. Further streams are
    /// settled before their first byte.
    pub max_on_credit: usize,
    /// Most requests of one payer that are worked for and not settled, streams or not; 8. A balance
    /// passes a verification as often as it is asked about, so that this many answers may be computed
    /// over one balance that covers one of them. More wait for their turn, at most
    /// [`join_wait`](Self::join_wait). What is settled first, and schemes of our own, do not count.
    pub max_unsettled: usize,
    /// Most requests of a payer that are worked for and not settled where their ceilings together are
    /// at most what it paid in the last fifteen minutes, in the same token; 64.
    pub max_earned: usize,
    /// After how many refused settlements a payer is served no more, for the twenty minutes that they
    /// are remembered; 4. From the first one on its requests are worked for one at a time.
    pub max_refused: usize,
    /// Whether payments of version 1 (`X-PAYMENT`) are taken too; no.
    pub v1: bool,
    /// What becomes of payment identifiers; ignored.
    pub identifiers: PaymentIdentifiers,
    /// Who signs offers and receipts; nobody. Its address should be the `payTo`, or known to payers.
    pub signer: Option<Arc<dyn Signer>>,
    /// Where it is written which authorizations are in use and what they owe; [`MemoryStore`], which
    /// forgets it with the process.
    pub store: Arc<dyn PaywallStore>,
    /// What tells this shop's records in the store from those of others that share it: a hash over what its
    /// debts are settled with (facilitator, chain, recipient), the same for all its replicas. `None`: nobody
    /// else has this store.
    pub scope: Option<B256>,
    /// Schemes that are judged and settled here instead of by the facilitator; none.
    pub local: Vec<Arc<dyn LocalScheme>>,
    /// Whether one `upto` authorization over Permit2 may pay for many requests (`X-Upto-Session`), and
    /// by which rules; no. An offer for a session then comes before the one for the request alone.
    pub sessions: Option<SessionRules>,
}

/// What becomes of the extension `payment-identifier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaymentIdentifiers {
    /// It is not declared, and not looked at.
    Ignored,
    /// The same identifier of the same payer with another payment is answered 409.
    Honoured,
    /// As honoured, and a payment without one is answered 400.
    Required,
}

impl PaywallConfig {
    /// The defaults, for a resource below `public_url`.
    pub fn new(public_url: impl Into<String>, clock: Clock) -> Self {
        Self {
            public_url: public_url.into().trim_end_matches('/').to_owned(),
            description: "Chat completion".to_owned(),
            mime_type: "application/json".to_owned(),
            clock,
            problems: Shape::OpenGradient,
            max_body_bytes: REQUEST_BODY_BYTES,
            max_unpaid_bytes: UNPAID_BYTES,
            body_timeout: BODY_TIMEOUT,
            body_speed: BODY_SPEED,
            settle_wait: Duration::from_secs(15),
            retry_pause: Duration::from_secs(1),
            join_wait: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            max_on_credit: 32,
            max_unsettled: 8,
            max_earned: 64,
            max_refused: 4,
            v1: false,
            identifiers: PaymentIdentifiers::Ignored,
            signer: None,
            store: Arc::new(MemoryStore::new()),
            scope: None,
            local: Vec::new(),
            sessions: None,
        }
    }
}

impl fmt::Debug for PaywallConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaywallConfig")
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// A price on handlers. Clones share reservations, stored answers and tasks.
#[derive(Clone)]
pub struct Paywall(Arc<Inner>);

struct Inner {
    config: PaywallConfig,
    facilitator: Arc<dyn FacilitatorApi>,
    pricer: Box<dyn Pricer>,
    ledger: Ledger,
    unpaid: Unpaid,
    supported: SupportedCache,
    sessions: session::Sessions,
    tasks: Tasks,
    /// Work that a shutdown need not wait for: what it would do is in the store.
    background: Tasks,
    housekeeping: Housekeeping,
}

/// When the store is looked after next, Unix milliseconds.
#[derive(Default)]
struct Housekeeping(AtomicU64);

impl Housekeeping {
    /// How often.
    const EVERY: Duration = Duration::from_secs(60);

    /// Whether it is time; says so once.
    fn is_due(&self, now: Timestamp) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        let next = now.saturating_add(Self::EVERY).as_millis();
        let is_due = due <= now.as_millis();
        let order = Ordering::Relaxed;
        is_due && self.0.compare_exchange(due, next, order, order).is_ok()
    }
}

impl Inner {
    fn local(&self, scheme: &str) -> Option<&Arc<dyn LocalScheme>> {
        self.config.local.iter().find(|it| it.scheme() == scheme)
    }

    fn is_local(&self, offer: &Offer) -> bool {
        self.local(&offer.terms().scheme).is_some()
    }
}

impl Paywall {
    /// Makes a paywall; nothing is asked of the facilitator before the first request.
    pub fn new(
        config: PaywallConfig,
        facilitator: Arc<dyn FacilitatorApi>,
        pricer: impl Pricer + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            unpaid: Unpaid::new(config.max_unpaid_bytes),
            config,
            facilitator,
            pricer: Box::new(pricer),
            ledger: Ledger::default(),
            supported: SupportedCache::default(),
            sessions: session::Sessions::default(),
            tasks: Tasks::new(),
            background: Tasks::new(),
            housekeeping: Housekeeping::default(),
        }))
    }

    /// Puts the handlers of `routes` behind the paywall, its fallback too.
    ///
    /// It wraps the handlers themselves, not a path: no spelling of a path leads around it. `HEAD`,
    /// `OPTIONS`, `TRACE` and `CONNECT` are refused with 405 and upgrades with 400: put a CORS layer
    /// outside. A handler finds its [`PaymentContext`] in the request's extensions and reports what
    /// it used to the [`Meter`]; a status of 400 or more, or a meter at zero, costs the payer
    /// nothing. It gets the whole body and no header of a payment; requests for a range or with
    /// `If-None-Match` arrive without these headers, because a paid answer is whole.
    ///
    /// The handler and the settlement run to their end although the client disconnects; a
    /// stream whose client is gone is cut, and settled at what was metered until then.
    pub fn protect(&self, routes: MethodRouter) -> MethodRouter {
        let paywall = self.clone();
        routes.layer(axum::middleware::from_fn(move |request, next| {
            let paywall = paywall.clone();
            async move { paywall.handle(request, next).await }
        }))
    }

    /// The settlements and streams under way: drain them after the listener has stopped.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Settlements that are retried in the background: what this process could not bring to an end,
    /// and what an earlier one left. A shutdown need not wait for them: the store keeps them.
    pub fn background(&self) -> &Tasks {
        &self.0.background
    }
}

impl fmt::Debug for Paywall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paywall")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

//! A price on any axum handler: x402 version 2 as a resource server (x402 §3.1, appendix C).
//!
//! The order is the protection. An authorization is reserved before the handler runs, so that a
//! hundred copies of one payment buy one answer; it is verified before the handler runs, so that
//! nobody computes for free; it is settled at the metered amount before a buffered answer leaves,
//! and before the last frame of a streamed one. A payer who lost an answer presents the same
//! authorization again, with the same request, and gets it; nobody is ever asked to sign twice.

mod answer;
mod flow;
mod holdback;
mod ledger;
mod local;
mod meter;
mod settle;
mod stream;
mod supported;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use axum::routing::MethodRouter;
use bytes::Bytes;
use http::request::Parts;
use seamline_evm::x402::OfferTerms;

use self::ledger::Ledger;
pub use self::local::{Held, LocalFuture, LocalPromise, LocalScheme, Verdict};
pub use self::meter::{Meter, PaymentContext};
use self::supported::SupportedCache;
use crate::clock::Clock;
use crate::facilitator::FacilitatorApi;
use crate::limits::REQUEST_BODY_BYTES;
use crate::problem::{Problem, Shape};
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
    /// The wall clock.
    pub clock: Clock,
    /// Shape of error bodies; [`Shape::OpenGradient`].
    pub problems: Shape,
    /// Longest request body; [`REQUEST_BODY_BYTES`].
    pub max_body_bytes: usize,
    /// How long to wait for a settlement before the answer is "uncertain"; 15 s.
    pub settle_wait: Duration,
    /// How long a second presentation waits for the first one's answer; 30 s.
    pub join_wait: Duration,
    /// Schemes that are judged and settled here instead of by the facilitator; none.
    pub local: Vec<Arc<dyn LocalScheme>>,
}

impl PaywallConfig {
    /// The defaults, for a resource below `public_url`.
    pub fn new(public_url: impl Into<String>, clock: Clock) -> Self {
        Self {
            public_url: public_url.into().trim_end_matches('/').to_owned(),
            description: "Chat completion".to_owned(),
            clock,
            problems: Shape::OpenGradient,
            max_body_bytes: REQUEST_BODY_BYTES,
            settle_wait: Duration::from_secs(15),
            join_wait: Duration::from_secs(30),
            local: Vec::new(),
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
    supported: SupportedCache,
    tasks: Tasks,
}

impl Paywall {
    /// Makes a paywall; nothing is asked of the facilitator before the first request.
    pub fn new(
        config: PaywallConfig,
        facilitator: Arc<dyn FacilitatorApi>,
        pricer: impl Pricer + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            config,
            facilitator,
            pricer: Box::new(pricer),
            ledger: Ledger::default(),
            supported: SupportedCache::default(),
            tasks: Tasks::new(),
        }))
    }

    /// Puts the handlers of `routes` behind the paywall.
    ///
    /// It wraps the handlers themselves, not a path: no spelling of a path leads around it. `HEAD`
    /// is refused with 405, because a router would run the GET handler for it. A handler finds its
    /// [`PaymentContext`] in the request's extensions and reports what it used to the
    /// [`Meter`]; a status of 400 or more, or a meter at zero, costs the payer nothing.
    ///
    /// The handler and the settlement run to their end although the client disconnects; a
    /// stream whose client is gone is cut, and settled at what was metered until then.
    pub fn protect(&self, routes: MethodRouter) -> MethodRouter {
        let paywall = self.clone();
        routes.route_layer(axum::middleware::from_fn(move |request, next| {
            let paywall = paywall.clone();
            async move { paywall.handle(request, next).await }
        }))
    }

    /// The settlements and streams under way: drain them after the listener has stopped.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }
}

impl fmt::Debug for Paywall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paywall")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seamline_core::canonical::{heartbeat_hash, message_hash, output_hash};
use seamline_core::{Amount, B256, NodeId, Timestamp};
use seamline_net::{Clock, Tasks};

use crate::attester::{Attester, AttesterKind};
use crate::config::EnclaveConfig;
use crate::data;
use crate::error::Error;
use crate::feed::Unpriced;
use crate::frames::Proof;
use crate::heartbeat::HeartbeatPlan;
use crate::identity::EnclaveIdentity;
use crate::infer::Desk;
use crate::price::CallPrice;
use crate::upstream::Upstream;
use zeroize::Zeroizing;

/// One running enclave: keys, evidence, upstream and prices.
pub struct Enclave {
    pub(crate) config: EnclaveConfig,
    pub(crate) identity: Arc<EnclaveIdentity>,
    pub(crate) attester: Arc<dyn Attester>,
    pub(crate) upstream: Arc<dyn Upstream>,
    /// Where models run; `None` where there are none.
    pub(crate) desk: Option<Desk>,
    pub(crate) clock: Clock,
    pub(crate) started: Timestamp,
    /// How often terms were asked for, which only the fault of rising offers looks at.
    pub(crate) offers: AtomicU64,
    /// Drawn at every start: what the keys of Oblivious HTTP derive from, beside the identity.
    pub(crate) boot: Zeroizing<[u8; 32]>,
    /// Hashes on their way to their settlement.
    pub(crate) tasks: Tasks,
    pub(crate) leaves: data::Leaves,
    heartbeats: Mutex<HeartbeatStatus>,
}

/// A signed sign of life, as the registry's `heartbeat(teeId, timestamp, signature)` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The node.
    pub tee_id: NodeId,
    /// Unix seconds. The registry refuses what lies after its block's time.
    pub timestamp: u64,
    /// RSA-PSS over `keccak256(tee_id || uint256(timestamp))`.
    pub signature: Vec<u8>,
}

/// What `GET /heartbeat/status` tells about heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeartbeatStatus {
    pub(crate) sent: u64,
    pub(crate) errors: u64,
    pub(crate) last_success_s: Option<u64>,
    pub(crate) last_transaction: Option<B256>,
    pub(crate) last_error: Option<&'static str>,
    /// Where the enclave sends them itself.
    pub(crate) plan: Option<HeartbeatPlan>,
}

impl Enclave {
    /// Puts an enclave together.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the configuration offers nothing that the upstream serves, names no
    /// endpoint, or bounds answers to no token at all.
    pub fn new(
        config: EnclaveConfig,
        identity: Arc<EnclaveIdentity>,
        attester: Arc<dyn Attester>,
        upstream: Arc<dyn Upstream>,
        clock: Clock,
    ) -> Result<Arc<Self>, Error> {
        let served = upstream.models();
        let invalid = |reason| Err(Error::Config { reason });
        if config.endpoint.is_empty() || config.endpoint.ends_with('/') {
            return invalid("the endpoint is empty or ends with a slash");
        }
        if config.max_tokens == 0 {
            return invalid("answers are bounded to no token at all");
        }
        let dollars = config
            .dollars
            .iter()
            .flat_map(|dollars| dollars.models.keys());
        let mut priced = config.prices.keys().chain(dollars);
        if !priced.any(|model| served.contains(model)) && config.infer.is_none() {
            return invalid("no model of the upstream has a price");
        }
        let mut boot = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *boot).map_err(|_| Error::GenerateKey { key: "HPKE key" })?;
        Ok(Arc::new(Self {
            boot,
            started: clock(),
            desk: config.infer.clone().map(Desk::new),
            config,
            identity,
            attester,
            upstream,
            clock,
            offers: AtomicU64::new(0),
            tasks: Tasks::new(),
            leaves: data::Leaves::default(),
            heartbeats: Mutex::default(),
        }))
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// The keys, for registration and for the listener.
    pub fn identity(&self) -> &EnclaveIdentity {
        &self.identity
    }

    /// Signs a heartbeat for the time `now`, in whole seconds.
    ///
    /// OpenGradient's gateway signs a time 300 seconds back, so that its clock may be ahead of the
    /// chain's; the caller decides that here, by what it passes.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`].
    pub fn heartbeat(&self, now: Timestamp) -> Result<Heartbeat, Error> {
        let (tee_id, timestamp) = (self.node_id(), now.as_secs());
        let signature = self.identity.sign(&heartbeat_hash(tee_id, timestamp))?;
        Ok(Heartbeat {
            tee_id,
            timestamp,
            signature,
        })
    }

    /// Notes how the submission of a heartbeat went, for `GET /heartbeat/status`: the transaction,
    /// or in a word why there is none.
    pub fn note_heartbeat(&self, outcome: Result<B256, &'static str>) {
        let now = (self.clock)().as_secs();
        let mut status = self
            .heartbeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(transaction) => {
                status.sent = status.sent.saturating_add(1);
                status.last_success_s = Some(now);
                status.last_transaction = Some(transaction);
                status.last_error = None;
            }
            Err(reason) => {
                status.errors = status.errors.saturating_add(1);
                status.last_error = Some(reason);
            }
        }
    }

    /// Hashes on their way to their settlement: drain them after the listener has stopped.
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn plan_heartbeats(&self, plan: HeartbeatPlan) {
        self.heartbeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .plan = Some(plan);
    }

    pub(crate) fn stop_heartbeats(&self) {
        self.heartbeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .plan = None;
    }

    /// Whether heartbeats are sent.
    pub(crate) fn beats(&self) -> bool {
        let status = self.heartbeat_status();
        status.plan.is_some() || status.sent > 0
    }

    pub(crate) fn heartbeat_status(&self) -> HeartbeatStatus {
        self.heartbeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Models on offer: those of the upstream that have a price, in the upstream's order.
    pub(crate) fn models(&self) -> impl Iterator<Item = String> {
        let served = self.upstream.models().into_iter();
        served.filter(|model| {
            let dollars = self.config.dollars.as_ref();
            self.config.prices.contains_key(model)
                || dollars.is_some_and(|dollars| dollars.models.contains_key(model))
        })
    }

    /// What a model on offer costs now; `None` where it is not on offer. A price in the token itself
    /// comes before one in dollars.
    pub(crate) fn price_now(&self, model: &str) -> Result<Option<CallPrice>, Unpriced> {
        if let Some(price) = self.config.prices.get(model) {
            return Ok(Some(CallPrice::Token(*price)));
        }
        let Some(dollars) = &self.config.dollars else {
            return Ok(None);
        };
        let Some(price) = dollars.models.get(model) else {
            return Ok(None);
        };
        let rate = dollars.feed.rate((self.clock)())?;
        Ok(Some(CallPrice::Dollar {
            price: *price,
            rate,
            decimals: dollars.decimals,
        }))
    }

    /// The price of `model`, by the lookup of OpenGradient's gateway: trimmed, in lower case.
    pub(crate) fn price_of(&self, model: &str) -> Result<Option<(String, CallPrice)>, Unpriced> {
        let wanted = model.trim().to_lowercase();
        let Some(model) = self.models().find(|model| *model == wanted) else {
            return Ok(None);
        };
        let price = self.price_now(&model)?;
        Ok(price.map(|price| (model, price)))
    }

    /// The highest ceiling on offer, for requests whose model cannot be told.
    pub(crate) fn highest_ceiling(&self, bytes: u64) -> Result<Amount, Unpriced> {
        let mut highest = Amount::ZERO;
        for model in self.models() {
            if let Some(price) = self.price_now(&model)? {
                highest = highest.max(price.ceiling(bytes, self.config.max_tokens));
            }
        }
        Ok(highest)
    }

    /// Tokens that an answer may have, given what the request asks for; 0 asks for nothing in
    /// particular, as in OpenGradient's gateway.
    pub(crate) fn bounded_tokens(&self, asked: Option<u64>) -> u64 {
        let limit = self.config.max_tokens;
        asked
            .filter(|asked| *asked > 0)
            .map_or(limit, |asked| asked.min(limit))
    }

    /// Signs an answer: the request's hash, the hash of the text that is sent, the time.
    pub(crate) fn prove(&self, input_hash: B256, preimage: &str) -> Result<Proof, Error> {
        let faults = &self.config.faults;
        let timestamp_s = (self.clock)()
            .as_secs()
            .saturating_add_signed(faults.clock_skew_s);
        let output_hash = output_hash(preimage);
        let signer = faults.signed_by.as_deref().unwrap_or(&self.identity);
        let signature = signer.sign(&message_hash(input_hash, output_hash, timestamp_s))?;
        Ok(Proof {
            signature: data::encoded(&signature),
            raw: signature,
            output: output_hash,
            request_hash: hex::encode(input_hash),
            output_hash: hex::encode(output_hash),
            timestamp_s,
            tee_id: self.node_id().to_string(),
        })
    }

    pub(crate) fn is_software(&self) -> bool {
        match self.attester.kind() {
            AttesterKind::Software => true,
            AttesterKind::Hardware => false,
        }
    }

    /// Counts an offer and returns how many there were before.
    pub(crate) fn count_offer(&self) -> u64 {
        self.offers.fetch_add(1, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Enclave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enclave")
            .field("node_id", &self.node_id())
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}

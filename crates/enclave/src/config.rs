use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use seamline_core::{Address, Amount};
use seamline_net::{DataSettlement, SessionRules};

use crate::faults::Faults;
use crate::infer::InferConfig;
use crate::request::Attached;
use crate::tariff::DollarPrices;

/// What one model costs at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPrice {
    /// Base units of the asset per million tokens of the request.
    pub input: Amount,
    /// Base units of the asset per million tokens of the answer.
    pub output: Amount,
}

/// Everything about an enclave that is not a key.
#[derive(Clone)]
pub struct EnclaveConfig {
    /// The public URL without a trailing slash, such as `https://127.0.0.1:8443`: the resource that
    /// offers name. Never taken from the request's `Host`, which the caller chooses.
    pub endpoint: String,
    /// Who is paid: the node's registered payment address.
    pub pay_to: Address,
    /// CAIP-2 id of the chain that payments settle on, such as `eip155:31610`.
    pub network: String,
    /// The ERC-20 that is asked for.
    pub asset: Address,
    /// The token's EIP-712 domain name, which x402 offers carry.
    pub asset_name: String,
    /// The token's EIP-712 domain version.
    pub asset_version: String,
    /// Where the facilitator is, for people and monitors; the enclave itself uses the
    /// `FacilitatorApi` that the router is given.
    pub facilitator_url: String,
    /// The registry that this node is registered in.
    pub registry: Address,
    /// Prices by model id (lower case). A model of the upstream without a price is not offered.
    pub prices: BTreeMap<String, ModelPrice>,
    /// Prices in US dollars, for models that have none in the asset; none.
    pub dollars: Option<DollarPrices>,
    /// Whether one authorization may pay for many requests, as OpenGradient's SDK does it; no. The
    /// paywall gets these rules.
    pub sessions: Option<SessionRules>,
    /// Who settles the hashes of answers; nobody. Callers that ask for it are told then.
    pub data: Option<Arc<dyn DataSettlement>>,
    /// The models that `POST /v1/infer` runs; none.
    pub infer: Option<InferConfig>,
    /// The most tokens an answer may have: larger requests are bounded to it, and a request without
    /// `max_tokens` is priced at it.
    pub max_tokens: u64,
    /// Tokens that an image of a request is priced at beside its length, in the ceiling; 8,192. What an
    /// upstream counts is charged.
    pub image_tokens: u64,
    /// Tokens that a file of a request is priced at beside its length, in the ceiling; 131,072, because a
    /// short one may have a hundred pages. `None`: files are refused.
    pub file_tokens: Option<u64>,
    /// How long an answer that is streamed is read on after its reader left, for what the upstream counts
    /// at its end; 300 s, as long as authorizations live. Whoever leaves a stream costs the node what
    /// whoever stays does, of models that think first nearly all of it before the first word.
    pub read_on: Duration,
    /// How long an authorization may stay valid, in seconds (x402 `maxTimeoutSeconds`).
    pub max_timeout_s: u64,
    /// Whether payment channels are offered beside `upto`; no. The paywall must then be given the
    /// scheme ([`seamline_net::Channels`], with this `pay_to` and this asset).
    pub channels: bool,
    pub(crate) faults: Faults,
}

impl EnclaveConfig {
    /// Creates the configuration of a node that offers nothing yet: answers of at most 1,024
    /// tokens, authorizations that live at most 300 seconds (what OpenGradient's gateways ask for).
    pub fn new(
        endpoint: impl Into<String>,
        pay_to: Address,
        network: impl Into<String>,
        asset: Address,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            pay_to,
            network: network.into(),
            asset,
            asset_name: "OpenGradient".to_owned(),
            asset_version: "1".to_owned(),
            facilitator_url: String::new(),
            registry: Address::ZERO,
            prices: BTreeMap::new(),
            dollars: None,
            sessions: None,
            data: None,
            infer: None,
            max_tokens: 1_024,
            image_tokens: 8_192,
            file_tokens: Some(131_072),
            read_on: Duration::from_secs(300),
            max_timeout_s: 300,
            channels: false,
            faults: Faults::default(),
        }
    }

    /// Makes the enclave lie or break in the ways that `faults` names.
    ///
    /// For tests and drills only: it exists to show that callers notice. A node configured with
    /// this cheats its callers.
    #[must_use]
    pub fn danger_with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}

impl EnclaveConfig {
    /// Tokens that attachments are priced at, beside their length.
    pub(crate) fn attached_tokens(&self, attached: Attached) -> u64 {
        let images = self.image_tokens.saturating_mul(attached.images);
        let files = self.file_tokens.unwrap_or_default();
        images.saturating_add(files.saturating_mul(attached.files))
    }
}

impl fmt::Debug for EnclaveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnclaveConfig")
            .field("endpoint", &self.endpoint)
            .field("pay_to", &self.pay_to)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

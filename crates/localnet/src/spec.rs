//! Which nodes the local network has.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use seamline_core::Amount;
use seamline_enclave::{Enclave, Faults, ModelRunner, Upstream};
use seamline_net::SessionRules;

use crate::standin::StandIn;

/// Makes what a node serves out of its enclave and the router that the enclave has by itself: for doubles
/// of other people's enclaves, whose keys and evidence are those of the node.
pub type Served = Arc<dyn Fn(&Arc<Enclave>, Router) -> Router + Send + Sync>;

/// One node of the local network.
#[derive(Clone)]
pub struct NodeSpec {
    /// Name, part of its evidence's module id: lower-case letters, digits and `-`.
    pub name: String,
    /// Price per million tokens of the request, base units.
    pub price_input: Amount,
    /// Price per million tokens of the answer, base units.
    pub price_output: Amount,
    /// Words per second of the guide model; 0 for as fast as it can.
    pub words_per_second: u32,
    /// How long the node takes before it answers anything.
    pub delay: Duration,
    /// Another upstream than the guide model, under its own model ids.
    pub upstream: Option<Arc<dyn Upstream>>,
    /// What runs the models that the node serves by `POST /v1/infer`, at a sixteenth of the node's prices, per million
    /// elements; none.
    pub models: Option<Arc<dyn ModelRunner>>,
    /// Ways in which the node lies or breaks; none for an honest one.
    pub faults: Faults,
    /// What is served in its place; the enclave's own router by default.
    pub danger_served: Option<Served>,
    /// Whether its evidence reports another measurement than the one that is registered.
    pub lies_about_measurement: bool,
    /// Whether it sells through payment channels besides.
    pub channels: bool,
    /// Whether one authorization may pay for many calls (`X-Upto-Session`), and by which rules; no.
    pub sessions: Option<SessionRules>,
    /// Whether it is registered and answers nobody, as an enclave that has died since its last heartbeat.
    pub dead: bool,
}

impl NodeSpec {
    /// An honest node that serves the guide model.
    pub fn new(name: impl Into<String>, price_input: Amount, price_output: Amount) -> Self {
        Self {
            name: name.into(),
            price_input,
            price_output,
            words_per_second: 0,
            delay: Duration::ZERO,
            upstream: None,
            models: None,
            faults: Faults::default(),
            danger_served: None,
            lies_about_measurement: false,
            channels: false,
            sessions: None,
            dead: false,
        }
    }
}

/// The three nodes of a network that starts by itself: cheap and slow, balanced, dear and fast, so
/// that a decision has something to decide. All sell through payment channels besides.
pub fn three_nodes() -> Vec<NodeSpec> {
    let opg = |thousandths: u128| Amount::new(thousandths.saturating_mul(10_u128.pow(15)));
    let node = |name: &str, input, output, words_per_second, delay_ms| {
        let mut node = NodeSpec::new(name, opg(input), opg(output));
        node.words_per_second = words_per_second;
        node.delay = Duration::from_millis(delay_ms);
        node.channels = true;
        node
    };
    vec![
        // Base units per million tokens: 2 to 9 OPG for the request, 8 to 30 for the answer.
        node("amber", 2_000, 8_000, 900, 12),
        node("birch", 4_000, 12_000, 1_800, 5),
        node("coral", 9_000, 30_000, 5_000, 1),
    ]
}

/// The nodes of a network laid out as OpenGradient's: as [`three_nodes`], behind [`StandIn`].
pub fn three_stand_ins() -> Vec<NodeSpec> {
    let mut nodes = three_nodes();
    for node in &mut nodes {
        node.upstream = Some(Arc::new(StandIn::new(NonZeroU32::new(
            node.words_per_second,
        ))));
    }
    nodes
}

impl core::fmt::Debug for NodeSpec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NodeSpec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

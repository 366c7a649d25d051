use crate::NodeId;

/// What [`decide`](super::decide) decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// All candidates in the order of the catalogue, with what became of each.
    pub candidates: Vec<Considered>,
    /// The node to use; `None` where no candidate is usable.
    pub chosen: Option<NodeId>,
    /// The best usable node besides the chosen one.
    pub runner_up: Option<NodeId>,
    /// How far the scores of chosen and runner-up are apart, in parts per million of the larger
    /// one: 0 is a tie. 1,000,000 where there is no runner-up, 0 where nobody was chosen.
    pub margin_ppm: u32,
    /// What decided.
    pub deciding: DecidingKey,
    /// The probability, over all draws, of choosing this node: numerator and denominator, not
    /// reduced; 0 and 1 where nobody was chosen.
    pub propensity: (u64, u64),
    /// How many candidates are usable.
    pub usable: u32,
    /// The usable nodes in the order in which to try them: the chosen one, then by score.
    pub rank: Vec<NodeId>,
    /// Changes of one value each that would have turned the decision.
    pub flips: Vec<Flip>,
}

impl Decision {
    /// Returns what became of `node`.
    pub fn verdict(&self, node: &NodeId) -> Option<Verdict> {
        self.candidates
            .iter()
            .find(|considered| considered.node == *node)
            .map(|considered| considered.verdict)
    }
}

/// One candidate and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The node.
    pub node: NodeId,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed all filters.
    Usable {
        /// How good it is: 0 to 1,000,000, higher is better.
        score: i64,
    },
    /// It failed a filter.
    Rejected {
        /// The first filter that it failed.
        reason: Rejection,
        /// What was observed, in the unit of the reason.
        observed: u128,
        /// What was allowed, in the same unit.
        bound: u128,
    },
}

/// A filter, in the order in which filters are applied. Codes and names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The registry lists the node as disabled. Observed 0, bound 1.
    Disabled,
    /// The policy avoids the node. Observed 1, bound 0.
    Avoided,
    /// The node does not offer the model. Observed 0, bound 1.
    ModelNotOffered,
    /// The node is paid on another network. Both numbers are EIP-155 chain ids, or 0 where the name
    /// is no such id.
    NetworkNotAllowed,
    /// The node is paid with another token. Both numbers are the first 16 bytes of the address.
    AssetNotAllowed,
    /// The node's measurement is not among the accepted ones. Observed: its first 16 bytes; bound:
    /// how many are accepted.
    MeasurementNotAllowed,
    /// The last heartbeat is too old. Seconds.
    HeartbeatStale,
    /// The node rests after failures. Observed: until when; bound: now, in Unix milliseconds.
    Cooling,
    /// The call may cost more than the cap. Base units of the token.
    OverCap,
}

impl Rejection {
    /// All filters in the order in which they are applied; the index is the code.
    pub const ALL: [Self; 9] = [
        Self::Disabled,
        Self::Avoided,
        Self::ModelNotOffered,
        Self::NetworkNotAllowed,
        Self::AssetNotAllowed,
        Self::MeasurementNotAllowed,
        Self::HeartbeatStale,
        Self::Cooling,
        Self::OverCap,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Avoided => 1,
            Self::ModelNotOffered => 2,
            Self::NetworkNotAllowed => 3,
            Self::AssetNotAllowed => 4,
            Self::MeasurementNotAllowed => 5,
            Self::HeartbeatStale => 6,
            Self::Cooling => 7,
            Self::OverCap => 8,
        }
    }

    /// Returns the stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Avoided => "avoided",
            Self::ModelNotOffered => "model_not_offered",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::AssetNotAllowed => "asset_not_allowed",
            Self::MeasurementNotAllowed => "measurement_not_allowed",
            Self::HeartbeatStale => "heartbeat_stale",
            Self::Cooling => "cooling",
            Self::OverCap => "over_cap",
        }
    }
}

/// What decided between the usable candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecidingKey {
    /// Nothing: no candidate is usable.
    Nothing,
    /// There was one usable candidate.
    Only,
    /// One candidate had the highest score, and was chosen.
    Score,
    /// Several had the highest score; the draw chose among them.
    Tie,
    /// The draw chose a candidate with less than the highest score, to explore.
    Explored,
}

impl DecidingKey {
    /// All keys; the index is the code.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Only,
        Self::Score,
        Self::Tie,
        Self::Explored,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Only => 1,
            Self::Score => 2,
            Self::Tie => 3,
            Self::Explored => 4,
        }
    }

    /// Returns the stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Only => "only",
            Self::Score => "score",
            Self::Tie => "tie",
            Self::Explored => "explored",
        }
    }
}

/// A change of one value that gives `node` the highest score of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The value that changes.
    pub what: Lever,
    /// The node that would have had the highest score.
    pub node: NodeId,
    /// The value as it is.
    pub from: u128,
    /// The value that turns the decision.
    pub to: u128,
}

/// A value whose change can turn a decision. Codes and names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lever {
    /// The cost of the call at that node, in base units; the largest lower one.
    Price,
    /// The latency of that node, in microseconds; the largest lower one.
    Latency,
    /// The health of that node, in parts per million; the smallest higher one.
    Health,
    /// The policy's cap, in base units; a lower or a higher one that suffices.
    Cap,
}

impl Lever {
    /// All levers; the index is the code.
    pub const ALL: [Self; 4] = [Self::Price, Self::Latency, Self::Health, Self::Cap];

    /// Returns the stable code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Price => 0,
            Self::Latency => 1,
            Self::Health => 2,
            Self::Cap => 3,
        }
    }

    /// Returns the stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Latency => "latency",
            Self::Health => "health",
            Self::Cap => "cap",
        }
    }
}

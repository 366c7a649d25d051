use alloy_primitives::{Address, B256};

use super::Error;
use super::catalogue::bounded;
use crate::{Amount, NodeId};

/// The largest share of calls that a policy may spend on exploring: 20 %, in parts per million.
pub const MAX_EXPLORE_PPM: u32 = 200_000;

/// Longest model name in bytes; the longest in use is below 64.
const MAX_MODEL: usize = 256;
/// Most measurements that a policy may list; a network has one per release of each image.
const MAX_MEASUREMENTS: usize = 256;
/// Most nodes that a policy may avoid.
const MAX_AVOID: usize = 1_024;

/// What a caller asks of a node, and how much each quality counts.
///
/// The weights count relative to their sum; where all are zero every node is as good as any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePolicy {
    /// The model, at most 256 bytes. Candidates say for themselves whether they offer it.
    pub model: String,
    /// The most that one call may authorize. A candidate that costs more is rejected; one that
    /// costs this much has no price score left.
    pub cap: Amount,
    /// How much a low cost counts.
    pub weight_price: u32,
    /// How much a low latency counts.
    pub weight_latency: u32,
    /// How much good health counts.
    pub weight_health: u32,
    /// The latency, in microseconds, from which on the latency score is zero. It rejects nobody.
    pub latency_bound_us: u64,
    /// The share of calls, in parts per million, that goes to a usable node at random: at most
    /// [`MAX_EXPLORE_PPM`].
    pub explore_ppm: u32,
    /// The oldest heartbeat that is accepted, in seconds.
    pub max_heartbeat_age_s: u64,
    /// The accepted measurements (PCR hashes), at most 256. Where there are none, no node is
    /// accepted.
    pub measurements: Vec<B256>,
    /// The network to pay on (CAIP-2), such as `eip155:8453`, at most 64 bytes.
    pub network: String,
    /// The token to pay with.
    pub asset: Address,
    /// Nodes not to be used, at most 1,024.
    pub avoid: Vec<NodeId>,
}

impl RoutePolicy {
    /// Checks the bounds of the fields. [`RoutePolicy::decode`] does so by itself.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] or [`Error::TooLong`] with the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.explore_ppm > MAX_EXPLORE_PPM {
            return Err(Error::OutOfRange {
                field: "explore_ppm",
            });
        }
        bounded("model", self.model.len(), MAX_MODEL)?;
        bounded("network", self.network.len(), super::catalogue::MAX_NETWORK)?;
        bounded("measurements", self.measurements.len(), MAX_MEASUREMENTS)?;
        bounded("avoid", self.avoid.len(), MAX_AVOID)
    }

    /// Returns `SHA-256("seamline/v1/route-policy" || encoding)`.
    pub fn policy_hash(&self) -> B256 {
        crate::sha256(&[b"seamline/v1/route-policy", &self.encode()])
    }
}

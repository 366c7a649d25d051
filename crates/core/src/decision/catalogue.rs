use alloy_primitives::{Address, B256};

use super::{Error, encoding};
use crate::receipt::tree;
use crate::{Amount, NodeId};

/// Most candidates of one catalogue. The network has a few dozen nodes; the bound keeps the
/// weights of a decision below 2^45.
pub const MAX_CANDIDATES: usize = 4_096;

/// Longest endpoint in bytes.
const MAX_ENDPOINT: usize = 512;
/// Longest network name in bytes; CAIP-2 allows 41.
pub(super) const MAX_NETWORK: usize = 64;
/// Parts per million.
const MILLION: u32 = 1_000_000;

/// One node as the decision sees it: what the registry says, what was observed, and what this
/// call would cost there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Where it listens, at most 512 bytes. Not weighed; recorded so that a receipt names it.
    pub endpoint: String,
    /// Its registered payment address. Not weighed.
    pub pay_to: Address,
    /// Its registered measurement (PCR hash).
    pub measurement: B256,
    /// Whether it offers the model that the policy asks for.
    pub offers_model: bool,
    /// The network it is paid on (CAIP-2), at most 64 bytes.
    pub network: String,
    /// The token it is paid with.
    pub asset: Address,
    /// The most that this call can cost at its listed price.
    pub cost: Amount,
    /// Expected time to the first byte of the answer, in microseconds.
    pub latency_us: u64,
    /// Share of good outcomes lately, in parts per million, at most 1,000,000.
    pub health_ppm: u32,
    /// Age of its last heartbeat at the registry, in seconds.
    pub heartbeat_age_s: u64,
    /// Age of the observations behind latency and health, in milliseconds. Not weighed.
    pub observed_age_ms: u64,
    /// Until when it rests after failures, in Unix milliseconds; 0 where it does not.
    pub cooling_until_ms: u64,
    /// Whether the registry lists it as enabled.
    pub enabled: bool,
}

/// The candidates of one decision, sorted by node, each node once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    candidates: Vec<Candidate>,
}

impl Catalogue {
    /// Sorts the candidates by node and checks their bounds.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateNode`], [`Error::TooLong`] or [`Error::OutOfRange`].
    pub fn new(mut candidates: Vec<Candidate>) -> Result<Self, Error> {
        candidates.sort_unstable_by_key(|candidate| candidate.node);
        Self::of_sorted(candidates)
    }

    pub(super) fn of_sorted(candidates: Vec<Candidate>) -> Result<Self, Error> {
        bounded("candidates", candidates.len(), MAX_CANDIDATES)?;
        for candidate in &candidates {
            bounded("endpoint", candidate.endpoint.len(), MAX_ENDPOINT)?;
            bounded("network", candidate.network.len(), MAX_NETWORK)?;
            if candidate.health_ppm > MILLION {
                return Err(Error::OutOfRange {
                    field: "health_ppm",
                });
            }
        }
        for pair in candidates.windows(2) {
            if let [a, b] = pair {
                if a.node == b.node {
                    return Err(Error::DuplicateNode(a.node));
                }
                if a.node > b.node {
                    return Err(Error::NotSorted);
                }
            }
        }
        Ok(Self { candidates })
    }

    /// Returns the candidates, sorted by node.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Returns the candidate `node`.
    pub fn get(&self, node: &NodeId) -> Option<&Candidate> {
        let index = self
            .candidates
            .binary_search_by_key(node, |candidate| candidate.node);
        index.ok().and_then(|index| self.candidates.get(index))
    }

    /// Returns the root of the RFC 6962 tree whose leaves are the encoded candidates. That of an
    /// empty catalogue is the hash of nothing.
    ///
    /// Leaves are in the order of nodes, so that two neighbours prove that no node was between
    /// them.
    pub fn root(&self) -> B256 {
        let leaves: Vec<B256> = self
            .candidates
            .iter()
            .map(|candidate| tree::leaf(&encoding::candidate(candidate)))
            .collect();
        tree::root(&leaves)
    }
}

pub(super) const fn bounded(field: &'static str, length: usize, bound: usize) -> Result<(), Error> {
    if length > bound {
        return Err(Error::TooLong { field });
    }
    Ok(())
}

//! The registry's word about single nodes, kept for a moment.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use seamline_core::{Address, NodeId};
use seamline_evm::registry::ids;
use seamline_evm::settlement::{NodeKey, node_key};
use seamline_evm::{Error, Rpc};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, timeout};

/// An answer, and when it came.
type Known = (Instant, Option<Arc<NodeKey>>);

/// Nodes that were asked for lately.
///
/// An id costs nothing to make up, and each that is not known costs the endpoint a call. So that strangers
/// cannot keep the desk from nodes, ids that the registry lists have places of their own; others share few,
/// wait for them only a moment, and only some of them may wait at all.
pub(super) struct Nodes {
    known: Mutex<HashMap<NodeId, Known>>,
    /// What the registry lists, and when it was asked. Whoever holds it asks.
    listed: Turn<Option<(Instant, HashSet<NodeId>)>>,
    /// Questions about listed nodes at once.
    ours: Semaphore,
    /// Questions about other ids at once.
    strangers: Semaphore,
    /// Questions about other ids that are asked or wait.
    seats: Semaphore,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWord {
    #[error("too many ids are asked for that the registry does not list")]
    Busy,
    #[error(transparent)]
    Chain(#[from] Error),
}

/// How long an answer counts: a node that was disabled settles this much longer.
const FRESH: Duration = Duration::from_secs(15);
/// Nodes that are kept: more than any network has.
const MOST: usize = 4096;
/// See [`Nodes::ours`].
const OURS: usize = 8;
/// See [`Nodes::strangers`].
const STRANGERS: usize = 2;
/// See [`Nodes::seats`].
const SEATS: usize = 32;
/// How long a question waits for its place.
const WAIT: Duration = Duration::from_secs(2);
/// Types whose nodes are listed: language models and validators. A node of another type is served as a
/// stranger is.
const TYPES: [u8; 2] = [0, 1];

impl Default for Nodes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            listed: Turn::default(),
            ours: Semaphore::new(OURS),
            strangers: Semaphore::new(STRANGERS),
            seats: Semaphore::new(SEATS),
        }
    }
}

impl Nodes {
    /// The node's key, where it is registered and enabled.
    pub(super) async fn find(
        &self,
        rpc: &dyn Rpc,
        registry: Address,
        node: NodeId,
    ) -> Result<Option<Arc<NodeKey>>, NoWord> {
        if let Some(known) = self.fresh(node) {
            return Ok(known);
        }
        let listed = timeout(WAIT, self.lists(rpc, registry, node)).await;
        let listed = listed.map_err(|_| NoWord::Busy)?;
        let (places, _seat) = if listed {
            (&self.ours, None)
        } else {
            let seat = self.seats.try_acquire().map_err(|_| NoWord::Busy)?;
            (&self.strangers, Some(seat))
        };
        let _place = timeout(WAIT, places.acquire())
            .await
            .map_err(|_| NoWord::Busy)?;
        if let Some(known) = self.fresh(node) {
            return Ok(known);
        }
        let found = node_key(rpc, registry, node).await?.map(Arc::new);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Made-up ids go first.
            known.retain(|_, (_, found)| found.is_some());
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(node, (Instant::now(), found.clone()));
        Ok(found)
    }

    /// Whether the registry lists the node; asked at most once in [`FRESH`], whoever asks.
    async fn lists(&self, rpc: &dyn Rpc, registry: Address, node: NodeId) -> bool {
        let mut listed = self.listed.lock().await;
        let fresh = listed.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        if let Some((_, nodes)) = fresh {
            return nodes.contains(&node);
        }
        let mut nodes = HashSet::new();
        for tee_type in TYPES {
            match ids(rpc, registry, tee_type).await {
                Ok(found) => nodes.extend(found),
                Err(error) => {
                    let error = seamline_core::chain(&error);
                    tracing::debug!(error, tee_type, "the registry does not list its nodes");
                    // What it listed before is a better guess than nothing.
                    let before = listed.iter().flat_map(|(_, nodes)| nodes.iter().copied());
                    nodes.extend(before);
                }
            }
        }
        let is_listed = nodes.contains(&node);
        *listed = Some((Instant::now(), nodes));
        is_listed
    }

    fn fresh(&self, node: NodeId) -> Option<Option<Arc<NodeKey>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = known.get(&node)?;
        (at.elapsed() < FRESH).then(|| found.clone())
    }
}

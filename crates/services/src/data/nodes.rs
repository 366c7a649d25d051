//! The registry's word about single nodes, kept for a moment.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use seamline_core::{Address, NodeId};
use seamline_evm::settlement::{NodeKey, node_key};
use seamline_evm::{Error, Rpc};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// An answer, and when it came.
type Known = (Instant, Option<Arc<NodeKey>>);

/// Nodes that were asked for lately.
pub(super) struct Nodes {
    known: Mutex<HashMap<NodeId, Known>>,
    /// Questions at once: strangers' ids cost the endpoint no more than this.
    questions: Semaphore,
}

/// How long an answer counts: a node that was disabled settles this much longer.
const FRESH: Duration = Duration::from_secs(15);
/// Nodes that are kept: more than any network has.
const MOST: usize = 4096;
/// See [`Nodes::questions`].
const QUESTIONS: usize = 8;

impl Default for Nodes {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
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
    ) -> Result<Option<Arc<NodeKey>>, Error> {
        if let Some(known) = self.fresh(node) {
            return Ok(known);
        }
        let permit = self.questions.acquire().await;
        if let Some(known) = self.fresh(node) {
            return Ok(known);
        }
        let found = node_key(rpc, registry, node).await?.map(Arc::new);
        drop(permit);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(node, (Instant::now(), found.clone()));
        Ok(found)
    }

    fn fresh(&self, node: NodeId) -> Option<Option<Arc<NodeKey>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = known.get(&node)?;
        (at.elapsed() < FRESH).then(|| found.clone())
    }
}

//! Heartbeats, delivered at the facilitator's cost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use seamline_core::{Address, B256, NodeId, canonical};
use seamline_evm::heartbeat::Heartbeat;
use seamline_evm::settlement::Standing;
use serde_json::{Value, json};

use super::seams::Call;
use super::{Core, DataDesk, Error};

/// The newest heartbeat of each node that was delivered.
#[derive(Default)]
pub(super) struct Beats(Mutex<HashMap<NodeId, Beat>>);

#[derive(Clone, Copy)]
struct Beat {
    /// The time that it signed, Unix seconds.
    signed_s: u64,
    /// When it was delivered, Unix seconds.
    delivered_s: u64,
}

/// Why a heartbeat is not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeartbeatError {
    /// The chain or the sender does not answer.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The body is none.
    #[error("`{0}` is missing or malformed")]
    Member(&'static str),
    /// A later one was delivered.
    #[error("a later heartbeat of this node was delivered")]
    Older,
    /// It is for another registry.
    #[error("this facilitator delivers to another registry")]
    OtherRegistry,
    /// The signature does not verify.
    #[error("the heartbeat's signature does not verify")]
    Signature,
    /// The registry would refuse its time.
    #[error("the heartbeat's timestamp is in the future, or older than half an hour")]
    Time,
    /// The last one of this node was delivered a moment ago.
    #[error("the last heartbeat of this node was delivered a moment ago")]
    TooSoon {
        /// Seconds until the next one is taken.
        retry_after_s: u64,
    },
    /// The registry does not have the node, or has it disabled.
    #[error("the registry has no such enabled node")]
    UnknownNode,
}

/// Default of the registry's `heartbeatMaxAge`, seconds; a registry that asks for less refuses by itself.
const MAX_AGE_S: u64 = 1800;
/// Gas of `heartbeat`, which checks a signature.
const GAS: u64 = 3_000_000;
/// Nodes that are remembered.
const MOST: usize = 4096;

impl DataDesk {
    /// Checks a heartbeat and lets the sender deliver it; returns what is answered.
    pub(super) async fn deliver(&self, body: &[u8]) -> Result<Value, HeartbeatError> {
        let core = &self.0.core;
        let (heartbeat, registry) = Heartbeat::parse_body(body).map_err(HeartbeatError::Member)?;
        let transaction = beat(core, &heartbeat, registry).await?;
        Ok(json!({
            "success": true,
            "txHash": transaction.to_string(),
            "teeId": heartbeat.node.to_string(),
            "timestamp": heartbeat.timestamp.to_string(),
            "relayer": core.config.sender.address().to_string(),
            "contract": registry.to_string(),
        }))
    }
}

/// Delivers a heartbeat; returns the hash of its transaction, which a later one may replace.
pub(super) async fn beat(
    core: &Core,
    heartbeat: &Heartbeat,
    registry: Address,
) -> Result<B256, HeartbeatError> {
    let config = &core.config;
    // 1. What needs nobody else.
    if registry != config.registry {
        return Err(HeartbeatError::OtherRegistry);
    }
    let now_s = core.now_s();
    let age = now_s.checked_sub(heartbeat.timestamp);
    if age.is_none_or(|age| age > MAX_AGE_S) {
        return Err(HeartbeatError::Time);
    }
    core.beats
        .check(heartbeat, now_s, config.heartbeat_pause.as_secs())?;
    // 2. The registered key.
    let found = core
        .nodes
        .find(config.rpc.as_ref(), registry, heartbeat.node);
    let key = found.await.map_err(Error::from)?;
    let key = key.ok_or(HeartbeatError::UnknownNode)?;
    let message = canonical::heartbeat_hash(heartbeat.node, heartbeat.timestamp);
    if !(config.verify)(&key.public_key, &message, &heartbeat.signature) {
        return Err(HeartbeatError::Signature);
    }
    // 3. The transaction: one for a signed time, whoever delivers it how often.
    let id = seamline_core::sha256(&[
        b"seamline/v1/heartbeat".as_slice(),
        registry.as_slice(),
        heartbeat.node.as_b256().as_slice(),
        &heartbeat.timestamp.to_be_bytes(),
    ]);
    let call = Call {
        id,
        to: registry,
        input: heartbeat.calldata().to_vec(),
        gas_limit: GAS,
        payer: None,
    };
    let standing = config.sender.begin(call).await.map_err(Error::Send)?;
    core.beats.delivered(heartbeat, now_s);
    match standing {
        Standing::Pending { transaction } | Standing::Mined { transaction, .. } => Ok(transaction),
        Standing::Dropped => Err(HeartbeatError::Older),
    }
}

impl Beats {
    fn check(&self, heartbeat: &Heartbeat, now_s: u64, pause_s: u64) -> Result<(), HeartbeatError> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = beats.get(&heartbeat.node) else {
            return Ok(());
        };
        if heartbeat.timestamp < last.signed_s {
            return Err(HeartbeatError::Older);
        }
        let since = now_s.saturating_sub(last.delivered_s);
        // The same one again is answered with its transaction.
        if heartbeat.timestamp > last.signed_s && since < pause_s {
            return Err(HeartbeatError::TooSoon {
                retry_after_s: pause_s.saturating_sub(since),
            });
        }
        Ok(())
    }

    fn delivered(&self, heartbeat: &Heartbeat, now_s: u64) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.len() >= MOST {
            beats.retain(|_, beat| now_s.saturating_sub(beat.delivered_s) <= MAX_AGE_S);
        }
        let beat = beats.entry(heartbeat.node).or_insert(Beat {
            signed_s: heartbeat.timestamp,
            delivered_s: now_s,
        });
        if heartbeat.timestamp > beat.signed_s {
            *beat = Beat {
                signed_s: heartbeat.timestamp,
                delivered_s: now_s,
            };
        }
    }
}

//! What happened in the registry, as its events tell it.

use alloy_primitives::{Address, B256, Bytes, LogData};
use alloy_sol_types::SolEvent;
use seamline_core::NodeId;
use serde_json::{Value, json};

use super::admin::IRegistryAdmin;
use crate::bindings::IRegistry;
use crate::rpc::send;
use crate::{Error, Rpc, RpcCall, chain};

/// One event of the registry and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// The transaction.
    pub transaction: B256,
    /// Place in the block.
    pub log_index: u64,
    /// What happened.
    pub event: Event,
}

/// What happened in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node was admitted.
    Registered {
        /// The node.
        node: NodeId,
        /// Who registered it.
        owner: Address,
        /// Its type.
        tee_type: u8,
    },
    /// A node was taken out.
    Disabled {
        /// The node.
        node: NodeId,
    },
    /// A node was let in again.
    Enabled {
        /// The node.
        node: NodeId,
    },
    /// A node said that it lives.
    Heartbeat {
        /// The node.
        node: NodeId,
        /// The time that it signed, Unix seconds.
        timestamp: u64,
    },
    /// A measurement was approved.
    Approved {
        /// The measurement.
        measurement: B256,
        /// The type that it is approved for.
        tee_type: u8,
        /// What its approver called it.
        version: String,
    },
    /// A measurement was withdrawn.
    Revoked {
        /// The measurement.
        measurement: B256,
        /// The type that it was approved for.
        tee_type: u8,
    },
    /// A type of nodes was added.
    TypeAdded {
        /// The type.
        tee_type: u8,
        /// Its name.
        name: String,
    },
    /// The root that evidence must chain to was replaced.
    RootReplaced {
        /// Keccak-256 of its PEM text.
        hash: B256,
    },
    /// A node published an Oblivious HTTP key.
    OhttpUpdated {
        /// The node.
        node: NodeId,
        /// Identifier of the key.
        key_id: u8,
    },
    /// A node's Oblivious HTTP key was taken out.
    OhttpCleared {
        /// The node.
        node: NodeId,
    },
    /// A role was given.
    RoleGranted {
        /// The role.
        role: B256,
        /// To whom.
        account: Address,
    },
    /// A role was taken away.
    RoleRevoked {
        /// The role.
        role: B256,
        /// From whom.
        account: Address,
    },
    /// An event that is not known here.
    Other {
        /// Its first topic, zero where it has none.
        topic: B256,
    },
}

/// Reads the events of blocks `from` to `to`, both included, in their order.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`] (an endpoint may refuse a long range), [`Error::Answer`].
pub async fn read(
    rpc: &dyn Rpc,
    registry: Address,
    from: u64,
    to: u64,
) -> Result<Vec<Seen>, Error> {
    let filter = json!([{
        "address": registry,
        "fromBlock": format!("{from:#x}"),
        "toBlock": format!("{to:#x}"),
    }]);
    let call = RpcCall::new("eth_getLogs", filter);
    let [answer] = chain::exactly(send(rpc, &[call]).await?)?;
    let logs = answer
        .as_array()
        .ok_or(Error::Answer("the registry's events"))?;
    // Of another contract, or taken back by a reorganisation: not what was asked for.
    logs.iter()
        .filter(|log| log.get("removed") != Some(&Value::Bool(true)))
        .map(|log| seen(log).ok_or(Error::Answer("the registry's events")))
        .collect()
}

fn seen(log: &Value) -> Option<Seen> {
    let text = |name: &str| log.get(name).and_then(Value::as_str);
    let hash = |name: &str| text(name)?.parse::<B256>().ok();
    let number = |name: &str| u64::from_str_radix(text(name)?.strip_prefix("0x")?, 16).ok();
    let topics: Option<Vec<B256>> = log
        .get("topics")?
        .as_array()?
        .iter()
        .map(|topic| topic.as_str()?.parse().ok())
        .collect();
    let data = text("data")?.parse::<Bytes>().ok()?;
    Some(Seen {
        block_number: number("blockNumber")?,
        block_hash: hash("blockHash")?,
        transaction: hash("transactionHash")?,
        log_index: number("logIndex")?,
        event: event(&LogData::new(topics?, data)?),
    })
}

fn event(log: &LogData) -> Event {
    let topic = log.topics().first().copied().unwrap_or_default();
    known(topic, log).unwrap_or(Event::Other { topic })
}

fn known(topic: B256, log: &LogData) -> Option<Event> {
    fn of<E: SolEvent>(topic: B256, log: &LogData) -> Option<E> {
        (topic == E::SIGNATURE_HASH)
            .then(|| E::decode_log_data(log).ok())
            .flatten()
    }
    let node = |tee_id: B256| NodeId::new(tee_id);
    None.or_else(|| {
        of::<IRegistry::TEERegistered>(topic, log).map(|it| Event::Registered {
            node: node(it.teeId),
            owner: it.owner,
            tee_type: it.teeType,
        })
    })
    .or_else(|| {
        of::<IRegistry::TEEDisabled>(topic, log).map(|it| Event::Disabled {
            node: node(it.teeId),
        })
    })
    .or_else(|| {
        of::<IRegistry::TEEEnabled>(topic, log).map(|it| Event::Enabled {
            node: node(it.teeId),
        })
    })
    .or_else(|| {
        of::<IRegistry::HeartbeatReceived>(topic, log).map(|it| Event::Heartbeat {
            node: node(it.teeId),
            timestamp: u64::try_from(it.timestamp).unwrap_or(u64::MAX),
        })
    })
    .or_else(|| {
        of::<IRegistry::PCRApproved>(topic, log).map(|it| Event::Approved {
            measurement: it.pcrHash,
            tee_type: it.teeType,
            version: it.version,
        })
    })
    .or_else(|| {
        of::<IRegistry::PCRRevoked>(topic, log).map(|it| Event::Revoked {
            measurement: it.pcrHash,
            tee_type: it.teeType,
        })
    })
    .or_else(|| {
        of::<IRegistryAdmin::TEETypeAdded>(topic, log).map(|it| Event::TypeAdded {
            tee_type: it.typeId,
            name: it.name,
        })
    })
    .or_else(|| {
        of::<IRegistryAdmin::AWSCertificateUpdated>(topic, log)
            .map(|it| Event::RootReplaced { hash: it.certHash })
    })
    .or_else(|| {
        of::<IRegistryAdmin::OHTTPConfigUpdated>(topic, log).map(|it| Event::OhttpUpdated {
            node: node(it.teeId),
            key_id: it.keyId,
        })
    })
    .or_else(|| {
        of::<IRegistryAdmin::OHTTPConfigCleared>(topic, log).map(|it| Event::OhttpCleared {
            node: node(it.teeId),
        })
    })
    .or_else(|| {
        of::<IRegistryAdmin::RoleGranted>(topic, log).map(|it| Event::RoleGranted {
            role: it.role,
            account: it.account,
        })
    })
    .or_else(|| {
        of::<IRegistryAdmin::RoleRevoked>(topic, log).map(|it| Event::RoleRevoked {
            role: it.role,
            account: it.account,
        })
    })
}

#[cfg(test)]
mod tests;

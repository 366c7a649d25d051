//! The nodes of the network, read from the registry contract at one block.

pub mod admin;
mod entry;
pub mod events;
mod raw;

use std::collections::BTreeMap;
use std::collections::btree_map;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::NodeId;

use self::raw::Raw;
use crate::bindings::{IRegistry, OHTTPConfig, TEEInfo, TEEInfoWithOHTTP};
use crate::rpc::{At, bytes_of, send};
use crate::{Error, Rpc, RpcCall, chain};

pub use self::entry::{Entry, entry, ids, is_active, is_approved};

/// The active nodes of one type at one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// EIP-155 chain id that the endpoint reports.
    pub chain_id: u64,
    /// Number of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Time of the block, Unix seconds.
    pub block_time_s: u64,
    /// The registry contract.
    pub registry: Address,
    /// Well-formed entries, by node id.
    pub nodes: Vec<NodeRecord>,
    /// Entries that were left out, and why.
    pub skipped: Vec<Skipped>,
}

/// One node as the registry knows it. The registry's word is compared with evidence, never
/// trusted alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Keccak-256 of `public_key`.
    pub node: NodeId,
    /// Account that registered the node.
    pub owner: Address,
    /// Where payments to the node go.
    pub pay_to: Address,
    /// Base URL, `https`, without a trailing slash.
    pub endpoint: String,
    /// Response signing key: SubjectPublicKeyInfo, DER.
    pub public_key: Bytes,
    /// TLS certificate, DER.
    pub tls_certificate: Bytes,
    /// Measurement: Keccak-256 over PCR0 to PCR2.
    pub pcr_hash: B256,
    /// Kind of enclave; 0 serves language models.
    pub tee_type: u8,
    /// Whether the registry lists the node as enabled.
    pub enabled: bool,
    /// Time of registration, Unix seconds.
    pub registered_at: u64,
    /// Time of the newest heartbeat, Unix seconds.
    pub last_heartbeat_at: u64,
    /// Oblivious HTTP key configuration, where the registry has one. Vouched for by the registry
    /// only, not by evidence.
    pub ohttp: Option<OhttpConfig>,
}

/// A node's Oblivious HTTP key configuration in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OhttpConfig {
    /// Key identifier.
    pub key_id: u8,
    /// HPKE KEM.
    pub kem_id: u16,
    /// HPKE KDF.
    pub kdf_id: u16,
    /// HPKE AEAD.
    pub aead_id: u16,
    /// HPKE public key.
    pub public_key: Bytes,
    /// RFC 9458 key configuration.
    pub key_config: Bytes,
    /// Time of registration, Unix seconds.
    pub registered_at: u64,
}

/// An entry that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Id of the entry.
    pub node: NodeId,
    /// What is wrong with it.
    pub reason: SkipReason,
}

/// Why an entry of the registry is left out of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// An earlier entry has the same key.
    #[error("an earlier entry has the same signing key")]
    Duplicate,
    /// The endpoint is not an `https` URL of a host.
    #[error("the endpoint is not an https url")]
    Endpoint,
    /// The payment address is zero.
    #[error("the payment address is zero")]
    PayTo,
    /// The signing key is empty or too long.
    #[error("the signing key is empty or too long")]
    PublicKey,
    /// As many entries as are read of one list came before it.
    #[error("the registry lists more entries than are read")]
    Surplus,
    /// A time is beyond 2^64 seconds.
    #[error("a time is out of range")]
    Time,
    /// The TLS certificate is empty or too long.
    #[error("the tls certificate is empty or too long")]
    TlsCertificate,
}

/// Reads the active nodes of `tee_type` at the newest block.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`]; [`Error::BlockChanged`] where the
/// chain reorganised in between: ask again.
pub async fn read(rpc: &dyn Rpc, registry: Address, tee_type: u8) -> Result<Snapshot, Error> {
    let (chain_id, block) = chain::head(rpc).await?;
    let at = At::Number(block.number);
    let list = IRegistry::getActiveTEEsCall { teeType: tee_type };
    let calls = [
        RpcCall::call(registry, &list.abi_encode(), at),
        RpcCall::block(at),
    ];
    let [answer, again] = chain::exactly(send(rpc, &calls).await?)?;
    chain::same_block(&again, &block)?;
    let (nodes, skipped) = collect(decode(&bytes_of(&answer)?)?);
    Ok(Snapshot {
        chain_id,
        block_number: block.number,
        block_hash: block.hash,
        block_time_s: block.time_s,
        registry,
        nodes,
        skipped,
    })
}

/// Decodes the answer of `getActiveTEEs`: eleven members per record, then ten.
fn decode(answer: &[u8]) -> Result<Vec<TEEInfoWithOHTTP>, Error> {
    if answer.len() > MAX_ANSWER {
        return Err(Error::Answer("a list of nodes of bounded size"));
    }
    // Nothing in the answer says which layout it has, and one could be read as the other: the
    // longer one is taken only if it encodes to the same bytes again.
    let with_ohttp = Raw::elevensCall::abi_decode_returns_validate(answer)
        .ok()
        .filter(|records| Raw::elevensCall::abi_encode_returns(records) == answer);
    Ok(match with_ohttp {
        Some(records) => records.into_iter().map(Into::into).collect(),
        None => Raw::tensCall::abi_decode_returns_validate(answer)
            .map_err(|_| Error::Answer("a list of nodes"))?
            .into_iter()
            .map(|record| without_ohttp(record.into()))
            .collect(),
    })
}

fn collect(records: Vec<TEEInfoWithOHTTP>) -> (Vec<NodeRecord>, Vec<Skipped>) {
    let mut nodes = BTreeMap::new();
    let mut skipped = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        let node = NodeId::of_signing_key(&record.publicKey);
        // Whoever may register could fill the list: that takes nobody away who was there before.
        if index >= MAX_NODES {
            let reason = SkipReason::Surplus;
            skipped.push(Skipped { node, reason });
            continue;
        }
        match NodeRecord::check(node, record) {
            Ok(record) => match nodes.entry(node) {
                btree_map::Entry::Vacant(place) => {
                    place.insert(record);
                }
                btree_map::Entry::Occupied(_) => skipped.push(Skipped {
                    node,
                    reason: SkipReason::Duplicate,
                }),
            },
            Err(reason) => skipped.push(Skipped { node, reason }),
        }
    }
    (nodes.into_values().collect(), skipped)
}

impl NodeRecord {
    fn check(node: NodeId, record: TEEInfoWithOHTTP) -> Result<Self, SkipReason> {
        let TEEInfoWithOHTTP {
            owner,
            paymentAddress: pay_to,
            endpoint,
            publicKey: public_key,
            tlsCertificate: tls_certificate,
            pcrHash: pcr_hash,
            teeType: tee_type,
            enabled,
            registeredAt: registered_at,
            lastHeartbeatAt: last_heartbeat_at,
            ohttpConfig: ohttp,
        } = record;
        let seconds = |time: U256| u64::try_from(time).map_err(|_| SkipReason::Time);
        if !(1..=MAX_PUBLIC_KEY).contains(&public_key.len()) {
            return Err(SkipReason::PublicKey);
        }
        if !(1..=MAX_TLS_CERTIFICATE).contains(&tls_certificate.len()) {
            return Err(SkipReason::TlsCertificate);
        }
        if pay_to == Address::ZERO {
            return Err(SkipReason::PayTo);
        }
        let endpoint = check_endpoint(&endpoint).ok_or(SkipReason::Endpoint)?;
        Ok(Self {
            node,
            owner,
            pay_to,
            endpoint,
            public_key,
            tls_certificate,
            pcr_hash,
            tee_type,
            enabled,
            registered_at: seconds(registered_at)?,
            last_heartbeat_at: seconds(last_heartbeat_at)?,
            ohttp: OhttpConfig::check(ohttp)?,
        })
    }
}

impl OhttpConfig {
    /// An empty key means that there is no configuration.
    fn check(config: OHTTPConfig) -> Result<Option<Self>, SkipReason> {
        let OHTTPConfig {
            keyId: key_id,
            kemId: kem_id,
            kdfId: kdf_id,
            aeadId: aead_id,
            publicKey: public_key,
            keyConfig: key_config,
            registeredAt: registered_at,
        } = config;
        if public_key.is_empty() {
            return Ok(None);
        }
        if public_key.len() > MAX_PUBLIC_KEY || key_config.len() > MAX_PUBLIC_KEY {
            return Err(SkipReason::PublicKey);
        }
        Ok(Some(Self {
            key_id,
            kem_id,
            kdf_id,
            aead_id,
            public_key,
            key_config,
            registered_at: u64::try_from(registered_at).map_err(|_| SkipReason::Time)?,
        }))
    }
}

/// Returns the endpoint without trailing slashes if it is `https://`, a host and perhaps a path:
/// no user, query or fragment, nothing but printable ASCII.
fn check_endpoint(endpoint: &str) -> Option<String> {
    let rest = endpoint.strip_prefix("https://")?;
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    let printable = endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    let plain = !endpoint.contains(['@', '?', '#', '\\', '"', '<', '>', '`']);
    let named = !host.is_empty() && !host.starts_with(':');
    let fits = endpoint.len() <= MAX_ENDPOINT;
    (printable && plain && named && fits).then(|| endpoint.trim_end_matches('/').to_owned())
}

fn without_ohttp(record: TEEInfo) -> TEEInfoWithOHTTP {
    let TEEInfo {
        owner,
        paymentAddress,
        endpoint,
        publicKey,
        tlsCertificate,
        pcrHash,
        teeType,
        enabled,
        registeredAt,
        lastHeartbeatAt,
    } = record;
    TEEInfoWithOHTTP {
        owner,
        paymentAddress,
        endpoint,
        publicKey,
        tlsCertificate,
        pcrHash,
        teeType,
        enabled,
        registeredAt,
        lastHeartbeatAt,
        ohttpConfig: OHTTPConfig {
            keyId: 0,
            kemId: 0,
            kdfId: 0,
            aeadId: 0,
            publicKey: Bytes::new(),
            keyConfig: Bytes::new(),
            registeredAt: U256::ZERO,
        },
    }
}

/// Largest answer that is decoded: a thousand nodes of 4 KiB each.
const MAX_ANSWER: usize = 4 << 20;
/// Most entries of one snapshot.
const MAX_NODES: usize = 1024;
/// Longest key: an RSA-8192 SubjectPublicKeyInfo takes 1,062 bytes; RSA-2048, in use, 294.
const MAX_PUBLIC_KEY: usize = 1100;
/// Longest TLS certificate: those in use stay below 1 KiB.
const MAX_TLS_CERTIFICATE: usize = 16 << 10;
/// Longest endpoint: a DNS name of 253 bytes with a port and a path.
const MAX_ENDPOINT: usize = 512;

#[cfg(test)]
mod tests;

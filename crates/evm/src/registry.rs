//! The nodes of the network, read from the registry contract at one block.

use alloy_primitives::{Address, B256, Bytes};
use seamline_core::NodeId;

use crate::{Error, Rpc};

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
    let _ = (rpc, registry, tee_type);
    Err(Error::Answer("the registry: reading it is not written yet"))
}

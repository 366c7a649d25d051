//! The enclave's key, and who vouches for it.

use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_attest::{ResponseKey, Verified, verify_rsa_pss};
use seamline_core::canonical::{OhttpConfig, ohttp_config_hash, ohttp_key_config};
use seamline_core::{NodeId, Timestamp};
use seamline_evm::registry::NodeRecord;
use seamline_ohttp::KeyConfig;
use serde::Deserialize;

/// A key for sealing requests to one enclave, and the key that its answers are signed with.
#[derive(Clone, Debug)]
pub struct EnclaveKey {
    node: NodeId,
    config: KeyConfig,
    signing_key: Vec<u8>,
    vouched: Vouched,
    checked: Timestamp,
}

/// Who vouches for an enclave's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vouched {
    /// The signing key of verified evidence signed it.
    ByEvidence,
    /// The signing key that the registry names signed it; nobody checked that an enclave holds that one.
    /// The prompt is as confidential as the registry is honest.
    ByRegistry,
}

/// Why a key configuration is not taken. Nothing is ever sealed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefused {
    /// It is no key configuration.
    #[error("the key configuration is malformed")]
    Malformed,
    /// It is another node's.
    #[error("the key configuration is another node's")]
    Node,
    /// Its members say different things.
    #[error("the key configuration contradicts itself")]
    Contradiction,
    /// It is for other algorithms than OpenGradient's.
    #[error("the key configuration is for other algorithms")]
    Suite,
    /// The registry has another key for this node, or none.
    #[error("the registry has another key for this node")]
    Registry,
    /// The evidence is for another signing key than the registry's.
    #[error("the evidence is for another signing key")]
    Evidence,
    /// The node's signing key did not sign it.
    #[error("the node did not sign the key configuration")]
    Signature,
}

#[derive(Deserialize)]
struct Wire {
    tee_id: String,
    key_id: u8,
    kem_id: u16,
    kdf_id: u16,
    aead_id: u16,
    public_key: String,
    key_config: String,
    signature: String,
}

/// How long a checked key serves.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Longest answer of `GET /v1/ohttp/config`.
const MAX_CONFIG: usize = 16 * 1024;

impl EnclaveKey {
    /// Checks a key configuration, wherever it came from, against the registry's record of the node and
    /// its evidence. `attested` is the signing key of verified evidence, where the caller has it; `now` is when
    /// the record was read. The key serves for five minutes: a node that is revoked meanwhile is not asked for
    /// longer, whoever carries requests to it.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`]: a relay that substitutes a key gets nothing sealed for it.
    pub fn check(
        answer: &[u8],
        record: &NodeRecord,
        attested: Option<&Verified<ResponseKey>>,
        now: Timestamp,
    ) -> Result<Self, KeyRefused> {
        // 1. What it says.
        if answer.len() > MAX_CONFIG {
            return Err(KeyRefused::Malformed);
        }
        let malformed = || KeyRefused::Malformed;
        let wire: Wire = serde_json::from_slice(answer).map_err(|_| malformed())?;
        let node = NodeId::parse(&wire.tee_id).ok_or_else(malformed)?;
        let public_key = hex::decode_to_array(&wire.public_key).map_err(|_| malformed())?;
        let bytes = STANDARD.decode(&wire.key_config).map_err(|_| malformed())?;
        let signature = STANDARD.decode(&wire.signature).map_err(|_| malformed())?;
        // 2. For whom, and for what.
        if node != record.node || NodeId::of_signing_key(&record.public_key) != node {
            return Err(KeyRefused::Node);
        }
        if (wire.kem_id, wire.kdf_id, wire.aead_id) != (0x0020, 0x0001, 0x0003) {
            return Err(KeyRefused::Suite);
        }
        let said = OhttpConfig {
            key_id: wire.key_id,
            kem_id: wire.kem_id,
            kdf_id: wire.kdf_id,
            aead_id: wire.aead_id,
            public_key,
        };
        if ohttp_key_config(&said) != bytes {
            return Err(KeyRefused::Contradiction);
        }
        let config = KeyConfig::decode(&bytes).map_err(|_| malformed())?;
        // 3. The registry has the same key: a node that says one key to the chain and another to a
        // relay has some explaining to do.
        let registered = record.ohttp.as_ref().ok_or(KeyRefused::Registry)?;
        if registered.key_config[..] != bytes[..] || registered.public_key[..] != public_key[..] {
            return Err(KeyRefused::Registry);
        }
        // 4. The signing key of the evidence is the registry's.
        if attested.is_some_and(|key| key.spki_der() != &record.public_key[..]) {
            return Err(KeyRefused::Evidence);
        }
        // 5. And it signed this.
        let hash = ohttp_config_hash(node, &said);
        verify_rsa_pss(&record.public_key, &hash, &signature).map_err(|_| KeyRefused::Signature)?;
        let vouched = match attested {
            Some(_) => Vouched::ByEvidence,
            None => Vouched::ByRegistry,
        };
        Ok(Self {
            node,
            config,
            signing_key: record.public_key.to_vec(),
            vouched,
            checked: now,
        })
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Who vouches for the key; to be said wherever a confidential answer is shown.
    pub fn vouched(&self) -> Vouched {
        self.vouched
    }

    /// Whether it was checked too long ago, or at a time that has not come.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now < self.checked || now.saturating_since(self.checked) > MAX_AGE
    }

    pub(super) fn config(&self) -> &KeyConfig {
        &self.config
    }

    pub(super) fn signing_key(&self) -> &[u8] {
        &self.signing_key
    }
}

//! The hashes that enclaves sign and registries store. All are Keccak-256 as Ethereum uses it.

use alloy_primitives::{B256, U256, keccak256};

use crate::NodeId;

/// Computes `tee_output_hash`: Keccak-256 over the UTF-8 bytes of an output preimage.
pub fn output_hash(preimage: &str) -> B256 {
    keccak256(preimage)
}

/// Computes what an enclave signs for one answer: the input hash, the output hash, and the time of
/// the signature in Unix seconds as 32 bytes.
pub fn message_hash(input_hash: B256, output_hash: B256, timestamp_secs: u64) -> B256 {
    keccak256([input_hash.0, output_hash.0, word(timestamp_secs)].concat())
}

/// Computes what an enclave signs for a heartbeat: its id, and the time in Unix seconds as 32
/// bytes.
pub fn heartbeat_hash(node: NodeId, timestamp_secs: u64) -> B256 {
    keccak256([node.as_b256().0, word(timestamp_secs)].concat())
}

/// Computes the measurement that registries store: Keccak-256 over PCR 0, 1 and 2, one after the
/// other.
///
/// The registers are 48 bytes each in every real document. Nothing marks where one ends, so a
/// caller that takes them from anywhere else must check the lengths.
pub fn pcr_hash(pcr0: &[u8], pcr1: &[u8], pcr2: &[u8]) -> B256 {
    keccak256([pcr0, pcr1, pcr2].concat())
}

/// Builds the `user_data` of evidence made by nitriding: two SHA-256 multihashes, one of the TLS
/// certificate (DER), one of the application's key (the response signing key, SPKI DER).
pub fn nitriding_user_data(tls_cert_sha256: B256, app_sha256: B256) -> [u8; 68] {
    // Multihash: 0x12 is SHA-256, 0x20 its length.
    let mut user_data = [0; 68];
    let fields = [0x12, 0x20]
        .into_iter()
        .chain(tls_cert_sha256.0)
        .chain([0x12, 0x20])
        .chain(app_sha256.0);
    for (slot, byte) in user_data.iter_mut().zip(fields) {
        *slot = byte;
    }
    user_data
}

/// An Oblivious HTTP key configuration with one suite, as registries store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OhttpConfig {
    /// Identifier of the key.
    pub key_id: u8,
    /// HPKE KEM; 0x0020 is X25519.
    pub kem_id: u16,
    /// HPKE KDF; 0x0001 is HKDF-SHA-256.
    pub kdf_id: u16,
    /// HPKE AEAD; 0x0003 is ChaCha20-Poly1305.
    pub aead_id: u16,
    /// The X25519 public key.
    pub public_key: [u8; 32],
}

/// Encodes a key configuration (RFC 9458 §3.1, one suite, no outer length).
pub fn ohttp_key_config(config: &OhttpConfig) -> Vec<u8> {
    let mut bytes = vec![config.key_id];
    bytes.extend(config.kem_id.to_be_bytes());
    bytes.extend(config.public_key);
    bytes.extend(4_u16.to_be_bytes());
    bytes.extend(config.kdf_id.to_be_bytes());
    bytes.extend(config.aead_id.to_be_bytes());
    bytes
}

/// Computes what an enclave signs to vouch for its Oblivious HTTP key.
pub fn ohttp_config_hash(node: NodeId, config: &OhttpConfig) -> B256 {
    let words = [
        keccak256("OPENGRADIENT_TEE_OHTTP_CONFIG_V1").0,
        node.as_b256().0,
        word(config.key_id),
        word(config.kem_id),
        word(config.kdf_id),
        word(config.aead_id),
        keccak256(config.public_key).0,
        keccak256(ohttp_key_config(config)).0,
    ];
    keccak256(words.concat())
}

/// A `uint256` as `abi.encodePacked` writes it.
fn word(value: impl Into<u64>) -> [u8; 32] {
    U256::from(value.into()).to_be_bytes()
}

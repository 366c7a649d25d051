use core::fmt;

use alloy_primitives::B256;

/// Identifies one call, derived from the recorder's key and the call's sequence number
/// (`spec/binding.md`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId([u8; 16]);

impl CallId {
    /// Wraps the 16 bytes of an id.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses 32 hexadecimal digits, with or without `0x`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode_to_array(text).ok().map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// Identifies a node: the OpenGradient `tee_id`, Keccak-256 over the DER bytes of the
/// SubjectPublicKeyInfo of the enclave's response signing key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(B256);

impl NodeId {
    /// Wraps a `tee_id`.
    pub const fn new(id: B256) -> Self {
        Self(id)
    }

    /// Computes the id of the node whose response signing key is `spki_der`.
    pub fn of_signing_key(spki_der: &[u8]) -> Self {
        Self(alloy_primitives::keccak256(spki_der))
    }

    /// Returns the 32 bytes of the id.
    pub const fn as_b256(&self) -> &B256 {
        &self.0
    }

    /// Parses 64 hexadecimal digits, with or without `0x`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode_to_array(text)
            .ok()
            .map(|bytes: [u8; 32]| Self(B256::from(bytes)))
    }

    /// Returns the first eight hexadecimal digits: enough to tell the nodes of one screen apart,
    /// never enough to identify one.
    pub fn short(&self) -> String {
        self.0
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

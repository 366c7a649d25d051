//! The RFC 6962 Merkle tree (§2.1), with salted leaves for events.

use alloy_primitives::B256;

use crate::{binding::first, sha256};

/// Length of an event's salt in bytes: with it, what an event says cannot be found by trying.
pub const SALT: usize = 16;

/// Hashes a leaf: `SHA-256(0x00 || data)`.
pub fn leaf(data: &[u8]) -> B256 {
    sha256(&[&[0], data])
}

/// Hashes an event's leaf: `SHA-256(0x00 || salt || event)`.
pub fn salted_leaf(salt: &[u8; SALT], event: &[u8]) -> B256 {
    sha256(&[&[0], salt, event])
}

/// Hashes an inner node: `SHA-256(0x01 || left || right)`.
pub fn node(left: &B256, right: &B256) -> B256 {
    sha256(&[&[1], left.as_slice(), right.as_slice()])
}

/// The salt of event `index` of the call whose secret key is `call_key`: the first 16 bytes of
/// `SHA-256("seamline/v1/salt" || call_key || index as 4 bytes big-endian)`. All parts are of fixed
/// length and the hash is cut, so no other construction is needed.
pub fn salt(call_key: &[u8; 32], index: u32) -> [u8; SALT] {
    let tag = b"seamline/v1/salt";
    first(&sha256(&[tag, call_key, &index.to_be_bytes()]))
}

/// The Merkle tree hash of `leaves`, which are leaf hashes already; that of no leaves is the hash
/// of the empty string.
///
/// RFC 6962 splits at the largest power of two below the number of leaves. Taking leaves from the
/// left and joining two subtrees whenever they are of equal size builds the same tree without
/// recursion.
pub fn root(leaves: &[B256]) -> B256 {
    // Subtrees from the left, each with its number of leaves, sizes strictly falling.
    let mut subtrees: Vec<(usize, B256)> = Vec::new();
    for leaf in leaves {
        let mut right = (1usize, *leaf);
        while let Some((size, left)) = subtrees.pop_if(|(size, _)| *size == right.0) {
            right = (size.saturating_mul(2), node(&left, &right.1));
        }
        subtrees.push(right);
    }
    let joined = subtrees
        .into_iter()
        .rev()
        .reduce(|(size, right), (more, left)| (size.saturating_add(more), node(&left, &right)));
    joined.map_or_else(|| sha256(&[]), |(_, root)| root)
}

#[cfg(test)]
mod tests;

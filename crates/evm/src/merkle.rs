//! The tree over a batch of signed answers, as OpenZeppelin's `StandardMerkleTree` builds it and
//! the settlement contract checks it.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue as _;
use serde_json::json;

/// One signed answer of a batch: the five values that a leaf hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The node.
    pub tee_id: B256,
    /// Hash of the canonical request.
    pub input_hash: B256,
    /// Hash of the answer.
    pub output_hash: B256,
    /// The enclave's signature.
    pub signature: Bytes,
    /// Time that the enclave signed, Unix seconds.
    pub timestamp: U256,
}

/// A tree over a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardMerkleTree {
    leaves: Vec<Leaf>,
    /// Root first; node `i` has the children `2i + 1` and `2i + 2`; leaf hashes at the end, in
    /// descending order.
    tree: Vec<B256>,
    /// For each leaf in input order, its index in `tree`.
    positions: Vec<usize>,
}

/// Most leaves of one batch: a batch is twenty answers on OpenGradient's facilitator.
pub const MAX_LEAVES: usize = 1 << 16;

impl Leaf {
    /// The leaf's hash: Keccak-256 twice over the ABI encoding of the five values. Twice, so that
    /// no leaf can be taken for an inner node.
    pub fn hash(&self) -> B256 {
        let Self {
            tee_id,
            input_hash,
            output_hash,
            signature,
            timestamp,
        } = self;
        let values = (
            *tee_id,
            *input_hash,
            *output_hash,
            signature.clone(),
            *timestamp,
        );
        keccak256(keccak256(values.abi_encode_params()))
    }
}

impl StandardMerkleTree {
    /// Builds the tree; `None` for no leaves or more than [`MAX_LEAVES`].
    pub fn new(leaves: Vec<Leaf>) -> Option<Self> {
        if leaves.is_empty() || leaves.len() > MAX_LEAVES {
            return None;
        }
        let hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        let mut order: Vec<usize> = (0..leaves.len()).collect();
        order.sort_by_key(|index| hashes.get(*index).copied());
        let size = leaves.len().checked_mul(2)?.checked_sub(1)?;
        let mut tree = vec![B256::ZERO; size];
        let mut positions = vec![0; leaves.len()];
        for (rank, index) in order.into_iter().enumerate() {
            let position = size.checked_sub(rank)?.checked_sub(1)?;
            *tree.get_mut(position)? = *hashes.get(index)?;
            *positions.get_mut(index)? = position;
        }
        for position in (0..size.checked_sub(leaves.len())?).rev() {
            let [left, right] = children(position)?;
            *tree.get_mut(position)? = parent(tree.get(left)?, tree.get(right)?);
        }
        Some(Self {
            leaves,
            tree,
            positions,
        })
    }

    /// The root, which goes on chain.
    pub fn root(&self) -> B256 {
        self.tree.first().copied().unwrap_or_default()
    }

    /// All nodes, root first.
    pub fn nodes(&self) -> &[B256] {
        &self.tree
    }

    /// The siblings from the leaf at `index` (in input order) up to the root.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        let mut position = *self.positions.get(index)?;
        let mut proof = Vec::new();
        while position > 0 {
            // Siblings are `2i + 1` (odd) and `2i + 2` (even).
            let sibling = if position % 2 == 0 {
                position.checked_sub(1)?
            } else {
                position.checked_add(1)?
            };
            proof.push(*self.tree.get(sibling)?);
            position = position.checked_sub(1)? / 2;
        }
        Some(proof)
    }

    /// The JSON form that OpenZeppelin's library loads (`standard-v1`), compact.
    pub fn dump(&self) -> String {
        let hex = |bytes: &[u8]| hex::encode_prefixed(bytes);
        let nodes: Vec<String> = self.tree.iter().map(|node| hex(node.as_slice())).collect();
        let values: Vec<String> = self
            .leaves
            .iter()
            .zip(&self.positions)
            .map(|(leaf, position)| {
                let value = json!([
                    hex(leaf.tee_id.as_slice()),
                    hex(leaf.input_hash.as_slice()),
                    hex(leaf.output_hash.as_slice()),
                    hex(&leaf.signature),
                    leaf.timestamp.to_string(),
                ]);
                format!(r#"{{"value":{value},"treeIndex":{position}}}"#)
            })
            .collect();
        format!(
            r#"{{"format":"standard-v1","leafEncoding":{},"tree":{},"values":[{}]}}"#,
            json!(LEAF_TYPES),
            json!(nodes),
            values.join(",")
        )
    }
}

/// Whether `proof` leads from `leaf` to `root`.
pub fn verify(leaf: &B256, proof: &[B256], root: &B256) -> bool {
    let reached = proof
        .iter()
        .fold(*leaf, |node, sibling| parent(&node, sibling));
    reached == *root
}

/// Solidity types of a leaf's values.
pub const LEAF_TYPES: [&str; 5] = ["bytes32", "bytes32", "bytes32", "bytes", "uint256"];

fn parent(one: &B256, other: &B256) -> B256 {
    let (low, high) = if one <= other {
        (one, other)
    } else {
        (other, one)
    };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

fn children(position: usize) -> Option<[usize; 2]> {
    let left = position.checked_mul(2)?.checked_add(1)?;
    Some([left, left.checked_add(1)?])
}

#[cfg(test)]
mod tests;

//! What is stored beside a settlement: the tree of a batch, or an individual answer.

use alloy_primitives::{B256, Bytes, U256};
use serde::Deserialize;
use serde_json::json;

use super::{Content, SignedInference};
use crate::merkle::{LEAF_TYPES, Leaf, MAX_LEAVES, StandardMerkleTree};

/// A batch, read from its blob and checked against itself: every hash was computed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<Leaf>,
    tree: StandardMerkleTree,
}

/// Why a blob is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Not the JSON of a `standard-v1` tree.
    #[error("the blob is not a standard-v1 tree")]
    Format,
    /// The leaves are of other types than those of an inference.
    #[error("the leaves of the blob are not signed inferences")]
    Encoding,
    /// A leaf cannot be read.
    #[error("leaf {0} of the blob cannot be read")]
    Leaf(usize),
    /// The hashes are not those of the leaves.
    #[error("the hashes of the blob are not those of its leaves")]
    Hashes,
    /// The blob says that a leaf stands where it does not.
    #[error("leaf {0} of the blob is not where the blob says")]
    Place(usize),
    /// No leaves, or too many.
    #[error("the blob has no leaves, or too many")]
    Size,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dump {
    format: String,
    leaf_encoding: Vec<String>,
    tree: Vec<B256>,
    values: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    value: (String, String, String, String, String),
    tree_index: usize,
}

impl Tree {
    /// Longest blob: [`MAX_LEAVES`] leaves of RSA-4096 with their hashes.
    pub const MAX_BYTES: usize = 128 * 1024 * 1024;

    /// Reads the blob of a batch, OpenZeppelin's `StandardMerkleTree.dump()`, and computes every hash
    /// of it again: what it says is not believed.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub fn parse(blob: &[u8]) -> Result<Self, BlobError> {
        if blob.len() > Self::MAX_BYTES {
            return Err(BlobError::Size);
        }
        let dump: Dump = serde_json::from_slice(blob).map_err(|_| BlobError::Format)?;
        if dump.format != "standard-v1" {
            return Err(BlobError::Format);
        }
        if dump.leaf_encoding != LEAF_TYPES {
            return Err(BlobError::Encoding);
        }
        if dump.values.len() > MAX_LEAVES {
            return Err(BlobError::Size);
        }
        let mut leaves = Vec::with_capacity(dump.values.len());
        for (index, value) in dump.values.iter().enumerate() {
            leaves.push(value.leaf().ok_or(BlobError::Leaf(index))?);
        }
        let tree = StandardMerkleTree::new(leaves.clone()).ok_or(BlobError::Size)?;
        if tree.nodes() != dump.tree {
            return Err(BlobError::Hashes);
        }
        for (index, (value, leaf)) in dump.values.iter().zip(&leaves).enumerate() {
            // Equal leaves may stand in each other's place.
            if dump.tree.get(value.tree_index) != Some(&leaf.hash()) {
                return Err(BlobError::Place(index));
            }
        }
        Ok(Self { leaves, tree })
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// The leaves, in the order of the blob.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The siblings from the leaf at `index` up to the root.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        self.tree.proof(index)
    }
}

impl Value {
    fn leaf(&self) -> Option<Leaf> {
        let (tee_id, input_hash, output_hash, signature, timestamp) = &self.value;
        let digits = timestamp.bytes().all(|it| it.is_ascii_digit());
        Some(Leaf {
            tee_id: word(tee_id)?,
            input_hash: word(input_hash)?,
            output_hash: word(output_hash)?,
            signature: Bytes::from(hex::decode(signature.strip_prefix("0x")?).ok()?),
            timestamp: digits.then(|| U256::from_str_radix(timestamp, 10).ok())??,
        })
    }
}

/// The blob of an individual settlement: compact JSON with OpenGradient's members in their order.
pub fn individual_blob(inference: &SignedInference, content: &Content) -> String {
    use base64::Engine as _;
    let Content {
        input,
        output,
        eth_address,
    } = content;
    let signature = base64::engine::general_purpose::STANDARD.encode(&inference.signature);
    let members = [
        ("input", input.clone()),
        ("output", output.clone()),
        ("teeSignature", json!(signature).to_string()),
        ("teeId", json!(inference.node.to_string()).to_string()),
        (
            "timestamp",
            json!(inference.timestamp.to_string()).to_string(),
        ),
        ("ethAddress", json!(eth_address.to_string()).to_string()),
    ];
    let members = members.map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.join(","))
}

fn word(text: &str) -> Option<B256> {
    let bytes: [u8; 32] = hex::decode_to_array(text.strip_prefix("0x")?).ok()?;
    Some(B256::from(bytes))
}

#[cfg(test)]
mod tests;

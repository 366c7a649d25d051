use alloy_primitives::{Address, B256, Bytes, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_core::NodeId;
use serde_json::{Map, Value, json};

use super::data::number;
use super::{FoundRoot, SignedInference, Tree};
use crate::merkle;

/// The proof that a batch holds an answer: everything that a third party needs besides the chain.
///
/// # Security
///
/// It says where the root is to be found; it does not prove that it is there. Whoever checks a proof
/// asks a chain that they trust for the root, or has it from one, and checks the enclave's signature
/// under a key that they trust: a batch may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The settlement contract.
    pub contract: Address,
    /// Root of the batch.
    pub root: B256,
    /// The answer.
    pub inference: SignedInference,
    /// Siblings from the leaf up.
    pub proof: Vec<B256>,
    /// Where the root was settled; `None` where nobody has looked, or it is not settled yet.
    pub settled: Option<FoundRoot>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not a proof file.
    #[error("not a settlement proof")]
    Format,
    /// The member is missing, or is something else.
    #[error("`{0}` of the settlement proof is missing or malformed")]
    Member(&'static str),
    /// The siblings lead from the leaf to another root.
    #[error("the proof does not lead from the answer to the root")]
    Path,
    /// The root is another than the one that is asked for.
    #[error("the proof is about another root")]
    Root,
}

impl InclusionProof {
    /// The `format` of the file.
    pub const FORMAT: &'static str = "seamline-settlement-proof-v1";
    /// Most siblings: far above the depth of any tree.
    pub const MAX_SIBLINGS: usize = 64;
    /// Longest file.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Makes the proof for the leaf at `index` of `tree`.
    pub fn of(
        tree: &Tree,
        index: usize,
        chain_id: u64,
        contract: Address,
        settled: Option<FoundRoot>,
    ) -> Option<Self> {
        let leaf = tree.leaves().get(index)?;
        Some(Self {
            chain_id,
            contract,
            root: tree.root(),
            inference: SignedInference {
                node: NodeId::new(leaf.tee_id),
                input_hash: leaf.input_hash,
                output_hash: leaf.output_hash,
                signature: leaf.signature.clone(),
                timestamp: u64::try_from(leaf.timestamp).ok()?,
            },
            proof: tree.proof(index)?,
            settled,
        })
    }

    /// Checks that the siblings lead from the answer to [`InclusionProof::root`], and, where `root` is
    /// known from elsewhere, that it is this one.
    ///
    /// # Errors
    ///
    /// [`ProofError::Path`], [`ProofError::Root`].
    pub fn check(&self, root: Option<B256>) -> Result<(), ProofError> {
        if root.is_some_and(|root| root != self.root) {
            return Err(ProofError::Root);
        }
        let leaf = self.inference.id();
        if self.proof.len() > Self::MAX_SIBLINGS || !merkle::verify(&leaf, &self.proof, &self.root)
        {
            return Err(ProofError::Path);
        }
        Ok(())
    }

    /// Reads a proof file.
    ///
    /// # Errors
    ///
    /// [`ProofError::Format`], [`ProofError::Member`].
    pub fn parse(file: &[u8]) -> Result<Self, ProofError> {
        if file.len() > Self::MAX_BYTES {
            return Err(ProofError::Format);
        }
        let members: Map<String, Value> =
            serde_json::from_slice(file).map_err(|_| ProofError::Format)?;
        if members.get("format").and_then(Value::as_str) != Some(Self::FORMAT) {
            return Err(ProofError::Format);
        }
        let inference = members.get("inference").and_then(Value::as_object);
        let inference = inference.ok_or(ProofError::Member("inference"))?;
        let signature = inference.get("tee_signature").and_then(Value::as_str);
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        let siblings = members.get("proof").and_then(Value::as_array);
        let siblings = siblings.ok_or(ProofError::Member("proof"))?;
        let proof: Option<Vec<B256>> = siblings.iter().map(word).collect();
        let settled = match members.get("settled") {
            None | Some(Value::Null) => None,
            Some(settled) => Some(place(settled).ok_or(ProofError::Member("settled"))?),
        };
        Ok(Self {
            chain_id: number(members.get("chain_id")).ok_or(ProofError::Member("chain_id"))?,
            contract: members
                .get("contract")
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
                .ok_or(ProofError::Member("contract"))?,
            root: named(&members, "root")?,
            inference: SignedInference {
                node: NodeId::new(named(inference, "tee_id")?),
                input_hash: named(inference, "input_hash")?,
                output_hash: named(inference, "output_hash")?,
                signature: Bytes::from(signature.ok_or(ProofError::Member("tee_signature"))?),
                timestamp: number(inference.get("tee_timestamp"))
                    .ok_or(ProofError::Member("tee_timestamp"))?,
            },
            proof: proof
                .filter(|proof| proof.len() <= Self::MAX_SIBLINGS)
                .ok_or(ProofError::Member("proof"))?,
            settled,
        })
    }

    /// The file, indented JSON with a newline at its end.
    pub fn to_json(&self) -> String {
        let Self {
            chain_id,
            contract,
            root,
            inference,
            proof,
            settled,
        } = self;
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        let file = json!({
            "format": Self::FORMAT,
            "chain_id": chain_id,
            "contract": contract.to_string(),
            "root": root.to_string(),
            "leaf": inference.id().to_string(),
            "inference": {
                "tee_id": inference.node.to_string(),
                "input_hash": inference.input_hash.to_string(),
                "output_hash": inference.output_hash.to_string(),
                "tee_signature": STANDARD.encode(&inference.signature),
                "tee_timestamp": inference.timestamp,
            },
            "proof": proof,
            "settled": settled.as_ref().map(FoundRoot::to_value),
        });
        format!("{file:#}\n")
    }
}

fn place(value: &Value) -> Option<FoundRoot> {
    let blob = value.get("blob")?.as_str()?;
    Some(FoundRoot {
        root: word(value.get("root")?)?,
        size: U256::from_str_radix(value.get("size")?.as_str()?, 10).ok()?,
        blob: Bytes::copy_from_slice(blob.as_bytes()),
        transaction: word(value.get("transaction")?)?,
        block_number: number(value.get("block_number"))?,
        block_hash: word(value.get("block_hash")?)?,
    })
}

fn named(members: &Map<String, Value>, name: &'static str) -> Result<B256, ProofError> {
    let found = members.get(name).and_then(word);
    found.ok_or(ProofError::Member(name))
}

fn word(value: &Value) -> Option<B256> {
    let bytes: [u8; 32] = hex::decode_to_array(value.as_str()?).ok()?;
    Some(B256::from(bytes))
}

#[cfg(test)]
mod tests;

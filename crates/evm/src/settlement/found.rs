use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolEvent as _;
use serde_json::{Value, json};

use super::{SignedInference, Standing};
use crate::bindings::ISettlement;
use crate::chain::exactly;
use crate::rpc::{address_of, b256_of, bytes_of, hex, member, quantity, send, u64_of};
use crate::{Error, Rpc, RpcCall};

/// A batch that a chain has on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRoot {
    /// Root of the tree.
    pub root: B256,
    /// Leaves, as the facilitator said: nobody has counted them.
    pub size: U256,
    /// Identifier of the tree's blob: text, usually.
    pub blob: Bytes,
    /// Hash of the transaction.
    pub transaction: B256,
    /// Number of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
}

impl FoundRoot {
    /// The blob's identifier as text.
    pub fn blob_text(&self) -> String {
        String::from_utf8_lossy(&self.blob).into_owned()
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        let Self {
            root,
            size,
            blob: _,
            transaction,
            block_number,
            block_hash,
        } = self;
        json!({
            "root": root.to_string(),
            "size": size.to_string(),
            "blob": self.blob_text(),
            "transaction": transaction.to_string(),
            "block_number": block_number,
            "block_hash": block_hash.to_string(),
        })
    }
}

/// Reads the batches that `contract` recorded from `from_block` to `until`, oldest first; of one root
/// only, where it is given.
///
/// # Errors
///
/// As [`crate::registry::read`]. Endpoints limit the blocks of one question, some to 1,000.
pub async fn batches(
    rpc: &dyn Rpc,
    contract: Address,
    root: Option<B256>,
    from_block: u64,
    until: u64,
) -> Result<Vec<FoundRoot>, Error> {
    let event = ISettlement::BatchSettlement::SIGNATURE_HASH;
    let topics = [Some(event), root].into_iter().flatten();
    let logs = logs(rpc, contract, topics, from_block, until).await?;
    let mut found = Vec::new();
    for log in &logs {
        let read = read(log, contract)?;
        // An endpoint that does not filter, or whose filter is loose, is not believed.
        if root.is_none_or(|root| root == read.root) {
            found.push(read);
        }
    }
    Ok(found)
}

/// Looks, from `from_block` to `until`, for the record that `contract` has of one answer.
///
/// # Errors
///
/// As [`batches`].
pub async fn individual(
    rpc: &dyn Rpc,
    contract: Address,
    inference: &SignedInference,
    from_block: u64,
    until: u64,
) -> Result<Option<Standing>, Error> {
    let topics = [
        ISettlement::IndividualSettlement::SIGNATURE_HASH,
        *inference.node.as_b256(),
    ];
    for log in &logs(rpc, contract, topics, from_block, until).await? {
        let (topics, data) = parts(log, contract)?;
        let event = ISettlement::IndividualSettlement::decode_raw_log_validate(topics, &data)
            .map_err(|_| Error::Answer("an individual settlement"))?;
        let same = event.teeId == *inference.node.as_b256()
            && event.inputHash == inference.input_hash
            && event.outputHash == inference.output_hash
            && event.timestamp == U256::from(inference.timestamp);
        if same {
            return Ok(Some(Standing::Mined {
                transaction: b256_of(member(log, "transactionHash")?)?,
                block_number: u64_of(member(log, "blockNumber")?)?,
                block_hash: b256_of(member(log, "blockHash")?)?,
                succeeded: true,
                is_final: false,
            }));
        }
    }
    Ok(None)
}

async fn logs(
    rpc: &dyn Rpc,
    contract: Address,
    topics: impl IntoIterator<Item = B256>,
    from_block: u64,
    until: u64,
) -> Result<Vec<Value>, Error> {
    let topics: Vec<String> = topics.into_iter().map(|it| hex(it.as_slice())).collect();
    let filter = json!({
        "address": hex(contract.as_slice()),
        "fromBlock": quantity(from_block),
        "toBlock": quantity(until),
        "topics": topics,
    });
    let call = RpcCall::new("eth_getLogs", json!([filter]));
    let [logs] = exactly(send(rpc, &[call]).await?)?;
    match logs {
        Value::Array(logs) => Ok(logs),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(Error::Answer("logs"))
        }
    }
}

/// Topics and data of a log of the contract.
fn parts(log: &Value, contract: Address) -> Result<(Vec<B256>, Bytes), Error> {
    if address_of(member(log, "address")?)? != contract {
        return Err(Error::Answer("logs of the contract"));
    }
    let topics = member(log, "topics")?.as_array();
    let topics = topics.ok_or(Error::Answer("topics"))?;
    let topics: Result<Vec<B256>, Error> = topics.iter().map(b256_of).collect();
    Ok((topics?, bytes_of(member(log, "data")?)?))
}

fn read(log: &Value, contract: Address) -> Result<FoundRoot, Error> {
    let (topics, data) = parts(log, contract)?;
    let event = ISettlement::BatchSettlement::decode_raw_log_validate(topics, &data)
        .map_err(|_| Error::Answer("a batch"))?;
    Ok(FoundRoot {
        root: event.merkleRoot,
        size: event.batchSize,
        blob: event.walrusBlobId,
        transaction: b256_of(member(log, "transactionHash")?)?,
        block_number: u64_of(member(log, "blockNumber")?)?,
        block_hash: b256_of(member(log, "blockHash")?)?,
    })
}

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolEvent as _;
use serde_json::{Value, json};

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
    let topics: Vec<String> = [Some(event), root]
        .into_iter()
        .flatten()
        .map(|topic| hex(topic.as_slice()))
        .collect();
    let filter = json!({
        "address": hex(contract.as_slice()),
        "fromBlock": quantity(from_block),
        "toBlock": quantity(until),
        "topics": topics,
    });
    let call = RpcCall::new("eth_getLogs", json!([filter]));
    let [logs] = exactly(send(rpc, &[call]).await?)?;
    let Value::Array(logs) = logs else {
        return Err(Error::Answer("logs"));
    };
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

fn read(log: &Value, contract: Address) -> Result<FoundRoot, Error> {
    if address_of(member(log, "address")?)? != contract {
        return Err(Error::Answer("logs of the contract"));
    }
    let topics = member(log, "topics")?.as_array();
    let topics = topics.ok_or(Error::Answer("topics"))?;
    let topics: Result<Vec<B256>, Error> = topics.iter().map(b256_of).collect();
    let data = bytes_of(member(log, "data")?)?;
    let event = ISettlement::BatchSettlement::decode_raw_log_validate(topics?, &data)
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

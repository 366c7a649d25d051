use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use serde_json::Value;

use super::SignedInference;
use crate::bindings::ISettlement;
use crate::chain::exactly;
use crate::rpc::{address_of, b256_of, bytes_of, member, send, u64_of};
use crate::{Error, Rpc, RpcCall};

/// What a transaction that somebody names says about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witnessed {
    /// The chain has no receipt of it: it waits, or it never was.
    Absent,
    /// It succeeded, and a log of the contract is the record of this very answer.
    Recorded {
        /// Number of its block.
        block_number: u64,
        /// Hash of its block.
        block_hash: B256,
    },
    /// It failed, or it is about something else.
    Other,
}

/// Reads the receipt of `transaction`, and looks whether it is the record that `contract` has of one
/// answer: one call.
///
/// # Errors
///
/// As [`crate::registry::read`].
pub async fn witness(
    rpc: &dyn Rpc,
    contract: Address,
    transaction: B256,
    inference: &SignedInference,
) -> Result<Witnessed, Error> {
    let call = RpcCall::transaction_receipt(transaction);
    let [receipt] = exactly(send(rpc, &[call]).await?)?;
    if receipt.is_null() {
        return Ok(Witnessed::Absent);
    }
    if b256_of(member(&receipt, "transactionHash")?)? != transaction {
        return Err(Error::Answer("the receipt of the transaction"));
    }
    if u64_of(member(&receipt, "status")?)? != 1 {
        return Ok(Witnessed::Other);
    }
    let logs = member(&receipt, "logs")?.as_array();
    for log in logs.ok_or(Error::Answer("logs"))? {
        if records(log, contract, inference)? {
            return Ok(Witnessed::Recorded {
                block_number: u64_of(member(&receipt, "blockNumber")?)?,
                block_hash: b256_of(member(&receipt, "blockHash")?)?,
            });
        }
    }
    Ok(Witnessed::Other)
}

/// Whether a log is the contract's record of the answer. Logs of others, and other events, are not.
fn records(log: &Value, contract: Address, inference: &SignedInference) -> Result<bool, Error> {
    if address_of(member(log, "address")?)? != contract {
        return Ok(false);
    }
    let topics = member(log, "topics")?.as_array();
    let topics = topics.ok_or(Error::Answer("topics"))?;
    let topics: Result<Vec<B256>, Error> = topics.iter().map(b256_of).collect();
    let (topics, data) = (topics?, bytes_of(member(log, "data")?)?);
    if topics.first() != Some(&ISettlement::IndividualSettlement::SIGNATURE_HASH) {
        return Ok(false);
    }
    let event = ISettlement::IndividualSettlement::decode_raw_log_validate(topics, &data)
        .map_err(|_| Error::Answer("an individual settlement"))?;
    Ok(event.teeId == *inference.node.as_b256()
        && event.inputHash == inference.input_hash
        && event.outputHash == inference.output_hash
        && event.timestamp == U256::from(inference.timestamp))
}

#[cfg(test)]
mod tests;

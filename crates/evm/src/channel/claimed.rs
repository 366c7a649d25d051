//! What the chain says that was claimed of a channel, and in which transactions.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent as _;
use seamline_core::Amount;
use serde_json::{Value, json};

use super::BATCH_SETTLEMENT;
use super::bindings::IBatchSettlement::Claimed as Event;
use crate::chain::Block;
use crate::rpc::{address_of, b256_of, bytes_of, u64_of};
use crate::{Error, Rpc, RpcCall};

/// Blocks that are asked about at once: what public endpoints allow.
const SPAN: u64 = 2_000;

/// One claim of a channel, as the contract logged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// What was claimed of the channel in total then, base units.
    pub total: Amount,
}

/// Looks back from `until` for the claims of a channel that brought its total above `above`, oldest first.
///
/// # Cost
///
/// One round trip for 2,000 blocks, at most `trips` of them: claims that lie further back are not found.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`].
pub async fn find_claims(
    rpc: &dyn Rpc,
    channel: &B256,
    above: Amount,
    until: &Block,
    trips: u32,
) -> Result<Vec<Claimed>, Error> {
    let mut found = Vec::new();
    let mut last = until.number;
    for _ in 0..trips {
        let first = last.saturating_sub(SPAN.saturating_sub(1));
        let logs = logs(rpc, channel, first, last).await?;
        for log in logs.iter().rev() {
            let claimed = read(log, channel)?;
            if claimed.total <= above {
                found.reverse();
                return Ok(found);
            }
            found.push(claimed);
        }
        if first == 0 {
            break;
        }
        last = first.saturating_sub(1);
    }
    found.reverse();
    Ok(found)
}

async fn logs(rpc: &dyn Rpc, channel: &B256, first: u64, last: u64) -> Result<Vec<Value>, Error> {
    let filter = json!({
        "address": BATCH_SETTLEMENT,
        "fromBlock": format!("{first:#x}"),
        "toBlock": format!("{last:#x}"),
        "topics": [Event::SIGNATURE_HASH, channel],
    });
    let call = RpcCall::new("eth_getLogs", json!([filter]));
    let mut answers = rpc.batch(&[call]).await?;
    let answer = answers.pop().ok_or(Error::Answer("logs"))?;
    let Value::Array(logs) = answer.map_err(Error::Call)? else {
        return Err(Error::Answer("logs"));
    };
    Ok(logs)
}

/// Reads a log, which must be the one that was asked for: an endpoint's filter is not trusted.
fn read(log: &Value, channel: &B256) -> Result<Claimed, Error> {
    const WHAT: Error = Error::Answer("a log of a claim");
    let member = |name: &str| log.get(name).ok_or(WHAT);
    let topics = member("topics")?.as_array().ok_or(WHAT)?;
    let topics: Vec<B256> = topics.iter().map(b256_of).collect::<Result<_, _>>()?;
    let [signature, of, _] = topics.as_slice() else {
        return Err(WHAT);
    };
    let theirs = address_of(member("address")?)? == BATCH_SETTLEMENT;
    let removed = log.get("removed").and_then(Value::as_bool) == Some(true);
    if *signature != Event::SIGNATURE_HASH || of != channel || !theirs || removed {
        return Err(WHAT);
    }
    let data = bytes_of(member("data")?)?;
    let decoded = Event::decode_raw_log_validate(topics.iter().copied(), &data);
    let decoded = decoded.map_err(|_| WHAT)?;
    Ok(Claimed {
        transaction: b256_of(member("transactionHash")?)?,
        block_number: u64_of(member("blockNumber")?)?,
        block_hash: b256_of(member("blockHash")?)?,
        total: Amount::new(decoded.newTotalClaimed),
    })
}

#[cfg(test)]
mod tests;

//! One batched look at the chain for everything that is open.

use std::collections::HashMap;

use seamline_core::{Address, B256};
use seamline_evm::chain::Finality;
use seamline_evm::facilitator::check_settled;
use seamline_evm::rpc::At;
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_evm::{Rpc, RpcCall, RpcError};
use serde_json::Value;

use super::Held;
use crate::facilitator::budget::counted;
use crate::facilitator::respond;
use crate::facilitator::settlement::{Event, Place, Purpose, Stage};
use crate::facilitator::shared::{Core, quantity};

/// What is asked.
pub(super) struct Ask {
    pub(super) signer: Address,
    /// The head that finished settlements were held against last.
    pub(super) known_head: Option<B256>,
    /// Transactions whose receipts are wanted.
    pub(super) transactions: Vec<B256>,
    /// Blocks of finished settlements, by number.
    pub(super) blocks: Vec<u64>,
}

/// What the chain showed.
pub(in crate::facilitator) struct Look {
    pub(super) head: Head,
    /// The account nonce after the newest block.
    pub(super) account_nonce: u64,
    receipts: HashMap<B256, Value>,
    /// Hashes of the blocks that were asked for; empty where the head has not changed.
    blocks: HashMap<u64, B256>,
    is_new: bool,
}

pub(super) struct Head {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) time_s: u64,
}

/// Calls of one batch: endpoints limit them, most to 100 or more.
const MAX_BATCH: usize = 100;

/// Looks. `None` where the endpoint did not answer, or not to everything.
pub(super) async fn look(rpc: &dyn Rpc, mut ask: Ask) -> Option<Look> {
    let mut calls = vec![
        RpcCall::block(At::Latest),
        RpcCall::account_nonce(ask.signer, At::Latest),
    ];
    calls.extend(
        ask.transactions
            .iter()
            .copied()
            .map(RpcCall::transaction_receipt),
    );
    let results = batches(rpc, &calls).await?;
    let mut results = results.into_iter();
    let head = head(&results.next()?.ok()?)?;
    let account_nonce = quantity(&results.next()?.ok()?)?;
    let mut receipts = HashMap::new();
    for (transaction, receipt) in ask.transactions.iter().zip(results) {
        // One that cannot be read is looked for again.
        if let Ok(receipt) = receipt {
            receipts.insert(*transaction, receipt);
        }
    }
    let is_new = ask.known_head != Some(head.hash);
    ask.blocks.sort_unstable();
    ask.blocks.dedup();
    // Those that a finished settlement waits for are few: the depth of finality.
    let wanted: Vec<u64> = if is_new { ask.blocks } else { Vec::new() };
    let numbers = |number: &u64| RpcCall::block(At::Number(*number));
    let calls: Vec<RpcCall> = wanted.iter().map(numbers).collect();
    let results = batches(rpc, &calls).await?;
    let mut blocks = HashMap::new();
    for (number, block) in wanted.into_iter().zip(results) {
        if let Some(found) = block.ok().as_ref().and_then(self::head) {
            blocks.insert(number, found.hash);
        }
    }
    Some(Look {
        head,
        account_nonce,
        receipts,
        blocks,
        is_new,
    })
}

/// What a look says about one settlement.
pub(super) fn read(core: &Core, held: &mut Held, seen: &Look) -> Option<Event> {
    match &held.settlement.stage {
        Stage::Broadcasting | Stage::Pending => open(core, held, seen),
        Stage::Done {
            block: Some(block), ..
        } => {
            let block = *block;
            finished(core, held, block, seen)
        }
        Stage::Done { block: None, .. } => None,
    }
}

fn open(core: &Core, held: &mut Held, seen: &Look) -> Option<Event> {
    for attempt in held.settlement.attempts.clone() {
        let receipt = seen.receipts.get(&attempt.transaction);
        let Some(receipt) = receipt.filter(|receipt| !receipt.is_null()) else {
            continue;
        };
        let Some(block) = place(receipt) else {
            continue;
        };
        let confirmed = is_confirmed(core, block.number, seen.head.number);
        let response = judge(core, held, attempt.transaction, attempt.purpose, receipt)?;
        if confirmed {
            let used = receipt.get("gasUsed").and_then(quantity).unwrap_or(0);
            let failed = !response.success;
            held.settlement.measure(counted(used, failed));
            core.gas()
                .settle(held.settlement.key(), used, failed, core.elapsed());
        }
        return Some(Event::Mined {
            transaction: attempt.transaction,
            block,
            response,
            confirmed,
        });
    }
    // Every attempt must have been looked for: one was signed meanwhile, perhaps.
    let known = |attempt: &crate::facilitator::settlement::Attempt| {
        seen.receipts.contains_key(&attempt.transaction)
    };
    let passed = seen.account_nonce > held.settlement.account_nonce()?;
    let mut attempts = held.settlement.attempts.iter();
    attempts.all(known).then_some(Event::Absent { passed })
}

/// The answer that a transaction receipt gives; `None` where it cannot be read.
fn judge(
    core: &Core,
    held: &Held,
    transaction: B256,
    purpose: Purpose,
    receipt: &Value,
) -> Option<SettleResponse> {
    let succeeded = receipt.get("status").and_then(quantity)? == 1;
    match (&held.subject, purpose) {
        (Some(subject), Purpose::Settle) => {
            match check_settled(receipt, &subject.authorization, subject.amount) {
                Ok(_) => Some(respond::settled(core, subject, Some(transaction))),
                Err(Reason::UnexpectedSettleError) => None,
                Err(reason) => {
                    let mut response = held.settlement.failure(reason);
                    response.transaction = transaction.to_string();
                    Some(response)
                }
            }
        }
        (None, Purpose::Settle) => {
            let mut response = held.settlement.failure(Reason::TransactionFailed);
            response.transaction = transaction.to_string();
            response.success = succeeded;
            Some(response)
        }
        // It did nothing, whatever became of it.
        (Some(_) | None, Purpose::Cancel) => {
            Some(held.settlement.failure(Reason::TransactionFailed))
        }
    }
}

/// Whether the block of a finished settlement is still there, and deep enough.
fn finished(core: &Core, held: &mut Held, block: Place, seen: &Look) -> Option<Event> {
    let gone = match seen.blocks.get(&block.number) {
        Some(hash) => *hash != block.hash,
        // An endpoint may lag, or serve another fork's head for a moment.
        None if seen.head.number < block.number => {
            let now = core.elapsed();
            let since = *held.gone_since.get_or_insert(now);
            now.saturating_sub(since) >= core.pace.displaced
        }
        None => return None,
    };
    if gone {
        held.gone_since = None;
        tracing::warn!(
            number = block.number,
            "the block of a settlement left the chain"
        );
        return Some(Event::Vanished);
    }
    if seen.head.number < block.number {
        return None;
    }
    held.gone_since = None;
    let depth = core.depths.of(block.number, seen.head.number);
    let checked = seen.blocks.contains_key(&block.number);
    (seen.is_new && checked && depth == Some(Finality::Final)).then_some(Event::Final)
}

/// Whether what is in block `number` is deep enough to be answered. The head may have been read a moment
/// before the block was made; its own block is enough where nothing more is asked for.
pub(in crate::facilitator) fn is_confirmed(core: &Core, number: u64, head: u64) -> bool {
    let finality = core.depths.of(number, head);
    match finality {
        Some(finality) => finality >= Finality::Confirmed,
        None => core.depths.confirmations() == 1,
    }
}

async fn batches(rpc: &dyn Rpc, calls: &[RpcCall]) -> Option<Vec<Result<Value, RpcError>>> {
    let mut all = Vec::with_capacity(calls.len());
    for calls in calls.chunks(MAX_BATCH) {
        let results = rpc.batch(calls).await.ok()?;
        if results.len() != calls.len() {
            return None;
        }
        all.extend(results);
    }
    Some(all)
}

fn head(block: &Value) -> Option<Head> {
    Some(Head {
        number: quantity(block.get("number")?)?,
        hash: hash(block.get("hash")?)?,
        time_s: quantity(block.get("timestamp")?)?,
    })
}

fn place(receipt: &Value) -> Option<Place> {
    Some(Place {
        number: quantity(receipt.get("blockNumber")?)?,
        hash: hash(receipt.get("blockHash")?)?,
    })
}

fn hash(value: &Value) -> Option<B256> {
    let bytes: [u8; 32] = hex::decode_to_array(value.as_str()?).ok()?;
    Some(B256::from(bytes))
}

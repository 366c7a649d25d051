//! Writing results as the execution API specifies them.

use alloy_consensus::{Header, Transaction as _, TxEnvelope, Typed2718 as _};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{B64, Bloom, Log, U256};
use alloy_rlp::{Encodable as _, length_of_length};
use serde_json::{Value, json};

use super::super::error::Error;
use super::super::record::{Block, TxRecord};
use super::super::transaction::{Transaction, decode_envelope};

/// Writes a number without leading zeros.
pub(super) fn quantity(value: impl std::fmt::LowerHex) -> Value {
    Value::String(format!("{value:#x}"))
}

/// A stored transaction with its place and the gas used up to it.
pub(super) struct Placed<'a> {
    pub(super) block: &'a Block,
    pub(super) index: usize,
    pub(super) record: &'a TxRecord,
    pub(super) envelope: TxEnvelope,
    pub(super) cumulative_gas_used: u64,
    /// Index in the block of its first log.
    pub(super) first_log: usize,
}

/// Decodes the transactions of a block, in order.
pub(super) fn placed(block: &Block) -> Result<Vec<Placed<'_>>, Error> {
    let (mut cumulative_gas_used, mut first_log) = (0_u64, 0_usize);
    let transactions = block
        .transactions
        .iter()
        .enumerate()
        .map(|(index, record)| {
            let envelope =
                decode_envelope(&record.raw).map_err(|_| Error::Corrupt("transaction"))?;
            cumulative_gas_used = cumulative_gas_used.saturating_add(record.gas_used);
            let placed = Placed {
                block,
                index,
                record,
                envelope,
                cumulative_gas_used,
                first_log,
            };
            first_log = first_log.saturating_add(record.logs.len());
            Ok(placed)
        });
    transactions.collect()
}

/// Writes a block, with its transactions whole or as hashes.
pub(super) fn block(block: &Block, whole: bool) -> Result<Value, Error> {
    let placed = placed(block)?;
    let transactions = placed.iter().map(|tx| {
        if whole {
            tx.transaction()
        } else {
            json!(tx.envelope.hash())
        }
    });
    let mut value = header(&block.header);
    extend(
        &mut value,
        json!({
            "hash": block.hash,
            "size": quantity(size(&block.header, &placed)),
            "transactions": transactions.collect::<Vec<_>>(),
            "uncles": [],
            "withdrawals": [],
        }),
    );
    Ok(value)
}

/// Writes the block that would be made now: hash, bloom and nonce are not known.
pub(super) fn pending_block(pending: &Header, waiting: &[&Transaction], whole: bool) -> Value {
    let transactions = waiting.iter().map(|tx| {
        if whole {
            waiting_transaction(tx)
        } else {
            json!(tx.hash())
        }
    });
    let mut value = header(pending);
    extend(
        &mut value,
        json!({
            "hash": null,
            "logsBloom": null,
            "nonce": null,
            "size": quantity(size(pending, &[])),
            "transactions": transactions.collect::<Vec<_>>(),
            "uncles": [],
            "withdrawals": [],
        }),
    );
    value
}

fn header(header: &Header) -> Value {
    json!({
        "number": quantity(header.number),
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.beneficiary,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": B64::ZERO,
        "baseFeePerGas": quantity(header.base_fee_per_gas.unwrap_or_default()),
        "withdrawalsRoot": header.withdrawals_root,
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "requestsHash": header.requests_hash,
    })
}

impl Placed<'_> {
    /// Writes the transaction with its place.
    pub(super) fn transaction(&self) -> Value {
        let base_fee = self.block.header.base_fee_per_gas;
        let mut value = transaction(&self.envelope, self.envelope.effective_gas_price(base_fee));
        extend(
            &mut value,
            json!({
                "blockHash": self.block.hash,
                "blockNumber": quantity(self.block.header.number),
                "transactionIndex": quantity(self.index),
                "from": self.record.sender,
            }),
        );
        value
    }

    /// Writes the receipt.
    pub(super) fn receipt(&self) -> Value {
        let base_fee = self.block.header.base_fee_per_gas;
        let bloom: Bloom = self.record.logs.iter().collect();
        let contract = match self.envelope.to() {
            None => json!(self.record.sender.create(self.envelope.nonce())),
            Some(_) => Value::Null,
        };
        json!({
            "type": quantity(self.envelope.ty()),
            "status": quantity(u8::from(self.record.success)),
            "cumulativeGasUsed": quantity(self.cumulative_gas_used),
            "logs": self.logs().collect::<Vec<_>>(),
            "logsBloom": bloom,
            "transactionHash": self.envelope.hash(),
            "transactionIndex": quantity(self.index),
            "blockHash": self.block.hash,
            "blockNumber": quantity(self.block.header.number),
            "gasUsed": quantity(self.record.gas_used),
            "effectiveGasPrice": quantity(self.envelope.effective_gas_price(base_fee)),
            "from": self.record.sender,
            "to": self.envelope.to(),
            "contractAddress": contract,
        })
    }

    /// Writes the logs.
    pub(super) fn logs(&self) -> impl Iterator<Item = Value> {
        (self.first_log..)
            .zip(&self.record.logs)
            .map(|(index, log)| self.log(index, log))
    }

    /// Writes one log, the `index`th of its block.
    pub(super) fn log(&self, index: usize, log: &Log) -> Value {
        json!({
            "address": log.address,
            "topics": log.data.topics(),
            "data": log.data.data,
            "blockHash": self.block.hash,
            "blockNumber": quantity(self.block.header.number),
            "blockTimestamp": quantity(self.block.header.timestamp),
            "transactionHash": self.envelope.hash(),
            "transactionIndex": quantity(self.index),
            "logIndex": quantity(index),
            "removed": false,
        })
    }
}

/// Writes a transaction that no block holds yet.
pub(super) fn waiting_transaction(waiting: &Transaction) -> Value {
    let mut value = transaction(&waiting.envelope, waiting.envelope.max_fee_per_gas());
    extend(
        &mut value,
        json!({
            "blockHash": null,
            "blockNumber": null,
            "transactionIndex": null,
            "from": waiting.sender,
        }),
    );
    value
}

fn transaction(tx: &TxEnvelope, gas_price: u128) -> Value {
    let signature = tx.signature();
    let mut value = json!({
        "type": quantity(tx.ty()),
        "hash": tx.hash(),
        "nonce": quantity(tx.nonce()),
        "gas": quantity(tx.gas_limit()),
        "gasPrice": quantity(gas_price),
        "to": tx.to(),
        "value": quantity(tx.value()),
        "input": tx.input(),
        "chainId": tx.chain_id().map(quantity),
        "r": quantity(signature.r()),
        "s": quantity(signature.s()),
    });
    let parity = u64::from(signature.v());
    if tx.is_legacy() {
        // EIP-155
        let v = tx
            .chain_id()
            .unwrap_or_default()
            .saturating_mul(2)
            .saturating_add(35)
            .saturating_add(parity);
        extend(&mut value, json!({ "v": quantity(v) }));
        return value;
    }
    extend(
        &mut value,
        json!({
            "v": quantity(parity),
            "yParity": quantity(parity),
            "accessList": tx.access_list().map(|list| list.iter().map(|item| json!({
                "address": item.address,
                "storageKeys": item.storage_keys,
            })).collect::<Vec<_>>()),
        }),
    );
    if tx.is_dynamic_fee() {
        extend(
            &mut value,
            json!({
                "maxFeePerGas": quantity(tx.max_fee_per_gas()),
                "maxPriorityFeePerGas": quantity(tx.max_priority_fee_per_gas().unwrap_or_default()),
            }),
        );
    }
    if let Some(delegations) = tx.authorization_list() {
        let delegations = delegations.iter().map(delegation).collect::<Vec<_>>();
        extend(&mut value, json!({ "authorizationList": delegations }));
    }
    value
}

/// Writes one tuple of EIP-7702.
fn delegation(signed: &SignedAuthorization) -> Value {
    json!({
        "chainId": quantity(signed.chain_id()),
        "address": signed.address(),
        "nonce": quantity(signed.nonce()),
        "yParity": quantity(signed.y_parity()),
        "r": quantity(signed.r()),
        "s": quantity(signed.s()),
    })
}

/// Returns the length of the block's RLP: header, transactions, no uncles, no withdrawals.
fn size(header: &Header, transactions: &[Placed<'_>]) -> usize {
    let list = |payload: usize| payload.saturating_add(length_of_length(payload));
    let lengths = transactions.iter().map(|tx| tx.envelope.network_len());
    let transactions = list(lengths.fold(0, usize::saturating_add));
    list(
        header
            .length()
            .saturating_add(transactions)
            .saturating_add(2),
    )
}

fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (value, more) {
        fields.extend(more);
    }
}

/// Writes 32 bytes, whatever the number.
pub(super) fn word(value: U256) -> Value {
    json!(alloy_primitives::B256::from(value))
}

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use seamline_core::Amount;
use serde_json::{Value, json};

use super::{Block, exactly};
use crate::bindings::{IToken, IUptoProxy, PermitTransferFrom, UPTO_PROXY};
use crate::facilitator::{Receipt, Transfer};
use crate::rpc::{address_of, b256_of, bytes_of, hex, member, quantity, send};
use crate::{Error, Rpc, RpcCall};

/// Which settlement is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettlementQuery {
    /// Who promised to pay.
    pub payer: Address,
    /// The nonce of the promise: `H_bind` of the call.
    pub auth_nonce: B256,
    /// Token contract.
    pub asset: Address,
    /// First block to look at: any block before the authorization was signed, such as that of the
    /// registry snapshot.
    pub from_block: u64,
}

/// A settlement found on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettlementFacts {
    /// Hash of the transaction.
    pub transaction: B256,
    /// Number of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// What moved, base units, as the token's log says.
    pub amount: Amount,
    /// Who received it.
    pub pay_to: Address,
}

/// Most transfers of one payer that are looked at between two blocks. A call looks at the minutes
/// since it began; more than this many payments in that time means that `from_block` is wrong.
const MAX_CANDIDATES: usize = 1024;
/// Transactions that are asked for in one batch, with their receipts.
const PER_BATCH: usize = 32;

/// Looks, up to `until`, for the settlement that spent exactly this nonce, whoever received the
/// money: transfers of the payer are the candidates, and the input of each transaction says which
/// nonce it spent.
///
/// A settlement through another contract than the proxy itself is not found.
///
/// # Errors
///
/// As [`super::facts`].
pub async fn find_settlement(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<Option<SettlementFacts>, Error> {
    let candidates = candidates(rpc, query, until).await?;
    for group in candidates.chunks(PER_BATCH) {
        let calls: Vec<RpcCall> = group
            .iter()
            .flat_map(|hash| {
                [
                    RpcCall::transaction(*hash),
                    RpcCall::transaction_receipt(*hash),
                ]
            })
            .collect();
        let results = send(rpc, &calls).await?;
        let (pairs, _) = results.as_chunks::<2>();
        for [transaction, receipt] in pairs {
            let transaction = transaction
                .as_ref()
                .map_err(|err| Error::Call(err.clone()))?;
            let receipt = receipt.as_ref().map_err(|err| Error::Call(err.clone()))?;
            if let Some(facts) = settles(query, transaction, receipt)? {
                return Ok(Some(facts));
            }
        }
    }
    Ok(None)
}

/// Hashes of the transactions that moved the payer's tokens, newest first.
async fn candidates(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<Vec<B256>, Error> {
    let filter = json!({
        "address": hex(query.asset.as_slice()),
        "fromBlock": quantity(query.from_block),
        "toBlock": quantity(until.number),
        "topics": [
            hex(IToken::Transfer::SIGNATURE_HASH.as_slice()),
            hex(query.payer.into_word().as_slice()),
        ],
    });
    let call = RpcCall::new("eth_getLogs", json!([filter]));
    let [logs] = exactly(send(rpc, &[call]).await?)?;
    let logs = logs.as_array().ok_or(Error::Answer("logs"))?;
    let mut seen = BTreeSet::new();
    let mut hashes = Vec::new();
    for log in logs.iter().rev() {
        let hash = b256_of(member(log, "transactionHash")?)?;
        if seen.insert(hash) {
            hashes.push(hash);
        }
    }
    if hashes.len() > MAX_CANDIDATES {
        return Err(Error::Answer("fewer transfers: look at fewer blocks"));
    }
    Ok(hashes)
}

/// What one transaction settled, if it settled this nonce.
fn settles(
    query: &SettlementQuery,
    transaction: &Value,
    receipt: &Value,
) -> Result<Option<SettlementFacts>, Error> {
    let to = member(transaction, "to")?;
    if to.is_null() || address_of(to)? != UPTO_PROXY {
        return Ok(None);
    }
    let input = bytes_of(member(transaction, "input")?)?;
    let Some(call) = Settle::decode(&input) else {
        return Ok(None);
    };
    if call.owner != query.payer || call.permit.nonce != U256::from_be_bytes(query.auth_nonce.0) {
        return Ok(None);
    }
    let receipt = Receipt::read(receipt)?;
    let transfer = Transfer {
        token: query.asset,
        from: query.payer,
        to: call.to,
        value: call.amount,
    };
    let moved = receipt.transfers().any(|seen| seen == transfer);
    if !receipt.succeeded || !moved || !receipt.proxy_settled() {
        return Ok(None);
    }
    Ok(Some(SettlementFacts {
        transaction: receipt.transaction,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash,
        amount: Amount::try_from(transfer.value).map_err(|_| Error::AmountRange)?,
        pay_to: transfer.to,
    }))
}

/// The arguments that either settling function of the proxy takes.
struct Settle {
    permit: PermitTransferFrom,
    amount: U256,
    owner: Address,
    to: Address,
}

impl Settle {
    fn decode(input: &[u8]) -> Option<Self> {
        if let Ok(call) = IUptoProxy::settleCall::abi_decode_validate(input) {
            return Some(Self {
                permit: call.permit,
                amount: call.amount,
                owner: call.owner,
                to: call.witness.to,
            });
        }
        let call = IUptoProxy::settleWithPermitCall::abi_decode_validate(input).ok()?;
        Some(Self {
            permit: call.permit,
            amount: call.amount,
            owner: call.owner,
            to: call.witness.to,
        })
    }
}

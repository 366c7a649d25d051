use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use seamline_core::Amount;
use serde_json::{Value, json};

use super::{Block, exactly};
use crate::bindings::{
    EXACT_PROXY, IExactProxy, IToken, IUptoProxy, PermitTransferFrom, UPTO_PROXY,
};
use crate::facilitator::{Receipt, Transfer};
use crate::rpc::{address_of, b256_of, bytes_of, hex, member, quantity, send};
use crate::scheme::Method;
use crate::{Error, Rpc, RpcCall};

/// Which settlement is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettlementQuery {
    /// What moves the token.
    pub method: Method,
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
/// Most transactions that are asked for in one batch, with their receipts. The first batch asks for one,
/// the newest: whoever asks has usually just been told that it was settled.
const PER_BATCH: usize = 32;

/// Looks, up to `until`, for the settlement that spent exactly this nonce, whoever sent its transaction
/// and whoever received the money.
///
/// Over ERC-3009 the token logs the nonce, so that it is found whatever contract was called. Over
/// Permit2 transfers of the payer are the candidates, and the input of each transaction says which
/// nonce it spent: a settlement through another contract than a proxy of x402 itself is not found,
/// because its logs would not tell two payments of the same amount apart.
///
/// # Errors
///
/// As [`super::facts`].
pub async fn find_settlement(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<Option<SettlementFacts>, Error> {
    match query.method {
        Method::Eip3009 => by_nonce(rpc, query, until).await,
        Method::Permit2 => by_input(rpc, query, until).await,
    }
}

/// Whether the token logged that the payer cancelled the nonce. Permit2 cancels nonces whether they
/// are spent or not, so that its log proves nothing.
pub(super) async fn cancelled(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<bool, Error> {
    if query.method == Method::Permit2 {
        return Ok(false);
    }
    let event = IToken::AuthorizationCanceled::SIGNATURE_HASH;
    let logs = logs(rpc, query, until, event, Some(query.auth_nonce)).await?;
    Ok(!logs.is_empty())
}

/// The settlement whose nonce the token logged.
async fn by_nonce(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<Option<SettlementFacts>, Error> {
    let event = IToken::AuthorizationUsed::SIGNATURE_HASH;
    let logs = logs(rpc, query, until, event, Some(query.auth_nonce)).await?;
    // A nonce is used once: a second log would be of another chain than the first.
    let [log] = logs.as_slice() else {
        return Ok(None);
    };
    let hash = b256_of(member(log, "transactionHash")?)?;
    let [receipt] = exactly(send(rpc, &[RpcCall::transaction_receipt(hash)]).await?)?;
    let receipt = Receipt::read(&receipt)?;
    let moved = receipt.transfer_of(query.asset, query.payer, query.auth_nonce);
    let Some(transfer) = moved.filter(|_| receipt.succeeded) else {
        return Ok(None);
    };
    facts_of(&receipt, &transfer).map(Some)
}

/// The settlement whose input names the nonce.
async fn by_input(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
) -> Result<Option<SettlementFacts>, Error> {
    let candidates = candidates(rpc, query, until).await?;
    let (mut rest, mut size) = (candidates.as_slice(), 1);
    while !rest.is_empty() {
        let (group, older) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        (rest, size) = (older, size.saturating_mul(4).min(PER_BATCH));
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
    let event = IToken::Transfer::SIGNATURE_HASH;
    let logs = logs(rpc, query, until, event, None).await?;
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

/// The token's logs of one event of the payer, oldest first.
async fn logs(
    rpc: &dyn Rpc,
    query: &SettlementQuery,
    until: &Block,
    event: B256,
    nonce: Option<B256>,
) -> Result<Vec<Value>, Error> {
    let payer = query.payer.into_word();
    let topics = [Some(event), Some(payer), nonce].into_iter().flatten();
    let topics: Vec<String> = topics.map(|topic| hex(topic.as_slice())).collect();
    let filter = json!({
        "address": hex(query.asset.as_slice()),
        "fromBlock": quantity(query.from_block),
        "toBlock": quantity(until.number),
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

/// What one transaction settled, if it settled this nonce.
fn settles(
    query: &SettlementQuery,
    transaction: &Value,
    receipt: &Value,
) -> Result<Option<SettlementFacts>, Error> {
    let to = member(transaction, "to")?;
    let proxy = if to.is_null() {
        return Ok(None);
    } else {
        address_of(to)?
    };
    let input = bytes_of(member(transaction, "input")?)?;
    let Some(call) = Settle::decode(proxy, &input) else {
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
    if !receipt.succeeded || !receipt.has(&transfer) || !receipt.proxy_settled(proxy) {
        return Ok(None);
    }
    facts_of(&receipt, &transfer).map(Some)
}

fn facts_of(receipt: &Receipt, transfer: &Transfer) -> Result<SettlementFacts, Error> {
    Ok(SettlementFacts {
        transaction: receipt.transaction,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash,
        amount: Amount::try_from(transfer.value).map_err(|_| Error::AmountRange)?,
        pay_to: transfer.to,
    })
}

/// The arguments that a settling function of a proxy takes.
struct Settle {
    permit: PermitTransferFrom,
    amount: U256,
    owner: Address,
    to: Address,
}

impl Settle {
    fn decode(proxy: Address, input: &[u8]) -> Option<Self> {
        match proxy {
            UPTO_PROXY => Self::upto(input),
            EXACT_PROXY => Self::exact(input),
            _ => None,
        }
    }

    fn upto(input: &[u8]) -> Option<Self> {
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

    fn exact(input: &[u8]) -> Option<Self> {
        let (permit, owner, to) = match IExactProxy::settleCall::abi_decode_validate(input) {
            Ok(call) => (call.permit, call.owner, call.witness.to),
            Err(_) => {
                let call = IExactProxy::settleWithPermitCall::abi_decode_validate(input).ok()?;
                (call.permit, call.owner, call.witness.to)
            }
        };
        Some(Self {
            amount: permit.permitted.amount,
            permit,
            owner,
            to,
        })
    }
}

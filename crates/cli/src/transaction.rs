//! A transaction of the wallet itself: what it costs is shown, then it is signed, sent once and waited for.

use std::sync::Arc;
use std::time::Duration;

use seamline_core::{Address, Amount, B256, U256, chain as causes};
use seamline_evm::chain::Account;
use seamline_evm::tx::{FeeCeiling, Fees, SignedTransaction, Transaction};
use seamline_evm::{Rpc, RpcCall, tx};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::Session;

/// Longest wait for the transaction: some blocks of a slow chain.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the chain is asked for it.
const TURN: Duration = Duration::from_millis(100);

/// What to send.
pub(crate) struct Order {
    /// What it does, for whoever is about to pay for it.
    pub(crate) what: String,
    pub(crate) to: Address,
    pub(crate) input: Vec<u8>,
    /// Most gas that a call of this kind needs.
    pub(crate) max_gas: u64,
}

/// A transaction that is on the chain and did what it should.
pub(crate) struct Sent {
    pub(crate) hash: B256,
    pub(crate) block: u64,
    pub(crate) cost_wei: U256,
}

/// Sends a transaction of the session's account, which holds what `account` says.
pub(crate) async fn send(
    session: &Session,
    account: &Account,
    order: &Order,
    ceiling: &FeeCeiling,
) -> Result<Sent, Failure> {
    let rpc = &*session.client.network().rpc;
    let owner = session.payer;
    // 1. What it costs, before it is sent.
    let (gas_limit, fees) = cost(rpc, owner, order, ceiling).await?;
    let most = U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee_per_gas));
    output::message(&format!(
        "{}; gas costs at most {} of the native coin",
        order.what,
        coins(most)
    ));
    if account.native < most {
        return Err(Failure::new(
            Exit::No,
            "transaction.gas",
            format!(
                "{owner} holds {} of the native coin, and gas may cost {}",
                coins(account.native),
                coins(most)
            ),
        )
        .hint("send it some of the native coin"));
    }
    // 2. Signed where it may block, sent once.
    let transaction = Transaction {
        chain_id: session.client.network().chain_id,
        account_nonce: account.account_nonce,
        fees,
        gas_limit,
        to: Some(order.to),
        value: U256::ZERO,
        input: order.input.clone().into(),
    };
    let signer = Arc::clone(&session.signer);
    let signed = tokio::task::spawn_blocking(move || tx::sign(&*signer, &transaction)).await;
    let unsigned = |why: String| {
        Failure::new(Exit::No, "transaction.sign", why)
            .hint("nothing was sent: see to the signer, then run the command again")
    };
    let signed = signed
        .map_err(|_| unsigned("the signer stopped".to_owned()))?
        .map_err(|err| unsigned(causes(&err)))?;
    broadcast(rpc, &signed).await?;
    // 3. Until the chain has it.
    let receipt = included(rpc, signed.hash).await?;
    if number(receipt.get("status")) != Some(U256::from(1)) {
        return Err(reverted(Some(signed.hash)));
    }
    let gas = number(receipt.get("gasUsed")).unwrap_or_default();
    let price = number(receipt.get("effectiveGasPrice")).unwrap_or_default();
    Ok(Sent {
        hash: signed.hash,
        block: number(receipt.get("blockNumber"))
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or_default(),
        cost_wei: gas.saturating_mul(price),
    })
}

/// The gas limit and the fees of the transaction.
async fn cost(
    rpc: &dyn Rpc,
    owner: Address,
    order: &Order,
    ceiling: &FeeCeiling,
) -> Result<(u64, Fees), Failure> {
    let data = alloy_primitives::hex::encode_prefixed(&order.input);
    let transaction = json!({ "from": owner, "to": order.to, "data": data });
    let estimate = RpcCall::new("eth_estimateGas", json!([transaction]));
    let mut answers = rpc
        .batch(&[estimate, RpcCall::fee_history()])
        .await
        .map_err(|err| unreachable(&err.into()))?
        .into_iter();
    let gas = answers.next().ok_or_else(unreadable)?;
    let gas = gas.map_err(|err| match err.revert() {
        Some(_) => reverted(None),
        None => unreachable(&seamline_evm::Error::Call(err)),
    })?;
    let history = answers.next().ok_or_else(unreadable)?;
    let history = history.map_err(|err| unreachable(&seamline_evm::Error::Call(err)))?;
    let gas = number(Some(&gas)).and_then(|gas| u64::try_from(gas).ok());
    let gas = gas.ok_or_else(unreadable)?;
    // A quarter more: the state may change between the estimate and the block.
    let limit = gas.saturating_add(gas.div_ceil(4));
    if limit > order.max_gas {
        return Err(Failure::new(
            Exit::No,
            "transaction.gas",
            format!("the contract wants {gas} gas, more than such a call needs"),
        )
        .hint("look at the contract before you use it"));
    }
    let fees = Fees::from_history(&history, ceiling).map_err(|err| {
        Failure::new(Exit::No, "transaction.fees", causes(&err))
            .hint("wait until gas is cheaper, or allow more with --max-fee")
    })?;
    Ok((limit, fees))
}

async fn broadcast(rpc: &dyn Rpc, signed: &SignedTransaction) -> Result<(), Failure> {
    let calls = [RpcCall::send_raw_transaction(&signed.raw)];
    let answer = match rpc.batch(&calls).await {
        Ok(answers) => answers.into_iter().next(),
        // It may have arrived: whether it did is seen in the chain.
        Err(_) => return Ok(()),
    };
    match answer {
        Some(Ok(_)) => Ok(()),
        Some(Err(err)) if err.message.contains("already known") => Ok(()),
        Some(Err(err)) => Err(Failure::new(
            Exit::No,
            "transaction.refused",
            format!("the chain's endpoint refused the transaction: {}", err.message),
        )
        .hint("nothing was changed; if another transaction of this account is waiting, let it end first")),
        None => Err(unreadable()),
    }
}

/// Waits for the transaction's receipt.
async fn included(rpc: &dyn Rpc, hash: B256) -> Result<Value, Failure> {
    let started = Instant::now();
    loop {
        // An endpoint that does not answer now may answer soon: the transaction is out.
        let receipt = one(rpc, RpcCall::transaction_receipt(hash)).await;
        if let Ok(receipt) = receipt
            && !receipt.is_null()
        {
            return Ok(receipt);
        }
        if started.elapsed() >= PATIENCE {
            return Err(Failure::new(
                Exit::Unknown,
                "transaction.pending",
                format!("the transaction {hash} is in no block yet"),
            )
            .hint("look for it before you repeat the command: `seamline wallet show` has the balances"));
        }
        tokio::time::sleep(TURN).await;
    }
}

pub(crate) async fn one(rpc: &dyn Rpc, call: RpcCall) -> Result<Value, Failure> {
    let answers = rpc
        .batch(&[call])
        .await
        .map_err(|err| unreachable(&err.into()))?;
    let answer = answers.into_iter().next().ok_or_else(unreadable)?;
    answer.map_err(|err| unreachable(&seamline_evm::Error::Call(err)))
}

/// Reads a quantity, or a word that a contract answered.
pub(crate) fn number(value: Option<&Value>) -> Option<U256> {
    let digits = value?.as_str()?.strip_prefix("0x")?;
    U256::from_str_radix(digits, 16).ok()
}

/// Writes an amount of the native coin.
pub(crate) fn coins(wei: U256) -> String {
    Amount::try_from(wei).unwrap_or(Amount::MAX).to_decimal(18)
}

pub(crate) fn unreachable(err: &seamline_evm::Error) -> Failure {
    Failure::new(Exit::Unknown, "chain.unreachable", causes(err))
        .hint("is the network up? `seamline up` runs one")
}

pub(crate) fn unreadable() -> Failure {
    unreachable(&seamline_evm::Error::Answer("an answer of a contract"))
}

fn reverted(transaction: Option<B256>) -> Failure {
    let what = transaction.map_or_else(
        || "the contract refuses the transaction".to_owned(),
        |hash| format!("the transaction {hash} was reverted"),
    );
    Failure::new(Exit::No, "transaction.reverted", what)
        .hint("some tokens want `seamline wallet approve --revoke` before another amount")
}

//! `seamline wallet approve`: lets Permit2 move a bounded amount of the token, or nothing any more.

use std::time::Duration;

use alloy_sol_types::SolCall as _;
use seamline_core::{Address, Amount, B256, U256, chain as causes};
use seamline_evm::bindings::{IToken, PERMIT2};
use seamline_evm::rpc::At;
use seamline_evm::tx::{FeeCeiling, Fees, Transaction};
use seamline_evm::{Rpc, RpcCall, chain, tx};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::WalletApprove;
use crate::budget::{Caps, Intent, Token};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::service::wei;
use crate::session::Session;

/// Most that is approved without being asked for by name, in days of the budget.
const DAYS: u128 = 30;
/// Most gas of an approval: tokens behind proxies take about 60,000.
const MAX_GAS: u64 = 300_000;
/// Longest wait for the transaction: some blocks of a slow chain.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the chain is asked for it.
const TURN: Duration = Duration::from_millis(100);

alloy_sol_types::sol! {
    function totalSupply() external view returns (uint256);
}

pub(crate) fn run(context: &Context, args: &WalletApprove) -> Result<Exit, Failure> {
    let token = Token::of(context)?;
    let amount = wanted(context, &token, args)?;
    let max_fee_per_gas = wei(&args.max_fee)?;
    let ceiling = FeeCeiling {
        max_fee_per_gas,
        max_priority_fee_per_gas: max_fee_per_gas,
    };
    block_on(async {
        let session = Session::to_approve(context).await?;
        let approved = approve(&session, &token, amount, &ceiling).await;
        session.close().await;
        report(&approved?, &token, args.output.json)?;
        Ok(Exit::Ok)
    })
}

/// The amount to approve, held against the budget.
fn wanted(context: &Context, token: &Token, args: &WalletApprove) -> Result<Amount, Failure> {
    let Some(text) = &args.amount else {
        return Ok(Amount::ZERO);
    };
    let amount = token.read(text)?;
    if amount.is_zero() {
        return Err(
            Failure::usage("approve.zero", "an approval of nothing is a revocation")
                .hint("write `seamline wallet approve --revoke`"),
        );
    }
    let caps = Caps::of_home(&context.home()?, token, Intent::Look)?;
    let usual = Amount::new(caps.per_day.get().saturating_mul(DAYS));
    let said = args.danger_allow_up_to.as_deref();
    let bound = said.map(|text| token.read(text)).transpose()?;
    let bound = bound.unwrap_or(usual).max(usual);
    if amount > bound {
        return Err(Failure::usage(
            "approve.too_much",
            format!(
                "{} is more than {DAYS} days of the budget, {}",
                token.write(amount),
                token.write(usual)
            ),
        )
        .hint("approve less and repeat it when it is used up, or name the bound with --danger-allow-up-to"));
    }
    Ok(amount)
}

/// What was done.
struct Approved {
    owner: Address,
    before: U256,
    after: U256,
    transaction: B256,
    block: u64,
    cost_wei: U256,
}

async fn approve(
    session: &Session,
    token: &Token,
    amount: Amount,
    ceiling: &FeeCeiling,
) -> Result<Approved, Failure> {
    let rpc = &*session.client.network().rpc;
    let owner = session.payer;
    // 1. The chain is the one that is meant, and the amount is a part of what there is.
    let (chain_id, _) = chain::head(rpc).await.map_err(|err| unreachable(&err))?;
    if chain_id != token.chain_id {
        return Err(Failure::usage(
            "chain.mismatch",
            format!(
                "the endpoint speaks for chain {chain_id}, not {}",
                token.chain_id
            ),
        )
        .hint("name the right network file"));
    }
    let account = chain::account(rpc, token.asset, owner)
        .await
        .map_err(|err| unreachable(&err))?;
    bounded(rpc, token, amount).await?;
    // 2. What it costs, before it is sent.
    let call = IToken::approveCall {
        spender: PERMIT2,
        value: amount.into(),
    };
    let input = call.abi_encode();
    let (gas_limit, fees) = cost(rpc, owner, token.asset, &input, ceiling).await?;
    let most = U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee_per_gas));
    output::message(&format!(
        "approve    {} to Permit2 ({PERMIT2}); gas costs at most {} of the native coin",
        token.write(amount),
        coins(most)
    ));
    if account.native < most {
        return Err(Failure::new(
            Exit::No,
            "approve.gas",
            format!(
                "{owner} holds {} of the native coin, and gas may cost {}",
                coins(account.native),
                coins(most)
            ),
        )
        .hint("send it some of the native coin"));
    }
    // 3. Signed where it may block, sent once.
    let transaction = Transaction {
        chain_id,
        account_nonce: account.account_nonce,
        fees,
        gas_limit,
        to: Some(token.asset),
        value: U256::ZERO,
        input: input.into(),
    };
    let signer = std::sync::Arc::clone(&session.signer);
    let signed = tokio::task::spawn_blocking(move || tx::sign(&*signer, &transaction)).await;
    let unsigned = |why: String| {
        Failure::new(Exit::No, "approve.sign", why)
            .hint("nothing was sent: see to the signer, then run the command again")
    };
    let signed = signed
        .map_err(|_| unsigned("the signer stopped".to_owned()))?
        .map_err(|err| unsigned(causes(&err)))?;
    send(rpc, &signed).await?;
    // 4. Until the chain has it.
    let receipt = included(rpc, signed.hash).await?;
    let after = chain::account(rpc, token.asset, owner)
        .await
        .map_err(|err| unreachable(&err))?;
    if number(receipt.get("status")) != Some(U256::from(1)) {
        return Err(reverted(Some(signed.hash)));
    }
    let gas = number(receipt.get("gasUsed")).unwrap_or_default();
    let price = number(receipt.get("effectiveGasPrice")).unwrap_or_default();
    Ok(Approved {
        owner,
        before: account.permit2_allowance,
        after: after.permit2_allowance,
        transaction: signed.hash,
        block: number(receipt.get("blockNumber"))
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or_default(),
        cost_wei: gas.saturating_mul(price),
    })
}

/// An approval of all that exists is unlimited by another name.
async fn bounded(rpc: &dyn Rpc, token: &Token, amount: Amount) -> Result<(), Failure> {
    let input = totalSupplyCall {}.abi_encode();
    let supply = one(rpc, RpcCall::call(token.asset, &input, At::Latest)).await?;
    let supply = number(Some(&supply)).ok_or_else(unreadable)?;
    if U256::from(amount.get()) >= supply {
        return Err(Failure::usage(
            "approve.unlimited",
            format!("{} is all of the token that there is", token.write(amount)),
        )
        .hint("approve a part: an approval is never unlimited"));
    }
    Ok(())
}

/// The gas limit and the fees of the transaction.
async fn cost(
    rpc: &dyn Rpc,
    owner: Address,
    asset: Address,
    input: &[u8],
    ceiling: &FeeCeiling,
) -> Result<(u64, Fees), Failure> {
    let transaction = json!({ "from": owner, "to": asset, "data": alloy_primitives::hex::encode_prefixed(input) });
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
    if limit > MAX_GAS {
        return Err(Failure::new(
            Exit::No,
            "approve.gas",
            format!("the token wants {gas} gas for an approval, more than a token needs"),
        )
        .hint("look at the token's contract before you use it"));
    }
    let fees = Fees::from_history(&history, ceiling).map_err(|err| {
        Failure::new(Exit::No, "approve.fees", causes(&err))
            .hint("wait until gas is cheaper, or allow more with --max-fee")
    })?;
    Ok((limit, fees))
}

async fn send(rpc: &dyn Rpc, signed: &tx::SignedTransaction) -> Result<(), Failure> {
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
            "approve.refused",
            format!("the chain's endpoint refused the transaction: {}", err.message),
        )
        .hint("nothing was approved; if another transaction of this account is waiting, let it end first")),
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
                "approve.pending",
                format!("the transaction {hash} is in no block yet"),
            )
            .hint("look for it before you repeat the command: `seamline wallet show` has the allowance"));
        }
        tokio::time::sleep(TURN).await;
    }
}

async fn one(rpc: &dyn Rpc, call: RpcCall) -> Result<Value, Failure> {
    let answers = rpc
        .batch(&[call])
        .await
        .map_err(|err| unreachable(&err.into()))?;
    let answer = answers.into_iter().next().ok_or_else(unreadable)?;
    answer.map_err(|err| unreachable(&seamline_evm::Error::Call(err)))
}

/// Reads a quantity, or a word that a contract answered.
fn number(value: Option<&Value>) -> Option<U256> {
    let digits = value?.as_str()?.strip_prefix("0x")?;
    U256::from_str_radix(digits, 16).ok()
}

fn coins(wei: U256) -> String {
    Amount::try_from(wei).unwrap_or(Amount::MAX).to_decimal(18)
}

fn unreachable(err: &seamline_evm::Error) -> Failure {
    Failure::new(Exit::Unknown, "chain.unreachable", causes(err))
        .hint("is the network up? `seamline up` runs one")
}

fn unreadable() -> Failure {
    unreachable(&seamline_evm::Error::Answer("an answer of the token"))
}

fn reverted(transaction: Option<B256>) -> Failure {
    let what = transaction.map_or_else(
        || "the token refuses the approval".to_owned(),
        |hash| format!("the transaction {hash} was reverted"),
    );
    Failure::new(Exit::No, "approve.reverted", what)
        .hint("some tokens want `seamline wallet approve --revoke` before another amount")
}

fn report(approved: &Approved, token: &Token, as_json: bool) -> Result<(), Failure> {
    let amount = |value: U256| Amount::try_from(value).unwrap_or(Amount::MAX);
    if as_json {
        return output::json(&json!({
            "version": 1,
            "address": approved.owner,
            "token": { "asset": token.asset, "symbol": token.symbol, "decimals": token.decimals },
            "allowance_before": approved.before.to_string(),
            "allowance": approved.after.to_string(),
            "transaction": approved.transaction,
            "block": approved.block,
            "gas_cost_wei": approved.cost_wei.to_string(),
        }));
    }
    output::line(&format!(
        "allowance  {} to Permit2, was {}",
        token.write(amount(approved.after)),
        token.write(amount(approved.before))
    ))?;
    output::line(&format!(
        "settled    transaction {}, block {}, gas cost {} of the native coin",
        approved.transaction,
        approved.block,
        coins(approved.cost_wei)
    ))
}

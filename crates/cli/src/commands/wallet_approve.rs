//! `seamline wallet approve`: lets Permit2 move a bounded amount of the token, or nothing any more.

use alloy_sol_types::SolCall as _;
use seamline_core::{Address, Amount, B256, U256};
use seamline_evm::bindings::{IToken, PERMIT2};
use seamline_evm::rpc::At;
use seamline_evm::tx::FeeCeiling;
use seamline_evm::{Rpc, RpcCall, chain};
use serde_json::json;

use crate::args::WalletApprove;
use crate::budget::{Caps, Intent, Token};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::service::wei;
use crate::session::Session;
use crate::transaction::{self, Order};

/// Most that is approved without being asked for by name, in days of the budget.
const DAYS: u128 = 30;
/// Most gas of an approval: tokens behind proxies take about 60,000.
const MAX_GAS: u64 = 300_000;
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
    let (chain_id, _) = chain::head(rpc)
        .await
        .map_err(|err| transaction::unreachable(&err))?;
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
        .map_err(|err| transaction::unreachable(&err))?;
    bounded(rpc, token, amount).await?;
    // 2. What it costs, before it is sent; signed and sent; until the chain has it.
    let call = IToken::approveCall {
        spender: PERMIT2,
        value: amount.into(),
    };
    let order = Order {
        what: format!("approve    {} to Permit2 ({PERMIT2})", token.write(amount)),
        to: token.asset,
        input: call.abi_encode(),
        max_gas: MAX_GAS,
    };
    let sent = transaction::send(session, &account, &order, ceiling).await?;
    let after = chain::account(rpc, token.asset, owner)
        .await
        .map_err(|err| transaction::unreachable(&err))?;
    Ok(Approved {
        owner,
        before: account.permit2_allowance,
        after: after.permit2_allowance,
        transaction: sent.hash,
        block: sent.block,
        cost_wei: sent.cost_wei,
    })
}

/// An approval of all that exists is unlimited by another name.
async fn bounded(rpc: &dyn Rpc, token: &Token, amount: Amount) -> Result<(), Failure> {
    let input = totalSupplyCall {}.abi_encode();
    let supply = transaction::one(rpc, RpcCall::call(token.asset, &input, At::Latest)).await?;
    let supply = transaction::number(Some(&supply)).ok_or_else(transaction::unreadable)?;
    if U256::from(amount.get()) >= supply {
        return Err(Failure::usage(
            "approve.unlimited",
            format!("{} is all of the token that there is", token.write(amount)),
        )
        .hint("approve a part: an approval is never unlimited"));
    }
    Ok(())
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
        transaction::coins(approved.cost_wei)
    ))
}

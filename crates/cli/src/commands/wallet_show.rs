//! `seamline wallet show`: the paying address, its balances and its allowance.

use seamline_core::{Amount, NodeId};
use serde_json::json;

use crate::args::Json;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{Session, call_failure, now};

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    block_on(async {
        let session = Session::look(context).await?;
        let shown = show(&session, args).await;
        session.close().await;
        shown
    })
}

async fn show(session: &Session, args: Json) -> Result<Exit, Failure> {
    session
        .client
        .recover()
        .await
        .map_err(|err| call_failure(&err))?;
    let network = session.client.network();
    let address = session.payer;
    let account = seamline_evm::chain::account(&*network.rpc, network.asset, address)
        .await
        .map_err(|err| {
            Failure::new(
                Exit::Unknown,
                "chain.unreachable",
                seamline_core::chain(&err),
            )
            .hint("is the network up? `seamline up` runs one")
        })?;
    let nobody = NodeId::new(seamline_core::B256::ZERO);
    let chain = format!("eip155:{}", network.chain_id);
    let journal = session.client.journal();
    let spent = journal.spent(&chain, network.asset, &nobody, now());
    let allowance = Amount::try_from(account.permit2_allowance).unwrap_or(Amount::MAX);
    if args.json {
        output::json(&json!({
            "version": 1,
            "address": address,
            "chain_id": network.chain_id,
            "evidence": session.network.evidence,
            "token": { "asset": network.asset, "symbol": network.symbol, "decimals": network.decimals },
            "balance": account.balance().to_string(),
            "permit2_allowance": allowance.to_string(),
            "gas_balance": account.native.to_string(),
            "spent_today": spent.today.to_string(),
            "reserved": spent.reserved.to_string(),
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(&format!("address    {address}"))?;
    output::line(&format!(
        "chain      {} (eip155:{}){}",
        network.chain_id,
        network.chain_id,
        if session.is_dev() {
            "; DEV network, play money"
        } else {
            ""
        },
    ))?;
    output::line(&format!("balance    {}", session.amount(account.balance())))?;
    output::line(&format!(
        "allowance  {} to Permit2",
        session.amount(allowance)
    ))?;
    output::line(&format!(
        "spent      {} in the last 24 hours",
        session.amount(spent.today)
    ))?;
    output::line(&format!(
        "reserved   {} signed and not known to be unspent",
        session.amount(spent.reserved)
    ))?;
    Ok(Exit::Ok)
}

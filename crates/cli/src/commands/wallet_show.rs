//! `seamline wallet show`: the paying address, its balances and its allowance.

use std::collections::BTreeSet;

use seamline::Journal;
use seamline::journal::Paid;
use seamline_core::{Amount, B256, NodeId};
use seamline_evm::scheme::Scheme;
use serde_json::json;

use crate::args::Json;
use crate::commands::{block_on, wallet_history};
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
    let nobody = NodeId::new(B256::ZERO);
    let chain = format!("eip155:{}", network.chain_id);
    let journal = session.client.journal();
    let spent = journal.spent(&chain, network.asset, &nobody, now());
    let channels = channels(journal)?;
    let allowance = Amount::try_from(account.permit2_allowance).unwrap_or(Amount::MAX);
    if args.json {
        output::json(&json!({
            "version": 1,
            "address": address,
            "key": session.source.as_str(),
            "chain_id": network.chain_id,
            "evidence": session.network.evidence,
            "token": { "asset": network.asset, "symbol": network.symbol, "decimals": network.decimals },
            "balance": account.balance().to_string(),
            "permit2_allowance": allowance.to_string(),
            "gas_balance": account.native.to_string(),
            "spent_today": spent.today.to_string(),
            "reserved": spent.reserved.to_string(),
            "channels": channels,
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(&format!("address    {address}"))?;
    output::line(&format!("key        {}", session.source.describe()))?;
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
    if !channels.is_empty() {
        let number = channels.len();
        output::line(&format!("channels   {number} paid through so far"))?;
    }
    Ok(Exit::Ok)
}

/// Ids of the payment channels that the books know.
fn channels(journal: &Journal) -> Result<BTreeSet<B256>, Failure> {
    let paid = journal
        .history()
        .map_err(|err| wallet_history::unreadable(&err))?;
    let through = |it: &Paid| it.scheme == Scheme::BatchSettlement.as_str();
    Ok(paid
        .into_iter()
        .filter(through)
        .map(|it| it.auth_nonce)
        .collect())
}

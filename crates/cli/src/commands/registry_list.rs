//! `seamline registry list`: the nodes that the registry calls active, and what they ask.

use seamline::Listing;
use seamline_evm::registry::NodeRecord;
use serde_json::{Value, json};

use crate::args::Json;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{Session, call_failure};

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    block_on(async {
        let session = Session::look(context).await?;
        let listed = list(&session, args).await;
        session.close().await;
        listed
    })
}

async fn list(session: &Session, args: Json) -> Result<Exit, Failure> {
    let (snapshot, listings) = session
        .client
        .listings()
        .await
        .map_err(|err| call_failure(&err))?;
    let rows: Vec<_> = snapshot
        .nodes
        .iter()
        .map(|record| {
            let listing = listings.iter().find(|(node, _)| *node == record.node);
            (record, listing.and_then(|(_, listing)| listing.as_ref()))
        })
        .collect();
    if args.json {
        let nodes: Vec<_> = rows
            .iter()
            .map(|(record, listing)| view(record, *listing))
            .collect();
        output::json(&json!({
            "version": 1,
            "chain_id": snapshot.chain_id,
            "registry": snapshot.registry,
            "block": { "number": snapshot.block_number, "hash": snapshot.block_hash },
            "evidence": session.network.evidence,
            "nodes": nodes,
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(&format!(
        "registry {} on chain {} at block {}{}",
        snapshot.registry,
        snapshot.chain_id,
        snapshot.block_number,
        if session.is_dev() {
            "; DEV evidence (no hardware)"
        } else {
            ""
        },
    ))?;
    for (record, listing) in rows {
        output::line(&row(session, record, listing))?;
    }
    Ok(Exit::Ok)
}

fn row(session: &Session, record: &NodeRecord, listing: Option<&Listing>) -> String {
    let head = format!("{}  {:<26}", record.node.short(), record.endpoint);
    let Some(listing) = listing else {
        return format!("{head} does not answer");
    };
    let price = |amount: seamline_core::Amount| amount.to_decimal(session.network.token_decimals);
    let models: Vec<_> = listing
        .models
        .iter()
        .map(|model| {
            format!(
                "{} at {} in, {} out {} per million tokens",
                model.id,
                price(model.price_input),
                price(model.price_output),
                session.network.token_symbol
            )
        })
        .collect();
    format!(
        "{head} {}, answered in {} ms",
        models.join("; "),
        listing.latency_us / 1_000
    )
}

fn view(record: &NodeRecord, listing: Option<&Listing>) -> Value {
    let models: Option<Vec<_>> = listing.map(|listing| {
        let model = |model: &seamline::ListedModel| {
            json!({
                "id": model.id,
                "price_input": model.price_input.to_string(),
                "price_output": model.price_output.to_string(),
                "asset": model.asset,
                "network": model.network,
            })
        };
        listing.models.iter().map(model).collect()
    });
    json!({
        "id": record.node.to_string(),
        "endpoint": record.endpoint,
        "pay_to": record.pay_to,
        "measurement": record.pcr_hash,
        "enabled": record.enabled,
        "last_heartbeat_at": record.last_heartbeat_at,
        "models": models,
        "latency_us": listing.map(|listing| listing.latency_us),
    })
}

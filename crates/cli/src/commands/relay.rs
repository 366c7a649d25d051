//! `seamline relay`: carries sealed requests of account holders and pays for them, until Ctrl-C.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use seamline_core::Amount;
use seamline_evm::registry::{self, NodeRecord};
use seamline_services::relay::{
    Account, BooksError, PayingCarrier, Relay, RelayConfig, Target, router,
};
use serde::Deserialize;
use serde_json::json;

use crate::args;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::service::listen;
use crate::session::{Session, now};
use crate::stop::Stop;

/// How often the registry is read: a node that is revoked gets nothing after that.
const REFRESH: Duration = Duration::from_secs(15);
/// How many reads may fail before no node is known any more: a node that is revoked must not live on
/// because somebody holds the registry up.
const MAX_FAILURES: u32 = 2;
/// How often the chain is asked what became of payments whose outcome is open: until then they are
/// reserved of the wallet's budget.
const RECOVER: Duration = Duration::from_secs(60);
/// How long requests under way may take once the command is asked to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Longest accounts file: ten thousand accounts.
const MAX_FILE: u64 = 2 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    #[serde(default)]
    account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token_sha256: String,
    per_day: String,
    per_minute: u32,
    at_once: u32,
}

pub(crate) fn run(context: &Context, args: &args::Relay) -> Result<Exit, Failure> {
    block_on(async {
        // 1. The account that pays, and who may use it.
        let session = Arc::new(Session::open(context, Some(&args.max_price), None).await?);
        let served = serve(context, &session, args).await;
        if let Some(session) = Arc::into_inner(session) {
            session.close().await;
        }
        served
    })
}

async fn serve(
    context: &Context,
    session: &Arc<Session>,
    args: &args::Relay,
) -> Result<Exit, Failure> {
    let decimals = session.network.token_decimals;
    let accounts = read_accounts(&args.accounts, decimals)?;
    let max_price = amount(&args.max_price, decimals)?;
    let stop = Stop::listen()?;
    let (listener, address) = listen(args.listen).await?;
    // 2. The relay, with the nodes of the registry.
    let payers = Arc::clone(session);
    let carrier = PayingCarrier::new(move |options| payers.client.payer(options));
    let known = accounts.len();
    let mut config = RelayConfig::new(accounts, max_price, Arc::new(now));
    config.books = Some(context.home()?.relay_books());
    let relay = Relay::new(config, Arc::new(carrier)).map_err(|err| refused_books(&err))?;
    let nodes = refresh(session, &relay).await?;
    // 3. Until somebody asks it to end.
    let url = format!("http://{address}");
    if args.output.json {
        output::json(&json!({ "version": 1, "url": url, "accounts": known, "nodes": nodes }))?;
    } else {
        output::line(&url)?;
    }
    output::message(&format!(
        "carries for {known} accounts to {nodes} nodes; Ctrl-C ends it"
    ));
    let serving = seamline_net::serve(listener, router(relay.clone()), stop.asked());
    let served = tokio::select! {
        served = serving => served,
        () = keep_fresh(session, &relay) => Ok(()),
        () = keep_books(session) => Ok(()),
    };
    if let Err(err) = served {
        output::message(&format!("note: {err}"));
    }
    if !relay.tasks().drain(DRAIN).await {
        output::message("note: some payments are still open; the journal has them");
    }
    Ok(Exit::Ok)
}

async fn keep_fresh(session: &Session, relay: &Relay) {
    let mut failures = 0_u32;
    loop {
        tokio::time::sleep(REFRESH).await;
        match refresh(session, relay).await {
            Ok(_) => failures = 0,
            Err(_) => failures = failures.saturating_add(1),
        }
        if failures >= MAX_FAILURES {
            // What was revoked in the meantime is not known, so nothing is.
            relay.set_targets([]);
        }
    }
}

/// Frees what payments have reserved that can never settle. At the start, for a process before this one.
async fn keep_books(session: &Session) {
    loop {
        if let Err(err) = session.client.recover().await {
            output::message(&format!("note: {}", seamline_core::chain(&err)));
        }
        tokio::time::sleep(RECOVER).await;
    }
}

/// Reads the registry; returns how many of its nodes can be reached through the relay.
async fn refresh(session: &Session, relay: &Relay) -> Result<usize, Failure> {
    let network = session.client.network();
    let snapshot = registry::read(&*network.rpc, network.registry, 0).await;
    let snapshot = snapshot.map_err(|err| {
        let message = format!("cannot read the registry: {}", seamline_core::chain(&err));
        Failure::new(Exit::Unknown, "registry.unreadable", message)
    })?;
    let is_dev = session.is_dev();
    let targets: Vec<Target> = snapshot
        .nodes
        .iter()
        .filter_map(|record| target(record, is_dev))
        .collect();
    let reached = targets.len();
    relay.set_targets(targets);
    Ok(reached)
}

/// Nodes of a network on this machine are on this machine; others are not.
fn target(record: &NodeRecord, is_dev: bool) -> Option<Target> {
    let make = if is_dev {
        Target::danger_anywhere
    } else {
        Target::new
    };
    let certificate = record.tls_certificate.to_vec();
    make(record.node, &record.endpoint, certificate, record.pay_to).ok()
}

/// What to say of books that cannot be kept.
fn refused_books(err: &BooksError) -> Failure {
    if matches!(err, BooksError::Twice) {
        return Failure::usage("relay.accounts", "two accounts have the same token")
            .hint("give each account a token of its own");
    }
    Failure::new(Exit::No, "relay.books", seamline_core::chain(err))
}

fn read_accounts(path: &Path, decimals: u8) -> Result<Vec<Account>, Failure> {
    let refused = |what: &str| {
        let message = format!("cannot read the accounts of `{}`: {what}", path.display());
        Failure::usage("relay.accounts", message).hint("see docs/relay.md for the file")
    };
    let size = std::fs::metadata(path).map_err(|err| refused(&err.to_string()))?;
    if size.len() > MAX_FILE {
        return Err(refused("it is too long"));
    }
    let text = std::fs::read_to_string(path).map_err(|err| refused(&err.to_string()))?;
    let accounts: Accounts = toml::from_str(&text).map_err(|err| refused(err.message()))?;
    if accounts.account.is_empty() {
        return Err(refused("it has none"));
    }
    let read = |entry: Entry| {
        let token = hex::decode_to_array(&entry.token_sha256);
        Ok(Account {
            token_sha256: token.map_err(|_| refused("a token_sha256 is not 64 hex digits"))?,
            per_day: amount(&entry.per_day, decimals)?,
            per_minute: entry.per_minute,
            at_once: entry.at_once,
        })
    };
    accounts.account.into_iter().map(read).collect()
}

fn amount(text: &str, decimals: u8) -> Result<Amount, Failure> {
    Amount::from_decimal(text, decimals).map_err(|_| {
        let message = format!("`{text}` is not an amount with at most {decimals} decimals");
        Failure::usage("relay.amount", message).hint("write whole tokens such as 0.5")
    })
}

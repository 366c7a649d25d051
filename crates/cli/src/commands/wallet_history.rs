//! `seamline wallet history`: the payments of this home, newest first.

use std::collections::HashMap;

use seamline::journal::Paid;
use seamline::{Journal, JournalError};
use seamline_core::Amount;
use serde_json::{Value, json};

use crate::args;
use crate::budget::{self, Token};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::utc::utc;

pub(crate) fn run(context: &Context, args: &args::WalletHistory) -> Result<Exit, Failure> {
    let (mut payments, calls) = read(context)?;
    let all = payments.len();
    payments.truncate(args.limit);
    if args.output.json {
        let payments: Vec<_> = payments.iter().map(|paid| view(paid, &calls)).collect();
        output::json(&json!({ "version": 1, "payments": payments, "total": all }))?;
        return Ok(Exit::Ok);
    }
    if payments.is_empty() {
        output::message("no payments yet");
    }
    let tokens = budget::known(context, &Token::of(context)?);
    for paid in &payments {
        output::line(&row(paid, &calls, &tokens))?;
    }
    if payments.len() < all {
        let shown = payments.len();
        output::message(&format!("{shown} of {all} payments; --limit shows more"));
    }
    Ok(Exit::Ok)
}

/// Ids of calls by their number.
type Calls = HashMap<u64, String>;

fn read(context: &Context) -> Result<(Vec<Paid>, Calls), Failure> {
    let home = context.home()?;
    if !home.exists()? || !home.journal().exists() {
        return Ok((Vec::new(), Calls::new()));
    }
    let _lock = home.lock()?;
    let journal = Journal::open(&home.journal()).map_err(|err| unreadable(&err))?;
    let calls = journal.calls().map_err(|err| unreadable(&err))?;
    let calls = calls.into_iter().map(|call| (call.seq, call.call_id));
    let payments = journal.history().map_err(|err| unreadable(&err))?;
    Ok((payments, calls.collect()))
}

/// What is said where the books cannot be read.
pub(super) fn unreadable(err: &JournalError) -> Failure {
    if matches!(err, JournalError::Storage { .. }) {
        return Failure::usage("journal.storage", seamline_core::chain(err))
            .hint("make room, and repair the disk");
    }
    Failure::usage("journal.damaged", seamline_core::chain(err)).hint(
        "the file was left as it is: move it away to start new books; receipts and chain keep what happened",
    )
}

fn view(paid: &Paid, calls: &Calls) -> Value {
    json!({
        "seq": paid.seq,
        "call": calls.get(&paid.seq),
        "opened_ms": paid.opened_ms,
        "model": paid.model,
        "node": paid.node.map(|node| node.to_string()),
        "origin": paid.origin,
        "pay_to": paid.pay_to,
        "scheme": paid.scheme,
        "network": paid.network,
        "asset": paid.asset,
        "authorized": paid.authorized.to_string(),
        "settled": paid.settled.map(|amount| amount.to_string()),
        "state": paid.state.as_str(),
        // In a channel a promise has no end.
        "deadline_s": (paid.deadline_s != u64::MAX).then_some(paid.deadline_s),
        "auth_nonce": paid.auth_nonce,
        "transaction": paid.transaction,
        "block": paid.block,
    })
}

fn row(paid: &Paid, calls: &Calls, tokens: &[seamline_verify::Token]) -> String {
    let call = calls.get(&paid.seq).map(String::as_str).unwrap_or_default();
    let call = call.get(..8).unwrap_or(call);
    let unit = tokens.iter().find(|token| token.asset == paid.asset);
    let bare = |amount: Amount| match unit {
        Some(token) => amount.to_decimal(token.decimals),
        None => amount.to_string(),
    };
    let unit = unit.map_or_else(
        || format!("base units of {}", paid.asset),
        |token| token.symbol.clone(),
    );
    let most = bare(paid.authorized);
    let amount = match paid.settled {
        Some(settled) => format!("{} of {most} {unit}", bare(settled)),
        None => format!("up to {most} {unit}"),
    };
    let to = match (&paid.origin, &paid.node) {
        (Some(origin), _) => origin.clone(),
        (None, Some(node)) => node.to_string().chars().skip(2).take(8).collect(),
        (None, None) => paid.pay_to.to_string(),
    };
    let transaction = paid
        .transaction
        .map_or_else(|| "-".to_owned(), |hash| hash.to_string());
    format!(
        "{}  {call}  #{:<4} {:<11} {amount:<28} to {to}  {transaction}",
        utc(paid.opened_ms),
        paid.seq,
        paid.state.as_str(),
    )
}

//! `seamline receipt list`: the calls of this home, newest first, open ones included.

use seamline::Journal;
use seamline::journal::{CallRecord, CallState};
use serde_json::{Value, json};

use crate::args::Json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::output;

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    let home = context.home()?;
    let calls = calls(&home)?;
    if args.json {
        let calls: Vec<_> = calls.iter().map(|call| view(&home, call)).collect();
        output::json(&json!({ "version": 1, "calls": calls }))?;
        return Ok(Exit::Ok);
    }
    if calls.is_empty() {
        output::message("no calls yet: `seamline chat \"…\"` makes one");
    }
    for call in &calls {
        output::line(&row(call))?;
    }
    Ok(Exit::Ok)
}

/// Reads the books of a home that may have none yet.
pub(crate) fn calls(home: &Home) -> Result<Vec<CallRecord>, Failure> {
    if !home.journal().exists() {
        return Ok(Vec::new());
    }
    let failure = |err: seamline::JournalError| {
        Failure::new(Exit::Usage, "journal", seamline_core::chain(&err))
            .hint("if another `seamline` runs in this home, wait for it; a damaged file is never overwritten")
    };
    Journal::open(&home.journal())
        .and_then(|journal| journal.calls())
        .map_err(failure)
}

/// How a call stands, in a word. An open call is one whose process died, unless it runs right now.
pub(crate) const fn state(call: &CallRecord) -> &'static str {
    match call.state {
        CallState::Open => "open",
        CallState::Interrupted => "interrupted",
        CallState::Answered => "answered",
        CallState::Failed => "failed",
    }
}

fn row(call: &CallRecord) -> String {
    let id: String = call.call_id.chars().take(12).collect();
    let at = if call.state == CallState::Answered {
        String::new()
    } else {
        format!(" at {}", call.step)
    };
    let payment = call.payment.as_ref().map_or_else(
        || "nothing signed".to_owned(),
        |payment| match payment.settled() {
            Some(settled) => format!("settled {settled} of {}", payment.amount()),
            None => format!("{} up to {}", payment.state.as_str(), payment.amount()),
        },
    );
    format!(
        "{id}  #{:<4} {:<16} {:<28} {payment}",
        call.seq,
        call.model,
        format!("{}{at}", state(call))
    )
}

fn view(home: &Home, call: &CallRecord) -> Value {
    let path = home.receipts().join(format!("{}.seam", call.call_id));
    json!({
        "seq": call.seq,
        "id": call.call_id,
        "opened_ms": call.opened_ms,
        "model": call.model,
        "state": state(call),
        "step": call.step,
        "receipt_path": call.receipt.map(|_| path.display().to_string()),
        "payment": call.payment.as_ref().map(|payment| json!({
            "state": payment.state.as_str(),
            "authorized": payment.amount().to_string(),
            "settled": payment.settled().map(|amount| amount.to_string()),
            "transaction": payment.transaction,
            "deadline_s": payment.deadline_s,
            "auth_nonce": payment.auth_nonce,
        })),
    })
}

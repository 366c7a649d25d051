//! `seamline receipt list`: the calls of this home, newest first, open ones included.

use std::path::PathBuf;

use seamline::Journal;
use seamline::journal::{CallRecord, CallState, PaymentRecord};
use seamline_core::Amount;
use seamline_core::receipt::Bundle;
use seamline_localnet::chain::CHAIN_ID;
use seamline_localnet::contracts::{DECIMALS, SYMBOL, TOKEN};
use serde_json::{Value, json};

use crate::args::Json;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::network_file::NetworkFile;
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
    let units = Units::of(context);
    for call in &calls {
        output::line(&row(&home, &units, call))?;
    }
    Ok(Exit::Ok)
}

/// Reads the books of a home that may have none yet.
pub(crate) fn calls(home: &Home) -> Result<Vec<CallRecord>, Failure> {
    if !home.exists()? || !home.journal().exists() {
        return Ok(Vec::new());
    }
    let _lock = home.lock()?;
    let failure = |err: seamline::JournalError| {
        Failure::usage("journal.damaged", seamline_core::chain(&err))
            .hint("the file was left as it is: move it away to start new books; receipts and chain keep what happened")
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

/// What the receipt of a call adds to its line in the books.
#[derive(Default)]
struct Sealed {
    /// `None` where there is no receipt to ask.
    dev: Option<bool>,
    error: Option<String>,
}

impl Sealed {
    fn of(home: &Home, call: &CallRecord) -> Self {
        let bundle = call
            .receipt
            .and_then(|_| super::receipt_verify::read(&path(home, call)).ok())
            .and_then(|bytes| Bundle::decode(&bytes).ok());
        bundle.map_or_else(Self::default, |bundle| {
            let summary = &bundle.core().summary;
            Self {
                dev: Some(summary.dev),
                error: summary.error_code.as_ref().map(ToString::to_string),
            }
        })
    }
}

fn path(home: &Home, call: &CallRecord) -> PathBuf {
    home.receipts().join(format!("{}.seam", call.call_id))
}

fn row(home: &Home, units: &Units, call: &CallRecord) -> String {
    let id: String = call.call_id.chars().take(12).collect();
    let sealed = Sealed::of(home, call);
    let ended = match (call.state, &sealed.error) {
        (CallState::Answered, _) => "answered".to_owned(),
        (CallState::Failed, Some(error)) => format!("failed: {error}"),
        _ => format!("{} at {}", state(call), call.step),
    };
    let payment = call.payment.as_ref().map_or_else(
        || "nothing signed".to_owned(),
        |payment| {
            let most = units.write(payment, payment.amount());
            match payment.settled() {
                Some(settled) => format!("settled {} of {most}", units.bare(payment, settled)),
                None => format!("{} up to {most}", payment.state.as_str()),
            }
        },
    );
    let dev = if sealed.dev == Some(true) {
        ", DEV evidence"
    } else {
        ""
    };
    format!(
        "{id}  #{:<4} {:<16} {ended:<28} {payment}{dev}",
        call.seq, call.model
    )
}

/// How amounts of the tokens that are known here are written.
struct Units(Option<NetworkFile>);

impl Units {
    fn of(context: &Context) -> Self {
        Self(
            context
                .network
                .as_ref()
                .and_then(|path| NetworkFile::read(path).ok()),
        )
    }

    /// Decimals and symbol of the token that a payment is in.
    fn token(&self, payment: &PaymentRecord) -> Option<(u8, &str)> {
        if payment.asset == TOKEN && payment.network == format!("eip155:{CHAIN_ID}") {
            return Some((DECIMALS, SYMBOL));
        }
        let named = self.0.as_ref()?;
        (payment.asset == named.token && payment.network == named.network)
            .then_some((named.token_decimals, named.token_symbol.as_str()))
    }

    fn bare(&self, payment: &PaymentRecord, amount: Amount) -> String {
        self.token(payment).map_or_else(
            || amount.to_string(),
            |(decimals, _)| amount.to_decimal(decimals),
        )
    }

    fn write(&self, payment: &PaymentRecord, amount: Amount) -> String {
        let unit = self.token(payment).map_or_else(
            || format!("base units of {}", payment.asset),
            |(_, symbol)| symbol.to_owned(),
        );
        format!("{} {unit}", self.bare(payment, amount))
    }
}

fn view(home: &Home, call: &CallRecord) -> Value {
    let path = path(home, call);
    let sealed = Sealed::of(home, call);
    json!({
        "seq": call.seq,
        "id": call.call_id,
        "opened_ms": call.opened_ms,
        "model": call.model,
        "state": state(call),
        "step": call.step,
        "error": sealed.error,
        "dev_evidence": sealed.dev,
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

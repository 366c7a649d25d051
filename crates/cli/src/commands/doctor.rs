//! `seamline doctor`: looks at everything that a call needs, and says what to do.

use std::path::Path;

use seamline::{Journal, JournalError};
use serde_json::json;

use crate::args::Json;
use crate::commands::block_on;
use crate::commands::receipt_list::state;
use crate::context::{Context, read_trust, to_trust};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{Session, call_failure};

/// One thing that was looked at.
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    hint: Option<String>,
}

pub(crate) fn run(context: &Context, args: Json) -> Result<Exit, Failure> {
    let mut checks = vec![home(context)];
    if checks.iter().all(|check| check.ok) {
        checks.push(journal(context));
        checks.push(trust(context));
    }
    if checks.iter().all(|check| check.ok) {
        checks.extend(block_on(network(context))?);
    }
    let healthy = checks.iter().all(|check| check.ok);
    if args.json {
        let checks: Vec<_> = checks
            .iter()
            .map(|check| json!({ "name": check.name, "ok": check.ok, "detail": check.detail, "hint": check.hint }))
            .collect();
        output::json(&json!({ "version": 1, "ok": healthy, "checks": checks }))?;
    } else {
        for check in &checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            output::line(&format!("{mark} {:<9} {}", check.name, check.detail))?;
            if let Some(hint) = &check.hint {
                output::line(&format!("     hint: {hint}"))?;
            }
        }
    }
    Ok(if healthy { Exit::Ok } else { Exit::No })
}

fn passed(name: &'static str, detail: impl Into<String>) -> Check {
    Check {
        name,
        ok: true,
        detail: detail.into(),
        hint: None,
    }
}

fn failed(name: &'static str, failure: Failure) -> Check {
    Check {
        name,
        ok: false,
        detail: failure.message,
        hint: failure.hint,
    }
}

fn home(context: &Context) -> Check {
    match context.home().and_then(crate::home::Home::ready) {
        Ok(home) => passed("home", home.root().display().to_string()),
        Err(failure) => failed("home", failure),
    }
}

fn journal(context: &Context) -> Check {
    let Ok(home) = context.home() else {
        return passed("journal", "not looked at");
    };
    if !home.journal().exists() {
        return passed("journal", "none yet: the first call starts it");
    }
    let _lock = match home.lock() {
        Ok(lock) => lock,
        Err(failure) => return failed("journal", failure),
    };
    let calls = match Journal::open(&home.journal()).and_then(|journal| journal.calls()) {
        Ok(calls) => calls,
        Err(err) => {
            let hint = match err {
                JournalError::InUse { .. } => "wait for the other `seamline` in this home",
                JournalError::Damaged { .. }
                | JournalError::Record { .. }
                | JournalError::Log { .. }
                | JournalError::Storage { .. }
                | _ => {
                    "the file was left as it is: move it away to start new books; receipts and chain keep what happened"
                }
            };
            return failed(
                "journal",
                Failure::new(Exit::No, "journal.damaged", seamline_core::chain(&err)).hint(hint),
            );
        }
    };
    let open = calls.iter().filter(|call| state(call) == "open").count();
    let mut check = passed(
        "journal",
        format!("{}, {open} open", count(calls.len(), "call")),
    );
    if open > 0 {
        check.hint =
            Some("open calls are settled from the chain at the next `seamline chat`".to_owned());
    }
    check
}

fn trust(context: &Context) -> Check {
    let looked = context
        .trust_path()
        .and_then(|path| Ok((read_trust(&path)?, path)));
    match looked {
        Ok((None, _)) => passed("trust", "no trust file yet: the first call writes it"),
        Ok((Some(file), path)) => match to_trust(&file, &path) {
            Ok(_) => passed("trust", describe(&file, &path)),
            Err(failure) => failed("trust", failure),
        },
        Err(failure) => failed("trust", failure),
    }
}

fn describe(file: &seamline_verify::TrustFile, path: &Path) -> String {
    let dev = file.danger_accept_dev_roots.len();
    let dev = if dev == 0 {
        String::new()
    } else {
        format!(", {} (no hardware)", count(dev, "DEV root"))
    };
    format!(
        "{}: {}, {}{dev}",
        path.display(),
        count(file.recorders.len(), "recorder"),
        count(file.measurements.len(), "measurement")
    )
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

async fn network(context: &Context) -> Result<Vec<Check>, Failure> {
    let session = match Session::look(context).await {
        Ok(session) => session,
        Err(failure) => return Ok(vec![failed("network", failure)]),
    };
    let checks = look(&session).await;
    session.close().await;
    Ok(checks)
}

async fn look(session: &Session) -> Vec<Check> {
    let network = session.client.network();
    let mut checks = Vec::new();
    match session.client.listings().await {
        Ok((snapshot, listings)) => {
            let answering = listings
                .iter()
                .filter(|(_, listing)| listing.is_some())
                .count();
            let detail = format!(
                "chain {} at block {}, {answering} of {} nodes answer{}",
                snapshot.chain_id,
                snapshot.block_number,
                listings.len(),
                if session.is_dev() {
                    "; DEV evidence (no hardware)"
                } else {
                    ""
                },
            );
            checks.push(Check {
                name: "network",
                ok: answering > 0,
                detail,
                hint: (answering == 0)
                    .then(|| "is the network up? `seamline up` runs one".to_owned()),
            });
        }
        Err(err) => checks.push(failed("network", call_failure(&err))),
    }
    let account = seamline_evm::chain::account(&*network.rpc, network.asset, session.payer).await;
    match account {
        Ok(account) => {
            let balance = account.balance();
            let mut check = passed(
                "wallet",
                format!("{} holds {}", session.payer, session.amount(balance)),
            );
            check.ok = !balance.is_zero() && !account.permit2_allowance.is_zero();
            if !check.ok {
                check.hint = Some(
                    "give the address tokens, and let Permit2 move a bounded part of them"
                        .to_owned(),
                );
            }
            checks.push(check);
        }
        Err(err) => {
            let failure = Failure::new(Exit::No, "chain.unreachable", seamline_core::chain(&err));
            checks.push(failed("wallet", failure));
        }
    }
    checks
}

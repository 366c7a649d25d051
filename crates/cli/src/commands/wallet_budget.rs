//! `seamline wallet budget`: what may be spent, and `set`, which settles it.

use seamline::Journal;
use seamline::journal::{Budget, Scope, Window};
use seamline_core::Timestamp;
use serde_json::{Value, json};

use super::wallet_history::unreadable;
use crate::args::{BudgetAction, BudgetSet, WalletBudget};
use crate::budget::{Caps, Intent, Token};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::now;
use crate::settings::Settings;

pub(crate) fn run(context: &Context, args: &WalletBudget) -> Result<Exit, Failure> {
    match &args.action {
        Some(BudgetAction::Set(set)) => {
            settle(context, set)?;
            show(context, set.output.json)
        }
        None => show(context, args.output.json),
    }
}

fn settle(context: &Context, set: &BudgetSet) -> Result<(), Failure> {
    let home = context.home()?.ready()?;
    let _lock = home.lock()?;
    let token = Token::of(context)?;
    let mut settings = Settings::read(&home)?;
    let mut caps = settings.caps(&token.network, token.asset);
    for (said, kept) in [
        (&set.per_call, &mut caps.per_call),
        (&set.per_hour, &mut caps.per_hour),
        (&set.per_day, &mut caps.per_day),
        (&set.per_node_day, &mut caps.per_node_day),
        (&set.per_model_day, &mut caps.per_model_day),
        (&set.per_channel, &mut caps.per_channel),
    ] {
        match said.as_deref() {
            None => {}
            Some("none") => *kept = None,
            Some(text) => {
                let amount = token.read(text)?;
                if amount.is_zero() {
                    return Err(Failure::usage("budget.zero", "the budget allows nothing")
                        .hint("allow more than zero, or write `none` to take the cap away"));
                }
                *kept = Some(amount.to_decimal(token.decimals));
            }
        }
    }
    settings.set_caps(&token.network, token.asset, caps);
    settings.write(&home)
}

fn show(context: &Context, as_json: bool) -> Result<Exit, Failure> {
    let home = context.home()?.ready()?;
    let _lock = home.lock()?;
    let token = Token::of(context)?;
    let caps = Caps::of_home(&home, &token, Intent::Look)?;
    let settings = Settings::read(&home)?;
    let said = settings.caps(&token.network, token.asset);
    let can_call = token.local || said.per_call.is_some();
    let journal = Journal::open(&home.journal()).map_err(|err| unreadable(&err))?;
    let now = now();
    let budgets = journal.budget(&caps.policy(&token, None), now);
    // Caps of other tokens are settled with their networks.
    let ours = |it: &Budget| it.network == token.network && it.asset == token.asset;
    let windows = budgets
        .into_iter()
        .find(ours)
        .map(|budget| budget.windows)
        .unwrap_or_default();
    let windows: Vec<_> = windows
        .into_iter()
        .filter(|window| can_call || window.scope != Scope::Call)
        .collect();
    if as_json {
        let windows: Vec<_> = windows.iter().map(view).collect();
        output::json(&json!({
            "version": 1,
            "network": token.network,
            "token": { "asset": token.asset, "symbol": token.symbol, "decimals": token.decimals },
            "windows": windows,
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(&format!(
        "budget of {} on {}, in {}",
        token.asset, token.network, token.symbol
    ))?;
    output::line(&format!(
        "{:<24} {:>12} {:>12} {:>12} {:>12}  frees",
        "window", "cap", "spent", "reserved", "left"
    ))?;
    for window in &windows {
        output::line(&row(window, &token, now))?;
    }
    if !can_call {
        output::message(
            "no budget for a call: settle one with `seamline wallet budget set --per-call AMOUNT`, or say --max-price each time",
        );
    }
    Ok(Exit::Ok)
}

/// What a window is for, beyond its kind.
fn of(scope: &Scope) -> Option<String> {
    match scope {
        Scope::NodeDay(node) => Some(node.to_string()),
        Scope::ModelDay(model) => Some(model.clone()),
        Scope::Call | Scope::Hour | Scope::Day | _ => None,
    }
}

fn view(window: &Window) -> Value {
    json!({
        "window": window.scope.as_str(),
        "of": of(&window.scope),
        "cap": window.cap.to_string(),
        "spent": window.settled.to_string(),
        "reserved": window.reserved.to_string(),
        "left": window.left.to_string(),
        "frees_ms": window.frees_ms,
    })
}

fn row(window: &Window, token: &Token, now: Timestamp) -> String {
    let kind = match &window.scope {
        Scope::Call => "call".to_owned(),
        Scope::Hour => "hour".to_owned(),
        Scope::Day => "day".to_owned(),
        Scope::NodeDay(node) => {
            let node: String = node.to_string().chars().skip(2).take(8).collect();
            format!("day, node {node}")
        }
        Scope::ModelDay(model) => format!("day, {model}"),
        other => other.as_str().to_owned(),
    };
    let write = |amount: seamline_core::Amount| amount.to_decimal(token.decimals);
    let frees = match window.frees_ms {
        None => "-".to_owned(),
        Some(at) => {
            let left = Timestamp::from_millis(at).saturating_since(now);
            format!("in {} min", left.as_secs().div_ceil(60))
        }
    };
    let (spent, reserved) = if window.scope == Scope::Call {
        ("-".to_owned(), "-".to_owned())
    } else {
        (write(window.settled), write(window.reserved))
    };
    format!(
        "{kind:<24} {:>12} {spent:>12} {reserved:>12} {:>12}  {frees}",
        write(window.cap),
        write(window.left),
    )
}

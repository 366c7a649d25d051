//! `seamline chat`: one paid, verified call.

mod tools;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use seamline::{ChannelUse, Chat, Reply, Step, Watch};
use seamline_core::decision::{Decision, Rejection, Verdict};
use seamline_core::receipt::{Bundle, Event, Slot};
use seamline_core::{Amount, Charged};
use seamline_evm::settlement::SettlementType;
use seamline_verify::{Claim, Outcome, Status};
use serde_json::{Value, json};

use crate::args::{self, Settle};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{Session, call_failure};

/// Longest question that is read from standard input.
const MAX_PROMPT: u64 = 512 * 1024;

pub(crate) fn run(context: &Context, args: &args::Chat) -> Result<Exit, Failure> {
    let prompt = prompt(args)?;
    let chat = Chat::model(args.model.as_str())
        .user(prompt)
        .max_tokens(args.max_tokens)
        .stream(args.stream);
    let chat = tools::read(&args.tools)?.into_iter().fold(chat, Chat::tool);
    let settlement = match args.settlement {
        Settle::Private => SettlementType::Private,
        Settle::Batch => SettlementType::Batch,
        Settle::Individual => SettlementType::Individual,
    };
    block_on(async {
        output::progress("~ network   starting, or joining the one that runs");
        let session = Session::open_to_record(
            context,
            args.max_price.as_deref(),
            args.channels,
            settlement,
        )
        .await?;
        let outcome = call(&session, &chat, args).await;
        session.close().await;
        outcome
    })
}

async fn call(session: &Session, chat: &Chat, args: &args::Chat) -> Result<Exit, Failure> {
    report_recovered(session).await?;
    let mut watch = Progress {
        print_text: args.stream && !args.output.json,
        printed: false,
    };
    let reply = session.client.chat_watched(chat, &mut watch).await;
    if watch.printed {
        output::line("")?;
    }
    let reply = reply.map_err(|err| refused(session, &err))?;
    copy_receipt(&reply, args.receipt.as_deref())?;
    if args.output.json {
        output::json(&view(session, &reply))?;
    } else if !reply.tool_calls.is_empty() {
        for call in &reply.tool_calls {
            output::answer(&tools::call_json(call).to_string())?;
            output::line("")?;
        }
    } else if !watch.printed {
        output::answer(&reply.text)?;
        output::line("")?;
    }
    Ok(conclude(session, &reply, args.explain))
}

/// Writes the receipt where the caller wants it besides.
pub(super) fn copy_receipt(reply: &Reply, copy: Option<&Path>) -> Result<(), Failure> {
    let Some(copy) = copy else {
        return Ok(());
    };
    std::fs::write(copy, &reply.receipt).map_err(|err| {
        let message = format!(
            "the call succeeded, but `{}` cannot be written: {err}",
            copy.display()
        );
        let at = format!("the receipt is at `{}`", reply.receipt_path.display());
        Failure::new(Exit::Usage, "receipt.copy", message).hint(at)
    })
}

/// Says in one line what the call was and cost, tells its story where it is asked for, and says how the
/// command ends.
pub(super) fn conclude(session: &Session, reply: &Reply, story: bool) -> Exit {
    output::message(&summary(session, reply));
    if story {
        explain(session, reply);
    }
    // What is only missing is the node's claim, which comes later by itself.
    let charged = reply.channel.and_then(|used| used.charged);
    let claim = charged.is_some() && only_the_claim_is_open(&reply.verdict);
    let exit = ended(reply.charged, reply.verdict.status);
    if claim && exit == Exit::Unknown {
        Exit::Ok
    } else {
        exit
    }
}

/// Whether everything that a complete receipt asks for is there, but for the settlement.
fn only_the_claim_is_open(verdict: &seamline_verify::Verdict) -> bool {
    let mut asked = verdict
        .findings
        .iter()
        .filter(|it| it.claim.level().is_some());
    asked.all(|it| it.outcome == Outcome::Pass || it.claim == Claim::SettlementFinal)
}

/// How a call with an answer ends: what its own receipt does not bear out is no success.
const fn ended(charged: Charged, status: Status) -> Exit {
    match (status, charged) {
        (Status::Refuted, _) => Exit::No,
        (Status::Satisfied | Status::Incomplete, Charged::Unknown) => Exit::PaymentUnknown,
        (Status::Incomplete, Charged::No | Charged::Yes) => Exit::Unknown,
        (Status::Satisfied, Charged::No | Charged::Yes) => Exit::Ok,
    }
}

/// The failure, with the amount that would have been enough where the cap was all that was in the way.
pub(super) fn refused(session: &Session, err: &seamline::Error) -> Failure {
    let failure = call_failure(err);
    let Some(enough) = err.receipt().and_then(least_over_cap) else {
        return failure;
    };
    let decimals = session.network.token_decimals;
    failure.hint(format!(
        "the cheapest node asks for at most {}: allow it with --max-price {}",
        session.amount(enough),
        enough.to_decimal(decimals)
    ))
}

/// The smallest cost that the decision of a call rejected for its cap.
fn least_over_cap(receipt: &Path) -> Option<Amount> {
    let bundle = Bundle::decode(&super::receipt_verify::read(receipt).ok()?).ok()?;
    let slots = bundle.slots();
    let mut decisions = slots.iter().filter_map(|slot| {
        if let Slot::Shown(recorded) = slot
            && let Event::Decided(decided) = &recorded.event
        {
            return Decision::decode(&decided.decision).ok();
        }
        None
    });
    let decision = decisions
        .next_back()
        .filter(|decision| decision.chosen.is_none())?;
    let over = decision
        .candidates
        .iter()
        .filter_map(|candidate| match candidate.verdict {
            Verdict::Rejected {
                reason: Rejection::OverCap,
                observed,
                ..
            } => Some(Amount::new(observed)),
            Verdict::Rejected { .. } | Verdict::Usable { .. } => None,
        });
    over.min()
}

/// Calls whose process died are settled from the chain before a new one is made.
pub(super) async fn report_recovered(session: &Session) -> Result<(), Failure> {
    for call in session
        .client
        .recover()
        .await
        .map_err(|err| call_failure(&err))?
    {
        let id: String = call.call.call_id.chars().take(8).collect();
        output::message(&format!(
            "note: call {id} was interrupted at `{}`; charged: {}",
            call.call.step,
            call.settled.map_or_else(
                || call.charged.as_str().to_owned(),
                |amount| session.amount(amount)
            ),
        ));
    }
    Ok(())
}

fn prompt(args: &args::Chat) -> Result<String, Failure> {
    let from_stdin = match args.prompt.as_deref() {
        Some("-") => true,
        Some(text) => return nonempty(text.to_owned()),
        None => !io::stdin().is_terminal(),
    };
    if !from_stdin {
        return nonempty(String::new());
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(MAX_PROMPT.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|err| {
            Failure::usage(
                "request.unreadable",
                format!("cannot read the question from standard input: {err}"),
            )
            .hint("the question must be UTF-8 text")
        })?;
    if u64::try_from(text.len()).map_or(true, |len| len > MAX_PROMPT) {
        return Err(Failure::usage(
            "request.too_long",
            format!("the question is longer than {MAX_PROMPT} bytes"),
        )
        .hint("ask about a part of it"));
    }
    nonempty(text)
}

fn nonempty(text: String) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage("request.empty", "the prompt is empty")
            .hint("write a question, or `-` to read it from standard input"));
    }
    Ok(text)
}

/// Shows which step runs, and prints the text of a streamed answer.
#[derive(Default)]
pub(super) struct Progress {
    print_text: bool,
    printed: bool,
}

impl Watch for Progress {
    fn step(&mut self, step: Step, detail: &str) {
        if !self.printed {
            let line = format!("~ {:<10}{detail}", step.as_str());
            output::progress(line.trim_end());
        }
    }

    fn text(&mut self, piece: &str, _proven: bool) {
        if self.print_text && output::answer(piece).is_ok() {
            self.printed = true;
        }
    }
}

/// The one line that a person reads first.
fn summary(session: &Session, reply: &Reply) -> String {
    let charged = reply.channel.and_then(|used| used.charged);
    let cost = reply.settled.or(charged).unwrap_or(reply.authorized);
    let claim = charged.is_some() && only_the_claim_is_open(&reply.verdict);
    let decision = Bundle::decode(&reply.receipt)
        .ok()
        .and_then(|bundle| bundle.core().summary.decisions.first().cloned());
    let choice = decision.map_or_else(String::new, |decision| {
        let runner_up = decision.runner_up.map_or_else(String::new, |_| {
            format!(", margin {}", percent(decision.margin_ppm))
        });
        format!(
            " ({} of {} usable{runner_up})",
            decision.usable, decision.known
        )
    });
    let id: String = reply
        .receipt_path
        .file_stem()
        .map(|stem| stem.to_string_lossy().chars().take(8).collect())
        .unwrap_or_default();
    format!(
        "{}: node {}{choice}, {} of at most {}, {}; {}level {}; receipt {id}",
        match reply.verdict.status {
            Status::Satisfied => "ok",
            Status::Refuted => "refuted",
            Status::Incomplete if claim => "ok",
            Status::Incomplete => "incomplete",
        },
        reply.node.short(),
        cost.to_decimal(session.network.token_decimals),
        session.amount(reply.authorized),
        if claim {
            "charged, the node's claim is still to come"
        } else {
            reply.payment_state
        },
        if is_dev(reply) {
            "DEV evidence (no hardware), "
        } else {
            ""
        },
        reply.verdict.level,
    ) + &reply
        .channel
        .map_or_else(String::new, |used| format!("; {}", channel(session, &used)))
}

/// What the call did with its payment channel.
fn channel(session: &Session, used: &ChannelUse) -> String {
    let id: String = used.id.to_string().chars().skip(2).take(8).collect();
    let left = session.amount(used.left);
    match used.deposit {
        Some(deposit) => format!(
            "channel {id}: deposited {}, {left} left",
            session.amount(deposit)
        ),
        None => format!("channel {id}: one voucher, no deposit, {left} left"),
    }
}

fn is_dev(reply: &Reply) -> bool {
    Bundle::decode(&reply.receipt).is_ok_and(|bundle| bundle.core().summary.dev)
}

/// Parts per million as a percentage with one digit, in integers.
fn percent(ppm: u32) -> String {
    let tenths = ppm / 1_000;
    format!("{}.{}%", tenths / 10, tenths % 10)
}

fn explain(session: &Session, reply: &Reply) {
    if let Ok(bundle) = Bundle::decode(&reply.receipt) {
        output::message("");
        output::message(&seamline_verify::story(
            &reply.verdict,
            &bundle,
            &[session.network.named_token()],
        ));
    }
}

/// The object that `--json` prints.
pub(super) fn view(session: &Session, reply: &Reply) -> Value {
    let bundle = Bundle::decode(&reply.receipt).ok();
    let hesitations: Vec<_> = bundle
        .iter()
        .flat_map(|bundle| &bundle.core().summary.hesitations)
        .map(seamline_verify::view::hesitation_json)
        .collect();
    json!({
        "text": reply.text,
        "tool_calls": reply.tool_calls.iter().map(tools::call_json).collect::<Vec<_>>(),
        "model": reply.model,
        "receipt_id": reply.receipt_path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        "receipt_path": reply.receipt_path.display().to_string(),
        "cost": {
            "asset": session.network.token.to_string(),
            "symbol": session.network.token_symbol,
            "decimals": session.network.token_decimals,
            "authorized": reply.authorized.to_string(),
            "settled": reply.settled.map(|amount: Amount| amount.to_string()),
            "state": reply.payment_state,
        },
        "channel": reply.channel.map(|used| json!({
            "id": used.id,
            "charged": used.charged.map(|amount| amount.to_string()),
            "deposit": used.deposit.map(|amount| amount.to_string()),
            "left": used.left.to_string(),
        })),
        "node": { "id": reply.node.to_string(), "endpoint": reply.endpoint },
        "verdict": seamline_verify::view::verdict_json(&reply.verdict),
        "hesitations": hesitations,
        "dev_evidence": is_dev(reply),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_satisfied_receipt_of_a_known_payment_is_a_success() {
        for charged in [Charged::No, Charged::Yes, Charged::Unknown] {
            assert_eq!(ended(charged, Status::Refuted), Exit::No);
        }
        for status in [Status::Satisfied, Status::Incomplete] {
            assert_eq!(ended(Charged::Unknown, status), Exit::PaymentUnknown);
        }
        for charged in [Charged::No, Charged::Yes] {
            assert_eq!(ended(charged, Status::Incomplete), Exit::Unknown);
            assert_eq!(ended(charged, Status::Satisfied), Exit::Ok);
        }
    }
}

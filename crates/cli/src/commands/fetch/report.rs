//! What a purchase brought, in words and as JSON.

use core::str;

use seamline::ChannelUse;
use seamline::pay::{self, ErrorKind, Purchased};
use seamline_core::{Amount, Charged, Fault, chain};
use serde_json::{Value, json};

use super::request::Output;
use crate::args;
use crate::budget::Token;
use crate::failure::{CallFailure, Exit, Failure};
use crate::output;

/// Prints an answer, and one line about its payment.
pub(super) fn bought(
    args: &args::Fetch,
    token: &Token,
    bought: &Purchased,
    target: Output,
) -> Result<Exit, Failure> {
    let to_file = matches!(target, Output::File(..));
    if to_file || !args.output.json {
        target.write(&bought.answer.body)?;
    }
    if args.output.json {
        output::json(&view(token, bought, to_file))?;
    }
    output::message(&summary(token, bought));
    Ok(match bought.charged {
        Charged::Unknown => Exit::PaymentUnknown,
        Charged::No | Charged::Yes if bought.answer.status < 400 => Exit::Ok,
        Charged::No | Charged::Yes => Exit::No,
    })
}

fn summary(token: &Token, bought: &Purchased) -> String {
    let status = bought.answer.status;
    let Some(authorized) = bought.authorized else {
        return format!("free: status {status}; no payment was asked for, nothing was signed");
    };
    let settled = bought.settled.map(|amount| token.write(amount));
    let paid = match (bought.charged, settled) {
        (Charged::Yes, Some(settled)) => format!("paid {settled}"),
        (Charged::Yes, None) => "paid".to_owned(),
        (Charged::No, _) => "not charged".to_owned(),
        (Charged::Unknown, _) => "charged: unknown".to_owned(),
    };
    let transaction = bought
        .transaction
        .map(|hash| format!(", transaction {hash}"))
        .unwrap_or_default();
    let again = if bought.repeated {
        "; an earlier authorization was presented again"
    } else {
        ""
    };
    let receipt = bought
        .receipt_path
        .as_ref()
        .and_then(|path| path.file_stem());
    let receipt: String = receipt
        .map(|stem| stem.to_string_lossy().chars().take(8).collect())
        .map(|id: String| format!("; receipt {id}"))
        .unwrap_or_default();
    format!(
        "{paid} of at most {}, {}{transaction}; status {status}{again}{receipt}",
        token.write(authorized),
        bought.payment_state,
    ) + &bought
        .channel
        .map_or_else(String::new, |used| channel(token, &used))
}

/// What the purchase did with its payment channel.
fn channel(token: &Token, used: &ChannelUse) -> String {
    let id: String = used.id.to_string().chars().skip(2).take(8).collect();
    let left = token.write(used.left);
    match used.deposit {
        Some(deposit) => format!(
            "; channel {id}: deposited {}, {left} left",
            token.write(deposit)
        ),
        None => format!("; channel {id}: one voucher, no deposit, {left} left"),
    }
}

fn view(token: &Token, bought: &Purchased, to_file: bool) -> Value {
    let amount = |amount: Option<Amount>| amount.map(|it| it.to_string());
    let media = bought.answer.headers.get("content-type");
    let mut view = json!({
        "version": 1,
        "status": bought.answer.status,
        "content_type": media.and_then(|value| value.to_str().ok()),
        "charged": bought.charged.as_str(),
        "payment": {
            "network": token.network,
            "asset": token.asset,
            "decimals": token.decimals,
            "authorized": amount(bought.authorized),
            "settled": amount(bought.settled),
            "state": bought.payment_state,
            "transaction": bought.transaction,
            "claim": bought.claim.as_str(),
            "signed_offer": bought.signed_offer.as_str(),
            "signed_receipt": bought.signed_receipt.as_str(),
            "repeated": bought.repeated,
        },
        "channel": bought.channel.map(|used| json!({
            "id": used.id,
            "charged": used.charged.map(|amount| amount.to_string()),
            "deposit": used.deposit.map(|amount| amount.to_string()),
            "left": used.left.to_string(),
        })),
        "receipt_path": bought.receipt_path.as_ref().map(|path| path.display().to_string()),
    });
    if let Some(view) = view.as_object_mut().filter(|_| !to_file) {
        let (name, text) = match str::from_utf8(&bought.answer.body) {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("body_hex", hex::encode(&bought.answer.body)),
        };
        view.insert(name.to_owned(), text.into());
    }
    view
}

/// A purchase that brought nothing, with the four answers.
pub(super) fn failed(token: &Token, err: &pay::Error) -> Failure {
    let exit = match (err.charged(), err.fault(), err.kind()) {
        (Charged::Unknown, _, _) => Exit::PaymentUnknown,
        (_, Fault::Caller, _) | (_, _, ErrorKind::Journal(_)) => Exit::Usage,
        (_, Fault::Chain, _) => Exit::Unknown,
        (_, Fault::Node | Fault::Relay | Fault::Payment | Fault::Us, _) => Exit::No,
    };
    let mut failure = Failure::new(exit, err.code(), chain(err));
    failure.call = Some(Box::new(CallFailure {
        fault: err.fault().as_str(),
        retry: err.retry().as_str(),
        charged: err.charged().as_str(),
        receipt: err.receipt().map(|path| path.display().to_string()),
    }));
    failure.hint(hint(token, err))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "advice is for the errors that have some; the enum is another crate's and may grow"
)]
fn hint(token: &Token, err: &pay::Error) -> String {
    let text = match err.kind() {
        _ if err.charged() == Charged::Unknown => {
            "the same command again presents the same payment and signs nothing; do not buy elsewhere before it is known"
        }
        ErrorKind::Url { .. } => "write a URL of https, or of http at an address of this machine",
        ErrorKind::ZeroBudget => "allow more than zero with --max-amount",
        ErrorKind::Journal(_) => {
            "wait for the other `seamline` in this home; a damaged file was left as it is: move it away"
        }
        ErrorKind::Chain(_) => "does the chain's endpoint answer? Nothing is signed without it",
        ErrorKind::Unreachable(_) => "nothing was signed: see to the URL, or try again later",
        ErrorKind::Redirect { .. } => {
            "no redirect is followed with a payment: ask for the URL that it names yourself"
        }
        ErrorKind::NoOffer | ErrorKind::Offer(_) => "this server does not speak x402 as we do",
        ErrorKind::Refused(_) if err.fault() == Fault::Caller => {
            "allow more with --max-amount, or settle another budget with `seamline wallet budget set`"
        }
        ErrorKind::Refused(_) => {
            return format!(
                "it must offer a payment on {} with {} by `exact` or `upto`, to an address of --pay-to if you name one",
                token.network, token.asset
            );
        }
        ErrorKind::PayeeChanged { .. } => {
            "find out whether it moved; if it did, name the new address with --pay-to"
        }
        ErrorKind::OverBudget(_) => "wait for the budget, or settle another one",
        ErrorKind::Funds { .. } => "give the wallet tokens: `seamline wallet show` has its address",
        ErrorKind::Allowance { .. } => {
            "let Permit2 move a bounded amount with `seamline wallet approve`"
        }
        ErrorKind::Status(_) | ErrorKind::PaidInVain => {
            "the same command again presents the same payment; --buy-again pays anew"
        }
        ErrorKind::Unresolved { .. } => "ask again after that time: the chain tells then",
        _ => "nothing more was signed; `seamline receipt list` has what happened",
    };
    text.to_owned()
}

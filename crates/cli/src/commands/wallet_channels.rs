//! `seamline wallet channels`: the payment channels of this home, and `withdraw`, which leaves one.

use seamline::{ChannelStatus, Withdrawal};
use seamline_core::{Amount, B256};
use seamline_evm::chain;
use seamline_evm::tx::FeeCeiling;
use seamline_verify::Token;
use serde_json::{Value, json};

use crate::args::{ChannelAction, ChannelWithdraw, WalletChannels};
use crate::budget;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::service::wei;
use crate::session::{Session, call_failure, now};
use crate::transaction::{self, Order, Sent};
use crate::utc::utc;

/// Most gas of a withdrawal: the contract moves one token.
const MAX_GAS: u64 = 300_000;

pub(crate) fn run(context: &Context, args: &WalletChannels) -> Result<Exit, Failure> {
    match &args.action {
        Some(ChannelAction::Withdraw(args)) => withdraw(context, args),
        None => list(context, args.output.json),
    }
}

fn list(context: &Context, as_json: bool) -> Result<Exit, Failure> {
    block_on(async {
        let session = Session::look(context).await?;
        let listed = listed(context, &session, as_json).await;
        session.close().await;
        listed
    })
}

async fn listed(context: &Context, session: &Session, as_json: bool) -> Result<Exit, Failure> {
    let recovered = session.client.recover().await;
    recovered.map_err(|err| call_failure(&err))?;
    let channels = session.client.channels().await;
    let channels = channels.map_err(|err| call_failure(&err))?;
    if as_json {
        let channels: Vec<_> = channels.iter().map(view).collect();
        output::json(&json!({ "version": 1, "channels": channels }))?;
        return Ok(Exit::Ok);
    }
    if channels.is_empty() {
        output::message(
            "no payment channels: `seamline chat --channels 1` opens one where the node offers it",
        );
        return Ok(Exit::Ok);
    }
    let tokens = budget::known(context, &budget::Token::of(context)?);
    output::line(&format!(
        "{:<10} {:<26} {:>16} {:>16} {:>16}  state",
        "channel", "with", "balance", "charged", "left"
    ))?;
    for channel in &channels {
        output::line(&row(channel, &tokens))?;
    }
    Ok(Exit::Ok)
}

fn short(id: &B256) -> String {
    id.to_string().chars().skip(2).take(8).collect()
}

fn row(channel: &ChannelStatus, tokens: &[Token]) -> String {
    let unit = tokens.iter().find(|token| token.asset == channel.token);
    let write = |amount: Amount| match unit {
        Some(token) => format!("{} {}", amount.to_decimal(token.decimals), token.symbol),
        None => amount.to_string(),
    };
    let with = match (&channel.origin, &channel.node) {
        (Some(origin), _) => origin.clone(),
        (None, Some(node)) => format!("node {}", node.short()),
        (None, None) => channel.receiver.to_string(),
    };
    format!(
        "{:<10} {with:<26} {:>16} {:>16} {:>16}  {}",
        short(&channel.id),
        write(channel.balance),
        write(channel.charged),
        write(channel.left()),
        channel.state(),
    )
}

fn view(channel: &ChannelStatus) -> Value {
    json!({
        "channel": channel.id,
        "network": format!("eip155:{}", channel.chain_id),
        "asset": channel.token,
        "receiver": channel.receiver,
        "node": channel.node.map(|node| node.to_string()),
        "origin": channel.origin,
        "balance": channel.balance.to_string(),
        "charged": channel.charged.to_string(),
        "maybe_charged": channel.maybe_charged.to_string(),
        "left": channel.left().to_string(),
        "deposit_open": channel.deposit_open,
        "withdraw_delay_s": channel.withdraw_delay_s,
        "state": channel.state(),
        "chain": channel.chain.map(|chain| json!({
            "balance": chain.balance.to_string(),
            "claimed": chain.total_claimed.to_string(),
            "withdraw_requested_at_s": chain.withdraw_requested_at_s,
        })),
    })
}

fn withdraw(context: &Context, args: &ChannelWithdraw) -> Result<Exit, Failure> {
    let max_fee_per_gas = wei(&args.max_fee)?;
    let ceiling = FeeCeiling {
        max_fee_per_gas,
        max_priority_fee_per_gas: max_fee_per_gas,
    };
    block_on(async {
        let session = Session::to_approve(context).await?;
        let done = step(&session, args, &ceiling).await;
        session.close().await;
        done
    })
}

async fn step(
    session: &Session,
    args: &ChannelWithdraw,
    ceiling: &FeeCeiling,
) -> Result<Exit, Failure> {
    let failed = |err: seamline::Error| call_failure(&err);
    let client = &session.client;
    client.recover().await.map_err(failed)?;
    let id = found(session, &args.channel).await?;
    let name = short(&id);
    match client.withdrawal(&id).await.map_err(failed)? {
        Withdrawal::Ask {
            to,
            input,
            amount,
            delay_s,
        } => {
            let what = format!(
                "withdraw   asks for {} of channel {name}",
                session.amount(amount)
            );
            let order = Order {
                what,
                to,
                input,
                max_gas: MAX_GAS,
            };
            let sent = send(session, &order, ceiling).await?;
            let from_s = now().as_secs().saturating_add(delay_s);
            let text = format!(
                "asked      for {}; run the command again after {}",
                session.amount(amount),
                utc(from_s.saturating_mul(1_000))
            );
            report(
                args,
                "asked",
                &id,
                Some(amount),
                Some(from_s),
                Some(&sent),
                &text,
            )
        }
        Withdrawal::Fetch { to, input, amount } => {
            let what = format!(
                "withdraw   fetches at most {} of channel {name}",
                session.amount(amount)
            );
            let order = Order {
                what,
                to,
                input,
                max_gas: MAX_GAS,
            };
            let sent = send(session, &order, ceiling).await?;
            client.withdrawn(&id).await.map_err(failed)?;
            let text = format!("fetched    at most {}", session.amount(amount));
            report(args, "fetched", &id, Some(amount), None, Some(&sent), &text)
        }
        Withdrawal::Wait { until_s } => {
            let when = utc(until_s.saturating_mul(1_000));
            let text = format!("waiting    it can be fetched after {when}");
            report(args, "waiting", &id, None, Some(until_s), None, &text)
        }
        Withdrawal::Nothing | _ => {
            let text = format!("nothing    is left in channel {name} that could be taken back");
            report(args, "nothing", &id, None, None, None, &text)
        }
    }
}

/// The one channel of this chain whose id begins so.
async fn found(session: &Session, prefix: &str) -> Result<B256, Failure> {
    let channels = session.client.channels().await;
    let channels = channels.map_err(|err| call_failure(&err))?;
    let digits = prefix.strip_prefix("0x").unwrap_or(prefix);
    let here = channels.iter().filter(|channel| channel.chain.is_some());
    let mut fitting = here.filter(|channel| {
        let id = channel.id.to_string();
        id.get(2..).is_some_and(|id| id.starts_with(digits))
    });
    let (first, second) = (fitting.next(), fitting.next());
    match (first, second) {
        (Some(channel), None) => Ok(channel.id),
        (None, _) | (Some(_), Some(_)) => Err(Failure::usage(
            "channel.unknown",
            format!("`{prefix}` names no channel, or more than one, on this network"),
        )
        .hint("`seamline wallet channels` lists them")),
    }
}

async fn send(session: &Session, order: &Order, ceiling: &FeeCeiling) -> Result<Sent, Failure> {
    let network = session.client.network();
    let account = chain::account(&*network.rpc, network.asset, session.payer).await;
    let account = account.map_err(|err| transaction::unreachable(&err))?;
    transaction::send(session, &account, order, ceiling).await
}

fn report(
    args: &ChannelWithdraw,
    state: &str,
    id: &B256,
    amount: Option<Amount>,
    fetch_from_s: Option<u64>,
    sent: Option<&Sent>,
    text: &str,
) -> Result<Exit, Failure> {
    if args.output.json {
        output::json(&json!({
            "version": 1,
            "channel": id,
            "state": state,
            "amount": amount.map(|amount| amount.to_string()),
            "fetch_from_s": fetch_from_s,
            "transaction": sent.map(|sent| sent.hash),
            "block": sent.map(|sent| sent.block),
            "gas_cost_wei": sent.map(|sent| sent.cost_wei.to_string()),
        }))?;
        return Ok(Exit::Ok);
    }
    output::line(text)?;
    if let Some(sent) = sent {
        output::line(&format!(
            "settled    transaction {}, block {}, gas cost {} of the native coin",
            sent.hash,
            sent.block,
            transaction::coins(sent.cost_wei)
        ))?;
    }
    Ok(Exit::Ok)
}

//! What became of calls whose process died: read from the chain, never guessed.

use std::sync::Arc;

use seamline_core::receipt::{self as event, Outcome, Recorded, SettlementState};
use seamline_core::{Amount, B256, Charged};
use seamline_evm::chain;
use seamline_evm::payment::{Action, Event};

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::journal::{CallRecord, CallState, PaymentRecord, PaymentState};
use crate::leg::query;
use crate::step::Step;

/// A call that was looked at again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The call as the books have it now.
    pub call: CallRecord,
    /// Whether money moved.
    pub charged: Charged,
    /// What was settled, where it was.
    pub settled: Option<Amount>,
}

pub(crate) async fn run(client: &Client) -> Result<Vec<Recovered>, Error> {
    let outside = |kind| Error::new(kind, Step::Settle, Charged::Unknown, None);
    let _alone = client.books.recovering.lock().await;
    let calls = client
        .books
        .journal
        .calls()
        .map_err(|err| outside(ErrorKind::Journal(err)))?;
    let mut recovered = Vec::new();
    for call in calls {
        // A call that ended while others were looked at is in the books by now: read it anew.
        if client.books.runs(call.seq) || !needs_a_look(&call) {
            continue;
        }
        let fresh = client.books.journal.call(call.seq);
        let fresh = fresh.map_err(|err| outside(ErrorKind::Journal(err)))?;
        if let Some(call) = fresh.filter(needs_a_look) {
            recovered.push(look(client, call).await.map_err(outside)?);
        }
    }
    Ok(recovered)
}

fn needs_a_look(call: &CallRecord) -> bool {
    let live = call
        .payment
        .as_ref()
        .is_some_and(|payment| payment.state.is_live());
    call.state == CallState::Open || live
}

/// Asks the chain about one call, and writes what it says. An open call is closed in the log as soon as
/// its money is accounted for; until then it stays open, which is what it is.
async fn look(client: &Client, mut call: CallRecord) -> Result<Recovered, ErrorKind> {
    let was_open = call.state == CallState::Open;
    let before = call.payment.as_ref().map(|payment| payment.state);
    if let Some(payment) = &mut call.payment
        && payment.state.is_live()
    {
        ask(client, payment).await?;
    }
    let now_ms = client.config.env.now().as_millis();
    let after = call.payment.as_ref().map(|payment| payment.state);
    let known = !after.is_some_and(PaymentState::is_live);
    let journal = &client.books.journal;
    let write = match call.receipt {
        _ if was_open && known => {
            call.state = CallState::Interrupted;
            journal.close_call(&call, now_ms, B256::ZERO, Outcome::Abandoned)
        }
        Some(receipt) if known && before != after => {
            journal.amend_call(&call, now_ms, receipt, amendment(&call, now_ms))
        }
        Some(_) | None => journal.update(&call),
    };
    write.map_err(ErrorKind::Journal)?;
    Ok(Recovered {
        charged: call.charged(),
        settled: settled_amount(&call),
        call,
    })
}

/// Takes the payment up where the journal has it, and asks the chain once. The rules are those of
/// [`seamline_evm::payment`]; nothing is ever presented from here.
async fn ask(client: &Client, record: &mut PaymentRecord) -> Result<(), ErrorKind> {
    let (mut payment, actions) = record.rebuild().map_err(ErrorKind::Payment)?;
    if actions.contains(&Action::AskChain) {
        let rpc = Arc::clone(&client.config.network.rpc);
        let facts = chain::facts(&*rpc, &query(record)).await;
        let said = Event::ChainSays(facts.map_err(ErrorKind::Chain)?);
        payment
            .on_event(said, client.config.env.now())
            .map_err(ErrorKind::Payment)?;
    }
    record.follow(&payment);
    Ok(())
}

/// The late fact about a sealed call, as an event of its receipt.
fn amendment(call: &CallRecord, now_ms: u64) -> Recorded {
    let payment = call.payment.as_ref();
    let settled = payment.is_some_and(|payment| payment.state == PaymentState::Settled);
    let waited_ms = now_ms.saturating_sub(call.opened_ms);
    Recorded {
        dt_us: waited_ms.saturating_mul(1_000),
        event: event::SettlementSeen {
            state: if settled {
                SettlementState::Settled
            } else {
                SettlementState::NotSettled
            },
            transaction: payment.and_then(|payment| payment.transaction),
            block_number: payment.and_then(|payment| payment.block),
            block_hash: payment.and_then(|payment| payment.block_hash),
            amount: settled_amount(call),
            waited_ms,
        }
        .into(),
    }
}

fn settled_amount(call: &CallRecord) -> Option<Amount> {
    call.payment.as_ref().and_then(PaymentRecord::settled)
}

#[cfg(test)]
mod tests;

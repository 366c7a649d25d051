//! What became of calls whose process died: read from the chain, never guessed.

use seamline_core::receipt::{self as event, Outcome, Recorded, SettlementState};
use seamline_core::{Amount, Charged, Timestamp};
use seamline_evm::chain;

use crate::call::settle::{Word, query, settled, word_of};
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::journal::{CallRecord, CallState, PaymentState};
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
    let calls = client
        .journal
        .calls()
        .map_err(|err| outside(ErrorKind::Journal(err)))?;
    let mut recovered = Vec::new();
    for call in calls.into_iter().filter(needs_a_look) {
        recovered.push(look(client, call).await.map_err(outside)?);
    }
    Ok(recovered)
}

fn needs_a_look(call: &CallRecord) -> bool {
    let unknown = call.payment.as_ref().is_some_and(|payment| {
        matches!(
            payment.state,
            PaymentState::Authorized | PaymentState::Unknown
        )
    });
    call.state == CallState::Open || unknown
}

/// Asks the chain about one call, and writes what it says. An open call is closed in the log as soon as
/// its money is accounted for; until then it stays open, which is what it is.
async fn look(client: &Client, mut call: CallRecord) -> Result<Recovered, ErrorKind> {
    let was_open = call.state == CallState::Open;
    let now = client.config.env.now();
    let before = call.payment.as_ref().map(|payment| payment.state);
    if let Some(payment) = &mut call.payment
        && matches!(
            payment.state,
            PaymentState::Authorized | PaymentState::Unknown
        )
    {
        let facts = chain::facts(&*client.config.network.rpc, &query(payment))
            .await
            .map_err(ErrorKind::Chain)?;
        match word_of(&facts, payment) {
            Word::Settled(facts) => settled(payment, &facts),
            Word::NotSettled => payment.state = PaymentState::NotSettled,
            Word::NotYet => payment.state = PaymentState::Unknown,
        }
    }
    let after = call.payment.as_ref().map(|payment| payment.state);
    let known = after != Some(PaymentState::Unknown);
    let write = if was_open && known {
        call.state = CallState::Interrupted;
        client.journal.close_call(
            &call,
            now.as_millis(),
            seamline_core::B256::ZERO,
            Outcome::Abandoned,
        )
    } else if let (false, true, Some(receipt)) = (was_open, known && before != after, call.receipt)
    {
        client
            .journal
            .amend_call(&call, now.as_millis(), receipt, amendment(&call, now))
    } else {
        client.journal.update(&call)
    };
    write.map_err(ErrorKind::Journal)?;
    Ok(Recovered {
        charged: charged(&call),
        settled: settled_amount(&call),
        call,
    })
}

/// The late fact about a sealed call, as an event of its receipt.
fn amendment(call: &CallRecord, now: Timestamp) -> Recorded {
    let payment = call.payment.as_ref();
    let settled = payment.is_some_and(|payment| payment.state == PaymentState::Settled);
    let waited_ms = now.as_millis().saturating_sub(call.opened_ms);
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
            block_hash: None,
            amount: settled_amount(call),
            waited_ms,
        }
        .into(),
    }
}

fn settled_amount(call: &CallRecord) -> Option<Amount> {
    call.payment
        .as_ref()
        .and_then(crate::journal::PaymentRecord::settled)
}

fn charged(call: &CallRecord) -> Charged {
    match call.payment.as_ref().map(|payment| payment.state) {
        None | Some(PaymentState::NotSettled) => Charged::No,
        Some(PaymentState::Settled) => Charged::Yes,
        Some(PaymentState::Authorized | PaymentState::Unknown) => Charged::Unknown,
    }
}

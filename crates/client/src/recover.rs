//! What became of calls whose process died: read from the chain, never guessed.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::receipt::{self as event, Outcome, Recorded, SettlementState};
use seamline_core::{Amount, B256, Charged, Timestamp};
use seamline_evm::Rpc;
use seamline_evm::chain::{self, Depths, Finality, Standing};
use seamline_evm::payment::{Action, Event};
use tokio::time::Instant;

use crate::books::Books;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::journal::{CallRecord, CallState, JournalError, Known, PaymentRecord, PaymentState};
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

impl Recovered {
    /// When the chain can tell at the latest, Unix seconds: right after the last second at which the
    /// payment can settle. `None` where it has told.
    pub fn known_after_s(&self) -> Option<u64> {
        let payment = self.call.payment.as_ref();
        let live = payment.filter(|payment| payment.state.is_live())?;
        Some(live.last_deadline_s())
    }
}

/// The endpoint of a chain, where there is one.
pub(crate) type Endpoints<'a> = dyn Fn(u64) -> Option<Arc<dyn Rpc>> + Send + Sync + 'a;

pub(crate) async fn run(
    books: &Books,
    env: &Env,
    rpc: &Endpoints<'_>,
    depths: Depths,
) -> Result<Vec<Recovered>, Error> {
    let outside = |kind| Error::new(kind, Step::Settle, Charged::Unknown, None);
    let _alone = books.recovering.lock().await;
    let calls = books.journal.calls();
    let calls = calls.map_err(|err| outside(ErrorKind::Journal(err)))?;
    let mut recovered = Vec::new();
    for call in calls {
        // A call that ended while others were looked at is in the books by now: read it anew.
        if books.runs(call.seq) || !needs_a_look(&call) {
            continue;
        }
        let fresh = books.journal.call(call.seq);
        let fresh = fresh.map_err(|err| outside(ErrorKind::Journal(err)))?;
        let Some(mut call) = fresh.filter(needs_a_look) else {
            continue;
        };
        let before = known(&call);
        let was_open = is_open(&call);
        if !was_open
            && !stands(books, env, rpc, depths, &mut call)
                .await
                .map_err(outside)?
        {
            continue;
        }
        recovered.push(look(books, env, rpc, call, before).await.map_err(outside)?);
    }
    Ok(recovered)
}

/// Recovers, and asks again right after each deadline that comes within `patience`: then the chain can
/// tell.
pub(crate) async fn run_within(
    books: &Books,
    env: &Env,
    rpc: &Endpoints<'_>,
    depths: Depths,
    patience: Duration,
) -> Result<Vec<Recovered>, Error> {
    let until = Instant::now().checked_add(patience);
    loop {
        let recovered = run(books, env, rpc, depths).await?;
        let next = recovered.iter().filter_map(Recovered::known_after_s).min();
        let Some(deadline_s) = next else {
            return Ok(recovered);
        };
        // A second after the deadline, and a block more if the chain is not there yet.
        let due = Timestamp::from_secs(deadline_s.saturating_add(1));
        let wait = due.saturating_since(env.now()).max(Duration::from_secs(1));
        let wake = Instant::now().checked_add(wait);
        match (wake, until) {
            (Some(wake), Some(until)) if wake <= until => tokio::time::sleep_until(wake).await,
            _ => return Ok(recovered),
        }
    }
}

fn needs_a_look(call: &CallRecord) -> bool {
    let payment = call.payment.as_ref();
    is_open(call) || payment.is_some_and(|payment| !payment.is_final())
}

fn is_open(call: &CallRecord) -> bool {
    let payment = call.payment.as_ref();
    call.state == CallState::Open || payment.is_some_and(|payment| payment.state.is_live())
}

pub(crate) fn known(call: &CallRecord) -> Option<Known> {
    call.payment.as_ref().map(PaymentRecord::known)
}

/// How long after its deadline an outcome is held against the chain: a chain that is younger than this is
/// another one, and one that makes no blocks makes nothing deeper.
const WATCHED_S: u64 = 24 * 60 * 60;

/// Holds an outcome against the chain that it was read from, and reopens it where a fork has taken it away:
/// `true` then. An endpoint that does not answer leaves it for the next time.
async fn stands(
    books: &Books,
    env: &Env,
    rpc: &Endpoints<'_>,
    depths: Depths,
    call: &mut CallRecord,
) -> Result<bool, ErrorKind> {
    let Some(payment) = &mut call.payment else {
        return Ok(false);
    };
    let Some(anchor) = payment.anchor() else {
        return Ok(false);
    };
    let watched_until_s = payment.last_deadline_s().saturating_add(WATCHED_S);
    if env.now().as_secs() > watched_until_s {
        payment.finalize();
    } else {
        let Some(rpc) = rpc(payment.chain_id()) else {
            return Ok(false);
        };
        match chain::standing(&*rpc, &anchor, depths).await {
            Ok(Standing::Gone) => {
                payment.reopen();
                return Ok(true);
            }
            Ok(Standing::There(Finality::Final)) => payment.finalize(),
            Ok(Standing::There(Finality::Seen | Finality::Confirmed) | Standing::Behind)
            | Err(_) => return Ok(false),
        }
    }
    books.journal.update(call).map_err(ErrorKind::Journal)?;
    Ok(false)
}

/// Asks the chain about one call, and writes what it says. `before` is what the books said.
async fn look(
    books: &Books,
    env: &Env,
    rpc: &Endpoints<'_>,
    mut call: CallRecord,
    before: Option<Known>,
) -> Result<Recovered, ErrorKind> {
    let told = before.is_some_and(|before| !before.state.is_live());
    if let Some(payment) = &mut call.payment
        && payment.state.is_live()
        && let Some(rpc) = rpc(payment.chain_id())
    {
        let asked = ask(&*rpc, env, payment).await;
        // What a fork took away is written down as open, whatever else is known.
        if !told {
            asked?;
        }
    }
    let now_ms = env.now().as_millis();
    write_down(books, &mut call, before, now_ms, Outcome::Abandoned).map_err(ErrorKind::Journal)?;
    Ok(Recovered {
        charged: call.charged(),
        settled: settled_amount(&call),
        call,
    })
}

/// Writes what was learned about a call that no longer runs. An open call is closed in the log as soon as
/// its money is accounted for; until then it stays open, which is what it is. A sealed one is amended.
pub(crate) fn write_down(
    books: &Books,
    call: &mut CallRecord,
    before: Option<Known>,
    now_ms: u64,
    outcome: Outcome,
) -> Result<(), JournalError> {
    let was_open = call.state == CallState::Open;
    let after = self::known(call);
    let live = |known: Option<Known>| known.is_some_and(|known| known.state.is_live());
    // What was told is taken back where a fork took it away, so that is a fact as well.
    let known = !live(after);
    let withdrawn = !live(before) && before.is_some();
    let journal = &books.journal;
    match call.receipt {
        _ if was_open && known => {
            call.state = match outcome {
                Outcome::Answered => CallState::Answered,
                Outcome::Refused | Outcome::Failed => CallState::Failed,
                Outcome::Abandoned => CallState::Interrupted,
            };
            journal.close_call(call, now_ms, B256::ZERO, outcome)
        }
        Some(receipt) if (known || withdrawn) && before != after => {
            journal.amend_call(call, now_ms, receipt, amendment(call, now_ms))
        }
        Some(_) | None => journal.update(call),
    }
}

/// Takes the payment up where the journal has it, and asks the chain once. The rules are those of
/// [`seamline_evm::payment`]; nothing is ever presented from here.
async fn ask(rpc: &dyn Rpc, env: &Env, record: &mut PaymentRecord) -> Result<(), ErrorKind> {
    let (mut payment, actions) = record.rebuild().map_err(ErrorKind::Payment)?;
    if actions.contains(&Action::AskChain) {
        let facts = chain::facts(rpc, &query(record)).await;
        let said = Event::ChainSays(facts.map_err(ErrorKind::Chain)?);
        let told = payment.on_event(said, env.now());
        told.map_err(ErrorKind::Payment)?;
    }
    record.follow(&payment);
    Ok(())
}

/// The late fact about a sealed call, as an event of its receipt.
fn amendment(call: &CallRecord, now_ms: u64) -> Recorded {
    let payment = call.payment.as_ref();
    let state = match payment.map(|payment| payment.state) {
        Some(PaymentState::Settled) => SettlementState::Settled,
        Some(PaymentState::Authorized | PaymentState::Unknown) => SettlementState::Unknown,
        Some(PaymentState::NotSettled) | None => SettlementState::NotSettled,
    };
    let waited_ms = now_ms.saturating_sub(call.opened_ms);
    Recorded {
        dt_us: waited_ms.saturating_mul(1_000),
        event: event::SettlementSeen {
            state,
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

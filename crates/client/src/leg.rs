//! What a payment asks for, performed. The rules are those of [`seamline_evm::payment`] alone: it
//! says what may be stored, sent, asked and reported, and these are only its hands.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use seamline_core::Timestamp;
use seamline_core::receipt::{SettlementSeen, SettlementState};
use seamline_evm::Rpc;
use seamline_evm::chain::{self, SettlementQuery};
use seamline_evm::payment::{Action, Event, Misuse, Payment, State};
use seamline_evm::policy::SpendPolicy;
use seamline_evm::scheme::Method;
use seamline_evm::x402::{Reason, SettleResponse};
use tokio::time::Instant;

use crate::books::Books;
use crate::client::millis;
use crate::env::Env;
use crate::journal::{CallRecord, JournalError, Over, PaymentRecord};

/// Wait before the first re-presentation; doubled for the next.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(200);
/// A peer's `Retry-After` is followed up to here: a peer does not set our timers.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long a settlement is waited for that nobody promised: one that was under way when the reply was
/// lost shows by then, and anything later is learned by recovery.
pub(crate) const UNPROMISED_WAIT: Duration = Duration::from_millis(500);

/// One payment, and the books that follow it.
pub(crate) struct Leg {
    pub(crate) books: Arc<Books>,
    pub(crate) env: Env,
    pub(crate) rpc: Arc<dyn Rpc>,
    /// What the whole call may spend.
    pub(crate) budget: SpendPolicy,
    pub(crate) record: CallRecord,
    /// The rules of the one payment of this call, and where it stands.
    pub(crate) payment: Payment,
    /// When the last reply to a paid request came, or was given up.
    pub(crate) replied: Instant,
}

/// What comes next for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The authorization is to be presented.
    Present,
    /// The call may report what is known.
    Report,
}

/// Why a payment cannot go on.
#[derive(Debug)]
pub(crate) enum LegFault {
    Journal(JournalError),
    /// Parallel calls used up the budget in between.
    Over(Over),
    Payment(Misuse),
}

impl Leg {
    pub(crate) fn now(&self) -> Timestamp {
        self.env.now()
    }

    /// Tells the payment what happened, and does what it asks for until it wants something
    /// presented or the call may report. Waits no longer than `patience` after the last reply: what
    /// is learned later is learned by recovery.
    pub(crate) async fn pay(&mut self, event: Event, patience: Duration) -> Result<Next, LegFault> {
        let mut actions = VecDeque::from(self.tell(event)?);
        while let Some(action) = actions.pop_front() {
            let event = match action {
                Action::Store(_) => self.store()?,
                Action::Send(_) | Action::ResendSame(_) => return Ok(Next::Present),
                Action::AskChain => self.ask_chain().await,
                Action::Wait(time) => {
                    let left = patience.saturating_sub(self.replied.elapsed());
                    if left.is_zero() {
                        return Ok(Next::Report);
                    }
                    tokio::time::sleep(time.min(left)).await;
                    Event::Woken
                }
                Action::Conclude => return Ok(Next::Report),
            };
            actions.extend(self.tell(event)?);
        }
        Ok(Next::Report)
    }

    /// Tells the payment what happened. The books follow it.
    pub(crate) fn tell(&mut self, event: Event) -> Result<Vec<Action>, LegFault> {
        let now = self.now();
        let actions = self.payment.on_event(event, now);
        if let Some(record) = &mut self.record.payment {
            record.follow(&self.payment);
        }
        actions.map_err(LegFault::Payment)
    }

    /// Stores the authorization with its reservation, durably, if the budget still covers it.
    fn store(&mut self) -> Result<Event, LegFault> {
        let now = self.now();
        let journal = &self.books.journal;
        let refused = match journal.reserve(&self.record, &self.budget, now) {
            Ok(Ok(())) => return Ok(Event::AuthorizationStored),
            Ok(Err(over)) => LegFault::Over(over),
            Err(err) => LegFault::Journal(err),
        };
        // Nothing was stored, so nothing was promised: the signature is dropped here.
        self.tell(Event::GivenUp)?;
        self.record.payment = self
            .record
            .payment
            .take()
            .and_then(PaymentRecord::without_last);
        Err(refused)
    }

    async fn ask_chain(&self) -> Event {
        let Some(payment) = &self.record.payment else {
            return Event::ChainSilent;
        };
        let facts = chain::facts(&*self.rpc, &query(payment)).await;
        facts.map_or(Event::ChainSilent, Event::ChainSays)
    }

    /// What the payment has not been told yet, after the last reply.
    pub(crate) fn heard(&self, refused: Option<Reason>, reply: Option<SettleResponse>) -> Event {
        match (refused, reply) {
            (Some(reason), _) => Event::ReplyRefused(reason),
            (None, Some(reply)) => Event::ReplyOk(Box::new(reply)),
            (None, None) => match self.payment.state() {
                // The bytes never left this machine, and nobody else has them.
                State::New | State::Signed | State::Authorized => Event::GivenUp,
                State::Sent => Event::ReplyMute,
                State::Submitted { .. }
                | State::Unknown { .. }
                | State::Settled(_)
                | State::NotSettled(_)
                | State::Abandoned => Event::Woken,
            },
        }
    }

    /// What is known about the settlement, for the receipt.
    pub(crate) fn seen(&self) -> SettlementSeen {
        let (state, facts) = match self.payment.state() {
            State::Settled(facts) => (SettlementState::Settled, Some(*facts)),
            State::NotSettled(_) | State::Abandoned => (SettlementState::NotSettled, None),
            State::Submitted { .. } => (SettlementState::Submitted, None),
            State::Sent | State::Unknown { .. } => (SettlementState::Unknown, None),
            State::New | State::Signed | State::Authorized => (SettlementState::Authorized, None),
        };
        SettlementSeen {
            state,
            transaction: facts.map(|facts| facts.transaction),
            block_number: facts.map(|facts| facts.block_number),
            block_hash: facts.map(|facts| facts.block_hash),
            amount: facts.map(|facts| facts.amount),
            waited_ms: millis(self.replied.elapsed()),
        }
    }

    /// Writes down where the payment stands: commits what was settled, releases what was proven
    /// unspent, keeps the reservation of what is unknown.
    pub(crate) fn write_down(&self) -> Result<(), LegFault> {
        let written = self.books.journal.update(&self.record);
        written.map_err(LegFault::Journal)
    }
}

/// The question that finds exactly this authorization's settlement.
pub(crate) fn query(payment: &PaymentRecord) -> SettlementQuery {
    SettlementQuery {
        method: payment.method().unwrap_or(Method::Permit2),
        payer: payment.payer,
        auth_nonce: payment.auth_nonce,
        asset: payment.asset,
        from_block: payment.from_block,
    }
}

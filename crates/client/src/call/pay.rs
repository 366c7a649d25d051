//! What the payment asks for, performed. The rules are those of [`seamline_evm::payment`] alone: it
//! says what may be stored, sent, asked and reported, and these are only its hands.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use seamline_evm::chain::{self, SettlementQuery};
use seamline_evm::payment::{Action, Event};

use super::Call;
use crate::error::ErrorKind;
use crate::journal::PaymentRecord;

/// What comes next for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The authorization is to be presented.
    Present,
    /// The call may report what is known.
    Report,
}

impl Call<'_> {
    /// Tells the payment what happened, and does what it asks for until it wants something
    /// presented or the call may report. Waits no longer than `patience` after the last reply: what
    /// is learned later is learned by [`crate::Client::recover`].
    pub(super) async fn pay(
        &mut self,
        event: Event,
        patience: Duration,
    ) -> Result<Next, ErrorKind> {
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
    pub(super) fn tell(&mut self, event: Event) -> Result<Vec<Action>, ErrorKind> {
        let now = self.now();
        let actions = self.payment.on_event(event, now);
        if let Some(record) = &mut self.record.payment {
            record.follow(&self.payment);
        }
        actions.map_err(ErrorKind::Payment)
    }

    /// Stores the authorization with its reservation, durably, if the day's budget still covers it.
    fn store(&mut self) -> Result<Event, ErrorKind> {
        let now = self.now();
        let reserved = self.client.journal.reserve(&self.record, &self.budget, now);
        let refused = match reserved {
            Ok(Ok(())) => return Ok(Event::AuthorizationStored),
            Ok(Err(_)) => ErrorKind::OverDaily,
            Err(err) => ErrorKind::Journal(err),
        };
        // Nothing was stored, so nothing was promised: the signature is dropped here.
        self.tell(Event::GivenUp)?;
        self.record.payment = None;
        Err(refused)
    }

    async fn ask_chain(&self) -> Event {
        let Some(payment) = &self.record.payment else {
            return Event::ChainSilent;
        };
        let rpc = Arc::clone(&self.client.config.network.rpc);
        let facts = chain::facts(&*rpc, &query(payment)).await;
        facts.map_or(Event::ChainSilent, Event::ChainSays)
    }
}

/// The question that finds exactly this authorization's settlement.
pub(crate) const fn query(payment: &PaymentRecord) -> SettlementQuery {
    SettlementQuery {
        payer: payment.payer,
        auth_nonce: payment.auth_nonce,
        asset: payment.asset,
        from_block: payment.from_block,
    }
}

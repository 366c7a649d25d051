//! 11. settle: what the node says it took, and what the chain says.

use core::time::Duration;

use seamline_core::receipt::{self as event, EvidenceType, SettlementState};
use seamline_evm::payment::{Event, State};
use seamline_evm::registry::NodeRecord;
use seamline_evm::x402::SettleResponse;
use tokio::time::Instant;

use super::Call;
use crate::client::millis;
use crate::error::ErrorKind;
use crate::step::Step;

/// How long a settlement is waited for that nobody promised: one that was under way when the reply was
/// lost shows by then, and anything later is learned by [`crate::Client::recover`].
pub(super) const UNPROMISED_WAIT: Duration = Duration::from_millis(500);

impl Call<'_> {
    /// Learns what became of the authorization. Never fails a call for what it cannot learn: the
    /// state is then *unknown* or *submitted*, and the amount stays reserved.
    pub(super) async fn settle(&mut self, record: &NodeRecord) -> Result<(), ErrorKind> {
        self.begin(Step::Settle, &format!("node {}", record.node.short()));
        let reply = self.record_reply();
        let promised = reply.as_ref().is_some_and(|reply| reply.success);
        let patience = if promised {
            self.client.config.options.settle_wait
        } else {
            UNPROMISED_WAIT
        };
        let heard = self.heard(reply);
        if !matches!(heard, Event::Woken) {
            self.leg.replied = Instant::now();
        }
        self.leg.pay(heard, patience).await?;
        self.record_settlement();
        self.leg.write_down()?;
        self.done();
        Ok(())
    }

    /// What the payment has not been told yet.
    fn heard(&mut self, reply: Option<SettleResponse>) -> Event {
        match (self.refused.take(), reply) {
            (Some(reason), _) => Event::ReplyRefused(reason),
            (None, Some(reply)) => Event::ReplyOk(Box::new(reply)),
            (None, None) => match self.leg.payment.state() {
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

    /// Records the node's word about the settlement.
    fn record_reply(&mut self) -> Option<SettleResponse> {
        let raw = self.settle_reply.take()?;
        let parsed = SettleResponse::parse(&raw).ok()?;
        let settle_response = self.attach(EvidenceType::SettleResponse, raw.to_vec());
        self.event(event::SettleReplied {
            settle_response,
            success: parsed.success,
            transaction: parsed.transaction_hash(),
            amount: parsed.settled_amount(),
        });
        Some(parsed)
    }

    fn record_settlement(&mut self) {
        let (state, facts) = match self.leg.payment.state() {
            State::Settled(facts) => (SettlementState::Settled, Some(*facts)),
            State::NotSettled(_) | State::Abandoned => (SettlementState::NotSettled, None),
            State::Submitted { .. } => (SettlementState::Submitted, None),
            State::Sent | State::Unknown { .. } => (SettlementState::Unknown, None),
            State::New | State::Signed | State::Authorized => (SettlementState::Authorized, None),
        };
        let waited_ms = millis(self.leg.replied.elapsed());
        self.event(event::SettlementSeen {
            state,
            transaction: facts.map(|facts| facts.transaction),
            block_number: facts.map(|facts| facts.block_number),
            block_hash: facts.map(|facts| facts.block_hash),
            amount: facts.map(|facts| facts.amount),
            waited_ms,
        });
    }
}

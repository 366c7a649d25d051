//! 11. settle: what the node says it took, and what the chain says.

use seamline_core::receipt::{self as event, EvidenceType};
use seamline_evm::payment::Event;
use seamline_evm::registry::NodeRecord;
use seamline_evm::x402::SettleResponse;
use tokio::time::Instant;

use super::Call;
use crate::error::ErrorKind;
use crate::leg::UNPROMISED_WAIT;
use crate::step::Step;

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
        let heard = self.leg.heard(self.refused.take(), reply);
        if !matches!(heard, Event::Woken) {
            self.leg.replied = Instant::now();
        }
        self.leg.pay(heard, patience).await?;
        self.record_settlement();
        self.leg.write_down()?;
        self.done();
        Ok(())
    }

    /// Records the node's word about the settlement.
    pub(super) fn record_reply(&mut self) -> Option<SettleResponse> {
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
        let seen = self.leg.seen();
        self.event(seen);
    }
}

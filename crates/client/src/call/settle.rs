//! 11. settle: what the node says it took, and what the chain says.

use core::time::Duration;

use bytes::Bytes;
use seamline_core::receipt::{self as event, EvidenceType, SettlementState};
use seamline_evm::chain::{self, ChainFacts, SettlementQuery};
use seamline_evm::registry::NodeRecord;
use seamline_evm::x402::SettleResponse;
use tokio::time::Instant;

use super::Call;
use crate::client::millis;
use crate::error::ErrorKind;
use crate::journal::{PaymentRecord, PaymentState};
use crate::step::Step;

/// How often the chain is asked while a settlement is expected.
const POLL: Duration = Duration::from_millis(20);

/// How long a settlement is waited for that nobody promised: one that was under way when the reply was
/// lost shows by then, and anything later is learned by [`crate::Client::recover`].
const UNPROMISED_WAIT: Duration = Duration::from_millis(500);

/// What the chain says about an authorization at one block.
pub(crate) enum Word {
    Settled(chain::SettlementFacts),
    NotSettled,
    NotYet,
}

impl Call<'_> {
    /// Learns what became of the authorization. Never fails a call for what it cannot learn: the
    /// state is then *unknown*, and the amount stays reserved.
    pub(super) async fn settle(
        &mut self,
        record: &NodeRecord,
        reply: Option<Bytes>,
    ) -> Result<(), ErrorKind> {
        self.begin(Step::Settle, &format!("node {}", record.node.short()));
        let Some(mut payment) = self.record.payment.clone() else {
            return Ok(());
        };
        if !self.sent {
            // The bytes never left this machine, and nobody else has them.
            payment.state = PaymentState::NotSettled;
            self.record_settlement(&payment, None, SettlementState::NotSettled, Duration::ZERO);
        } else {
            let promised = self.record_reply(reply);
            self.ask_chain(&mut payment, promised).await;
        }
        self.record.payment = Some(payment);
        self.client
            .journal
            .update(&self.record)
            .map_err(ErrorKind::Journal)?;
        self.done();
        Ok(())
    }

    /// Records the node's word about the settlement; returns whether it says that it settled.
    fn record_reply(&mut self, reply: Option<Bytes>) -> bool {
        let Some(raw) = reply else { return false };
        let Ok(parsed) = SettleResponse::parse(&raw) else {
            return false;
        };
        let settle_response = self.attach(EvidenceType::SettleResponse, raw.to_vec());
        self.event(event::SettleReplied {
            settle_response,
            success: parsed.success,
            transaction: parsed.transaction_hash(),
            amount: parsed.settled_amount(),
        });
        parsed.success
    }

    /// Asks the chain until it answers for good or the wait is over.
    async fn ask_chain(&mut self, payment: &mut PaymentRecord, promised: bool) {
        let started = Instant::now();
        let wait = if promised {
            self.client.config.options.settle_wait
        } else {
            UNPROMISED_WAIT
        };
        let rpc = std::sync::Arc::clone(&self.client.config.network.rpc);
        loop {
            let facts = chain::facts(&*rpc, &query(payment)).await;
            let word = facts
                .as_ref()
                .map_or(Word::NotYet, |facts| word_of(facts, payment));
            let waited = started.elapsed();
            match word {
                Word::Settled(facts) => {
                    settled(payment, &facts);
                    self.record_settlement(payment, Some(&facts), SettlementState::Settled, waited);
                    return;
                }
                Word::NotSettled => {
                    payment.state = PaymentState::NotSettled;
                    self.record_settlement(payment, None, SettlementState::NotSettled, waited);
                    return;
                }
                Word::NotYet if waited >= wait => {
                    payment.state = PaymentState::Unknown;
                    let state = if promised {
                        SettlementState::Submitted
                    } else {
                        SettlementState::Unknown
                    };
                    self.record_settlement(payment, None, state, waited);
                    return;
                }
                Word::NotYet => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn record_settlement(
        &mut self,
        payment: &PaymentRecord,
        facts: Option<&chain::SettlementFacts>,
        state: SettlementState,
        waited: Duration,
    ) {
        self.event(event::SettlementSeen {
            state,
            transaction: facts.map(|facts| facts.transaction),
            block_number: facts.map(|facts| facts.block_number),
            block_hash: facts.map(|facts| facts.block_hash),
            amount: payment.settled,
            waited_ms: millis(waited),
        });
    }
}

/// The question that finds exactly this authorization's settlement.
pub(crate) fn query(payment: &PaymentRecord) -> SettlementQuery {
    SettlementQuery {
        payer: payment.payer,
        auth_nonce: payment.auth_nonce,
        asset: payment.asset,
        from_block: payment.from_block,
    }
}

/// Reads the chain's answer. "Not settled" needs proof: the deadline has passed on chain and the nonce
/// is still unused.
pub(crate) fn word_of(facts: &ChainFacts, payment: &PaymentRecord) -> Word {
    if let Some(settlement) = facts.settlement {
        return Word::Settled(settlement);
    }
    if !facts.nonce_used && facts.block.time_s > payment.deadline_s {
        return Word::NotSettled;
    }
    Word::NotYet
}

/// Writes a settlement into the books.
pub(crate) fn settled(payment: &mut PaymentRecord, facts: &chain::SettlementFacts) {
    payment.state = PaymentState::Settled;
    payment.settled = Some(facts.amount);
    payment.transaction = Some(facts.transaction);
    payment.block = Some(facts.block_number);
}

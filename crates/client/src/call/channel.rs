//! 8. authorize, 9. execute and 11. settle over a payment channel: a voucher instead of an authorization.
//!
//! A call promises once. It promises again, in the same channel and instead of the first time, only where
//! the node refused the first voucher outright: for an offer that was only remembered, or with a
//! correction of its books that carries the payer's own signature. After a reply that was lost, the same
//! bytes are presented again and nothing else.

use std::sync::Arc;

use http::HeaderValue;
use seamline_core::B256;
use seamline_core::receipt::{self as event, EvidenceType};
use seamline_evm::channel::payer::Refusal;
use seamline_evm::policy::Admitted;
use seamline_evm::registry::NodeRecord;
use seamline_evm::x402::{PaymentPayload, SettleResponse};
use tokio::time::Instant;

use super::attest::Enclave;
use super::execute::{Presented, Response, payment_header};
use super::offer::Terms;
use super::{Call, word};
use crate::client::millis;
use crate::error::ErrorKind;
use crate::leg::{FIRST_WAIT, MAX_WAIT};
use crate::purse::{Place, Purse, PurseFault, Underway, unanswered};
use crate::step::Step;

/// Times that one voucher is presented: once, and twice again.
const PRESENTATIONS: u32 = 3;

/// A voucher of this call that waits for its answer.
pub(super) struct Voucher {
    id: B256,
    place: Place,
    underway: Underway,
}

impl Call<'_> {
    pub(super) fn purse(&self) -> Purse {
        let config = &self.client.config;
        Purse {
            books: Arc::clone(&self.client.books),
            signer: Arc::clone(&config.signer),
            env: config.env.clone(),
            per_seller: config.options.channels_per_node,
            recorder: *config.recorder.public_key().as_bytes(),
            h_bind: self.h_bind,
        }
    }

    /// Steps 7 to 9 over a channel, for an offer that was admitted. The outer error is one before
    /// anything was sent.
    pub(super) async fn buy_over_channel(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        terms: &mut Terms,
        admitted: Admitted,
    ) -> Result<Result<Response, ErrorKind>, ErrorKind> {
        let payload = self.promise(record, &admitted, None).await?;
        let (failure, lost) = match self.present_voucher(record, enclave, &payload).await {
            Ok(response) => return Ok(Ok(response)),
            Err(refused) => refused,
        };
        let (Some(id), Some(_)) = (self.voucher.as_ref().map(|it| it.id), &self.refused) else {
            return Ok(Err(failure));
        };
        // The node refused the voucher. What it says about its books is believed where it can be.
        self.refused = None;
        let fresh = self.fresh.take();
        let purse = self.purse();
        let corrected = purse.corrected(&id, &mut self.leg.record, fresh.as_ref(), lost)?;
        self.arrived();
        let again = corrected.is_some() || terms.remembered;
        let Some(fresh) = fresh.filter(|_| again && !lost) else {
            return Ok(Err(failure));
        };
        self.client
            .node(record.node, |node| node.offers.forget(self.ask.model()));
        let cause = match corrected {
            Some(_) => "payment.refused",
            None => "offer.remembered",
        };
        let attempt = self.requests;
        self.event(event::Retried {
            cause: word(cause),
            attempt,
            wait_ms: 0,
        });
        *terms = self.record_offer(record, fresh, false);
        let (admitted, _) = match self.admit(record, terms).await {
            Ok(admitted) => admitted,
            Err(failure) => return Ok(Err(failure)),
        };
        let payload = match self.promise(record, &admitted, Some(id)).await {
            Ok(payload) => payload,
            Err(failure) => return Ok(Err(failure)),
        };
        let presented = self.present_voucher(record, enclave, &payload).await;
        Ok(presented.map_err(|(failure, _)| failure))
    }

    /// 8. authorize: signs the voucher and stores it, with its channel and its reservation, before it
    ///    can be sent. Where it is not known what became of a deposit, the chain is asked first.
    async fn promise(
        &mut self,
        record: &NodeRecord,
        admitted: &Admitted,
        again: Option<B256>,
    ) -> Result<PaymentPayload, ErrorKind> {
        let network = &self.client.config.network;
        let amount = admitted.amount().to_decimal(network.decimals);
        let symbol = &network.symbol;
        self.begin(Step::Authorize, &format!("at most {amount} {symbol}"));
        let (purse, node) = (self.purse(), *record.node.as_b256());
        let (rpc, policy) = (Arc::clone(&network.rpc), self.leg.budget.clone());
        let calls = &mut self.leg.record;
        let promised = match purse.promise(admitted, node, calls, &policy, again).await {
            Err(PurseFault::Refused(Refusal::DepositUnknown)) => {
                purse.observe_deposits(&*rpc, admitted.chain_id()).await?;
                purse.promise(admitted, node, calls, &policy, again).await
            }
            done => done,
        };
        let promised = promised?;
        let voucher = Voucher {
            id: promised.id,
            place: promised.place(),
            underway: purse.underway(promised.id),
        };
        if promised.payment.deposit.is_some() {
            // The wallet holds less now.
            self.client.funds.forget();
        }
        let raw = promised.payment.payload.raw().as_bytes().to_vec();
        let authorization = self.attach(EvidenceType::Authorization, raw);
        self.event(promised.signed(authorization));
        if let Some(session) = promised.session() {
            self.event(session);
        }
        self.voucher = Some(voucher);
        self.done();
        Ok(promised.payment.payload)
    }

    /// 9. execute: the same bytes until an answer comes. Says of a failure whether an earlier
    ///    presentation was lost, which the node may have taken.
    async fn present_voucher(
        &mut self,
        record: &NodeRecord,
        enclave: &Enclave,
        payload: &PaymentPayload,
    ) -> Result<Response, (ErrorKind, bool)> {
        self.begin(Step::Execute, &format!("node {}", record.node.short()));
        let payment: HeaderValue =
            payment_header(record, payload).map_err(|failure| (failure, false))?;
        let mut delivered = String::new();
        let mut first = None;
        let mut wait = FIRST_WAIT;
        for left in (0..PRESENTATIONS).rev() {
            let presented = self
                .present(record, enclave, &payment, payload, &mut delivered)
                .await;
            let (failure, asked) = match presented {
                Presented::Answered(response) => {
                    self.record_end(&response);
                    self.done();
                    return Ok(response);
                }
                // After a lost reply a refusal is only an echo of it: the first failure says more.
                Presented::Useless(failure) => {
                    let lost = first.is_some();
                    return Err((first.unwrap_or(failure), lost));
                }
                Presented::Lost { failure, wait, .. } => (failure, wait),
            };
            let cause = word(&failure.code());
            first.get_or_insert(failure);
            if left == 0 {
                break;
            }
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            let attempt = self.requests;
            self.event(event::Retried {
                cause,
                attempt,
                wait_ms: millis(wait),
            });
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        let node = record.node;
        let failure = first.unwrap_or(ErrorKind::Interrupted { node, source: None });
        Err((failure, true))
    }

    /// 11. settle: what the node says it charged. The money moves when it claims, after the call.
    pub(super) fn settle_voucher(&mut self, record: &NodeRecord) -> Result<(), ErrorKind> {
        self.begin(Step::Settle, &format!("node {}", record.node.short()));
        self.leg.replied = Instant::now();
        let reply = self.record_reply();
        if let Some(voucher) = self.voucher.take() {
            let charged = self.charge(&voucher, reply.as_ref());
            voucher.underway.arrived();
            charged?;
        }
        self.done();
        Ok(())
    }

    fn charge(
        &mut self,
        voucher: &Voucher,
        reply: Option<&SettleResponse>,
    ) -> Result<(), ErrorKind> {
        let purse = self.purse();
        let charged = purse.answered(&voucher.id, &mut self.leg.record, reply)?;
        match voucher.place.charged(charged, reply) {
            Some(charged) => {
                self.charge_recorded = true;
                self.event(charged);
            }
            None => {
                let waited_ms = millis(self.leg.replied.elapsed());
                self.event(unanswered(waited_ms));
            }
        }
        Ok(())
    }

    /// The wait for the newest voucher is over.
    fn arrived(&mut self) {
        if let Some(voucher) = self.voucher.take() {
            voucher.underway.arrived();
        }
    }
}

//! A purchase over a payment channel: a voucher instead of an authorization, one request at a time per
//! channel. The channels are those of [`crate::purse`].

use std::sync::Arc;

use seamline_core::receipt::{self as event, EvidenceType, Word};
use seamline_core::{Amount, B256};
use seamline_evm::channel::payer::Refusal;
use seamline_evm::policy::Admitted;
use seamline_evm::x402::{Reason, VERSION};
use tokio::time::Instant;

use super::Answer;
use super::error::ErrorKind;
use super::exchange::SendFault;
use super::run::Buying;
use super::wire::{self, Asked, Presentation};
use crate::client::millis;
use crate::leg::{FIRST_WAIT, MAX_WAIT};
use crate::purse::{Place, Promised, Purse, PurseFault, unanswered};
use crate::step::Step;

/// Times that one voucher is presented: once, and twice again.
const PRESENTATIONS: u32 = 3;

impl Buying<'_> {
    /// Promises, presents and takes in the answer. A seller's correction of its books is answered once.
    pub(super) async fn buy_over_channel(
        &mut self,
        admitted: &Admitted,
    ) -> Result<Answer, ErrorKind> {
        let mut admitted = admitted.clone();
        for last in [false, true] {
            let promised = self.promise(&admitted).await?;
            let (id, place) = (promised.id, promised.place());
            let header = Presentation::new(VERSION, &promised.payment.header());
            let header = header.ok_or(ErrorKind::NoOffer)?;
            let underway = self.purse().underway(id);
            let presented = self.present_voucher(&header).await;
            underway.arrived();
            let (answer, again) = match presented {
                Ok(answered) => answered,
                Err(failure) => {
                    self.purse().lost(&id, &mut self.leg.record)?;
                    self.leg.replied = Instant::now();
                    self.event(unanswered(0));
                    return Err(failure);
                }
            };
            if answer.status != 402 {
                let answer = self.answered(&id, place, answer)?;
                // The money is spent and the answer is gone: what was charged is taken in all the same.
                if answer.status == 409 {
                    return Err(ErrorKind::Status(Box::new(answer)));
                }
                return Ok(answer);
            }
            let asked = wire::asked(&answer.headers, &answer.body).and_then(Result::ok);
            let corrected = self.corrected(&id, asked.as_ref(), again)?;
            let Some(asked) = asked.filter(|_| corrected && !last) else {
                self.event(unanswered(0));
                return Err(self.refused_voucher(&answer));
            };
            let attempt = self.requests;
            self.event(event::Retried {
                cause: Word::new("payment.refused"),
                attempt,
                wait_ms: 0,
            });
            let (again, _) = self.admit(&asked).await?;
            admitted = again;
        }
        Err(ErrorKind::OfferChanged)
    }

    pub(super) fn purse(&self) -> Purse {
        Purse {
            books: Arc::clone(&self.payer.books),
            signer: Arc::clone(&self.payer.signer),
            env: self.payer.env.clone(),
            per_seller: self.payer.options.channels_per_seller,
            recorder: *self.payer.recorder.key().public_key().as_bytes(),
            h_bind: self.h_bind,
        }
    }

    /// Signs the next voucher. Where it is not known what became of a deposit, the chain is asked first.
    async fn promise(&mut self, admitted: &Admitted) -> Result<Promised, ErrorKind> {
        self.begin(Step::Authorize);
        let promised = match self.sign_voucher(admitted).await {
            Err(PurseFault::Refused(Refusal::DepositUnknown)) => {
                let purse = self.purse();
                let rpc = Arc::clone(&self.leg.rpc);
                purse.observe_deposits(&*rpc, admitted.chain_id()).await?;
                self.sign_voucher(admitted).await
            }
            done => done,
        };
        let promised = promised?;
        if promised.payment.deposit.is_some() {
            // The wallet holds less now.
            self.payer.funds.forget();
        }
        let raw = promised.payment.payload.raw().as_bytes().to_vec();
        let authorization = self.attach(EvidenceType::Authorization, raw);
        self.event(promised.signed(authorization));
        if let Some(session) = promised.session() {
            self.event(session);
        }
        self.done();
        Ok(promised)
    }

    async fn sign_voucher(&mut self, admitted: &Admitted) -> Result<Promised, PurseFault> {
        let (purse, node) = (self.purse(), *self.node.as_b256());
        let (record, policy) = (&mut self.leg.record, &self.leg.budget);
        purse.promise(admitted, node, record, policy, None).await
    }

    /// Presents the same bytes until an answer comes. Says with it whether an earlier presentation was
    /// lost, which the seller may have taken.
    async fn present_voucher(
        &mut self,
        payment: &Presentation,
    ) -> Result<(Answer, bool), ErrorKind> {
        self.begin(Step::Execute);
        let mut wait = FIRST_WAIT;
        let mut left = PRESENTATIONS;
        loop {
            left = left.saturating_sub(1);
            self.record_request(true);
            let sent = self.send(Some(payment)).await;
            if let Ok(answer) = &sent {
                self.record_first(answer);
            }
            let (failure, asked) = match sent {
                Ok(answer) => match answer.status {
                    200..=299 | 402 => {
                        return Ok((answer, left.saturating_add(1) < PRESENTATIONS));
                    }
                    409 if wire::is_gone(&answer.headers) => return Ok((answer, false)),
                    300..=399 => return Err(self.redirect(&answer)),
                    409 | 425 | 429 | 500..=599 => {
                        let asked = wire::retry_after(&answer.headers);
                        (ErrorKind::Status(Box::new(answer)), asked)
                    }
                    _ => return Err(ErrorKind::Status(Box::new(answer))),
                },
                Err(SendFault::Left) => return Err(ErrorKind::Stopped),
                Err(SendFault::Net(source)) => {
                    let failure = ErrorKind::Interrupted(Some(source));
                    if self.passed.is_some() {
                        return Err(failure);
                    }
                    (failure, None)
                }
            };
            if left == 0 {
                return Err(failure);
            }
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            let attempt = self.requests;
            self.event(event::Retried {
                cause: Word::new(failure.code()),
                attempt,
                wait_ms: millis(wait),
            });
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    /// Takes in what the seller says it charged. An answer that does not say it leaves the promise open.
    fn answered(&mut self, id: &B256, place: Place, answer: Answer) -> Result<Answer, ErrorKind> {
        if answer.status < 300 {
            self.record_end(&answer);
        }
        self.done();
        self.begin(Step::Settle);
        self.leg.replied = Instant::now();
        self.settle_reply = wire::settle_reply(&answer.headers);
        let reply = self.record_reply();
        let purse = self.purse();
        let charged = purse.answered(id, &mut self.leg.record, reply.as_ref())?;
        match place.charged(charged, reply.as_ref()) {
            Some(charged) => {
                self.charge_recorded = true;
                self.event(charged);
            }
            None => {
                let waited_ms = millis(self.leg.replied.elapsed());
                self.event(unanswered(waited_ms));
            }
        }
        self.done();
        Ok(answer)
    }

    /// Takes in a corrective 402. `false` where it is none that may be believed. `lost` says whether an
    /// earlier presentation of the voucher may have been taken.
    fn corrected(
        &mut self,
        id: &B256,
        asked: Option<&Asked>,
        lost: bool,
    ) -> Result<bool, ErrorKind> {
        let required = asked.map(|asked| &asked.required);
        let purse = self.purse();
        let earlier = purse.corrected(id, &mut self.leg.record, required, lost)?;
        let Some(earlier) = earlier else {
            return Ok(false);
        };
        let key = self.leg.record.purchase.as_ref().map(|it| it.key);
        let mut vain = self.charged_over_channel().is_some();
        for record in &earlier {
            let charged = record.voucher.as_ref().and_then(|it| it.charged);
            vain |= charged.is_some() && record.undelivered() == key;
        }
        if vain && !self.purchase.buy_again {
            return Err(ErrorKind::PaidInVain);
        }
        Ok(true)
    }

    fn refused_voucher(&self, answer: &Answer) -> ErrorKind {
        let asked = wire::asked(&answer.headers, &answer.body).and_then(Result::ok);
        let said = asked.and_then(|asked| asked.required.error);
        let reason = said.map(|said| Reason::from(said.as_str()));
        let known = reason.filter(|reason| !matches!(reason, Reason::Other(_)));
        ErrorKind::PaymentRefused {
            reason: known.unwrap_or_else(|| Reason::from("unknown_reason")),
        }
    }

    /// What was charged over the channel, where it is known.
    pub(super) fn charged_over_channel(&self) -> Option<Amount> {
        let voucher = self.leg.record.voucher.as_ref();
        voucher.and_then(|voucher| voucher.charged)
    }
}

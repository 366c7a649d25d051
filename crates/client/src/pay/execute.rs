//! The paid request, presented again unchanged if the answer is lost; then the settlement.

use core::time::Duration;

use seamline_core::binding;
use seamline_core::receipt::{self as event, EvidenceType, Word};
use seamline_evm::payment::{Event, State};
use seamline_evm::x402::extensions::offer_receipt::{self, Paid};
use seamline_evm::x402::{PaymentPayload, Reason, SettleResponse};
use tokio::time::Instant;

use super::error::ErrorKind;
use super::exchange::SendFault;
use super::offer::worth;
use super::run::Buying;
use super::wire::{self, Presentation};
use super::{Answer, Claim, Signed};
use crate::client::millis;
use crate::leg::{FIRST_WAIT, LegFault, MAX_WAIT, Next, UNPROMISED_WAIT};
use crate::step::Step;

/// How one presentation ended.
enum Presented {
    Answered(Answer),
    /// The answer was lost, or the server asks for patience.
    Lost {
        failure: ErrorKind,
        heard: Event,
        wait: Option<Duration>,
    },
    /// An answer of no use: presenting the same bytes again would bring the same.
    Useless(ErrorKind),
}

impl Buying<'_> {
    /// Presents the authorization until it brings an answer, or until the payment says no more.
    pub(super) async fn execute(&mut self, payment: &Presentation) -> Result<Answer, ErrorKind> {
        self.begin(Step::Execute);
        let mut lost = None;
        let mut wait = FIRST_WAIT;
        loop {
            if self.has_left() {
                return Err(lost.unwrap_or(ErrorKind::Stopped));
            }
            // Nothing leaves without the payment's consent.
            self.leg.tell(Event::Sent)?;
            let (failure, heard, asked) = match self.present(payment).await {
                Presented::Answered(answer) => {
                    self.record_end(&answer);
                    self.done();
                    return Ok(answer);
                }
                // After a lost answer a refusal is only an echo of it: the first failure says more.
                Presented::Useless(failure) => return Err(lost.unwrap_or(failure)),
                Presented::Lost {
                    failure,
                    heard,
                    wait,
                } => (failure, heard, wait),
            };
            wait = asked.unwrap_or(wait).min(MAX_WAIT);
            let cause = Word::new(failure.code());
            lost.get_or_insert(failure);
            self.leg.replied = Instant::now();
            match (self.leg.pay(heard, UNPROMISED_WAIT).await?, lost.take()) {
                (Next::Report, Some(failure)) => return Err(failure),
                (_, kept) => lost = kept,
            }
            let attempt = self.requests;
            self.event(event::Retried {
                cause,
                attempt,
                wait_ms: millis(wait),
            });
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn present(&mut self, payment: &Presentation) -> Presented {
        self.record_request(true);
        let answer = match self.send(Some(payment)).await {
            Ok(answer) => answer,
            Err(SendFault::Left) => return Presented::Useless(ErrorKind::Stopped),
            // Part of it was passed on: an answer that is begun anew does not continue it.
            Err(SendFault::Net(source)) if self.passed.is_some() => {
                return Presented::Useless(ErrorKind::Interrupted(Some(source)));
            }
            Err(SendFault::Net(source)) => {
                let (heard, failure) = if source.may_have_been_sent() {
                    (Event::ReplyLost, ErrorKind::Interrupted(Some(source)))
                } else {
                    (Event::NotSent, ErrorKind::Unreachable(source))
                };
                return Presented::Lost {
                    failure,
                    heard,
                    wait: None,
                };
            }
        };
        let status = answer.status;
        self.record_first(&answer);
        if let Some(reply) = wire::settle_reply(&answer.headers) {
            self.settle_reply = Some(reply);
        }
        match status {
            200..=299 => Presented::Answered(answer),
            // The authorization goes nowhere else.
            300..=399 => Presented::Useless(self.redirect(&answer)),
            // Official servers say 412 where Permit2 may not move enough.
            402 | 412 => Presented::Useless(self.refusal(&answer)),
            409 if wire::is_gone(&answer.headers) => {
                Presented::Useless(ErrorKind::Status(Box::new(answer)))
            }
            // In flight at the server, its settlement pending, or its handler broken: the same bytes,
            // later.
            409 | 425 | 429 | 500..=599 => Presented::Lost {
                wait: wire::retry_after(&answer.headers),
                failure: ErrorKind::Status(Box::new(answer)),
                heard: Event::ReplyLost,
            },
            _ => Presented::Useless(ErrorKind::Status(Box::new(answer))),
        }
    }

    /// Reads a refusal of a paid request: another offer than the one accepted, or a reason. Nothing is
    /// signed for it.
    fn refusal(&mut self, answer: &Answer) -> ErrorKind {
        let reply = self.settle_reply.as_ref();
        let reply = reply.and_then(|json| SettleResponse::parse(json).ok());
        let asked = wire::asked(&answer.headers, &answer.body).and_then(Result::ok);
        let said = reply.and_then(|reply| reply.error_reason).or_else(|| {
            let error = asked.as_ref()?.required.error.as_deref()?;
            Some(Reason::from(error))
        });
        // Text of the server's own choice stays out of errors and logs.
        let known = said.filter(|reason| !matches!(reason, Reason::Other(_)));
        let reason = known.unwrap_or_else(|| Reason::from("unknown_reason"));
        self.refused = Some(reason.clone());
        // Perhaps for want of funds: they are looked at again the next time.
        self.payer.funds.forget();
        let accepted = self.accepted();
        let changed = match (&asked, &accepted) {
            (Some(asked), Some(accepted)) => {
                let mut offers = asked.required.offers.iter();
                let terms = accepted.accepted().terms();
                !offers.any(|offer| offer.terms().mismatch(terms).is_none())
            }
            _ => false,
        };
        if changed {
            ErrorKind::OfferChanged
        } else {
            ErrorKind::PaymentRefused { reason }
        }
    }

    /// The payment as it is in the books.
    fn accepted(&self) -> Option<PaymentPayload> {
        let payment = self.leg.record.payment.as_ref()?;
        PaymentPayload::parse(payment.payload.as_bytes()).ok()
    }

    /// Records the head of an answer that was read whole.
    pub(super) fn record_first(&mut self, answer: &Answer) {
        if self.passed.is_none() {
            self.event(event::ResponseFirst {
                status: u32::from(answer.status),
            });
        }
    }

    /// Records the end of an answer, and ends it for whoever reads it.
    pub(super) fn record_end(&mut self, answer: &Answer) {
        let ended = match &self.passed {
            Some(passed) => event::ResponseEnded {
                bytes: passed.bytes,
                chunks: passed.chunks,
                output_commitment: passed.commitment(),
            },
            None => event::ResponseEnded {
                bytes: u64::try_from(answer.body.len()).unwrap_or(u64::MAX),
                chunks: 1,
                output_commitment: binding::output_commitment(&self.output_salt, &answer.body),
            },
        };
        self.event(ended);
        let whole = self.passed.is_some();
        self.end_answer(whole);
    }

    /// Learns what became of the authorization. What cannot be learned leaves it unknown, with its
    /// amount reserved.
    pub(super) async fn settle(&mut self) -> Result<(), LegFault> {
        self.begin(Step::Settle);
        let reply = self.record_reply();
        let promised = reply.as_ref().is_some_and(|reply| reply.success);
        // What is streamed is settled after its last byte, or after its reader left.
        let patience = if promised || self.outlet.is_some() {
            self.payer.options.settle_wait
        } else {
            UNPROMISED_WAIT
        };
        let heard = self.leg.heard(self.refused.take(), reply);
        if !matches!(heard, Event::Woken) {
            self.leg.replied = Instant::now();
        }
        self.leg.pay(heard, patience).await?;
        let seen = self.leg.seen();
        self.event(seen);
        self.leg.write_down()?;
        self.done();
        Ok(())
    }

    /// Records the server's word about the settlement.
    pub(super) fn record_reply(&mut self) -> Option<SettleResponse> {
        let raw = self.settle_reply.clone()?;
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

    /// What the server's word is worth, held against the chain, and its signature over it.
    pub(super) fn judge(&self) -> (Claim, Signed) {
        let reply = self.settle_reply.as_ref();
        let Some(reply) = reply.and_then(|raw| SettleResponse::parse(raw).ok()) else {
            return (Claim::None, Signed::No);
        };
        let facts = match self.leg.payment.state() {
            State::Settled(facts) => Some(facts),
            State::New
            | State::Signed
            | State::Authorized
            | State::Sent
            | State::Submitted { .. }
            | State::Unknown { .. }
            | State::NotSettled(_)
            | State::Abandoned => None,
        };
        let claim = match facts {
            None => Claim::Unconfirmed,
            Some(facts) => {
                let named = reply.transaction_hash();
                let amount = reply.settled_amount();
                let same = reply.success
                    && named == Some(facts.transaction)
                    && amount.is_none_or(|amount| amount == facts.amount);
                if same {
                    Claim::Confirmed
                } else {
                    Claim::Contradicted
                }
            }
        };
        let Some(sold) = &self.sold else {
            return (claim, Signed::No);
        };
        let paid = Paid {
            network: &sold.network,
            resource_url: &sold.resource_url,
            payer: self.payer.signer.address(),
            transaction: facts.map(|facts| facts.transaction),
        };
        let extensions = reply.extensions.as_ref();
        let now = self.now();
        let found = offer_receipt::verify_receipt(extensions, &paid, sold.pay_to, &[], now);
        (claim, worth(&found))
    }
}

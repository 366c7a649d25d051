//! The end of a purchase: its receipt, whatever the outcome.

use std::path::PathBuf;

use bytes::Bytes;
use seamline_core::receipt::{self as event, Outcome, Sealed, Word};
use seamline_core::{Amount, Charged};

use super::error::{Error, ErrorKind};
use super::run::Buying;
use super::{Answer, Purchased};
use crate::sealing;
use crate::step::Step;

impl Buying<'_> {
    pub(super) fn seal(mut self, outcome: Result<Answer, ErrorKind>) -> Result<Purchased, Error> {
        let failed_at = self.step;
        self.begin(Step::Seal);
        let kind = match &outcome {
            Ok(_) => Outcome::Answered,
            Err(ErrorKind::Stopped) => Outcome::Abandoned,
            Err(_) if self.requests == 0 => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        let charged = match &outcome {
            // What was charged is the attempt before: for the purchase it is the same.
            Err(ErrorKind::PaidInVain) => Charged::Yes,
            Ok(_) | Err(_) => self.charged(),
        };
        // What a correction said about a lost answer is in the books; the receipt has no word of it.
        let voucher = self.leg.record.voucher.is_some();
        let said = if voucher && !self.charge_recorded {
            Charged::Unknown
        } else {
            self.charged()
        };
        let error_code = outcome
            .as_ref()
            .err()
            .map(|failure| Word::new(failure.code()));
        self.event(event::Closed {
            outcome: kind,
            error_code,
            charged: said,
        });
        if outcome.is_err() {
            failed_at.as_str().clone_into(&mut self.leg.record.step);
        }
        let seq = self.leg.record.seq;
        let (authorized, settled) = self.amounts();
        let failed = |kind, step, path| {
            let error = Error::new(kind, step, charged).of_call(seq, path);
            error.of_payment(authorized, settled)
        };
        match (outcome, self.write(kind)) {
            (Ok(answer), Ok((sealed, path))) => {
                let mut purchased = self.purchased(answer);
                purchased.receipt = Some(Bytes::from(sealed.bytes()));
                purchased.receipt_path = Some(path);
                Ok(purchased)
            }
            (Ok(_), Err(failure)) => Err(failed(failure, Step::Seal, None)),
            (Err(failure), Ok((_, path))) => Err(failed(failure, failed_at, Some(path))),
            // The first failure is the one that matters; the journal still holds the open call.
            (Err(failure), Err(_)) => Err(failed(failure, failed_at, None)),
        }
    }

    fn write(&mut self, outcome: Outcome) -> Result<(Sealed, PathBuf), ErrorKind> {
        let not_open = || ErrorKind::Seal(event::Error::NotClosed);
        let recorder = self.recorder.take().ok_or_else(not_open)?;
        let id = self.id.ok_or_else(not_open)?;
        let payer = self.payer;
        let now_ms = self.now().as_millis();
        let sealed = sealing::seal(
            &payer.books,
            payer.recorder.key(),
            &payer.receipts,
            id,
            recorder,
            &mut self.leg.record,
            outcome,
            now_ms,
        )?;
        self.done();
        Ok(sealed)
    }

    /// Whether money moved. An authorization that nobody was given moved nothing.
    pub(super) fn charged(&self) -> Charged {
        match &self.leg.record.voucher {
            Some(_) => self.leg.record.charged(),
            None => self.leg.payment.charged(),
        }
    }

    /// Most that can be settled, and what was.
    fn amounts(&self) -> (Option<Amount>, Option<Amount>) {
        match &self.leg.record.payment {
            Some(payment) => (Some(payment.amount()), payment.settled()),
            None => (
                self.leg.record.voucher.as_ref().map(|it| it.amount),
                self.charged_over_channel(),
            ),
        }
    }

    pub(super) fn purchased(&self, answer: Answer) -> Purchased {
        let payment = self.leg.record.payment.as_ref();
        let (claim, signed_receipt) = self.judge();
        let (authorized, settled) = self.amounts();
        Purchased {
            answer,
            seq: self.leg.record.seq,
            charged: self.charged(),
            authorized,
            settled,
            payment_state: match (payment, &self.leg.record.voucher) {
                (Some(payment), _) => payment.state.as_str(),
                (None, Some(voucher)) => voucher.state.as_str(),
                (None, None) => "none",
            },
            transaction: payment.and_then(|payment| payment.transaction),
            channel: self.purse().used(&self.leg.record),
            claim,
            signed_offer: self.signed_offer,
            signed_receipt,
            repeated: self.repeated,
            passed: self.passed.as_ref().map(|passed| passed.bytes),
            receipt: None,
            receipt_path: None,
        }
    }
}

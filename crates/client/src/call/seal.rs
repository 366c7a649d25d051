//! 12. seal: the receipt is signed, written and closed in the log, whatever the outcome.

use std::path::PathBuf;

use bytes::Bytes;
use seamline_core::Charged;
use seamline_core::receipt::{self as event, Outcome, Sealed};

use super::{Answer, Call, word};
use crate::client::Reply;
use crate::error::{Error, ErrorKind};
use crate::sealing;
use crate::step::Step;

impl Call<'_> {
    pub(super) fn seal(mut self, outcome: Result<Answer, ErrorKind>) -> Result<Reply, Error> {
        let failed_at = self.step;
        self.begin(Step::Seal, "");
        let kind = match &outcome {
            Ok(_) => Outcome::Answered,
            Err(_) if self.requests == 0 => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        let error_code = outcome.as_ref().err().map(|failure| word(&failure.code()));
        let charged = self.charged();
        // What a correction said about a lost reply is in the books; the receipt has no word of it.
        let voucher = self.leg.record.voucher.is_some();
        let said = match charged {
            Charged::Yes if voucher && !self.charge_recorded => Charged::Unknown,
            Charged::Yes | Charged::No | Charged::Unknown => charged,
        };
        self.event(event::Closed {
            outcome: kind,
            error_code,
            charged: said,
        });
        if outcome.is_err() {
            // The books name the step that failed, not this one, which every call reaches.
            failed_at.as_str().clone_into(&mut self.leg.record.step);
        }
        let written = self.write(kind);
        match (outcome, written) {
            (Ok(answer), Ok((sealed, path))) => Ok(self.reply(answer, &sealed, path)),
            (Ok(_), Err(failure)) => Err(Error::new(failure, Step::Seal, charged, None)),
            (Err(failure), Ok((_, path))) => {
                Err(Error::new(failure, failed_at, charged, Some(path)))
            }
            // The first failure is the one that matters; the journal still holds the open call.
            (Err(failure), Err(_)) => Err(Error::new(failure, failed_at, charged, None)),
        }
    }

    /// Whether money moved; over a channel, whether the node says that it charged.
    fn charged(&self) -> Charged {
        match &self.leg.record.voucher {
            Some(_) => self.leg.record.charged(),
            None => self.leg.payment.charged(),
        }
    }

    fn write(&mut self, outcome: Outcome) -> Result<(Sealed, PathBuf), ErrorKind> {
        let client = self.client;
        let recorder = self
            .recorder
            .take()
            .ok_or(ErrorKind::Seal(event::Error::NotClosed))?;
        let now_ms = self.now().as_millis();
        let sealed = sealing::seal(
            &client.books,
            &client.config.recorder,
            &client.config.home.receipts,
            self.id,
            recorder,
            &mut self.leg.record,
            outcome,
            now_ms,
        )?;
        self.done();
        Ok(sealed)
    }

    fn reply(&self, answer: Answer, sealed: &Sealed, receipt_path: PathBuf) -> Reply {
        let receipt = Bytes::from(sealed.bytes());
        let verdict = seamline_verify::verify(&receipt, &self.client.config.trust, self.now());
        let payment = self.leg.record.payment.as_ref();
        let voucher = self.leg.record.voucher.as_ref();
        Reply {
            text: answer.text,
            tool_calls: answer.tool_calls,
            model: self.ask.model().clone(),
            node: answer.node,
            endpoint: answer.endpoint,
            authorized: payment
                .map(|payment| payment.amount())
                .or_else(|| voucher.map(|voucher| voucher.amount))
                .unwrap_or_default(),
            settled: payment.and_then(|payment| payment.settled),
            payment_state: match (payment, voucher) {
                (Some(payment), _) => payment.state.as_str(),
                (None, Some(voucher)) => voucher.state.as_str(),
                (None, None) => "none",
            },
            charged: self.charged(),
            channel: self.purse().used(&self.leg.record),
            receipt,
            receipt_path,
            verdict,
        }
    }
}

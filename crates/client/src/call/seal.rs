//! 12. seal: the receipt is signed, written and closed in the log, whatever the outcome.

use std::path::PathBuf;

use bytes::Bytes;
use seamline_core::receipt::{self as event, Outcome, Sealed};

use super::{Answer, Call, word};
use crate::client::{Reply, lock};
use crate::error::{Error, ErrorKind};
use crate::journal::CallState;
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
        let charged = self.leg.payment.charged();
        self.event(event::Closed {
            outcome: kind,
            error_code,
            charged,
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

    /// Signs the receipt, writes its file, then closes the call in the log: a crash in between leaves
    /// an open call and a receipt that nobody claims, never a closed call without its receipt.
    fn write(&mut self, outcome: Outcome) -> Result<(Sealed, PathBuf), ErrorKind> {
        let client = self.client;
        let _in_turn = lock(&client.books.sealing);
        let recorder = self
            .recorder
            .take()
            .ok_or(ErrorKind::Seal(event::Error::NotClosed))?;
        let sealed = recorder
            .seal(client.books.journal.last_receipt(), &client.config.recorder)
            .map_err(ErrorKind::Seal)?;
        let path = client
            .config
            .home
            .receipts
            .join(format!("{}.seam", self.id));
        write_whole(&path, &sealed.bytes()).map_err(|source| ErrorKind::Write {
            path: path.clone(),
            source,
        })?;
        self.leg.record.receipt = Some(sealed.receipt_hash);
        self.leg.record.state = if outcome == Outcome::Answered {
            CallState::Answered
        } else {
            CallState::Failed
        };
        client
            .books
            .journal
            .close_call(
                &self.leg.record,
                self.now().as_millis(),
                sealed.receipt_hash,
                outcome,
            )
            .map_err(ErrorKind::Journal)?;
        self.done();
        Ok((sealed, path))
    }

    fn reply(&self, answer: Answer, sealed: &Sealed, receipt_path: PathBuf) -> Reply {
        let receipt = Bytes::from(sealed.bytes());
        let verdict = seamline_verify::verify(&receipt, &self.client.config.trust, self.now());
        let payment = self.leg.record.payment.as_ref();
        Reply {
            text: answer.text,
            model: self.chat.model.clone(),
            node: answer.node,
            endpoint: answer.endpoint,
            authorized: payment.map(|payment| payment.amount()).unwrap_or_default(),
            settled: payment.and_then(|payment| payment.settled),
            payment_state: payment.map_or("none", |payment| payment.state.as_str()),
            charged: self.leg.payment.charged(),
            receipt,
            receipt_path,
            verdict,
        }
    }
}

/// Writes a file for its owner only, whole or not at all.
fn write_whole(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let partial = path.with_extension("partial");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    // The name as well must be on disk before the log says that the call is closed.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

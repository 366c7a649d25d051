//! How much a payer may owe before more is done for it.

use std::sync::Arc;

use core::time::Duration;
use http::StatusCode;
use seamline_core::Amount;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::flow::Refusal;
use super::ledger::{Affords, Exposure, Limits, Reservation};
use super::purchase::Purchase;
use super::{Paywall, PaywallConfig};
use crate::problem::Problem;

/// The turn of one who waited: it goes on to the next when it is over, whatever became of it.
pub(super) struct Turn(Option<Arc<Notify>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(next) = &self.0 {
            next.notify_one();
        }
    }
}

impl PaywallConfig {
    pub(super) const fn limits(&self) -> Limits {
        Limits {
            unsettled: self.max_unsettled,
            earned: self.max_earned,
            refused: self.max_refused,
        }
    }
}

impl Purchase {
    /// What it costs us to work for this payment where it is never settled; nothing where it is
    /// settled first, or where a scheme of ours holds the money.
    pub(super) fn exposure(&self) -> Option<Exposure> {
        if self.upfront || self.local.is_some() {
            return None;
        }
        let terms = self.offer.terms();
        // A session is worked for until its cap.
        let max = if self.session {
            self.promise.max
        } else {
            self.max()
        };
        let sure = if terms.scheme == "exact" {
            max
        } else {
            Amount::ZERO
        };
        // Of an asset that is no address the facilitator settles nothing: one token of its own.
        let asset = terms.asset_address().unwrap_or_default();
        Some(Exposure { asset, max, sure })
    }
}

impl Paywall {
    /// Waits until the payer of `purchase` may owe what it promises, at most until `until`.
    pub(super) async fn afford(
        &self,
        purchase: &Purchase,
        reservation: &Reservation,
        until: Instant,
    ) -> Result<Turn, Refusal> {
        let Some(exposure) = purchase.exposure() else {
            return Ok(Turn(None));
        };
        let limits = self.0.config.limits();
        let mut turn = Turn(None);
        loop {
            let news = match reservation.affords(&exposure, limits) {
                Affords::Yes => return Ok(turn),
                Affords::No => return Err(Refusal::Problem(distrusted())),
                Affords::Later(news) => news,
            };
            // It is not this one's turn after all: who comes next would find the same.
            turn.0 = None;
            let mut heard = core::pin::pin!(news.notified());
            // What changed since the question was asked is not missed.
            heard.as_mut().enable();
            turn.0 = Some(Arc::clone(&news));
            if matches!(reservation.affords(&exposure, limits), Affords::Later(_))
                && timeout_at(until, heard).await.is_err()
            {
                turn.0 = None;
                return Err(Refusal::Problem(crowded()));
            }
        }
    }
}

pub(super) fn crowded() -> Problem {
    let text = "too many answers to this payer are not settled yet, try again soon";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let problem = Problem::new(status, "payer_owes", text);
    problem.not_charged("caller", Duration::from_secs(1))
}

fn distrusted() -> Problem {
    let text = "too many settlements of this payer were refused, try again later";
    let status = StatusCode::TOO_MANY_REQUESTS;
    let problem = Problem::new(status, "payer_refused", text);
    problem.not_charged("caller", AFTER_REFUSALS)
}

/// When a payer whose settlements were refused is told to come again: they are forgotten within
/// twenty minutes.
const AFTER_REFUSALS: Duration = Duration::from_secs(60);

use std::sync::Arc;

use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::{Reason, SettleResponse};
use serde_json::json;

use super::Open;
use crate::paywall::Paywall;
use crate::paywall::local::{Held, LocalFuture};
use crate::session::{NoPlace, Place};

/// What a session has set aside for one request. Dropping it sets it free.
pub(super) struct SessionHold {
    paywall: Paywall,
    open: Arc<Open>,
    place: Place,
    ended: bool,
}

impl SessionHold {
    /// Sets `max` aside.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] where the session takes no request now.
    pub(super) fn begin(
        paywall: &Paywall,
        open: &Arc<Open>,
        max: Amount,
        now: Timestamp,
    ) -> Result<Self, NoPlace> {
        let rules = paywall.0.config.sessions.ok_or(NoPlace::Over)?;
        let place = open.lock().begin(max, now, &rules)?;
        Ok(Self {
            paywall: paywall.clone(),
            open: Arc::clone(open),
            place,
            ended: false,
        })
    }

    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// What is said of the charge: nothing has moved yet, so that there is no transaction.
    fn statement(&self, charged: Amount, reason: Option<Reason>) -> SettleResponse {
        let Place {
            number,
            spent_before,
        } = self.place;
        let session = json!({
            "place": number,
            "spentBefore": spent_before.to_string(),
            "cap": self.open.cap.to_string(),
        });
        let network = &self.open.offer.terms().network;
        let payer = self.open.payer;
        let said = match reason {
            None => SettleResponse::settled(network, payer, None, charged),
            Some(reason) => SettleResponse::failed(network, Some(payer), reason, None),
        };
        SettleResponse {
            extra: Some(json!({ "session": session })),
            ..said
        }
    }
}

impl Held for SessionHold {
    fn note(&mut self, so_far: Amount) -> LocalFuture<'_, bool> {
        self.open.lock().note(self.place.number, so_far);
        Box::pin(self.open.write(&self.paywall.0))
    }

    fn renew(&mut self) -> LocalFuture<'_, bool> {
        Box::pin(self.open.is_ours())
    }

    fn commit(mut self: Box<Self>, actual: Amount) -> LocalFuture<'static, SettleResponse> {
        Box::pin(async move {
            let now = (self.paywall.0.config.clock)();
            let charged = self.open.lock().charge(self.place.number, actual, now);
            self.ended = true;
            let ours = self.open.write(&self.paywall.0).await;
            // It may have been the last one that a session waited for.
            self.paywall.settle_if_over(&self.open);
            let reason = (!ours).then_some(Reason::SettlementPending);
            self.statement(charged, reason)
        })
    }
}

impl Drop for SessionHold {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let now = (self.paywall.0.config.clock)();
        self.open.lock().release(self.place.number, now);
        self.paywall.settle_if_over(&self.open);
    }
}

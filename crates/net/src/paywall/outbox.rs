//! Settling later what was delivered before.

use core::time::Duration;
use std::sync::{Arc, Weak};

use seamline_core::Timestamp;
use tokio::time::sleep;

use super::keeper::{Keeper, Reopened};
use super::ledger::{Outcome, Presentation, Resumed};
use super::settle::{Settled, report};
use super::store::{Duty, StoreError};
use super::{Inner, Paywall};

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long after a deadline the outcome is still asked for: a transaction that was sent in time may
/// be mined later.
const AFTER: Duration = Duration::from_secs(60);

impl Paywall {
    /// Takes up what an earlier process left: settles in the background what was delivered and not
    /// settled, and frees what was only begun. Returns how many debts there were.
    ///
    /// Call it once before serving. Where replicas share a store, the paywall itself looks again
    /// every minute in which a request comes for what a replica that died has left.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; nothing was changed then that the next call would not find again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let now = (self.0.config.clock)();
        let lease = (!self.0.config.store.is_exclusive()).then_some(now);
        self.take_over(lease).await
    }

    async fn take_over(&self, lease: Option<Timestamp>) -> Result<usize, StoreError> {
        let inner = &self.0;
        let store = &inner.config.store;
        let now = (inner.config.clock)();
        let mut debts = 0_usize;
        for record in store.abandoned(lease).await? {
            // Another shop's facilitator settles what it is owed.
            if !record.is_of(inner.config.scope) {
                continue;
            }
            match &record.duty {
                // Nothing was delivered for it.
                Duty::Held => {
                    store.remove(record.key, record.version).await?;
                }
                // Its payer gets nothing for it without asking again.
                Duty::Owed(debt) if debt.upfront => {
                    if let Some(mut keeper) = Keeper::take(store, record, now).await? {
                        keeper.leave(now).await?;
                    }
                }
                Duty::Owed(_) => {
                    if let Some(keeper) = Keeper::take(store, record, now).await? {
                        debts = debts.saturating_add(1);
                        let inner = Arc::downgrade(inner);
                        self.0.background.spawn(settle(inner, keeper));
                    }
                }
                Duty::Ended { .. } | Duty::Named => {}
            }
        }
        Ok(debts)
    }

    /// Once a minute: forgets what expired, and looks after what other replicas left.
    pub(super) fn housekeep(&self, now: Timestamp) {
        if !self.0.housekeeping.is_due(now) {
            return;
        }
        let inner = Arc::downgrade(&self.0);
        self.0.background.spawn(async move {
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let paywall = Self(inner);
            let store = &paywall.0.config.store;
            let swept = store.sweep(now).await;
            let looked = if store.is_exclusive() {
                Ok(0)
            } else {
                paywall.take_over(Some(now)).await
            };
            for failed in [swept.err(), looked.err()].into_iter().flatten() {
                report(&failed);
            }
        });
    }
}

/// Retries the settlement of an authorization of this process until it is known.
pub(super) fn retry(paywall: &Paywall, presentation: Presentation) {
    let inner = Arc::downgrade(&paywall.0);
    let pause = paywall.0.config.retry_pause;
    paywall.0.background.spawn(async move {
        let mut pause = pause;
        loop {
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let paywall = Paywall(inner);
            if !paywall.resume(presentation).await || paywall.0.is_over(presentation.deadline) {
                return;
            }
        }
    });
}

impl Paywall {
    /// Tries once; returns whether it is still open.
    async fn resume(&self, presentation: Presentation) -> bool {
        let inner = &self.0;
        let (reservation, answer, amount) = match inner.ledger.resume(presentation) {
            Resumed::Open(reservation, answer, amount) => {
                (reservation, answer.map(|answer| *answer), amount)
            }
            Resumed::Busy => return true,
            Resumed::Gone => return false,
        };
        let mut keeper = match Keeper::reopen(&inner.config.store, &presentation).await {
            Ok(Reopened::Ours(keeper)) => Some(keeper),
            Ok(Reopened::Gone) => None,
            // What is settled now is not ours, and neither is its answer.
            Ok(Reopened::Lost) => return false,
            Err(error) => {
                report(&error);
                None
            }
        };
        let debt = keeper.as_ref().and_then(Keeper::debt).cloned();
        let settled = match debt {
            Some(debt) => Some(inner.settle(&mut keeper, debt, presentation.payer).await),
            // Another replica ended it, or the store is gone: then its payer can present it.
            None => keeper
                .as_ref()
                .and_then(Keeper::ended)
                .cloned()
                .map(Settled::of),
        };
        let unpaid = settled.as_ref().is_some_and(Settled::is_unpaid);
        let open = matches!(settled, Some(Settled::Unknown(_) | Settled::Owing(_)));
        let refused = settled.as_ref().is_some_and(Settled::is_refused_now);
        let outcome = match (settled, answer) {
            (Some(Settled::Paid(settled)), Some(answer)) => Outcome::Answered(answer, settled),
            (Some(Settled::Paid(settled)), None) => Outcome::Spent(settled),
            (Some(Settled::Refused(settled)), _) => Outcome::Unpaid(settled),
            (Some(Settled::Unknown(_) | Settled::Owing(_)) | None, answer) => {
                Outcome::Unsettled(answer, amount)
            }
        };
        reservation.leave(outcome, refused, (inner.config.clock)());
        if unpaid {
            self.close_sessions_of(presentation.payer);
        }
        open
    }
}

impl Inner {
    fn is_over(&self, deadline: Timestamp) -> bool {
        let over = (self.config.clock)() > deadline.saturating_add(AFTER);
        if over {
            tracing::error!("a settlement was not known before its authorization expired");
        }
        over
    }
}

/// Settles a debt that another process left.
async fn settle(inner: Weak<Inner>, keeper: Keeper) {
    let deadline = keeper.deadline();
    let payer = keeper.payer();
    let mut keeper = Some(keeper);
    let mut pause = None;
    loop {
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let Some(debt) = keeper.as_ref().and_then(Keeper::debt).cloned() else {
            return;
        };
        let settled = inner.settle(&mut keeper, debt, payer).await;
        if settled.is_unpaid() {
            Paywall(Arc::clone(&inner)).close_sessions_of(payer);
        }
        match settled {
            Settled::Paid(_) | Settled::Refused(_) => return,
            Settled::Unknown(_) | Settled::Owing(_) if inner.is_over(deadline) => return,
            Settled::Unknown(_) | Settled::Owing(_) => {}
        }
        let now = (inner.config.clock)();
        let ours = match &mut keeper {
            Some(keeper) => keeper.renew(now).await,
            None => Ok(false),
        };
        if !ours.is_ok_and(|ours| ours) {
            return;
        }
        let next = pause.unwrap_or(inner.config.retry_pause);
        pause = Some(next.saturating_mul(2).min(LONGEST_PAUSE));
        drop(inner);
        sleep(next).await;
    }
}

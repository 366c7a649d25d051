//! Whether a payment is good: checked, held in the store, and settled where that comes first.

use core::time::Duration;

use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::{FacilitatorRequest, Reason};

use super::Paywall;
use super::answer;
use super::flow::{Refusal, panicked};
use super::job::Purse;
use super::keeper::Keeper;
use super::ledger::{Claim, Reservation};
use super::local::{Held, Verdict};
use super::purchase::Purchase;
use super::sale::{Sale, no_facilitator, unavailable};
use super::settle::Settled;
use super::store::Debt;

impl Paywall {
    /// Checks a payment and holds what it promises.
    pub(super) async fn judge(
        &self,
        purchase: &Purchase,
        sale: &Sale,
        reservation: &Reservation,
        begun: Option<Keeper>,
        now: Timestamp,
    ) -> Result<Purse, Refusal> {
        // What was settled in advance, by this process or an earlier one, is not checked again.
        let mut begun = match begun {
            Some(keeper) if keeper.prepaid().is_some() || keeper.debt().is_some() => {
                return self.prepay(purchase, reservation, keeper).await;
            }
            begun => begun,
        };
        let judged = self
            .verify(purchase, sale, reservation, &mut begun, now)
            .await;
        match (judged, begun) {
            (Ok(Judged::Held(held)), _) => Ok(Purse::Local(held)),
            (Ok(Judged::Keeper(keeper)), _) if purchase.upfront => {
                self.prepay(purchase, reservation, keeper).await
            }
            (Ok(Judged::Keeper(keeper)), _) => {
                Ok(Purse::of(Some(keeper), purchase.debt(Amount::ZERO)))
            }
            (Err(refusal), Some(keeper)) => {
                keeper.release().await?;
                Err(refusal)
            }
            (Err(refusal), None) => Err(refusal),
        }
    }

    async fn verify(
        &self,
        purchase: &Purchase,
        sale: &Sale,
        reservation: &Reservation,
        begun: &mut Option<Keeper>,
        now: Timestamp,
    ) -> Result<Judged, Refusal> {
        let promise = &purchase.promise;
        if promise.deadline <= (self.0.config.clock)().saturating_add(SETTLE_TIME) {
            return Err(sale.refuse(promise.expired.as_str()));
        }
        if let Some(local) = &purchase.local {
            let (payload, offer) = (&purchase.payload, &purchase.offer);
            return match local.reserve(payload, offer, now).await {
                Verdict::Held(held) => match reservation.claim(None) {
                    Claim::Ours => Ok(Judged::Held(held)),
                    Claim::Conflict | Claim::Owing => Err(purchase.refuse_conflict(sale)),
                },
                Verdict::Done(settled) => Err(Refusal::answer(answer::done(&settled))),
                Verdict::Declined {
                    reason: Reason::UnexpectedVerifyError,
                    ..
                } => Err(Refusal::Problem(unavailable())),
                Verdict::Declined { reason, extra } => Err(sale.correct(offer, &reason, extra)),
                Verdict::Failed(problem) => Err(Refusal::Problem(problem)),
            };
        }
        let store = &self.0.config.store;
        if let Some(name) = purchase.name
            && let Some(taken) = store.get(name).await?
            && taken.authorization != purchase.authorization
            && !taken.is_expired(now)
        {
            return Err(Refusal::answer(answer::conflict()));
        }
        self.ask_facilitator(purchase, sale).await?;
        let limits = self.0.config.limits();
        let credit = purchase.exposure().map(|exposure| (exposure, limits));
        match reservation.claim(credit) {
            Claim::Ours => {}
            Claim::Conflict => return Err(purchase.refuse_conflict(sale)),
            Claim::Owing => return Err(Refusal::Owing),
        }
        let keeper = match begun.take() {
            Some(keeper) => Some(keeper),
            None => {
                let scope = self.0.config.scope;
                Keeper::hold(store, &purchase.presentation(), scope, now).await?
            }
        };
        // Another replica was faster.
        let mut keeper = keeper.ok_or_else(|| Refusal::answer(answer::in_flight()))?;
        if let Some(name) = purchase.name
            && !keeper.claim_name(name).await?
        {
            keeper.release().await?;
            return Err(Refusal::answer(answer::conflict()));
        }
        Ok(Judged::Keeper(keeper))
    }

    async fn ask_facilitator(&self, purchase: &Purchase, sale: &Sale) -> Result<(), Refusal> {
        let request = FacilitatorRequest {
            payment_payload: purchase.payload.clone(),
            payment_requirements: purchase.offer.clone(),
        };
        let verdict = self.0.facilitator.verify(&request).await;
        let verdict = verdict.map_err(|error| Refusal::Problem(no_facilitator(&error)))?;
        let payer = purchase.promise.payer.to_string();
        let other_payer = verdict
            .payer
            .is_some_and(|said| !said.eq_ignore_ascii_case(&payer));
        match verdict.invalid_reason {
            None if verdict.is_valid && !other_payer => Ok(()),
            // It could not ask its chain: what was not checked is neither good nor bad.
            Some(Reason::UnexpectedVerifyError) => Err(Refusal::Problem(unavailable())),
            None => Err(sale.refuse(Reason::UnexpectedVerifyError.as_str())),
            Some(reason) => Err(sale.refuse(reason.as_str())),
        }
    }

    /// Settles before the handler runs; or finds that it was settled.
    async fn prepay(
        &self,
        purchase: &Purchase,
        reservation: &Reservation,
        keeper: Keeper,
    ) -> Result<Purse, Refusal> {
        let v1 = purchase.manner.v1;
        // What is settled is verified: this authorization owns its nonce.
        let _ = reservation.claim(None);
        if let Some(settled) = keeper.prepaid().cloned() {
            let settled = Box::new(settled);
            let keeper = Some(keeper);
            return Ok(Purse::Prepaid { keeper, settled });
        }
        let debt = Debt {
            upfront: true,
            ..purchase.debt(purchase.max())
        };
        let (paywall, payer) = (self.clone(), purchase.promise.payer);
        let url = purchase.manner.url.clone();
        // To its end, although the client may leave.
        let settling = self.0.tasks.spawn(async move {
            let mut keeper = Some(keeper);
            let settled = paywall.0.settle(&mut keeper, debt, payer).await;
            (paywall.0.with_receipt(settled, &url).await, keeper)
        });
        let (settled, keeper) = settling.await.map_err(|_| panicked())?;
        match settled {
            Settled::Paid(settled) => {
                let settled = Box::new(settled);
                Ok(Purse::Prepaid { keeper, settled })
            }
            Settled::Refused(settled) => {
                // Nobody was served: the payer may put the money there and come again.
                if let Some(keeper) = keeper {
                    keeper.release().await?;
                }
                Err(Refusal::answer(answer::withheld(&settled, v1)))
            }
            Settled::Unknown(settled) | Settled::Owing(settled) => {
                Err(Refusal::answer(answer::uncertain(&settled, v1)))
            }
        }
    }
}

/// A payment that was found good.
enum Judged {
    Keeper(Keeper),
    Held(Box<dyn Held>),
}

/// What is kept of an authorization's life for its settlement: facilitators refuse one that expires
/// within six seconds, and the rest is for asking them. Without it a payer could sign for seven
/// seconds, read a stream for a minute, and owe nothing.
pub(super) const SETTLE_TIME: Duration = Duration::from_secs(10);

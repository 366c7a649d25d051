use core::time::Duration;

use seamline_core::{Address, Amount};
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::keeper::Keeper;
use super::store::Debt;
use crate::facilitator::{FacilitatorApi, FacilitatorError};

/// How a settlement ended, as far as this process knows.
pub(super) enum Settled {
    /// Money moved, or none was due.
    Paid(SettleResponse),
    /// It did not happen and will not.
    Refused(SettleResponse),
    /// It may have happened or may still happen.
    Unknown(SettleResponse),
    /// It did not happen now; what it is for was delivered, so that it is asked for again.
    Owing(SettleResponse),
}

/// Pause between two questions about the same settlement; our facilitator itself waits for the
/// transaction before it answers.
const PAUSE: Duration = Duration::from_millis(250);

impl Settled {
    pub(super) const fn response(&self) -> &SettleResponse {
        match self {
            Self::Paid(response)
            | Self::Refused(response)
            | Self::Unknown(response)
            | Self::Owing(response) => response,
        }
    }

    /// Whether the payer is to blame for now.
    pub(super) const fn is_refused_now(&self) -> bool {
        matches!(self, Self::Owing(_))
    }

    /// Whether it is refused for a reason that can pass.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Refused(response) if passes(response))
    }

    /// Whether its payer's sessions end with it: what it does not pay now it may not pay later.
    pub(super) const fn is_unpaid(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Owing(_))
    }

    /// Reads what a scheme that settles by itself says.
    pub(super) fn of(response: SettleResponse) -> Self {
        match &response.error_reason {
            _ if response.success => Self::Paid(response),
            Some(Reason::SettlementPending) => Self::Unknown(response),
            Some(_) | None => Self::Refused(response),
        }
    }
}

impl Inner {
    /// Settles a debt: written down first, asked for, its end written down.
    ///
    /// Without a keeper (its record is gone) the settlement is asked for all the same: the chain
    /// spends the authorization once.
    pub(super) async fn settle(
        &self,
        keeper: &mut Option<Keeper>,
        debt: Debt,
        payer: Address,
    ) -> Settled {
        let request = FacilitatorRequest {
            payment_payload: debt.payload.clone(),
            payment_requirements: requirement(&debt),
        };
        let (amount, upfront) = (debt.amount, debt.upfront);
        // What has left has left, whoever settles it.
        let was_delivered = |keeper: &Keeper| keeper.debt().is_some_and(|debt| debt.delivered);
        let delivered = debt.delivered || keeper.as_ref().is_some_and(was_delivered);
        let debt = Debt { delivered, ..debt };
        if let Some(keeper) = keeper {
            match keeper.owe(debt, (self.config.clock)()).await {
                Ok(true) => {}
                // Another process thought that we are gone, and settles: nothing may leave here.
                Ok(false) => return Settled::Unknown(pending(&request, payer)),
                Err(error) => report(&error),
            }
        }
        let api = self.facilitator.as_ref();
        let asked = ask(api, &request, payer, amount, self.config.settle_wait).await;
        let settled = if delivered && !upfront && asked.is_passing() {
            Settled::Owing(still_owed(asked.response().clone()))
        } else {
            asked
        };
        say(&settled);
        if let Some(keeper) = keeper {
            let now = (self.config.clock)();
            let written = match &settled {
                Settled::Paid(response) => keeper.end(response.clone(), !upfront, now).await,
                Settled::Refused(response) => keeper.end(response.clone(), true, now).await,
                Settled::Unknown(_) | Settled::Owing(_) => keeper.leave(now).await,
            };
            match written {
                Ok(true) => {}
                // Another process took the settlement up, and serves what it is for.
                Ok(false) if upfront && matches!(settled, Settled::Paid(_)) => {
                    return Settled::Unknown(pending(&request, payer));
                }
                Ok(false) => {}
                Err(error) => report(&error),
            }
        }
        settled
    }
}

/// Whether what refuses a settlement can be another way before its authorization ends: a balance, an
/// allowance, or what an endpoint saw of them.
fn passes(refused: &SettleResponse) -> bool {
    let Some(reason) = &refused.error_reason else {
        return false;
    };
    let passing = [
        Reason::Permit2InsufficientBalance,
        Reason::Permit2AllowanceRequired,
        Reason::InvalidExactEvmInsufficientBalance,
        Reason::InsufficientFunds,
        Reason::BalanceCheckFailed,
    ];
    passing.contains(reason) || reason.as_str().ends_with("simulation_failed")
}

/// Whether a facilitator says that it settles nothing now, for lack of gas or of room.
fn is_full(reason: &Reason) -> bool {
    let codes = [
        "gas_budget_exhausted",
        "payer_gas_budget_exhausted",
        "payer_in_flight_limit",
    ];
    codes.contains(&reason.as_str())
}

/// What is said of a debt that is asked for again: it may still be settled, and why it is not.
fn still_owed(refused: SettleResponse) -> SettleResponse {
    let why = refused.error_reason.as_ref().map(Reason::as_str);
    let why = why.map(|why| format!("not settled yet: {why}"));
    SettleResponse {
        error_reason: Some(Reason::SettlementPending),
        error_message: why,
        ..refused
    }
}

/// What a settlement of the same authorization moved instead, where that is why this one is refused: only
/// whoever was given the authorization can have it settled, and it was verified unspent.
pub(super) fn spent_otherwise(response: &SettleResponse) -> Option<Amount> {
    let spent = [
        Reason::Permit2InvalidNonce,
        Reason::InvalidExactEvmNonceAlreadyUsed,
    ];
    let reason = response.error_reason.as_ref();
    reason.filter(|reason| !response.success && spent.contains(reason))?;
    let moved = response.extra.as_ref()?.pointer("/spentBy/amount")?;
    Amount::parse(moved.as_str()?).ok()
}

/// The requirement of a settlement: the amount that is due, in place of the ceiling of `upto`.
fn requirement(debt: &Debt) -> seamline_evm::x402::Offer {
    if debt.offer.terms().amount() == Some(debt.amount) {
        debt.offer.clone()
    } else {
        debt.offer.with_amount(debt.amount)
    }
}

/// The settlement of nothing: no transaction (x402 §2.3).
pub(super) fn nothing(network: &str, payer: Address) -> SettleResponse {
    SettleResponse::settled(network, payer, None, Amount::ZERO)
}

fn pending(request: &FacilitatorRequest, payer: Address) -> SettleResponse {
    let network = &request.payment_requirements.terms().network;
    SettleResponse::failed(network, Some(payer), Reason::SettlementPending, None)
}

/// Asks for a settlement until `wait` has passed.
///
/// Asking again is safe: it is the same authorization, which the chain spends once.
async fn ask(
    api: &dyn FacilitatorApi,
    request: &FacilitatorRequest,
    payer: Address,
    amount: Amount,
    wait: Duration,
) -> Settled {
    let network = request.payment_requirements.terms().network.as_str();
    let failed = |reason| SettleResponse {
        amount: Some(amount.to_string()),
        ..SettleResponse::failed(network, Some(payer), reason, None)
    };
    let deadline = deadline(wait);
    let mut last = failed(Reason::SettlementPending);
    loop {
        match timeout_at(deadline, api.settle(request)).await {
            Ok(Ok(answer)) if answer.success => return Settled::Paid(answer),
            Ok(Ok(answer)) if answer.error_reason == Some(Reason::SettlementPending) => {
                last = answer;
            }
            // It could not find out, such as without its chain: neither settled nor refused.
            Ok(Ok(answer)) if answer.error_reason == Some(Reason::UnexpectedSettleError) => {
                tracing::warn!("the facilitator could not settle yet");
            }
            // No verdict on the payment either.
            Ok(Ok(answer)) if answer.error_reason.as_ref().is_some_and(is_full) => {
                tracing::warn!("the facilitator settles nothing now");
            }
            Ok(Ok(answer)) => return Settled::Refused(answer),
            // It did not read the request: there is nothing that could settle later.
            Ok(Err(FacilitatorError::Status(status @ (400 | 404 | 405 | 413)))) => {
                tracing::error!(status, "the facilitator refuses settle requests");
                return Settled::Refused(failed(Reason::UnexpectedSettleError));
            }
            Ok(Err(error)) => {
                let error = seamline_core::chain(&error);
                tracing::warn!(error, "a settlement has no answer yet");
            }
            Err(_) => return Settled::Unknown(last),
        }
        if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
            return Settled::Unknown(last);
        }
    }
}

fn say(settled: &Settled) {
    match settled {
        Settled::Paid(_) => {}
        Settled::Refused(response) => {
            let reason = response.error_reason.as_ref().map(|reason| reason.as_str());
            if let Some(moved) = spent_otherwise(response) {
                let payer = response.payer.as_deref();
                tracing::error!(payer, %moved, "a payer had its authorization settled for another amount");
            }
            tracing::warn!(reason, "a settlement was refused after the work was done");
        }
        Settled::Owing(response) => {
            let why = response.error_message.as_deref();
            tracing::warn!(
                why,
                "a settlement was refused for now, and is asked for again"
            );
        }
        Settled::Unknown(_) => tracing::warn!("the outcome of a settlement is unknown"),
    }
}

/// A store that fails costs durability, not the settlement.
pub(super) fn report(error: &super::store::StoreError) {
    let error = seamline_core::chain(error);
    tracing::error!(error, "the paywall store failed");
}

fn deadline(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

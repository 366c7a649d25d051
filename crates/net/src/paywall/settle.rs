use core::time::Duration;

use seamline_core::{Address, Amount};
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use tokio::time::{Instant, sleep, timeout_at};

use crate::facilitator::{FacilitatorApi, FacilitatorError};

/// How a settlement ended, as far as this process knows.
pub(super) enum Settled {
    /// Money moved, or none was due.
    Paid(SettleResponse),
    /// It did not happen and will not.
    Refused(SettleResponse),
    /// It may have happened or may still happen.
    Unknown(SettleResponse),
}

/// Pause between two questions about the same settlement; our facilitator itself waits for the
/// transaction before it answers.
const PAUSE: Duration = Duration::from_millis(250);

/// The settlement of nothing: no transaction (x402 §2.3).
pub(super) fn nothing(network: &str, payer: Address) -> SettleResponse {
    response(network, payer, Amount::ZERO, None)
}

/// Settles at the amount of `request`, asking again until `wait` has passed.
///
/// Asking again is safe: it is the same authorization, which the chain spends once.
pub(super) async fn settle(
    api: &dyn FacilitatorApi,
    request: &FacilitatorRequest,
    payer: Address,
    amount: Amount,
    wait: Duration,
) -> Settled {
    let network = request.payment_requirements.terms().network.as_str();
    if amount.is_zero() {
        return Settled::Paid(nothing(network, payer));
    }
    let failed = |reason| response(network, payer, amount, Some(reason));
    let deadline = deadline(wait);
    let mut last = failed(Reason::SettlementPending);
    loop {
        match timeout_at(deadline, api.settle(request)).await {
            Ok(Ok(answer)) if answer.success => return Settled::Paid(answer),
            Ok(Ok(answer)) if answer.error_reason == Some(Reason::SettlementPending) => {
                last = answer;
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

fn deadline(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

fn response(
    network: &str,
    payer: Address,
    amount: Amount,
    error_reason: Option<Reason>,
) -> SettleResponse {
    SettleResponse {
        success: error_reason.is_none(),
        error_reason,
        error_message: None,
        payer: Some(payer.to_string()),
        transaction: String::new(),
        network: network.to_owned(),
        amount: Some(amount.to_string()),
        extensions: None,
        extra: None,
    }
}

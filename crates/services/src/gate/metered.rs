//! What an answer of the upstream costs.

use http::{HeaderMap, StatusCode};
use seamline_core::Amount;
use seamline_net::{PaymentContext, Problem};
use serde_json::Value;

/// Header with which an upstream says what is due, in the form of the x402 SDKs:
/// `{"amount":"2350"}` in base units, or `{"amount":"47.5%"}` of what was authorized.
pub(super) const SETTLEMENT_OVERRIDES: &str = "settlement-overrides";

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// What the scheme says for an answer: all of it for `exact`, nothing for `upto`.
    Default,
    /// This much.
    Exactly(Amount),
}

impl Due {
    /// What the upstream says is due. Statuses other than 200 to 299 are free: nobody pays for being
    /// sent elsewhere.
    ///
    /// # Errors
    ///
    /// The header does not read: nothing is guessed, nothing is charged.
    pub(super) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        payment: &PaymentContext,
    ) -> Result<Self, Problem> {
        if !status.is_success() {
            return Ok(Self::Exactly(Amount::ZERO));
        }
        let mut values = headers.get_all(SETTLEMENT_OVERRIDES).iter();
        let (value, more) = (values.next(), values.next());
        let Some(value) = value else {
            return Ok(Self::Default);
        };
        let amount = value.to_str().ok().filter(|_| more.is_none());
        let amount = amount.and_then(|text| read(text, payment.max));
        amount.map(Self::Exactly).ok_or_else(malformed)
    }
}

fn read(text: &str, max: Amount) -> Option<Amount> {
    let value: Value = serde_json::from_str(text).ok()?;
    let amount = value.get("amount")?.as_str()?;
    let Some(percent) = amount.strip_suffix('%') else {
        return Amount::parse(amount).ok();
    };
    // Hundredths of a percent, as the SDKs allow; what is left over is not charged.
    let parts = Amount::from_decimal(percent, 2).ok()?.get();
    if parts > 10_000 {
        return None;
    }
    let whole = max.get().checked_div(10_000)?.checked_mul(parts)?;
    let rest = max.get().checked_rem(10_000)?.checked_mul(parts)?;
    let due = whole.checked_add(rest.checked_div(10_000)?)?;
    Some(Amount::new(due))
}

fn malformed() -> Problem {
    let text = "the service behind the paywall does not say what the answer costs";
    Problem::new(StatusCode::BAD_GATEWAY, "upstream_overrides", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_base_units_or_parts_of_the_ceiling() {
        let max = Amount::new(20_001);
        for (text, due) in [
            (r#"{"amount":"2350"}"#, Some(2_350)),
            (r#"{"amount":"0"}"#, Some(0)),
            (r#"{"amount":"50%"}"#, Some(10_000)),
            (r#"{"amount":"0.01%"}"#, Some(2)),
            (r#"{"amount":"100%"}"#, Some(20_001)),
            (r#"{"amount":"100.01%"}"#, None),
            (r#"{"amount":"-1"}"#, None),
            (r#"{"amount":"$0.01"}"#, None),
            (r#"{"amount":2350}"#, None),
            (r#"{"amount":""}"#, None),
            (r#"{"amount":"%"}"#, None),
            ("{}", None),
            ("2350", None),
        ] {
            assert_eq!(read(text, max), due.map(Amount::new), "{text}");
        }
        let huge = Amount::new(u128::MAX);
        assert_eq!(read(r#"{"amount":"100%"}"#, huge), Some(huge));
    }
}

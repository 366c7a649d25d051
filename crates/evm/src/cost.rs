//! What a metered call costs, in integers.

use alloy_primitives::U256;
use seamline_core::Amount;

/// Prices of one model at one node, in base units of the token per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Tokens of the request.
    pub input: Amount,
    /// Tokens of the answer.
    pub output: Amount,
}

/// The cost of a call: `ceil((tokens_in * input + tokens_out * output) / 1,000,000)` base units.
///
/// `None` where the cost is not below 2^128 base units.
pub fn metered(prices: &Prices, tokens_in: u64, tokens_out: u64) -> Option<Amount> {
    let part = |tokens: u64, price: Amount| U256::from(tokens).checked_mul(U256::from(price.get()));
    let millionths =
        part(tokens_in, prices.input)?.checked_add(part(tokens_out, prices.output)?)?;
    Amount::try_from(millionths.div_ceil(PER_MILLION)).ok()
}

/// The cost of a call in OpenGradient's own terms: prices per token and the token's rate are
/// decimal numbers of US dollars, and the token has 18 decimals. Exact: the quotient is rounded up
/// once, at the end.
///
/// `None` for texts that are not plain decimal numbers, more than 30 fractional digits, a rate of
/// zero, or a cost not below 2^128 base units.
pub fn metered_usd(
    tokens: [u64; 2],
    usd_per_token: [&str; 2],
    usd_per_coin: &str,
) -> Option<Amount> {
    let mut usd = U256::ZERO;
    for (tokens, price) in tokens.into_iter().zip(usd_per_token) {
        usd = usd.checked_add(U256::from(tokens).checked_mul(scaled(price)?)?)?;
    }
    let rate = scaled(usd_per_coin)?;
    if rate.is_zero() {
        return None;
    }
    // The scale of dollars cancels out.
    let base_units = usd.checked_mul(U256::from(1_000_000_000_000_000_000_u64))?;
    Amount::try_from(base_units.div_ceil(rate)).ok()
}

/// Reads a decimal number as an integer of 10^-30.
fn scaled(text: &str) -> Option<U256> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<DIGITS$}");
    let plain = !whole.is_empty()
        && fraction.len() <= DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain {
        U256::from_str_radix(&digits, 10).ok()
    } else {
        None
    }
}

const PER_MILLION: U256 = U256::from_limbs([1_000_000, 0, 0, 0]);
const DIGITS: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_base_unit_is_charged_as_one() {
        let prices = Prices {
            input: Amount::new(1),
            output: Amount::new(3),
        };
        assert_eq!(metered(&prices, 0, 0), Some(Amount::ZERO));
        assert_eq!(metered(&prices, 1, 0), Some(Amount::new(1)));
        assert_eq!(metered(&prices, 1_000_000, 0), Some(Amount::new(1)));
        assert_eq!(metered(&prices, 1_000_000, 1), Some(Amount::new(2)));
        assert_eq!(metered(&prices, 1_000_000, 1_000_000), Some(Amount::new(4)));
    }

    #[test]
    fn a_cost_beyond_the_type_is_none() {
        let prices = Prices {
            input: Amount::MAX,
            output: Amount::MAX,
        };
        assert_eq!(metered(&prices, u64::MAX, u64::MAX), None);
        assert_eq!(metered(&prices, 1_000_000, 0), Some(Amount::MAX));
        assert_eq!(metered(&prices, 1_000_000, 1), None);
    }

    #[test]
    fn costs_in_dollars_match_the_vectors() {
        let vectors = seamline_testkit::json_vector("x402/opengradient.json");
        let cases = vectors["cost"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let count = |name: &str| case[name].as_u64().unwrap();
            let cost = metered_usd(
                [count("in"), count("out")],
                [text("pin"), text("pout")],
                text("opg_usd"),
            );
            assert_eq!(cost, Amount::parse(text("cost_opg_wei")).ok(), "{case}");
        }
    }

    #[test]
    fn only_plain_decimals_are_prices() {
        for text in [
            "",
            ".5",
            "-1",
            "1e3",
            "1,5",
            "0.0000000000000000000000000000001",
        ] {
            assert_eq!(metered_usd([1, 1], [text, "1"], "1"), None, "{text:?}");
        }
        assert_eq!(metered_usd([1, 1], ["1", "1"], "0"), None);
    }
}

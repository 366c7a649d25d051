use core::fmt;

use alloy_primitives::U256;

/// An amount of an ERC-20 token in base units (the integers that contracts move).
///
/// Holds up to 2^128 - 1, which is 3.4 * 10^20 whole tokens at 18 decimals; a larger amount in a
/// peer's message is refused as malformed. Arithmetic is checked everywhere: there is no
/// operator that wraps or rounds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// The text is empty or holds something else than ASCII digits (and one point, where decimals
    /// are allowed).
    #[error("an amount is written in digits, such as `0.05`")]
    NotANumber,
    /// More fractional digits than the token has decimals: the amount would have to be rounded.
    #[error("an amount of this token has at most {decimals} digits after the point")]
    TooPrecise {
        /// Decimals of the token.
        decimals: u8,
    },
    /// The amount is not below 2^128 base units.
    #[error("an amount must be below 2^128 base units")]
    TooLarge,
}

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount that this type holds.
    pub const MAX: Self = Self(u128::MAX);

    /// Wraps a number of base units.
    pub const fn new(base_units: u128) -> Self {
        Self(base_units)
    }

    /// Returns the number of base units.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Whether this is no money.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Adds; `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Subtracts; `None` where `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Parses base units as x402 writes them: ASCII digits only, no sign, no leading zero except `0`
    /// itself.
    ///
    /// # Errors
    ///
    /// [`AmountError::NotANumber`] or [`AmountError::TooLarge`].
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(AmountError::NotANumber);
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// Parses a decimal number of whole tokens, such as `0.05`, of a token with `decimals`.
    ///
    /// # Errors
    ///
    /// [`AmountError::TooPrecise`] rather than a rounded amount; otherwise as [`Amount::parse`].
    pub fn from_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let point_without_digits = text.contains('.') && fraction.is_empty();
        if whole.is_empty() || point_without_digits || !all_digits(whole) || !all_digits(fraction) {
            return Err(AmountError::NotANumber);
        }
        let places = usize::from(decimals);
        if fraction.len() > places {
            return Err(AmountError::TooPrecise { decimals });
        }
        let padded = format!("{whole}{fraction:0<places$}");
        let significant = padded.trim_start_matches('0');
        Self::parse(if significant.is_empty() {
            "0"
        } else {
            significant
        })
    }

    /// Writes the amount in whole tokens of a token with `decimals`, exactly, without trailing
    /// zeros: `50000000000000000` at 18 decimals is `0.05`.
    pub fn to_decimal(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = places.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            whole.to_owned()
        } else {
            format!("{whole}.{fraction}")
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({})", self.0)
    }
}

impl From<Amount> for U256 {
    fn from(amount: Amount) -> Self {
        Self::from(amount.0)
    }
}

impl TryFrom<U256> for Amount {
    type Error = AmountError;

    fn try_from(value: U256) -> Result<Self, AmountError> {
        u128::try_from(value)
            .map(Self)
            .map_err(|_| AmountError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_units_are_plain_digits() {
        assert_eq!(Amount::parse("0"), Ok(Amount::ZERO));
        assert_eq!(Amount::parse("5000"), Ok(Amount::new(5000)));
        for text in ["", "-1", "+1", "1.0", "1e3", "0x10", "007", " 1", "1abc"] {
            assert_eq!(
                Amount::parse(text),
                Err(AmountError::NotANumber),
                "{text:?}"
            );
        }
        let too_large = "340282366920938463463374607431768211456";
        assert_eq!(Amount::parse(too_large), Err(AmountError::TooLarge));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(
            Amount::from_decimal("0.05", 18),
            Ok(Amount::new(50_000_000_000_000_000))
        );
        assert_eq!(Amount::from_decimal("12", 6), Ok(Amount::new(12_000_000)));
        assert_eq!(Amount::from_decimal("0", 18), Ok(Amount::ZERO));
        let too_precise = Err(AmountError::TooPrecise { decimals: 6 });
        assert_eq!(Amount::from_decimal("0.0000001", 6), too_precise);
        for text in ["", ".", "1.", ".5", "-0.1", "1,5", "0.0.1", "1e-3"] {
            assert_eq!(
                Amount::from_decimal(text, 18),
                Err(AmountError::NotANumber),
                "{text:?}"
            );
        }
    }

    #[test]
    fn printing_is_the_inverse_of_parsing() {
        for (text, decimals) in [
            ("0.05", 18),
            ("1", 18),
            ("123.000001", 6),
            ("7", 0),
            ("0", 6),
        ] {
            let amount = Amount::from_decimal(text, decimals).unwrap();
            assert_eq!(amount.to_decimal(decimals), text);
        }
    }

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Amount::MAX.checked_add(Amount::new(1)), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), None);
    }
}

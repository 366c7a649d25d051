use core::fmt;

/// US dollars per whole token, as an integer of 10^-12 dollars; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u128);

/// Fractional digits that are kept.
const DIGITS: i64 = 12;
/// Longest text of a number that is read.
const MAX_TEXT: usize = 64;

impl Rate {
    /// A rate in 10^-12 US dollars; `None` for zero.
    pub const fn from_pico_usd(pico: u128) -> Option<Self> {
        if pico == 0 { None } else { Some(Self(pico)) }
    }

    /// In 10^-12 US dollars.
    pub const fn pico_usd(self) -> u128 {
        self.0
    }

    /// Reads a decimal number of dollars as JSON writes it, exponent included. Digits beyond the
    /// twelfth fractional one are dropped: the rate is never above what the text says.
    ///
    /// `None` for anything else, for zero, for what is negative, and for 2^128 or more.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (number, ""),
        };
        let digits = format!("{whole}{fraction}");
        let plain = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain {
            return None;
        }
        let fraction = i64::try_from(fraction.len()).ok()?;
        let shift = exponent.checked_add(DIGITS)?.checked_sub(fraction)?;
        let digits = digits.parse::<u128>().ok()?;
        let power = 10_u128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?);
        let pico = match power {
            Some(power) if shift >= 0 => digits.checked_mul(power)?,
            Some(power) => digits.checked_div(power)?,
            None if shift < 0 => 0,
            None => return None,
        };
        Self::from_pico_usd(pico)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dollars(self.0))
    }
}

/// Writes 10^-12 dollars as a decimal number of dollars, without zeros at its end.
pub(crate) fn dollars(pico: u128) -> String {
    seamline_core::Amount::new(pico).to_decimal(12)
}

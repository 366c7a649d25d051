use core::fmt;

use crate::json::Number;

/// Most decimals of a [`Fixed`]: the smallest double has 324, and no double has more than 341 in the
/// shortest form that reads back.
pub const MAX_DECIMALS: u16 = 400;

/// Digits that Python's `decimal` keeps in a division, by default.
const PYTHON_DIGITS: usize = 28;

/// A number as OpenGradient's chain holds it: `value / 10^decimals`, in lowest terms (no trailing zero
/// in `value` unless `decimals` is 0).
///
/// Equal numbers are equal values. `Debug` shows nothing of the number: inputs of models are private.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed {
    value: i128,
    decimals: u16,
}

/// Why a number has no fixed-point form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixedError {
    /// It needs more than 128 bits or more decimals than [`MAX_DECIMALS`].
    #[error("a number does not fit 128 bits and {MAX_DECIMALS} decimals")]
    OutOfRange,
    /// It is infinite or not a number.
    #[error("a number is infinite or NaN")]
    NotFinite,
}

impl FixedError {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutOfRange => "number_out_of_range",
            Self::NotFinite => "number_not_finite",
        }
    }
}

impl Fixed {
    /// Zero.
    pub const ZERO: Self = Self {
        value: 0,
        decimals: 0,
    };

    /// Reduces `value / 10^decimals` to lowest terms. Takes the `int128` pair of OpenGradient's ABI.
    ///
    /// # Errors
    ///
    /// [`FixedError::OutOfRange`] where `decimals` is negative or, in lowest terms, above
    /// [`MAX_DECIMALS`].
    pub fn new(value: i128, decimals: i128) -> Result<Self, FixedError> {
        let mut decimals = u128::try_from(decimals).map_err(|_| FixedError::OutOfRange)?;
        let mut value = value;
        if value == 0 {
            return Ok(Self::ZERO);
        }
        while decimals > 0 {
            let (Some(tenth), Some(0)) = (value.checked_div(10), value.checked_rem(10)) else {
                break;
            };
            value = tenth;
            decimals = decimals.saturating_sub(1);
        }
        let decimals = u16::try_from(decimals).map_err(|_| FixedError::OutOfRange)?;
        if decimals > MAX_DECIMALS {
            return Err(FixedError::OutOfRange);
        }
        Ok(Self { value, decimals })
    }

    /// Converts a JSON number as OpenGradient's SDK converts a Python number: the digits of its
    /// `repr`, exactly.
    ///
    /// # Errors
    ///
    /// [`FixedError`]. The SDK stores the value in 64 bits and fails above them; here 128 do.
    pub fn of_number(number: &Number) -> Result<Self, FixedError> {
        Self::of_text(&number.to_string())
    }

    /// Converts a double: the digits of the shortest form that reads back.
    ///
    /// # Errors
    ///
    /// [`FixedError`].
    pub fn of_f64(number: f64) -> Result<Self, FixedError> {
        Self::of_number(&Number::float(number))
    }

    /// Converts a single: the digits of the shortest form that reads back as a single, as the SDK does
    /// for `numpy.float32`.
    ///
    /// # Errors
    ///
    /// [`FixedError`].
    pub fn of_f32(number: f32) -> Result<Self, FixedError> {
        Self::of_text(&format!("{number:e}"))
    }

    /// Converts an integer.
    pub fn of_i64(number: i64) -> Self {
        Self {
            value: number.into(),
            decimals: 0,
        }
    }

    /// Converts an unsigned integer.
    pub fn of_u64(number: u64) -> Self {
        Self {
            value: number.into(),
            decimals: 0,
        }
    }

    /// Returns the value without its point.
    pub const fn value(self) -> i128 {
        self.value
    }

    /// Returns how many digits of the value stand behind the point.
    pub const fn decimals(self) -> u16 {
        self.decimals
    }

    /// Writes the number with all of its digits, as JSON takes it: with an exponent where more than twenty
    /// zeros would follow the point.
    pub fn to_decimal(self) -> String {
        let digits = self.value.unsigned_abs().to_string();
        let sign = if self.value < 0 { "-" } else { "" };
        let decimals = usize::from(self.decimals);
        if decimals == 0 {
            return format!("{sign}{digits}");
        }
        if decimals > digits.len().saturating_add(20) {
            return format!("{sign}{digits}e-{decimals}");
        }
        let digits = format!("{digits:0>width$}", width = decimals.saturating_add(1));
        let whole = digits.len().saturating_sub(decimals);
        let (whole, fraction) = digits.split_at_checked(whole).unwrap_or((&digits, ""));
        format!("{sign}{whole}.{fraction}")
    }

    /// Returns the integer that this is; `None` for a fraction and for what does not fit.
    pub fn to_i64(self) -> Option<i64> {
        i64::try_from(self.value)
            .ok()
            .filter(|_| self.decimals == 0)
    }

    /// Returns the nearest double.
    pub fn to_f64(self) -> f64 {
        // Python divides with 28 digits before it rounds to a double.
        let digits = self.value.unsigned_abs().to_string();
        let sign = if self.value < 0 { "-" } else { "" };
        let (digits, more) = rounded(&digits);
        let exponent = more.saturating_sub(i64::from(self.decimals));
        // An exponent that is out of range reads as zero or infinity and never fails.
        format!("{sign}{digits}e{exponent}")
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// Returns what the SDK returns for an output: the nearest double, rounded to a single.
    #[expect(
        clippy::as_conversions,
        reason = "rounds to the nearest single, which is what is meant"
    )]
    pub fn to_f32(self) -> f32 {
        self.to_f64() as f32
    }

    /// Reads `[-]digits[.digits][e[±]digits]`, `NaN`, `inf` and `Infinity`.
    fn of_text(text: &str) -> Result<Self, FixedError> {
        let (negative, magnitude) = match text.strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, text),
        };
        if !magnitude.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(FixedError::NotFinite);
        }
        let (digits, exponent) = magnitude.split_once('e').unwrap_or((magnitude, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let out_of_range = FixedError::OutOfRange;
        let exponent: i64 = exponent.parse().map_err(|_| out_of_range)?;
        // 1. All digits without the point, and without the zeros that say nothing.
        let written = [whole, fraction].concat();
        let kept = written.trim_end_matches('0');
        if kept.trim_start_matches('0').is_empty() {
            return Ok(Self::ZERO);
        }
        let dropped = written.len().saturating_sub(kept.len());
        let places = |count: usize| i64::try_from(count).map_err(|_| out_of_range);
        let scale = exponent
            .checked_sub(places(fraction.len())?)
            .and_then(|scale| scale.checked_add(places(dropped).ok()?))
            .ok_or(out_of_range)?;
        let sign = if negative { "-" } else { "" };
        let value: i128 = format!("{sign}{kept}").parse().map_err(|_| out_of_range)?;
        // 2. A positive exponent is multiplied in, a negative one is the decimals.
        if scale <= 0 {
            return Self::new(value, scale.unsigned_abs().into());
        }
        let scale = u32::try_from(scale).map_err(|_| out_of_range)?;
        let factor = 10_i128.checked_pow(scale).ok_or(out_of_range)?;
        let value = value.checked_mul(factor).ok_or(out_of_range)?;
        Self::new(value, 0)
    }
}

/// Rounds to [`PYTHON_DIGITS`] digits, half to even, and tells how many were cut.
fn rounded(digits: &str) -> (String, i64) {
    let Some((kept, cut)) = digits.split_at_checked(PYTHON_DIGITS) else {
        return (digits.to_owned(), 0);
    };
    let cut_digits = i64::try_from(cut.len()).unwrap_or(i64::MAX);
    let odd = kept.bytes().last().is_some_and(|last| last % 2 == 1);
    let half = cut.starts_with('5') && cut.bytes().skip(1).all(|digit| digit == b'0');
    let up = cut.as_bytes() >= b"5".as_slice() && (!half || odd);
    // 28 digits fit 128 bits, and so does one more.
    let kept: u128 = kept.parse().unwrap_or(u128::MAX);
    (kept.saturating_add(up.into()).to_string(), cut_digits)
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fixed")
    }
}

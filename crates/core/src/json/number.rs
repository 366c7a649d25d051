use core::fmt;

/// A JSON number in the spelling that Python prints after parsing it.
///
/// Integers have any size; floats are IEEE doubles. `1` and `1.0` are different numbers, as in
/// Python's output.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Small(i64),
    /// Decimal digits of an integer outside `i64`, with a minus sign where negative.
    Big(Box<str>),
    /// Bits of a double.
    Float(u64),
}

impl Number {
    /// Takes the digits of a JSON integer (`-?(0|[1-9][0-9]*)`, checked by the parser); `-0`
    /// becomes `0`.
    pub(super) fn integer(digits: &str) -> Self {
        Self(
            digits
                .parse()
                .map_or_else(|_| Repr::Big(digits.into()), Repr::Small),
        )
    }

    /// Wraps a double; any value, including infinities and NaN, which print as `Infinity` and
    /// `NaN`.
    pub const fn float(value: f64) -> Self {
        Self(Repr::Float(value.to_bits()))
    }

    /// Returns the integer, if this is one from 0 to 2^64 - 1.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Small(value) => u64::try_from(*value).ok(),
            Repr::Big(digits) => digits.parse().ok(),
            Repr::Float(_) => None,
        }
    }

    /// Returns the integer, if this is one that fits.
    pub const fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Small(value) => Some(*value),
            Repr::Big(_) | Repr::Float(_) => None,
        }
    }

    /// Returns the nearest double, as Python's `float()` does; `None` for an integer that is too
    /// large for a double.
    pub fn to_f64(&self) -> Option<f64> {
        match &self.0 {
            Repr::Small(value) => value.to_string().parse().ok(),
            Repr::Big(digits) => digits.parse().ok().filter(|value: &f64| value.is_finite()),
            Repr::Float(bits) => Some(f64::from_bits(*bits)),
        }
    }

    /// Whether this was written without point and exponent.
    pub const fn is_integer(&self) -> bool {
        matches!(self.0, Repr::Small(_) | Repr::Big(_))
    }

    /// Whether this equals zero.
    pub fn is_zero(&self) -> bool {
        match &self.0 {
            Repr::Small(value) => *value == 0,
            Repr::Big(_) => false,
            Repr::Float(bits) => f64::from_bits(*bits) == 0.0,
        }
    }
}

/// Prints what Python's `json.dumps` prints.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Small(value) => write!(f, "{value}"),
            Repr::Big(digits) => f.write_str(digits),
            Repr::Float(bits) => write_float(f64::from_bits(*bits), f),
        }
    }
}

/// Rust's `{:?}` has the number of digits and the switch to exponents (below 1e-4, from 1e16) of Python's
/// `repr`; it differs in the spelling of the exponent and of what is not finite, and in the last digit
/// where two are equally near ([`half_to_even`]).
fn write_float(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("NaN");
    }
    if value.is_infinite() {
        return f.write_str(if value.is_sign_negative() {
            "-Infinity"
        } else {
            "Infinity"
        });
    }
    let text = format!("{value:?}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return f.write_str(half_to_even(value, &text, "").as_ref().unwrap_or(&text));
    };
    let even = half_to_even(value, digits, exponent);
    let digits = even.as_deref().unwrap_or(digits);
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |exponent| ('-', exponent));
    write!(f, "{digits}e{sign}{exponent:0>2}")
}

/// The digits with an even last one, where the double lies exactly between two shortest forms: Rust takes the
/// upper one, Python the even one. `None` where it does not, or where `digits` is even already.
fn half_to_even(value: f64, digits: &str, exponent: &str) -> Option<String> {
    // 1. The upper one of two such forms ends in an odd digit, or in an even one that Python takes too.
    let last = digits.bytes().last().filter(|last| last % 2 == 1)?;
    let written = digits.bytes().filter(u8::is_ascii_digit);
    let count = written.skip_while(|digit| *digit == b'0').count();
    // 2. Exactly between: one digit more is a 5, and nothing follows it. That is an exact decimal of at most
    //    18 digits, d * 10^k. Of a whole number 5^k is a factor and has at most 53 bits, so k is at most 22; of
    //    a fraction 5^-k is one of d, so it is at least 2^-25. Whatever else a peer sends costs no more.
    let magnitude = value.abs();
    if !(1e-8..1e41).contains(&magnitude) {
        return None;
    }
    let next = format!("{magnitude:.count$e}");
    let (next, _) = next.split_once('e')?;
    if !next.ends_with('5') {
        return None;
    }
    // Between 1e-8 and 1e41 a double that is no such decimal differs from each in its first 50 digits.
    let all = format!("{magnitude:.60e}");
    let (all, _) = all.split_once('e')?;
    let mut rest = all.bytes().skip(count.checked_add(2)?);
    if rest.any(|digit| digit != b'0') {
        return None;
    }
    // 3. The lower one, if it reads back: below a power of two doubles are twice as dense.
    let mut even = digits.to_owned();
    even.pop();
    even.push(char::from(last.checked_sub(1)?));
    let read: f64 = if exponent.is_empty() {
        even.parse().ok()?
    } else {
        format!("{even}e{exponent}").parse().ok()?
    };
    (read.to_bits() == value.to_bits()).then_some(even)
}

/// Shows the kind only, as all of [`crate::json`].
impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("number")
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Repr::Small(value))
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        Self(i64::try_from(value).map_or_else(
            |_| Repr::Big(value.to_string().into_boxed_str()),
            Repr::Small,
        ))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(i64::try_from(value).map_or_else(
            |_| Repr::Big(value.to_string().into_boxed_str()),
            Repr::Small,
        ))
    }
}

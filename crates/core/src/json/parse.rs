use super::{Number, Object, Text, Value};

/// The largest text that [`parse`] takes, in bytes.
///
/// 1 MiB holds a prompt of about 250,000 tokens, more than the models of the network take.
pub const MAX_BYTES: usize = 1 << 20;

/// How many arrays and objects may stand inside one another.
///
/// Tool schemas in use are below 20 deep; 64 keeps recursion within 32 KiB of stack.
pub const MAX_DEPTH: usize = 64;

/// The largest integer, in digits: CPython's default limit (`sys.int_info`), above which the
/// reference implementation fails too.
pub const MAX_INTEGER_DIGITS: usize = 4_300;

/// Why a text is not JSON that we take, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {offset})")]
#[non_exhaustive]
pub struct Error {
    /// What is wrong.
    pub reason: Reason,
    /// How many bytes stand before the place where the parser stopped.
    pub offset: usize,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A string holds a backslash that starts no escape of JSON.
    #[error("a string holds an unknown or incomplete escape")]
    BadEscape,
    /// A number ends after its sign, its point or its exponent mark.
    #[error("a number is incomplete")]
    BadNumber,
    /// A string holds an unescaped character below U+0020.
    #[error("a string holds an unescaped control character")]
    ControlCharacter,
    /// An integer has more digits than [`MAX_INTEGER_DIGITS`].
    #[error("an integer has more than {MAX_INTEGER_DIGITS} digits")]
    IntegerTooLong,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error("arrays and objects are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The text is longer than [`MAX_BYTES`], or than the limit that [`parse_within`] was given.
    #[error("the text is longer than {MAX_BYTES} bytes")]
    TooLarge,
    /// Something follows the value.
    #[error("something follows the value")]
    TrailingBytes,
    /// A byte stands where JSON allows others only.
    #[error("a character is out of place")]
    UnexpectedByte,
    /// The text ends inside the value.
    #[error("the text ends too early")]
    UnexpectedEnd,
}

impl Reason {
    /// Returns the stable code of this reason, as the vectors name it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadEscape => "json_bad_escape",
            Self::BadNumber => "json_bad_number",
            Self::ControlCharacter => "json_control_character",
            Self::IntegerTooLong => "json_integer_too_long",
            Self::NotUtf8 => "json_not_utf8",
            Self::TooDeep => "json_too_deep",
            Self::TooLarge => "json_too_large",
            Self::TrailingBytes => "json_trailing_bytes",
            Self::UnexpectedByte => "json_unexpected_byte",
            Self::UnexpectedEnd => "json_unexpected_end",
        }
    }
}

/// Parses one JSON value with nothing but white space around it.
///
/// Takes what Python's `json.loads` takes from UTF-8 bytes, except a byte order mark, surrogates in
/// raw UTF-8 form, and what exceeds the limits.
///
/// # Errors
///
/// [`Error`] with the first thing that is wrong.
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    parse_within(text, MAX_BYTES)
}

/// Parses as [`parse`] does, with a limit of the caller's own in place of [`MAX_BYTES`]: for answers,
/// which hold pictures and are longer than requests.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_within(text: &[u8], max_bytes: usize) -> Result<Value, Error> {
    let fail = |reason, offset| Error { reason, offset };
    if text.len() > max_bytes {
        return Err(fail(Reason::TooLarge, max_bytes));
    }
    // 1. All of it is UTF-8, so that no string need be looked at again.
    if let Err(err) = core::str::from_utf8(text) {
        return Err(fail(Reason::NotUtf8, err.valid_up_to()));
    }
    // 2. One value, and nothing behind it.
    let mut parser = Parser { rest: text };
    let value = parser.value(0).and_then(|value| match parser.next_token() {
        None => Ok(value),
        Some(_) => Err(Reason::TrailingBytes),
    });
    value.map_err(|reason| fail(reason, text.len().saturating_sub(parser.rest.len())))
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Skips white space and returns the byte behind it, without consuming it.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.skip(1);
        }
        self.peek()
    }

    /// Consumes `expected` after white space.
    fn expect(&mut self, expected: u8) -> Result<(), Reason> {
        match self.next_token() {
            Some(byte) if byte == expected => {
                self.skip(1);
                Ok(())
            }
            Some(_) => Err(Reason::UnexpectedByte),
            None => Err(Reason::UnexpectedEnd),
        }
    }

    /// Parses a value inside `depth` arrays and objects.
    fn value(&mut self, depth: usize) -> Result<Value, Reason> {
        match self.next_token().ok_or(Reason::UnexpectedEnd)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b'-' if self.rest.starts_with(b"-I") => {
                self.word(b"-Infinity", Number::float(f64::NEG_INFINITY).into())
            }
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'N' => self.word(b"NaN", Number::float(f64::NAN).into()),
            b'I' => self.word(b"Infinity", Number::float(f64::INFINITY).into()),
            _ => Err(Reason::UnexpectedByte),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Reason> {
        if self.rest.starts_with(word) {
            self.skip(word.len());
            Ok(value)
        } else if word.starts_with(self.rest) {
            Err(Reason::UnexpectedEnd)
        } else {
            Err(Reason::UnexpectedByte)
        }
    }

    /// Consumes the opening bracket and returns the depth inside it, and whether the list is empty
    /// (then the closing bracket is consumed too).
    fn open(&mut self, depth: usize, close: u8) -> Result<(usize, bool), Reason> {
        let depth = depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        self.skip(1);
        let empty = self.next_token() == Some(close);
        if empty {
            self.skip(1);
        }
        Ok((depth, empty))
    }

    /// Consumes the comma or the closing bracket behind an item; true for a comma.
    fn more(&mut self, close: u8) -> Result<bool, Reason> {
        let byte = self.next_token().ok_or(Reason::UnexpectedEnd)?;
        if byte != b',' && byte != close {
            return Err(Reason::UnexpectedByte);
        }
        self.skip(1);
        Ok(byte == b',')
    }

    fn array(&mut self, depth: usize) -> Result<Value, Reason> {
        let (depth, empty) = self.open(depth, b']')?;
        let mut items = Vec::new();
        let mut more = !empty;
        while more {
            items.push(self.value(depth)?);
            more = self.more(b']')?;
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Reason> {
        let (depth, empty) = self.open(depth, b'}')?;
        let mut members: Vec<(Text, Value)> = Vec::new();
        let mut more = !empty;
        while more {
            match self.next_token() {
                Some(b'"') => {}
                Some(_) => return Err(Reason::UnexpectedByte),
                None => return Err(Reason::UnexpectedEnd),
            }
            let key = self.string()?;
            self.expect(b':')?;
            members.push((key, self.value(depth)?));
            more = self.more(b'}')?;
        }
        Ok(Value::Object(Object::from_iter(members)))
    }

    fn digits(&mut self) -> &'a [u8] {
        let rest = self.rest;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.skip(count);
        rest.get(..count).unwrap_or_default()
    }

    fn some_digits(&mut self) -> Result<(), Reason> {
        if self.digits().is_empty() {
            return Err(Reason::BadNumber);
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Number, Reason> {
        let start = self.rest;
        // 1. Sign and integer part; a zero stands alone.
        if self.peek() == Some(b'-') {
            self.skip(1);
        }
        let whole = if self.peek() == Some(b'0') {
            self.skip(1);
            1
        } else {
            self.digits().len()
        };
        if whole == 0 {
            return Err(Reason::BadNumber);
        }
        // 2. Fraction and exponent make it a float.
        let mut float = false;
        if self.peek() == Some(b'.') {
            self.skip(1);
            self.some_digits()?;
            float = true;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.skip(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.skip(1);
            }
            self.some_digits()?;
            float = true;
        }
        if !float && whole > MAX_INTEGER_DIGITS {
            return Err(Reason::IntegerTooLong);
        }
        // 3. What was consumed is ASCII, and Rust reads every such text as the nearest double.
        let length = start.len().saturating_sub(self.rest.len());
        let text = start
            .get(..length)
            .and_then(|text| core::str::from_utf8(text).ok())
            .ok_or(Reason::BadNumber)?;
        if float {
            text.parse()
                .map(Number::float)
                .map_err(|_| Reason::BadNumber)
        } else {
            Ok(Number::integer(text))
        }
    }

    /// Parses a string whose opening quote is next.
    fn string(&mut self) -> Result<Text, Reason> {
        self.skip(1);
        let mut bytes = Vec::new();
        loop {
            let plain = self
                .rest
                .iter()
                .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .count();
            bytes.extend_from_slice(self.rest.get(..plain).unwrap_or_default());
            self.skip(plain);
            match self.peek().ok_or(Reason::UnexpectedEnd)? {
                b'"' => {
                    self.skip(1);
                    return Ok(Text::from_wtf8(bytes));
                }
                b'\\' => self.escape(&mut bytes)?,
                _ => return Err(Reason::ControlCharacter),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Reason> {
        let kind = self.rest.get(1).copied().ok_or(Reason::UnexpectedEnd)?;
        let plain = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = unicode_escape(self.rest)?;
                self.skip(6);
                self.unicode(unit, bytes);
                return Ok(());
            }
            _ => return Err(Reason::BadEscape),
        };
        bytes.push(plain);
        self.skip(2);
        Ok(())
    }

    /// Appends the character that `unit` stands for, together with the other half of its pair if
    /// that follows as an escape.
    fn unicode(&mut self, unit: u16, bytes: &mut Vec<u8>) {
        let follower = unicode_escape(self.rest).ok();
        let pair = follower.map(|low| [unit, low]);
        let joined = pair.and_then(|pair| char::decode_utf16(pair).next()?.ok());
        let scalar = match (char::from_u32(u32::from(unit)), joined) {
            (Some(alone), _) => Some(alone),
            (None, Some(joined)) => {
                self.skip(6);
                Some(joined)
            }
            (None, None) => None,
        };
        match scalar {
            Some(scalar) => bytes.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes()),
            None => bytes.extend_from_slice(&surrogate_bytes(unit)),
        }
    }
}

/// Reads `\uXXXX` at the start of `rest`.
fn unicode_escape(rest: &[u8]) -> Result<u16, Reason> {
    let Some([b'\\', b'u', digits @ ..]) = rest.get(..6) else {
        return Err(Reason::BadEscape);
    };
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Reason::BadEscape)?;
        let digit = u16::try_from(digit).map_err(|_| Reason::BadEscape)?;
        Ok((unit << 4) | digit)
    })
}

/// Encodes a lone surrogate in the three bytes that UTF-8 would give it.
fn surrogate_bytes(unit: u16) -> [u8; 3] {
    let [high, low] = unit.to_be_bytes();
    [
        0xe0 | (high >> 4),
        0x80 | ((high & 0x0f) << 2) | (low >> 6),
        0x80 | (low & 0x3f),
    ]
}

use core::cmp::Ordering;
use core::fmt;
use std::borrow::Cow;

/// A JSON string: Unicode text that may hold lone surrogates, as `"\ud83d"` does.
///
/// Ordered by code point, which is Python's order of strings (and not that of UTF-16).
/// `Debug` shows the length only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Repr);

/// Text without lone surrogates is always held as `Utf8`, so that equality is equality of text.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Utf8(String),
    /// UTF-8, and each lone surrogate in the three bytes that UTF-8 would give it (WTF-8).
    Wtf8(Vec<u8>),
}

/// One element of a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A Unicode scalar value.
    Char(char),
    /// A surrogate (`0xd800..=0xdfff`) without its partner.
    Surrogate(u16),
}

impl Text {
    /// Takes UTF-8, or UTF-8 with lone surrogates encoded in three bytes each; the caller has
    /// joined surrogate pairs.
    pub(super) fn from_wtf8(bytes: Vec<u8>) -> Self {
        Self(match String::from_utf8(bytes) {
            Ok(text) => Repr::Utf8(text),
            Err(err) => Repr::Wtf8(err.into_bytes()),
        })
    }

    /// Returns the text, unless it holds a lone surrogate.
    pub const fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Utf8(text) => Some(text.as_str()),
            Repr::Wtf8(_) => None,
        }
    }

    /// Returns the text with U+FFFD in place of each lone surrogate.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Utf8(text) => Cow::Borrowed(text),
            Repr::Wtf8(_) => {
                let mut text = String::new();
                self.for_each(|unit| {
                    text.push(match unit {
                        Unit::Char(scalar) => scalar,
                        Unit::Surrogate(_) => char::REPLACEMENT_CHARACTER,
                    });
                });
                Cow::Owned(text)
            }
        }
    }

    /// Returns the bytes: UTF-8, with three bytes for each lone surrogate.
    pub const fn as_wtf8(&self) -> &[u8] {
        match &self.0 {
            Repr::Utf8(text) => text.as_bytes(),
            Repr::Wtf8(bytes) => bytes.as_slice(),
        }
    }

    /// Whether there is no text at all.
    pub const fn is_empty(&self) -> bool {
        self.as_wtf8().is_empty()
    }

    /// Visits the elements in order.
    pub fn for_each(&self, mut visit: impl FnMut(Unit)) {
        match &self.0 {
            Repr::Utf8(text) => text.chars().for_each(|scalar| visit(Unit::Char(scalar))),
            Repr::Wtf8(bytes) => {
                // A surrogate's bytes (0xED, 0xA0..=0xBF, 0x80..=0xBF) come out of the chunks as
                // invalid, one by one; 0xED starts it and the other two carry six bits each.
                let mut surrogate = 0_u16;
                let mut missing = 0_u8;
                for chunk in bytes.utf8_chunks() {
                    chunk
                        .valid()
                        .chars()
                        .for_each(|scalar| visit(Unit::Char(scalar)));
                    for byte in chunk.invalid() {
                        if *byte == 0xed {
                            (surrogate, missing) = (0xd, 2);
                        } else {
                            surrogate = (surrogate << 6) | u16::from(byte & 0x3f);
                            missing = missing.saturating_sub(1);
                            if missing == 0 {
                                visit(Unit::Surrogate(surrogate));
                            }
                        }
                    }
                }
            }
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Repr::Utf8(text.to_owned()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Repr::Utf8(text))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_wtf8() == other.as_bytes()
    }
}

impl Ord for Text {
    /// UTF-8 and WTF-8 sort bytewise as their code points do.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_wtf8().cmp(other.as_wtf8())
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "string of {} bytes", self.as_wtf8().len())
    }
}

//! Writes deterministic CBOR.

use alloy_primitives::B256;

/// Writes one deterministic CBOR document.
///
/// Heads are always shortest and lengths definite. The writer cannot know a caller's mind about
/// two things, and [`Reader::new`](super::Reader::new) refuses both if they go wrong: as many items
/// must follow `array(n)` and `map(n)` as announced, and map keys come in ascending bytewise order
/// of their encoding (for small unsigned keys: ascending).
///
/// # Examples
///
/// ```
/// use seamline_core::cbor::{Reader, Writer};
///
/// let mut writer = Writer::new();
/// writer.array(3).uint(1).text("two").bytes(&[3]);
/// let bytes = writer.finish();
/// assert_eq!(bytes, [0x83, 0x01, 0x63, b't', b'w', b'o', 0x41, 0x03]);
///
/// let mut reader = Reader::new(&bytes)?;
/// reader.array_of(3)?;
/// assert_eq!(reader.uint()?, 1);
/// assert_eq!(reader.text()?, "two");
/// assert_eq!(reader.bytes()?, &[3]);
/// reader.finish()?;
/// # Ok::<(), seamline_core::cbor::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts an empty document.
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// Starts an empty document with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
        }
    }

    /// Writes an unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// Writes a signed integer.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            Err(_) => self.head(1, value.unsigned_abs().saturating_sub(1)),
        }
    }

    /// Writes an unsigned integer of up to 128 bits as a byte string: big-endian, without leading
    /// zero bytes, so zero is the empty string. Amounts are written so, because 64 bits do not
    /// hold 19 tokens of 18 decimals.
    pub fn uint128(&mut self, value: u128) -> &mut Self {
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        self.bytes(bytes.get(zeros..).unwrap_or_default())
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, len(value.len()));
        self.out.extend_from_slice(value);
        self
    }

    /// Writes a hash as a byte string of 32 bytes.
    pub fn hash(&mut self, value: &B256) -> &mut Self {
        self.bytes(value.as_slice())
    }

    /// Writes a text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, len(value.len()));
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// Announces an array of `items` items, which the next calls write.
    pub fn array(&mut self, items: usize) -> &mut Self {
        self.head(4, len(items))
    }

    /// Announces a map of `entries` entries, which the next calls write as key, value, key, ….
    pub fn map(&mut self, entries: usize) -> &mut Self {
        self.head(5, len(entries))
    }

    /// Writes a tag; the next call writes the tagged item.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(6, tag)
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// Writes `null`.
    pub fn null(&mut self) -> &mut Self {
        self.out.push(0xf6);
        self
    }

    /// Returns the bytes written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Returns the document.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let (info, width) = match zeros {
            8 => (0, 1),
            7 if value < 24 => (u8::try_from(value).unwrap_or_default(), 1),
            7 => (24, 1),
            6 => (25, 2),
            4 | 5 => (26, 4),
            _ => (27, 8),
        };
        self.out.push(major | info);
        if info >= 24 {
            let from = bytes.len().saturating_sub(width);
            self.out
                .extend_from_slice(bytes.get(from..).unwrap_or_default());
        }
        self
    }
}

/// A length in memory always fits: `usize` has at most 64 bits on every target.
fn len(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

//! A zero-copy reader of the CBOR (RFC 8949) that Nitro documents are made of.
//!
//! It is not the deterministic CBOR of receipts: the NSM does not sort keys and writes an
//! indefinite-length map. Lengths and integers are in shortest form all the same, in every
//! document that hardware has been seen to write; insisting on it leaves one framing per document.

use crate::error::{Error, Part, Problem};

/// Reads items one after the other; `part` names the field for errors.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) part: Part,
}

// Major types (RFC 8949 §3.1), in the top three bits of an item's first byte.
const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;
const INDEFINITE_MAP: u8 = 0xbf;

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], part: Part) -> Self {
        Self { bytes, at: 0, part }
    }

    /// Reads an unsigned integer.
    pub(super) fn uint(&mut self) -> Result<u64, Error> {
        self.head(UINT)
    }

    /// Reads a definite-length byte string.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.head(BYTES)?;
        self.take(length)
    }

    /// Reads a byte string, or null as `None`.
    pub(super) fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, Error> {
        if self.skip_if(NULL) {
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    /// Reads a definite-length text string of printable ASCII: every text of the format is.
    pub(super) fn text(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        let length = self.head(TEXT)?;
        let text = str::from_utf8(self.take(length)?).ok();
        text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| self.error_at(start, Problem::Value))
    }

    /// Reads the head of a definite-length array and returns its length.
    pub(super) fn array(&mut self) -> Result<u64, Error> {
        self.head(ARRAY)
    }

    /// Reads the head of a definite-length map and returns its number of pairs.
    pub(super) fn map(&mut self) -> Result<u64, Error> {
        self.head(MAP)
    }

    /// Reads the head of a map; `None` stands for the indefinite length.
    pub(super) fn map_of_any_length(&mut self) -> Result<Option<u64>, Error> {
        if self.skip_if(INDEFINITE_MAP) {
            return Ok(None);
        }
        self.map().map(Some)
    }

    /// Reads the end of an indefinite-length map if it is here.
    pub(super) fn skip_break(&mut self) -> bool {
        self.skip_if(BREAK)
    }

    /// Refuses bytes after the last item.
    pub(super) fn finish(&self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(self.error_at(self.at, Problem::Trailing))
    }

    /// How many bytes have been read.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// An error at the item that comes next.
    pub(super) const fn error(&self, problem: Problem) -> Error {
        self.error_at(self.at, problem)
    }

    const fn error_at(&self, offset: usize, problem: Problem) -> Error {
        Error::Malformed {
            part: self.part,
            problem,
            offset,
        }
    }

    /// Reads the head of an item of major type `major` and returns its argument.
    fn head(&mut self, major: u8) -> Result<u64, Error> {
        let start = self.at;
        let [first] = self.take_array()?;
        if first >> 5 != major {
            self.at = start;
            return Err(self.error(Problem::Type));
        }
        // Each length of argument must be needed for its value (RFC 8949 §4.2.1).
        let (argument, least) = match first & 0x1f {
            short @ 0..24 => (u64::from(short), 0),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take_array()?), 1 << 32),
            // 28..=30 are reserved; 31 is an indefinite length.
            _ => return Err(self.error_at(start, Problem::Type)),
        };
        if argument < least {
            return Err(self.error_at(start, Problem::NonMinimal));
        }
        Ok(argument)
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let here = self.bytes.get(self.at) == Some(&byte);
        self.at = self.at.saturating_add(usize::from(here));
        here
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or_else(|| self.error_at(self.at, Problem::Truncated))?;
        self.at = self.at.saturating_add(taken.len());
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest
            .first_chunk()
            .ok_or_else(|| self.error_at(self.at, Problem::Truncated))?;
        self.at = self.at.saturating_add(N);
        Ok(*taken)
    }
}

//! Reads a checked document item by item.

use alloy_primitives::B256;

use super::check::{self, Head};
use super::{Error, MAX_DEPTH};

/// Reads one deterministic CBOR document, item by item.
///
/// The constructor has already checked the whole input: form, order of map keys, nesting, no
/// trailing bytes. What remains for the caller is the meaning: which item is expected where.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// What the next item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unsigned integer.
    Uint,
    /// A negative integer.
    Negative,
    /// A byte string.
    Bytes,
    /// A text string.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag.
    Tag,
    /// `false` or `true`.
    Bool,
    /// `null`.
    Null,
}

impl<'a> Reader<'a> {
    /// Checks that `input` is one document in deterministic form, nested at most [`MAX_DEPTH`]
    /// deep, and starts reading it. Takes time linear in the input; the caller bounds its length.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but `Unexpected` and `OutOfRange`, with the offset of the fault.
    pub fn new(input: &'a [u8]) -> Result<Self, Error> {
        Self::with_depth(input, MAX_DEPTH)
    }

    /// As [`Reader::new`], with a bound of its own on nesting.
    ///
    /// # Errors
    ///
    /// As [`Reader::new`].
    pub fn with_depth(input: &'a [u8], depth: usize) -> Result<Self, Error> {
        check::document(input, depth)?;
        Ok(Self { input, at: 0 })
    }

    /// The offset of the next item, for error messages.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What the next item is.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] at the end of the document.
    pub fn peek(&self) -> Result<Kind, Error> {
        let head = check::head(self.input, self.at)?;
        Ok(match head.major {
            0 => Kind::Uint,
            1 => Kind::Negative,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            6 => Kind::Tag,
            _ if head.value == 22 => Kind::Null,
            _ => Kind::Bool,
        })
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn uint(&mut self) -> Result<u64, Error> {
        Ok(self.head(0, "an unsigned integer")?.value)
    }

    /// Reads an unsigned integer that must fit `T`; `field` names it in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`], or [`Error::OutOfRange`] if it does not fit.
    pub fn uint_in<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, Error> {
        let at = self.at;
        T::try_from(self.uint()?).map_err(|_| Error::OutOfRange { field, at })
    }

    /// Reads a signed integer of 64 bits.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`], or [`Error::OutOfRange`] outside 64 bits signed.
    pub fn int(&mut self) -> Result<i64, Error> {
        let at = self.at;
        let field = "a signed integer";
        let range = |_| Error::OutOfRange { field, at };
        if self.peek()? == Kind::Negative {
            let below = i64::try_from(self.head(1, field)?.value).map_err(range)?;
            // -1 - below, and !x is -1 - x in two's complement.
            return Ok(!below);
        }
        i64::try_from(self.head(0, field)?.value).map_err(range)
    }

    /// Reads what [`Writer::uint128`](super::Writer::uint128) writes.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`]; [`Error::OutOfRange`] for more than 16 bytes or a leading zero byte.
    pub fn uint128(&mut self) -> Result<u128, Error> {
        let at = self.at;
        let bytes = self.bytes()?;
        if bytes.len() > 16 || bytes.first() == Some(&0) {
            let field = "an amount";
            return Err(Error::OutOfRange { field, at });
        }
        Ok(bytes
            .iter()
            .fold(0u128, |value, &byte| (value << 8) | u128::from(byte)))
    }

    /// Reads a byte string.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let head = self.head(2, "a byte string")?;
        self.string(head)
    }

    /// Reads a byte string of exactly `N` bytes; `field` names it in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`], or [`Error::OutOfRange`] for another length.
    pub fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let at = self.at;
        <[u8; N]>::try_from(self.bytes()?).map_err(|_| Error::OutOfRange { field, at })
    }

    /// Reads a byte string of 32 bytes.
    ///
    /// # Errors
    ///
    /// As [`Reader::fixed`].
    pub fn hash(&mut self, field: &'static str) -> Result<B256, Error> {
        self.fixed::<32>(field).map(B256::from)
    }

    /// Reads a text string.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn text(&mut self) -> Result<&'a str, Error> {
        let at = self.at;
        let head = self.head(3, "a text string")?;
        core::str::from_utf8(self.string(head)?).map_err(|_| Error::NotUtf8 { at })
    }

    /// Enters an array and returns how many items follow.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn array(&mut self) -> Result<usize, Error> {
        let head = self.head(4, "an array")?;
        usize::try_from(head.value).map_err(|_| Error::Truncated { at: self.at })
    }

    /// Enters an array that must have `items` items.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`], or [`Error::OutOfRange`] for another number of items.
    pub fn array_of(&mut self, items: usize) -> Result<(), Error> {
        let at = self.at;
        if self.array()? == items {
            return Ok(());
        }
        let field = "the number of items";
        Err(Error::OutOfRange { field, at })
    }

    /// Enters a map and returns how many entries (key, value) follow. Their order is checked.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn map(&mut self) -> Result<usize, Error> {
        let head = self.head(5, "a map")?;
        usize::try_from(head.value).map_err(|_| Error::Truncated { at: self.at })
    }

    /// Enters a map that must have `entries` entries.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`], or [`Error::OutOfRange`] for another number of entries.
    pub fn map_of(&mut self, entries: usize) -> Result<(), Error> {
        let at = self.at;
        if self.map()? == entries {
            return Ok(());
        }
        let field = "the number of entries";
        Err(Error::OutOfRange { field, at })
    }

    /// Reads the map key `key`: for formats whose maps have a fixed set of keys.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is anything but that key.
    pub fn key(&mut self, key: u64) -> Result<(), Error> {
        let (at, expected) = (self.at, "another map key");
        if self.uint().is_ok_and(|found| found == key) {
            return Ok(());
        }
        Err(Error::Unexpected { expected, at })
    }

    /// Reads the tag `tag`; the tagged item comes next.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is anything but that tag.
    pub fn tag(&mut self, tag: u64) -> Result<(), Error> {
        let (at, expected) = (self.at, "a tag of the format");
        if self.head(6, expected)?.value == tag {
            return Ok(());
        }
        Err(Error::Unexpected { expected, at })
    }

    /// Reads a truth value.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] if the next item is something else.
    pub fn bool(&mut self) -> Result<bool, Error> {
        let (at, expected) = (self.at, "a truth value");
        match self.head(7, expected)?.value {
            20 => Ok(false),
            21 => Ok(true),
            _ => Err(Error::Unexpected { expected, at }),
        }
    }

    /// Reads `null` if it is next, and says whether it was.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] at the end of the document.
    pub fn skip_null(&mut self) -> Result<bool, Error> {
        if self.peek()? != Kind::Null {
            return Ok(false);
        }
        self.head(7, "null")?;
        Ok(true)
    }

    /// Reads `null` as `None`, anything else with `read`.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.skip_null()? {
            return Ok(None);
        }
        read(self).map(Some)
    }

    /// Ends the reading: everything must have been read.
    ///
    /// # Errors
    ///
    /// [`Error::Trailing`] if items are left.
    pub const fn finish(self) -> Result<(), Error> {
        if self.at == self.input.len() {
            Ok(())
        } else {
            Err(Error::Trailing { at: self.at })
        }
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<Head, Error> {
        let head = check::head(self.input, self.at)?;
        if head.major != major {
            let at = self.at;
            return Err(Error::Unexpected { expected, at });
        }
        self.at = head.end;
        Ok(head)
    }

    fn string(&mut self, head: Head) -> Result<&'a [u8], Error> {
        let end = check::string_end(self.input, head.end, head.value)?;
        self.at = end;
        self.input
            .get(head.end..end)
            .ok_or(Error::Truncated { at: end })
    }
}

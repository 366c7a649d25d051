//! The kinds of values that an event may hold, and how each is written.

use core::fmt;

use alloy_primitives::{Address, B256};

use crate::cbor::{Error, Reader, Writer};
use crate::{Amount, CallId, Charged, NodeId, SourceClass};

/// Longest [`Word`]: error codes, engine names and CAIP-2 networks are far shorter.
pub const MAX_WORD: usize = 256;

/// A short text of printable ASCII, such as a code or the name of a network.
///
/// Events hold no other text, so a receipt carries no control characters, no look-alike letters
/// and no question of Unicode normalization into a terminal or a page. Text from a peer loses what
/// does not fit: other characters become `?`, and what follows [`MAX_WORD`] bytes is cut.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

impl Word {
    /// No text.
    pub const EMPTY: Self = Self(String::new());

    /// Takes `text`, replacing what is not printable ASCII and cutting what is too long.
    pub fn new(text: &str) -> Self {
        let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        Self(text.chars().take(MAX_WORD).map(printable).collect())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// The value of one field, for views that print events without knowing each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number without sign.
    Uint(u128),
    /// A number with sign.
    Int(i64),
    /// A text in printable ASCII.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A value that an event can hold.
pub(super) trait Field: Sized {
    fn write(&self, writer: &mut Writer);
    fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error>;
    fn value(&self) -> Value;
}

impl Field for u64 {
    fn write(&self, writer: &mut Writer) {
        writer.uint(*self);
    }
    fn read(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, Error> {
        reader.uint()
    }
    fn value(&self) -> Value {
        Value::Uint(u128::from(*self))
    }
}

impl Field for u32 {
    fn write(&self, writer: &mut Writer) {
        writer.uint(u64::from(*self));
    }
    fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error> {
        reader.uint_in(name)
    }
    fn value(&self) -> Value {
        Value::Uint(u128::from(*self))
    }
}

impl Field for i64 {
    fn write(&self, writer: &mut Writer) {
        writer.int(*self);
    }
    fn read(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, Error> {
        reader.int()
    }
    fn value(&self) -> Value {
        Value::Int(*self)
    }
}

impl Field for bool {
    fn write(&self, writer: &mut Writer) {
        writer.bool(*self);
    }
    fn read(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, Error> {
        reader.bool()
    }
    fn value(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Field for Amount {
    fn write(&self, writer: &mut Writer) {
        writer.uint128(self.get());
    }
    fn read(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, Error> {
        reader.uint128().map(Self::new)
    }
    fn value(&self) -> Value {
        Value::Uint(self.get())
    }
}

impl Field for Word {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.0);
    }
    fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error> {
        let at = reader.at();
        let text = reader.text()?;
        let word = Self::new(text);
        if word.0 == text {
            return Ok(word);
        }
        Err(Error::OutOfRange { field: name, at })
    }
    fn value(&self) -> Value {
        Value::Text(self.0.clone())
    }
}

impl Field for Vec<u8> {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self);
    }
    fn read(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, Error> {
        reader.bytes().map(<[u8]>::to_vec)
    }
    fn value(&self) -> Value {
        Value::Bytes(self.clone())
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, writer: &mut Writer) {
        match self {
            Some(value) => value.write(writer),
            None => _ = writer.null(),
        }
    }
    fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error> {
        reader.optional(|reader| T::read(reader, name))
    }
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::value)
    }
}

/// Values that are byte strings of a fixed length.
macro_rules! fixed {
    ($($type:ty, $len:literal, |$read:ident| $from:expr, |$this:ident| $as_slice:expr;)+) => {$(
        impl Field for $type {
            fn write(&self, writer: &mut Writer) {
                let $this = self;
                writer.bytes($as_slice);
            }
            fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error> {
                let $read = reader.fixed::<$len>(name)?;
                Ok($from)
            }
            fn value(&self) -> Value {
                let $this = self;
                Value::Bytes($as_slice.to_vec())
            }
        }
    )+};
}

fixed! {
    B256, 32, |bytes| Self::from(bytes), |this| this.as_slice();
    Address, 20, |bytes| Self::from(bytes), |this| this.as_slice();
    NodeId, 32, |bytes| Self::new(B256::from(bytes)), |this| this.as_b256().as_slice();
    CallId, 16, |bytes| Self::new(bytes), |this| this.as_bytes().as_slice();
    [u8; 20], 20, |bytes| bytes, |this| this.as_slice();
    [u8; 32], 32, |bytes| bytes, |this| this.as_slice();
}

/// Enums whose variants have a stable number and a stable word.
macro_rules! numbered {
    ($($type:ty, $words:path, { $($variant:ident = $number:literal),+ $(,)? })+) => {$(
        impl Field for $type {
            fn write(&self, writer: &mut Writer) {
                writer.uint(match self { $(Self::$variant => $number),+ });
            }
            fn read(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, Error> {
                let at = reader.at();
                match reader.uint()? {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(Error::OutOfRange { field: name, at }),
                }
            }
            fn value(&self) -> Value {
                Value::Text($words(*self).to_owned())
            }
        }
    )+};
}

numbered! {
    SourceClass, Self::as_str, {
        Hardware = 0, Dev = 1, Chain = 2, SignedByNode = 3, Recomputed = 4, Asserted = 5,
        NotChecked = 6, Failed = 7,
    }
    Charged, Self::as_str, { No = 0, Yes = 1, Unknown = 2 }
    Outcome, Self::as_str, { Answered = 0, Refused = 1, Failed = 2, Abandoned = 3 }
    SettlementState, Self::as_str, {
        None = 0, Authorized = 1, Submitted = 2, Settled = 3, NotSettled = 4, Unknown = 5,
        Superseded = 6,
    }
    RecordStage, Self::as_str, {
        Asked = 0, Named = 1, Included = 2, Recorded = 3, Missing = 4, Failed = 5,
    }
    RecordMode, Self::as_str, { Private = 0, Batch = 1, Individual = 2 }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The caller received an answer whose signature verified.
    Answered,
    /// We refused before anything was sent to a node: no usable node, a policy, a bad request.
    Refused,
    /// Something failed on the way; the error code says what.
    Failed,
    /// The caller went away before the end, or the process died and the call was closed later.
    Abandoned,
}

impl Outcome {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What is known about the settlement of a call. Not a flag: `Unknown` is a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettlementState {
    /// Nothing was authorized.
    None,
    /// An authorization was signed; nobody said yet that it was used.
    Authorized,
    /// A facilitator said that it sent the transaction, or a node what it charged under a voucher.
    Submitted,
    /// Money moved, at a recorded block.
    Settled,
    /// Proven not to have moved and not to move any more: deadline passed and nonce unused.
    NotSettled,
    /// An authorization was sent and neither reply nor chain says what became of it.
    Unknown,
    /// The same `auth_nonce` was spent for another payee of the same call.
    Superseded,
}

impl SettlementState {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Authorized => "authorized",
            Self::Submitted => "submitted",
            Self::Settled => "settled",
            Self::NotSettled => "not settled",
            Self::Unknown => "unknown",
            Self::Superseded => "superseded",
        }
    }

    /// Whether the state cannot change any more.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::None | Self::Settled | Self::NotSettled | Self::Superseded
        )
    }
}

/// What a node is asked to put on record about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordMode {
    /// Nothing.
    Private,
    /// The answer's leaf in a batch, whose root is recorded.
    Batch,
    /// The answer's hashes, in a transaction of its own.
    Individual,
}

impl RecordMode {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Batch => "batch",
            Self::Individual => "individual",
        }
    }
}

/// How much is known about the record of an answer on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordStage {
    /// The node was asked for it, and nobody said more.
    Asked,
    /// The node says where it is, or will be.
    Named,
    /// A batch of this root holds the answer: the siblings prove it.
    Included,
    /// The recorder read the record on the chain, at a block.
    Recorded,
    /// The recorder asked the chain, which has no such record of this answer.
    Missing,
    /// The node says that it failed.
    Failed,
}

impl RecordStage {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Named => "named",
            Self::Included => "included",
            Self::Recorded => "recorded",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

//! JSON that keeps numbers as they were written, and Python's `json.dumps` form of it.
//!
//! OpenGradient enclaves hash what Python's `json` module prints after Python's `json` module has
//! parsed it, so this reader and writer follow that module and not only RFC 8259: integers have any
//! size, floats are re-printed as Python's `repr`, lone surrogates survive, `NaN` and `Infinity`
//! are numbers. The rules are in `spec/canonical-request.md`, section "Serialisation".
//!
//! ```
//! use seamline_core::json::{self, Keys};
//!
//! let value = json::parse(br#"{"b": 1E-5, "a": "\u00fc"}"#)?;
//! assert_eq!(value.to_json(Keys::Sorted), r#"{"a": "\u00fc", "b": 1e-05}"#);
//! assert_eq!(value.to_json(Keys::Insertion), r#"{"b": 1e-05, "a": "\u00fc"}"#);
//! # Ok::<(), json::Error>(())
//! ```

mod number;
mod object;
mod parse;
mod text;
mod write;

#[cfg(test)]
mod tests;

use core::fmt;

pub use number::Number;
pub use object::Object;
pub use parse::{Error, MAX_BYTES, MAX_DEPTH, MAX_INTEGER_DIGITS, Reason, parse, parse_within};
pub use text::{Text, Unit};
pub use write::Keys;

/// A JSON value.
///
/// `Debug` shows the shape and never the content: requests and responses pass through this type.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in the spelling that Python would print.
    Number(Number),
    /// A string.
    String(Text),
    /// An array.
    Array(Vec<Self>),
    /// An object, in insertion order, each key once.
    Object(Object),
}

impl Value {
    /// Builds an object from members in the order given; of a repeated key the last value wins.
    ///
    /// ```
    /// use seamline_core::json::{Keys, Value};
    ///
    /// let frame = Value::object([("index", 0.into()), ("finish_reason", Value::Null)]);
    /// assert_eq!(frame.to_json(Keys::Insertion), r#"{"index": 0, "finish_reason": null}"#);
    /// ```
    pub fn object<K: Into<Text>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(members.into_iter().collect())
    }

    /// Builds an array.
    pub fn array(items: impl IntoIterator<Item = Self>) -> Self {
        items.into_iter().collect()
    }

    /// Returns the member `key` of an object; `None` for other values and absent members.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object().and_then(|object| object.get(key))
    }

    /// Returns the item at `index` of an array; `None` for other values and past the end.
    pub fn at(&self, index: usize) -> Option<&Self> {
        self.as_array().and_then(|items| items.get(index))
    }

    /// Returns the string, if this is one and it holds no lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        self.as_text().and_then(Text::as_str)
    }

    /// Returns the string, if this is one.
    pub const fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Returns the number, if this is one.
    pub const fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            Self::Null | Self::Bool(_) | Self::String(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Returns the integer, if this is one from 0 to 2^64 - 1; a float such as `1.0` is not.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// Returns the integer, if this is one that fits; a float such as `1.0` is not.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// Returns `true` or `false`, if this is one of them.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Null | Self::Number(_) | Self::String(_) | Self::Array(_) | Self::Object(_) => {
                None
            }
        }
    }

    /// Returns the items, if this is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Object(_) => {
                None
            }
        }
    }

    /// Returns the members, if this is an object.
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Whether this is `null`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether Python would take this value as true: everything but `null`, `false`, zero, and
    /// empty strings, arrays and objects.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => !number.is_zero(),
            Self::String(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(object) => !object.is_empty(),
        }
    }

    /// Names the JSON type of this value.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => text.fmt(f),
            Self::Array(items) => write!(f, "array of {}", items.len()),
            Self::Object(object) => object.fmt(f),
            Self::Null | Self::Bool(_) | Self::Number(_) => f.write_str(self.type_name()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Text> for Value {
    fn from(value: Text) -> Self {
        Self::String(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(i64::from(value).into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Number(u64::from(value).into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

impl From<Vec<Self>> for Value {
    fn from(value: Vec<Self>) -> Self {
        Self::Array(value)
    }
}

/// Collects items into an array.
impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

/// `None` becomes `null`.
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

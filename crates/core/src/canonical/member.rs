//! Readers of the members that chat and completion requests share.

use super::{Error, Member};
use crate::json::{Number, Object, Value};

/// Returns the member unless it is absent or `null`, which mean the same in all rules but one
/// (`/v1/completions`, defaults).
pub(super) fn present(body: &Object, member: Member) -> Option<&Value> {
    body.get(member.name()).filter(|value| !value.is_null())
}

/// Returns a text that must be there and must not be empty.
pub(super) fn required_text(body: &Object, member: Member) -> Result<&str, Error> {
    let value = present(body, member).ok_or(Error::Missing { member })?;
    let text = value.as_str().ok_or(Error::WrongType { member })?;
    if text.is_empty() {
        return Err(Error::Empty { member });
    }
    Ok(text)
}

/// Python's `float(value)` of a number.
pub(super) fn float(value: &Value) -> Result<Number, Error> {
    let member = Member::Temperature;
    let number = value.as_number().ok_or(Error::WrongType { member })?;
    let float = number.to_f64().ok_or(Error::OutOfRange { member })?;
    Ok(Number::float(float))
}

pub(super) fn max_tokens(value: &Value) -> Result<u64, Error> {
    let member = Member::MaxTokens;
    let number = value.as_number().ok_or(Error::WrongType { member })?;
    if !number.is_integer() {
        return Err(Error::WrongType { member });
    }
    number.as_u64().ok_or(Error::OutOfRange { member })
}

/// Returns `stop` where it is truthy: a string, or an array of strings.
pub(super) fn stop(body: &Object) -> Result<Option<&Value>, Error> {
    let Some(value) = present(body, Member::Stop) else {
        return Ok(None);
    };
    let strings = value
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item.as_text().is_some()));
    if !strings && value.as_text().is_none() {
        return Err(Error::WrongType {
            member: Member::Stop,
        });
    }
    Ok(Some(value).filter(|value| value.is_truthy()))
}

//! Python's `str()` of parsed JSON, which takes the place of content that is no text.

use core::fmt::Write as _;

use super::{Error, Member};
use crate::json::{Text, Value};

/// Returns Python's `str(value)` of a value that is not a string.
///
/// Strings inside containers appear as Python's `repr`, whose escapes outside ASCII follow the
/// Unicode version of the interpreter; those have no reproducible form and are refused.
pub(super) fn python_str(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    repr(value, &mut out)?;
    Ok(out)
}

fn repr(value: &Value, out: &mut String) -> Result<(), Error> {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => match number.to_string().as_str() {
            "NaN" => out.push_str("nan"),
            "Infinity" => out.push_str("inf"),
            "-Infinity" => out.push_str("-inf"),
            finite => out.push_str(finite),
        },
        Value::String(text) => repr_text(text, out)?,
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                repr(item, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (key, member)) in object.iter().enumerate() {
                separate(index, out);
                repr_text(key, out)?;
                out.push_str(": ");
                repr(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// Quotes with `'`, or with `"` where the text holds `'` and no `"`.
fn repr_text(text: &Text, out: &mut String) -> Result<(), Error> {
    let ascii = text.as_str().filter(|text| text.is_ascii());
    let text = ascii.ok_or(Error::NoStableText {
        member: Member::Content,
    })?;
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            ' '..='~' => out.push(character),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
        }
    }
    out.push(quote);
    Ok(())
}

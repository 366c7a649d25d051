use super::{Fields, MAX_CONTROL, MAX_FIELDS, Request, Response, rules};
use crate::error::{Error, Part};
use crate::varint;

const KNOWN_REQUEST: u64 = 0;
const KNOWN_RESPONSE: u64 = 1;

pub(super) fn request(bytes: &[u8]) -> Result<Request, Error> {
    let rest = framing(bytes, KNOWN_REQUEST)?;
    // 1. Request control data (§3.4), which cannot be missing.
    let (method, rest) = control(rest)?;
    let (scheme, rest) = control(rest)?;
    let (authority, rest) = control(rest)?;
    let (path, rest) = control(rest)?;
    rules::request(&method, &scheme, &authority, &path)?;
    // 2. Fields, content, trailers, padding.
    let (fields, content, trailers) = body(rest)?;
    Ok(Request {
        method,
        scheme,
        authority,
        path,
        fields,
        content,
        trailers,
    })
}

pub(super) fn response(bytes: &[u8]) -> Result<Response, Error> {
    let rest = framing(bytes, KNOWN_RESPONSE)?;
    let (status, size) = varint::read(rest).ok_or(Error::Truncated(Part::Control))?;
    let status = u16::try_from(status).map_err(|_| Error::Malformed(Part::Control))?;
    rules::status(status)?;
    let (fields, content, trailers) = body(rest.get(size..).unwrap_or_default())?;
    Ok(Response {
        status,
        fields,
        content,
        trailers,
    })
}

fn framing(bytes: &[u8], wanted: u64) -> Result<&[u8], Error> {
    let (indicator, size) = varint::read(bytes).ok_or(Error::Truncated(Part::Framing))?;
    match indicator {
        found if found == wanted => Ok(bytes.get(size..).unwrap_or_default()),
        // Indeterminate length, both kinds.
        2 | 3 => Err(Error::Unsupported(Part::Framing)),
        _ => Err(Error::Malformed(Part::Framing)),
    }
}

/// Sections that are empty may be missing, the last first (§3.8). What follows the trailers is padding.
fn body(bytes: &[u8]) -> Result<(Fields, Vec<u8>, Fields), Error> {
    let (section, rest) = optional(bytes, MAX_FIELDS, Part::Fields)?;
    let fields = field_lines(section)?;
    let (content, rest) = optional(rest, usize::MAX, Part::Content)?;
    let (section, rest) = optional(rest, MAX_FIELDS, Part::Fields)?;
    let trailers = field_lines(section)?;
    rules::content_length(&fields, content)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::Malformed(Part::Padding));
    }
    Ok((fields, content.to_vec(), trailers))
}

fn field_lines(section: &[u8]) -> Result<Fields, Error> {
    let mut fields = Vec::new();
    let mut rest = section;
    while !rest.is_empty() {
        let (name, after) = prefixed(rest, MAX_FIELDS, Part::Fields)?;
        let (value, after) = prefixed(after, MAX_FIELDS, Part::Fields)?;
        let name = text(name, Part::Fields)?;
        fields.push((name, value.to_vec()));
        rest = after;
    }
    rules::fields(&fields)?;
    Ok(fields)
}

fn control(bytes: &[u8]) -> Result<(String, &[u8]), Error> {
    let (found, rest) = prefixed(bytes, MAX_CONTROL, Part::Control)?;
    Ok((text(found, Part::Control)?, rest))
}

fn text(bytes: &[u8], part: Part) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed(part))
}

fn optional(bytes: &[u8], max: usize, part: Part) -> Result<(&[u8], &[u8]), Error> {
    if bytes.is_empty() {
        return Ok((&[], &[]));
    }
    prefixed(bytes, max, part)
}

/// A length and as many bytes.
fn prefixed(bytes: &[u8], max: usize, part: Part) -> Result<(&[u8], &[u8]), Error> {
    let (len, size) = varint::read(bytes).ok_or(Error::Truncated(part))?;
    let len = usize::try_from(len).map_err(|_| Error::TooLong(part))?;
    if len > max {
        return Err(Error::TooLong(part));
    }
    let rest = bytes.get(size..).unwrap_or_default();
    rest.split_at_checked(len).ok_or(Error::Truncated(part))
}

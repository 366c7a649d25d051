//! What may stand in control data and fields.

use super::{MAX_CONTROL, MAX_FIELD_LINES};
use crate::error::{Error, Part};

pub(super) fn request(
    method: &str,
    scheme: &str,
    authority: &str,
    path: &str,
) -> Result<(), Error> {
    let bad = Err(Error::Malformed(Part::Control));
    for text in [method, scheme, authority, path] {
        if text.len() > MAX_CONTROL {
            return Err(Error::TooLong(Part::Control));
        }
    }
    if method.is_empty() || !method.bytes().all(is_token) {
        return bad;
    }
    // Binary HTTP has no form for CONNECT without a path; nothing here tunnels.
    if method == "CONNECT" || !matches!(scheme, "http" | "https") {
        return bad;
    }
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&b);
    if !authority.bytes().all(is_host) {
        return bad;
    }
    // A path stays the same for whoever reads it: visible ASCII, no fragment, no backslash, no dot segment.
    let is_path = |b: u8| b.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&b);
    if !path.starts_with('/') || !path.bytes().all(is_path) || has_dots(path) {
        return bad;
    }
    Ok(())
}

fn has_dots(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// Names are lower-case tokens; values have no control characters and no space at either end. Fields that
/// frame or route a message of HTTP/1.1 mean nothing here, and would mean something to whoever writes the
/// message out as HTTP/1.1.
pub(super) fn fields(fields: &[(String, Vec<u8>)]) -> Result<(), Error> {
    const FRAMING: [&str; 7] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let bad = Err(Error::Malformed(Part::Fields));
    if fields.len() > MAX_FIELD_LINES {
        return Err(Error::TooLong(Part::Fields));
    }
    for (name, value) in fields {
        let is_lower = |b: u8| is_token(b) && !b.is_ascii_uppercase();
        if name.is_empty() || !name.bytes().all(is_lower) || FRAMING.contains(&name.as_str()) {
            return bad;
        }
        let is_text = |b: &u8| *b == b'\t' || (*b >= 0x20 && *b != 0x7f);
        if !value.iter().all(is_text) || value.trim_ascii().len() != value.len() {
            return bad;
        }
    }
    Ok(())
}

/// One `content-length` at most, and a true one.
pub(super) fn content_length(fields: &[(String, Vec<u8>)], content: &[u8]) -> Result<(), Error> {
    let mut lengths = fields.iter().filter(|(name, _)| name == "content-length");
    let (first, second) = (lengths.next(), lengths.next());
    let is_true = first.is_none_or(|(_, value)| *value == content.len().to_string().into_bytes());
    if is_true && second.is_none() {
        Ok(())
    } else {
        Err(Error::Malformed(Part::Fields))
    }
}

pub(super) fn status(status: u16) -> Result<(), Error> {
    match status {
        200..=599 => Ok(()),
        100..=199 => Err(Error::Unsupported(Part::Control)),
        _ => Err(Error::Malformed(Part::Control)),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

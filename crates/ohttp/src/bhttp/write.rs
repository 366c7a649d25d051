use super::{Fields, MAX_FIELDS, Request, Response, rules};
use crate::error::{Error, Part};
use crate::varint;

pub(super) fn request(request: &Request, padded: usize) -> Result<Vec<u8>, Error> {
    let Request {
        method,
        scheme,
        authority,
        path,
        fields,
        content,
        trailers,
    } = request;
    rules::request(method, scheme, authority, path)?;
    let mut out = vec![0];
    for text in [method, scheme, authority, path] {
        prefixed(text.as_bytes(), &mut out);
    }
    body(fields, content, trailers, padded, out)
}

pub(super) fn response(response: &Response, padded: usize) -> Result<Vec<u8>, Error> {
    let Response {
        status,
        fields,
        content,
        trailers,
    } = response;
    rules::status(*status)?;
    let mut out = vec![1];
    varint::write(usize::from(*status), &mut out);
    body(fields, content, trailers, padded, out)
}

fn body(
    fields: &Fields,
    content: &[u8],
    trailers: &Fields,
    padded: usize,
    mut out: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    rules::content_length(fields, content)?;
    section(fields, &mut out)?;
    prefixed(content, &mut out);
    section(trailers, &mut out)?;
    out.resize(out.len().max(padded), 0);
    Ok(out)
}

fn section(fields: &Fields, out: &mut Vec<u8>) -> Result<(), Error> {
    rules::fields(fields)?;
    let mut lines = Vec::new();
    for (name, value) in fields {
        prefixed(name.as_bytes(), &mut lines);
        prefixed(value, &mut lines);
    }
    if lines.len() > MAX_FIELDS {
        return Err(Error::TooLong(Part::Fields));
    }
    prefixed(&lines, out);
    Ok(())
}

fn prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    varint::write(bytes.len(), out);
    out.extend_from_slice(bytes);
}

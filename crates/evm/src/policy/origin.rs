//! Whether what is sold is what was asked for: the origins of two URLs.

/// Longest URL that is compared; browsers and servers refuse longer ones.
const MAX_URL: usize = 8 * 1024;

/// Whether `resource_url` (said by the seller) and `request_url` (what was asked for) have the same
/// origin: scheme, host and port, as RFC 6454 compares them.
///
/// Deliberately less than a URL parser: `http` and `https` only; user information, backslashes,
/// percent signs in the host, spaces, control characters and characters outside of ASCII make the
/// answer `false`. A host is equal as text in lower case; other spellings of an address differ.
pub fn origin_matches(resource_url: &str, request_url: &str) -> bool {
    match (Origin::of(resource_url), Origin::of(request_url)) {
        (Some(resource), Some(request)) => resource == request,
        (Some(_) | None, _) => false,
    }
}

#[derive(PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if url.len() > MAX_URL || !url.bytes().all(plain) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = split_port(authority)?;
        let port = match port {
            None if https => 443,
            None => 80,
            Some(digits) => port_number(digits)?,
        };
        Some(Self {
            https,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// Splits `host:port`; an IPv6 host keeps its brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let plain = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        if address.is_empty() || !address.bytes().all(plain) {
            return None;
        }
        return match after.strip_prefix(':') {
            Some(port) => Some((address, Some(port))),
            None if after.is_empty() => Some((address, None)),
            None => None,
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then_some((host, port))
}

fn port_number(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

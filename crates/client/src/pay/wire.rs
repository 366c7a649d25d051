//! What goes over the wire to a plain server: where, with which headers, and what a 402 says.

use bytes::Bytes;
use core::time::Duration;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use seamline_evm::Malformed;
use seamline_evm::x402::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentRequired, SettleResponse,
    decode_header, v1,
};

use super::error::ErrorKind;

/// Longest URL that is asked: proxies and servers refuse longer ones.
const MAX_URL: usize = 8 * 1024;

/// Where a purchase goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As it is sent, without a fragment.
    pub(super) url: String,
    /// Scheme, host and port.
    pub(super) origin: String,
}

impl Target {
    /// Reads a URL that may be paid at: `https`, or `http` on this machine. The client of `net` refuses
    /// the rest again before it connects.
    pub(super) fn of(url: &str) -> Result<Self, ErrorKind> {
        let refused = |what| ErrorKind::Url { what };
        let url = url.split('#').next().unwrap_or_default();
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || url.len() > MAX_URL {
            return Err(refused("it is no url of printable ascii, or too long"));
        }
        let uri: http::Uri = url.parse().map_err(|_| refused("it is no url"))?;
        let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("it has credentials in it"));
        }
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let local = bare
            .parse::<core::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let usual = match scheme.as_str() {
            "https" => 443,
            "http" if local => 80,
            "http" => return Err(refused("plain http is paid on this machine only")),
            _ => return Err(refused("it is neither http nor https")),
        };
        let port = authority.port_u16().filter(|port| *port != usual);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self {
            url: url.to_owned(),
            origin: format!("{scheme}://{host}{port}"),
        })
    }
}

/// What a server wants, in the terms of version 2.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) required: PaymentRequired,
    /// The body of a version 1 server, as it came.
    pub(super) v1: Option<v1::PaymentRequired>,
}

/// Reads a 402: the header of version 2, else the body of version 1. `None` where neither is there.
pub(super) fn asked(headers: &HeaderMap, body: &[u8]) -> Option<Result<Asked, Malformed>> {
    if let Some(value) = one(headers, PAYMENT_REQUIRED) {
        let required = PaymentRequired::from_header(value.as_bytes());
        return Some(required.map(|required| Asked { required, v1: None }));
    }
    if headers.contains_key(PAYMENT_REQUIRED) {
        return None; // twice: two readers could see two prices
    }
    match v1::PaymentRequired::parse(body) {
        Ok(parsed) => Some(Ok(Asked {
            required: parsed.to_v2(),
            v1: Some(parsed),
        })),
        // A body without offers of version 1 is no 402 of x402 at all.
        Err(Malformed::Json | Malformed::Version | Malformed::Field("x402Version")) => None,
        Err(malformed) => Some(Err(malformed)),
    }
}

/// The raw JSON of the one settlement header.
pub(super) fn settle_reply(headers: &HeaderMap) -> Option<Bytes> {
    let value = one(headers, PAYMENT_RESPONSE).or_else(|| one(headers, v1::X_PAYMENT_RESPONSE))?;
    decode_header(value.as_bytes()).ok().map(Bytes::from)
}

/// Whether a 409 says that the money moved and the answer is gone: there is nothing to wait for. One
/// that asks for patience names a time.
pub(super) fn is_gone(headers: &HeaderMap) -> bool {
    let reply = settle_reply(headers).and_then(|raw| SettleResponse::parse(&raw).ok());
    reply.is_some_and(|reply| reply.success) && !headers.contains_key(header::RETRY_AFTER)
}

/// An authorization as it is sent: the same header every time.
#[derive(Clone)]
pub(super) struct Presentation {
    name: HeaderName,
    value: HeaderValue,
}

impl Presentation {
    pub(super) fn new(version: u64, value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        // Whoever holds it can settle it: out of logs and out of HPACK's table.
        value.set_sensitive(true);
        let name = if version == v1::VERSION {
            v1::X_PAYMENT
        } else {
            PAYMENT_SIGNATURE
        };
        Some(Self {
            name: HeaderName::from_static(name),
            value,
        })
    }

    pub(super) fn insert(&self, headers: &mut HeaderMap) {
        headers.insert(self.name.clone(), self.value.clone());
    }
}

/// The caller's headers without those of x402, which are the payer's.
pub(super) fn own_headers(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [
        PAYMENT_SIGNATURE,
        PAYMENT_REQUIRED,
        PAYMENT_RESPONSE,
        v1::X_PAYMENT,
        v1::X_PAYMENT_RESPONSE,
    ] {
        headers.remove(name);
    }
    headers
}

/// Where a redirect leads: its origin, in printable ASCII, or nothing where it stays or does not read.
pub(super) fn redirect_origin(headers: &HeaderMap, from: &Target) -> Option<String> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(from.origin.clone());
    }
    Target::of(location).ok().map(|to| to.origin)
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next()?, values.next());
    second.is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_they_are_dialled() {
        for (url, origin) in [
            ("https://Api.Example/a?b#c", "https://api.example"),
            ("https://api.example:443/", "https://api.example"),
            ("https://api.example:8443", "https://api.example:8443"),
            ("http://127.0.0.1:80/x", "http://127.0.0.1"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
        ] {
            assert_eq!(Target::of(url).unwrap().origin, origin);
        }
        assert_eq!(
            Target::of("https://a.example/x#y").unwrap().url,
            "https://a.example/x"
        );
    }

    #[test]
    fn other_urls_are_not_paid_at() {
        let long = format!("https://a.example/{}", "x".repeat(MAX_URL));
        for url in [
            "",
            "/path",
            "a.example/x",
            "ftp://a.example/",
            "http://a.example/",
            "http://localhost/",
            "http://127.0.0.1.evil.example/",
            "https://user:word@a.example/",
            "https://a.example/\u{e9}",
            "https://a.example/a b",
            "javascript:alert(1)",
            long.as_str(),
        ] {
            let refused = Target::of(url).unwrap_err();
            assert!(matches!(refused, ErrorKind::Url { .. }), "{url}");
        }
    }

    #[test]
    fn a_redirect_says_where() {
        let from = Target::of("https://a.example/x").unwrap();
        for (location, origin) in [
            ("/y", Some("https://a.example")),
            ("https://b.example/z", Some("https://b.example")),
            ("//b.example/z", None),
            ("http://b.example/", None),
            ("javascript:1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
            assert_eq!(redirect_origin(&headers, &from).as_deref(), origin);
        }
        assert_eq!(redirect_origin(&HeaderMap::new(), &from), None);
    }

    #[test]
    fn two_prices_are_none() {
        let json = br#"{"x402Version":2,"accepts":[]}"#;
        let text = seamline_evm::x402::encode_header(json);
        let value = HeaderValue::from_str(&text).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(PAYMENT_REQUIRED, value.clone());
        headers.append(PAYMENT_REQUIRED, value);
        assert!(asked(&headers, b"").is_none());
        assert!(asked(&HeaderMap::new(), b"").is_none());
        assert!(asked(&HeaderMap::new(), b"{}").is_none());
        assert!(asked(&HeaderMap::new(), b"<html>").is_none());
    }
}

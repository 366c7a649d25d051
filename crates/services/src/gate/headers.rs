//! Which headers pass, in both directions.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use seamline_net::PaymentContext;

use super::metered::SETTLEMENT_OVERRIDES;

/// Tells the upstream who pays: an address.
const PAYER: HeaderName = HeaderName::from_static("seamline-payer");
/// Tells the upstream the most that can be charged: base units of the token, decimal.
const MAX_AMOUNT: HeaderName = HeaderName::from_static("seamline-max-amount");

/// Headers of one connection only (RFC 9110 §7.6.1), and those that the next request gets anew.
const HOP: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Payments and claims about them, also where no paywall has taken them out; claims about where a
/// request came from.
const CLAIMS: [&str; 13] = [
    "extension-responses",
    "keep-alive",
    "payment-required",
    "payment-response",
    "payment-signature",
    "proxy-connection",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-payment",
    "x-payment-response",
    "x-real-ip",
];

/// What the upstream gets to see.
pub(super) fn onward(mut headers: HeaderMap, payment: &PaymentContext) -> HeaderMap {
    strip(&mut headers);
    headers.remove(FORWARDED);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let max = payment.max.to_string();
    for (name, text) in [(PAYER, payment.payer.to_string()), (MAX_AMOUNT, max)] {
        // An address and a number are valid values; without one the client's claim goes all the same.
        match HeaderValue::from_str(&text) {
            Ok(value) => headers.insert(name, value),
            Err(_) => headers.remove(name),
        };
    }
    headers
}

/// What the client gets to see.
pub(super) fn back(headers: &mut HeaderMap) {
    strip(headers);
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP) {
        headers.remove(name);
    }
    for name in CLAIMS.iter().chain(&[SETTLEMENT_OVERRIDES]) {
        headers.remove(*name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_or_a_payment_stays() {
        let mut headers = HeaderMap::new();
        for name in CLAIMS
            .iter()
            .chain(&[SETTLEMENT_OVERRIDES, "x-once", "x-twice"])
        {
            headers.insert(*name, HeaderValue::from_static("1"));
        }
        for name in HOP {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close, X-Once"));
        headers.append(CONNECTION, HeaderValue::from_static("x-twice"));
        headers.append("x-kept", HeaderValue::from_static("a"));
        headers.append("x-kept", HeaderValue::from_static("b"));
        strip(&mut headers);
        let kept: Vec<_> = headers.iter().collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(headers.get_all("x-kept").iter().count(), 2);
    }
}

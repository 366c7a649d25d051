//! Reading a request before anything is believed of it.

use axum::extract::{OriginalUri, Request};
use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, TE, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use seamline_core::{B256, sha256};
use seamline_evm::Malformed;
use seamline_evm::x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload};

use crate::problem::Problem;

/// Headers that only a paywall writes: from a peer, or from a handler, they are somebody's claim.
pub(super) const RESERVED: [&str; 5] = [
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    X_PAYMENT_RESPONSE,
    "settlement-overrides",
    "extension-responses",
];

/// Header of version 1 that carries a payment.
pub(super) const X_PAYMENT: &str = "x-payment";
/// Header of version 1 that carries a settlement.
pub(super) const X_PAYMENT_RESPONSE: &str = "x-payment-response";

/// Headers that name another method than the request line; who pays for one must not get another.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Headers that ask for a part of an answer, or for none: a paid answer is whole.
const PARTIAL: [HeaderName; 4] = [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE];

/// Refuses requests that are not for one answer.
///
/// `HEAD` would run a GET handler and lose its answer; `OPTIONS` is a matter of a CORS layer outside
/// of the paywall; an upgrade would leave HTTP, and with it the meter.
pub(super) fn guard(request: &mut Request) -> Result<(), Problem> {
    let method = request.method();
    let unpayable = [
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    if unpayable.contains(method) {
        let text = "this method is not for sale";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Problem::new(status, "method_not_for_sale", text));
    }
    let headers = request.headers();
    if headers.contains_key(UPGRADE) || lists(headers, &CONNECTION, "upgrade") {
        let text = "a paid request cannot change the protocol";
        let status = StatusCode::BAD_REQUEST;
        return Err(Problem::new(status, "upgrade_refused", text));
    }
    request
        .extensions_mut()
        .remove::<hyper::upgrade::OnUpgrade>();
    Ok(())
}

/// Removes what is none of a handler's business: the live authorization first.
pub(super) fn strip(headers: &mut HeaderMap) {
    let names = RESERVED.iter().chain(&METHOD_OVERRIDES);
    for name in names.chain(&[PAYMENT_SIGNATURE, X_PAYMENT]) {
        headers.remove(*name);
    }
    for name in &PARTIAL {
        headers.remove(name);
    }
}

/// Whether the client reads trailers (RFC 9110 §6.5.1).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    lists(headers, &TE, "trailers")
}

fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(item))
}

/// The path and the query as the client sent them: a router that nests others cuts prefixes off.
pub(super) fn target(head: &Parts) -> String {
    let original = head.extensions.get::<OriginalUri>();
    let uri = original.map_or(&head.uri, |OriginalUri(uri)| uri);
    let target = uri.path_and_query().map(ToString::to_string);
    target.unwrap_or_else(|| "/".to_owned())
}

/// What a request is: method, path and query, body. Method and target cannot hold a line feed, so
/// that the parts cannot be shifted into each other.
pub(super) fn request_hash(head: &Parts, body: &Bytes) -> B256 {
    let target = target(head);
    let method = head.method.as_str();
    sha256(&[method.as_bytes(), b"\n", target.as_bytes(), b"\n", body])
}

/// A payment as it was presented.
pub(super) enum Presented {
    None,
    V2(Box<PaymentPayload>),
    /// The decoded header of version 1.
    V1(Vec<u8>),
}

/// Reads the payment header: none, or exactly one that decodes; otherwise the error of the 402.
/// With `v1`, `X-PAYMENT` is one too.
pub(super) fn payment(headers: &HeaderMap, v1: bool) -> Result<Presented, &'static str> {
    let mut values = headers.get_all(PAYMENT_SIGNATURE).iter();
    let mut old = headers.get_all(X_PAYMENT).iter().filter(|_| v1);
    let presented = match (values.next(), old.next()) {
        (None, None) => return Ok(Presented::None),
        (Some(value), None) => match PaymentPayload::from_header(value.as_bytes()) {
            Ok(payload) => Presented::V2(Box::new(payload)),
            Err(Malformed::Version) => return Err("invalid_x402_version"),
            Err(_) => return Err("invalid_payload"),
        },
        (None, Some(value)) => seamline_evm::x402::decode_header(value.as_bytes())
            .map(Presented::V1)
            .map_err(|_| "invalid_payload")?,
        (Some(_), Some(_)) => return Err("invalid_payload"),
    };
    if values.next().is_some() || old.next().is_some() {
        return Err("invalid_payload");
    }
    Ok(presented)
}

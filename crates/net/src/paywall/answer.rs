use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use seamline_evm::x402::{
    Offer, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PaymentRequired, Resource, SettleResponse,
};

use super::holdback::DONE_FRAME;

/// A handler's answer, whole, before anything is said about its settlement.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) end: End,
}

/// What follows the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing: the settlement is said in a header.
    Buffered,
    /// An event stream: the settlement is said in a comment, then the final frame where `done`.
    Stream { done: bool },
}

/// Name of the comment that tells a stream's settlement.
const SETTLEMENT_COMMENT: &str = ": seamline-settlement ";

/// Headers that say something about payments: only the paywall says it.
const RESERVED: [&str; 3] = [
    PAYMENT_RESPONSE,
    "settlement-overrides",
    "extension-responses",
];

impl Answer {
    /// Writes the answer with its settlement.
    pub(super) fn respond(&self, settled: &SettleResponse) -> Response {
        let mut body = BytesMut::from(self.body.as_ref());
        if let End::Stream { done } = self.end {
            body.put(stream_end(settled, done));
        }
        let mut response = Response::new(Body::from(body.freeze()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response.headers_mut().remove(CONTENT_LENGTH);
        say(response.headers_mut(), settled);
        response
    }
}

/// The settlement as a comment of an event stream, and the final frame where `done`.
pub(super) fn stream_end(settled: &SettleResponse, done: bool) -> Bytes {
    let mut text = BytesMut::from(SETTLEMENT_COMMENT.as_bytes());
    text.put_slice(settled.to_header().as_bytes());
    text.put_slice(b"\n\n");
    if done {
        text.put_slice(DONE_FRAME);
    }
    text.freeze()
}

/// Prepares a handler's headers for a paid answer: private, and silent about payments.
pub(super) fn prepare(headers: &mut HeaderMap) {
    for name in RESERVED {
        headers.remove(name);
    }
    let cached: Vec<&str> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let directives = cached.join(", ");
    let is_private = directives
        .split(',')
        .any(|directive| directive.trim().eq_ignore_ascii_case("private"));
    if !is_private {
        let joined = if directives.is_empty() {
            "private".to_owned()
        } else {
            format!("{directives}, private")
        };
        // Parts of valid values, joined by a comma, are a valid value.
        if let Ok(value) = HeaderValue::from_str(&joined) {
            headers.insert(CACHE_CONTROL, value);
        }
    }
    headers.append(VARY, HeaderValue::from_static("PAYMENT-SIGNATURE"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// A 402 with what is asked (x402 §1.8); the body is `{}` because version 2 speaks in the header.
pub(super) fn payment_required(error: &str, resource: &Resource, offer: &Offer) -> Response {
    let required = PaymentRequired::new(Some(error), Some(resource), core::slice::from_ref(offer));
    let mut response = empty(StatusCode::PAYMENT_REQUIRED);
    insert(&mut response, PAYMENT_REQUIRED, &required.to_header());
    response
}

/// A 402 whose settlement failed, or whose authorization is spent: says so, withholds the answer.
pub(super) fn withheld(settled: &SettleResponse) -> Response {
    let mut response = empty(StatusCode::PAYMENT_REQUIRED);
    say(response.headers_mut(), settled);
    response
}

/// A 503 for a settlement that may still happen: a payer who knows x402 does not sign again.
pub(super) fn uncertain(settled: &SettleResponse) -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, SOON);
    say(response.headers_mut(), settled);
    response
}

/// A 409 for a presentation whose twin still runs.
pub(super) fn in_flight() -> Response {
    let mut response = empty(StatusCode::CONFLICT);
    response.headers_mut().insert(RETRY_AFTER, SOON);
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::from("{}"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("PAYMENT-SIGNATURE"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}

fn say(headers: &mut HeaderMap, settled: &SettleResponse) {
    // Base64 is a valid header value.
    if let Ok(value) = HeaderValue::from_str(&settled.to_header()) {
        headers.insert(HeaderName::from_static(PAYMENT_RESPONSE), value);
    }
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, value);
    }
}

const EXPOSED: HeaderValue = HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE");
/// Seconds after which asking again makes sense: a block of a fast chain.
const SOON: HeaderValue = HeaderValue::from_static("1");

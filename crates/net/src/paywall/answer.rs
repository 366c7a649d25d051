use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    TRAILER, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use seamline_evm::x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, SettleResponse};

use super::holdback::DONE_FRAME;
use super::request::{RESERVED, X_PAYMENT_RESPONSE};

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
    /// An event stream that ended by itself: the settlement is said in a comment, then the final
    /// frame where `done`, else an event.
    Stream { done: bool },
}

/// Name of the comment that tells a stream's settlement.
const SETTLEMENT_COMMENT: &str = ": seamline-settlement ";

impl Answer {
    /// Writes the answer with its settlement.
    pub(super) fn respond(&self, settled: &SettleResponse, v1: bool) -> Response {
        let mut body = BytesMut::from(self.body.as_ref());
        if let End::Stream { done } = self.end {
            body.put(stream_end(settled, done, true));
        }
        let mut response = Response::new(Body::from(body.freeze()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        say(response.headers_mut(), settled, v1);
        response
    }
}

/// The settlement as a comment of an event stream, and the final frame where `done`. A stream
/// `whole` without that frame gets an event instead, because nothing may follow `[DONE]` and
/// nothing may look like a chunk before it.
pub(super) fn stream_end(settled: &SettleResponse, done: bool, whole: bool) -> Bytes {
    let mut text = BytesMut::from(SETTLEMENT_COMMENT.as_bytes());
    text.put_slice(settled.to_header().as_bytes());
    text.put_slice(b"\n\n");
    if done {
        text.put_slice(DONE_FRAME);
    } else if whole {
        text.put_slice(b"event: x402.receipt\ndata: ");
        // JSON without line feeds: `to_json` writes none.
        text.put_slice(settled.to_json().as_bytes());
        text.put_slice(b"\n\n");
    }
    text.freeze()
}

/// Prepares a handler's headers for a paid answer: private, silent about payments, and of a length
/// that what is added may change.
pub(super) fn prepare(headers: &mut HeaderMap) {
    for name in RESERVED {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRAILER);
    let cached: Vec<&str> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|directive| !directive.is_empty() && !is_for_shared_caches(directive))
        .chain(["private"])
        .collect();
    // Parts of valid values, joined by a comma, are a valid value.
    if let Ok(value) = HeaderValue::from_str(&cached.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
    mark(headers);
}

/// Directives that `private` replaces, `private` included.
fn is_for_shared_caches(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim();
    ["public", "private", "s-maxage"]
        .iter()
        .any(|shared| name.eq_ignore_ascii_case(shared))
}

/// A 402 with what is asked (x402 §1.8); the body is `{}` because version 2 speaks in the header,
/// or what version 1 reads there.
pub(super) fn payment_required(header: &str, body: Option<String>) -> Response {
    let mut response = empty(StatusCode::PAYMENT_REQUIRED);
    insert(&mut response, PAYMENT_REQUIRED, header);
    if let Some(body) = body {
        *response.body_mut() = Body::from(body);
    }
    response
}

/// The end of a payment that buys no content, such as a refund.
pub(super) fn done(settled: &SettleResponse) -> Response {
    let mut response = empty(StatusCode::OK);
    say(response.headers_mut(), settled, false);
    response
}

/// A 409 for an authorization that was settled and whose answer is not kept: says which settlement,
/// so that nobody pays again for it.
pub(super) fn gone(settled: &SettleResponse, v1: bool) -> Response {
    let mut response = empty(StatusCode::CONFLICT);
    *response.body_mut() = Body::from(GONE);
    say(response.headers_mut(), settled, v1);
    response
}

/// A 402 whose settlement failed: says so, withholds the answer.
pub(super) fn withheld(settled: &SettleResponse, v1: bool) -> Response {
    let mut response = empty(StatusCode::PAYMENT_REQUIRED);
    say(response.headers_mut(), settled, v1);
    response
}

/// A 503 for a settlement that may still happen: a payer who knows x402 does not sign again.
pub(super) fn uncertain(settled: &SettleResponse, v1: bool) -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, SOON);
    say(response.headers_mut(), settled, v1);
    response
}

/// A 409 for a payment identifier that belongs to another payment.
pub(super) fn conflict() -> Response {
    empty(StatusCode::CONFLICT)
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
    mark(headers);
    response
}

/// Says to caches that the answer depends on the payment, and to browsers which headers a script
/// may read; what the handler says of both stays.
fn mark(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("PAYMENT-SIGNATURE"));
    headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Says a settlement in the header, of version 1 too where the payment was.
pub(super) fn say(headers: &mut HeaderMap, settled: &SettleResponse, v1: bool) {
    // Base64 is a valid header value.
    if let Ok(value) = HeaderValue::from_str(&settled.to_header()) {
        if v1 {
            headers.insert(X_PAYMENT_RESPONSE, value.clone());
        }
        headers.insert(HeaderName::from_static(PAYMENT_RESPONSE), value);
    }
}

/// The settlement as the trailer of a stream.
pub(super) fn trailers(settled: &SettleResponse) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    say(&mut trailers, settled, false);
    trailers
}

/// Announces the trailer.
pub(super) fn announce_trailer(headers: &mut HeaderMap) {
    headers.insert(TRAILER, HeaderValue::from_static("PAYMENT-RESPONSE"));
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, value);
    }
}

/// Why there is nothing to get: answers are kept for a while, for messages with an identifier.
const GONE: &str = r#"{"error":"this payment was settled and its answer is not kept","code":"answer_gone","charged":"yes","retry":false}"#;
const EXPOSED: HeaderValue =
    HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE");
/// Seconds after which asking again makes sense: a block of a fast chain.
const SOON: HeaderValue = HeaderValue::from_static("1");

//! From a decapsulated message to a request of the enclave's own, and nothing else.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use seamline_ohttp::bhttp;
use serde_json::value::RawValue;
use tower::ServiceExt as _;

/// Members that could tell users apart, which OpenGradient's gateway removes before anything else.
const IDENTIFYING: [&str; 4] = ["metadata", "request_id", "user", "x-request-id"];

/// Methods and paths that can be reached through the gateway. A request that is not on the list does not
/// exist: no key injection, no gateway within a gateway.
const ALLOWED: [(&Method, &str); 5] = [
    (&Method::POST, CHAT),
    (&Method::POST, COMPLETIONS),
    (&Method::GET, "/health"),
    (&Method::GET, "/signing-key"),
    (&Method::GET, "/v1/models"),
];
const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// Names of the handlers in the member `endpoint` of a sealed JSON request, which is not the handler's.
/// Without it, it is a chat; images are answers of chats.
const ENDPOINTS: [(&[u8], &str); 3] = [
    (b"\"chat\"", CHAT),
    (b"\"completions\"", COMPLETIONS),
    (b"null", CHAT),
];

/// Fields of a binary request that the enclave's handlers read.
const FIELDS: [&str; 3] = ["accept", "content-type", "x-settlement-type"];

type Asked = Result<Request<Body>, Box<Response>>;

/// A chat request as OpenGradient's clients seal it: the body alone, method and path are implied.
pub(super) fn from_json(plain: &[u8]) -> Asked {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(plain)
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the request is no json object"))?;
    let endpoint = members.remove("endpoint");
    let path = match endpoint {
        None => CHAT,
        Some(named) => {
            let mut known = ENDPOINTS.iter();
            let found = known.find(|(name, _)| *name == named.get().as_bytes());
            let text = "this endpoint is not served here";
            found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, text))?.1
        }
    };
    // Only a body that must change is written anew, and then from the bytes of its members.
    let body = if endpoint.is_some() || IDENTIFYING.iter().any(|name| members.contains_key(*name)) {
        let kept = members
            .into_iter()
            .filter(|(name, _)| !IDENTIFYING.contains(&name.as_str()));
        let kept: BTreeMap<String, &RawValue> = kept.collect();
        serde_json::to_vec(&kept)
            .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the request cannot be written"))?
    } else {
        plain.trim_ascii_end().to_vec()
    };
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::AUTHORIZATION, BEARER);
    headers.insert(SETTLEMENT, PRIVATE);
    Ok(request)
}

/// A Binary HTTP request (RFC 9292) for this enclave.
pub(super) fn from_binary(plain: &[u8], endpoint: &str) -> Asked {
    let asked = bhttp::Request::decode(plain)
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the request is no binary http"))?;
    let bhttp::Request {
        method,
        scheme,
        authority,
        path,
        fields,
        content,
        trailers,
    } = asked;
    // 1. This enclave is the only target.
    let hosts = fields.iter().filter(|(name, _)| name == "host");
    let named = hosts.map(|(_, value)| value.as_slice());
    let target = endpoint.strip_prefix("https://").unwrap_or(endpoint);
    let is_ours = |name: &[u8]| name.is_empty() || name.eq_ignore_ascii_case(target.as_bytes());
    if scheme != "https" || !is_ours(authority.as_bytes()) || !named.into_iter().all(is_ours) {
        let text = "this gateway serves its own enclave only";
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, text));
    }
    // 2. The method and the path are on the list, byte for byte.
    let mut allowed = ALLOWED.iter();
    let found = allowed.find(|(known, at)| known.as_str() == method && *at == path);
    let (method, path) = found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "no such path"))?;
    if !trailers.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "trailers are not taken"));
    }
    // 3. The fields that handlers read, once each.
    let mut request = Request::new(Body::from(content));
    *request.method_mut() = (*method).clone();
    *request.uri_mut() = http::Uri::from_static(path);
    for name in FIELDS {
        let mut values = fields.iter().filter(|(field, _)| field == name);
        let (first, second) = (values.next(), values.next());
        let value = first.and_then(|(_, value)| HeaderValue::from_bytes(value).ok());
        if let Some(value) = value.filter(|_| second.is_none()) {
            let name = HeaderName::from_static(name);
            request.headers_mut().insert(name, value);
        }
    }
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, BEARER);
    headers.entry(SETTLEMENT).or_insert(PRIVATE);
    Ok(request)
}

pub(super) async fn call(router: Router, request: Request<Body>) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What becomes of the hashes of a sealed call is said inside the seal or not at all. Who carries it
/// chooses nothing: a record of the hashes would let them try likely prompts, and a full one would publish
/// the prompt.
const SETTLEMENT: HeaderName = HeaderName::from_static("x-settlement-type");
const PRIVATE: HeaderValue = HeaderValue::from_static("private");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer ohttp");

fn refuse(status: StatusCode, text: &str) -> Box<Response> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = serde_json::json!({ "error": text }).to_string();
    Box::new((status, json, body).into_response())
}

//! Oblivious HTTP: requests whose sender the enclave does not see, from a relay that does not see them.
//!
//! Two keys, one per format: OpenGradient's (`/v1/ohttp`, JSON inside) and RFC 9458's
//! (`/.well-known/ohttp-gateway` of RFC 9540, Binary HTTP inside). Both paths are behind the paywall: the
//! relay pays for what it cannot read, so the price is bounded by the dearest model.

mod config;
mod inner;
mod seal;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use seamline_core::Amount;
use seamline_net::limits::REQUEST_BODY_BYTES;
use seamline_net::{PaymentContext, Paywall};
use seamline_ohttp::{
    Entropy, Gateway, MEDIA_KEYS, MEDIA_REQUEST, Profile, ReplayWindow, ServerExchange, encode_list,
};

use crate::enclave::Enclave;
use crate::error::Error;

pub use config::OhttpRegistration;
pub(crate) use seal::Worth;

/// Paid requests that are remembered, so that none is executed twice: hours of a busy node, 26 MB. Whoever
/// wants one forgotten pays for as many others; what cost nothing is not remembered.
const REPLAY_WINDOW: usize = 262_144;

/// The gateway of one enclave.
pub(crate) struct Oblivious {
    enclave: Arc<Enclave>,
    gateway: Gateway,
    executed: Mutex<ReplayWindow>,
    /// What can be reached through the gateway, and nothing else.
    inner: Router,
}

/// Why a request is answered in clear: nothing of it was read, or nothing of it was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Empty,
    MediaType,
    TooLong,
    Malformed,
    Replayed,
    Internal,
}

impl Enclave {
    /// The paths of Oblivious HTTP, over `inner`: the handlers that it may reach.
    pub(crate) fn ohttp_routes(
        self: &Arc<Self>,
        paywall: &Paywall,
        inner: Router,
    ) -> Result<Router, Error> {
        let gateway = config::gateway(self)?;
        let keys = gateway.keys().iter();
        let public = keys.filter(|key| key.profile() == Profile::Rfc9458);
        let list: Vec<_> = public.map(|key| key.config().clone()).collect();
        let list = encode_list(&list);
        let described = self.ohttp_registration()?.to_json();
        let oblivious = Arc::new(Oblivious {
            enclave: Arc::clone(self),
            gateway,
            executed: Mutex::new(ReplayWindow::new(REPLAY_WINDOW)),
            inner,
        });
        let handle = |profile| {
            let oblivious = Arc::clone(&oblivious);
            post(move |request: Request| {
                let oblivious = Arc::clone(&oblivious);
                async move { oblivious.handle(profile, request).await }
            })
        };
        let describe = get(move || async move {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, described).into_response()
        });
        let keys = move || async move { ([(header::CONTENT_TYPE, MEDIA_KEYS)], list) };
        let standard = paywall.protect(handle(Profile::Rfc9458)).get(keys);
        Ok(Router::new()
            .route("/v1/ohttp/config", describe)
            .route("/v1/ohttp", paywall.protect(handle(Profile::OpenGradient)))
            .route("/.well-known/ohttp-gateway", standard))
    }
}

impl Oblivious {
    async fn handle(self: Arc<Self>, profile: Profile, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Some(payment) = head.extensions.get::<PaymentContext>() else {
            return Refusal::Internal.respond(profile);
        };
        // Nothing is owed before an answer says so.
        payment.meter.set(Amount::ZERO);
        let body = to_bytes(body, REQUEST_BODY_BYTES).await;
        let opened = match body {
            Ok(body) => self.open(profile, &head.headers, &body),
            Err(_) => Err(Refusal::TooLong),
        };
        match opened {
            Ok((plain, exchange)) => self.dispatch(profile, payment, &plain, exchange).await,
            Err(refusal) => refusal.respond(profile),
        }
    }

    /// Decapsulates a request that was not executed before.
    fn open(
        &self,
        profile: Profile,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Plain, ServerExchange), Refusal> {
        if body.is_empty() {
            return Err(Refusal::Empty);
        }
        let media_type = headers.get(header::CONTENT_TYPE);
        if media_type.is_none_or(|value| {
            !value
                .as_bytes()
                .eq_ignore_ascii_case(MEDIA_REQUEST.as_bytes())
        }) {
            return Err(Refusal::MediaType);
        }
        // Whatever is wrong with it, the answer is the same.
        let opened = self.gateway.decapsulate(profile, body);
        let (plain, exchange) = opened.map_err(|_| Refusal::Malformed)?;
        let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        executed
            .admit(exchange.request_id())
            .map_err(|_| Refusal::Replayed)?;
        Ok((plain, exchange))
    }

    async fn dispatch(
        &self,
        profile: Profile,
        payment: &PaymentContext,
        plain: &[u8],
        exchange: ServerExchange,
    ) -> Response {
        let request_id = exchange.request_id();
        let asked = match profile {
            Profile::OpenGradient => inner::from_json(plain),
            Profile::Rfc9458 | Profile::Chunked => {
                inner::from_binary(plain, &self.enclave.config.endpoint)
            }
        };
        let mut executes = false;
        let response = match asked {
            Ok(mut request) => {
                executes = request.method() == http::Method::POST;
                request.extensions_mut().insert(payment.clone());
                inner::call(self.inner.clone(), request).await
            }
            Err(response) => *response,
        };
        if !response.status().is_success() {
            payment.meter.set(Amount::ZERO);
        }
        // What was refused, failed or is free for everybody may come again, and takes no room: else the
        // window could be flushed for nothing.
        if !executes || !response.status().is_success() {
            let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
            executed.forget(&request_id);
        }
        let sealed = match profile {
            Profile::OpenGradient => seal::opengradient(response, exchange, payment).await,
            Profile::Rfc9458 | Profile::Chunked => seal::binary(response, exchange).await,
        };
        sealed.unwrap_or_else(|_| {
            payment.meter.set(Amount::ZERO);
            Refusal::Internal.respond(profile)
        })
    }
}

/// A decapsulated request, wiped after use.
type Plain = zeroize::Zeroizing<Vec<u8>>;

/// Fresh random bytes.
fn entropy() -> Result<Entropy, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Sign)?;
    Ok(Entropy::new(bytes))
}

impl Refusal {
    fn respond(self, profile: Profile) -> Response {
        let (status, text) = match self {
            Self::Empty => (StatusCode::BAD_REQUEST, "empty body"),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be message/ohttp-req",
            ),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed encapsulated request"),
            Self::Replayed => (StatusCode::CONFLICT, "the request was executed before"),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Request processing failed",
            ),
        };
        let (media_type, body) = match profile {
            Profile::OpenGradient => ("application/json", serde_json::json!({ "error": text })),
            // RFC 9458 §5.3: the client should ask for the key configuration again.
            Profile::Rfc9458 | Profile::Chunked if self == Self::Malformed => {
                let kind = "https://iana.org/assignments/http-problem-types#ohttp-key";
                let body = serde_json::json!({ "type": kind, "title": text });
                ("application/problem+json", body)
            }
            Profile::Rfc9458 | Profile::Chunked => (
                "application/problem+json",
                serde_json::json!({ "title": text }),
            ),
        };
        let media_type = [(header::CONTENT_TYPE, media_type)];
        (status, media_type, body.to_string()).into_response()
    }
}

//! A price in front of any HTTP service: a reverse proxy behind the paywall.
//!
//! The service behind it needs no change and never sees a payment. What it sees is who pays and how
//! much at most, in headers that only the gate writes. It is asked after a payment was verified, and
//! only an answer with a status of 200 to 299 costs anything.
//!
//! | toward the upstream | toward the client |
//! |---|---|
//! | no payment, no claim about payments, no hop-by-hop header (RFC 9110 §7.6.1) | the same |
//! | `Seamline-Payer`, `Seamline-Max-Amount`: who pays, and at most how many base units | no `Settlement-Overrides` |
//! | no `Forwarded` or `X-Forwarded-*` of the client | |
//! | `Accept-Encoding: identity`: the paywall adds to event streams, and must be able to read them | |
//!
//! The paywall reads a request whole before it is paid; answers stream as the paywall lets them.

mod headers;
mod metered;
mod postgres;
mod target;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use futures_util::stream;
use http::StatusCode;
use seamline_core::{Amount, chain};
use seamline_net::client::Error as ClientError;
use seamline_net::{HttpClient, PaymentContext, Paywall, Problem};

use self::metered::Due;
use self::target::Upstream;

pub use self::postgres::PostgresStore;
pub use self::target::Refused;

/// The service behind a gate, and how it is reached.
#[derive(Clone)]
pub struct Gate {
    client: HttpClient,
    upstream: Upstream,
}

impl Gate {
    /// A gate in front of `upstream`, such as `http://127.0.0.1:8080/api`: the path of each request is
    /// appended. `client` says which upstreams are believed and how long they may take: by its
    /// default, plain HTTP on this machine.
    ///
    /// # Errors
    ///
    /// [`Refused::Upstream`].
    pub fn new(client: HttpClient, upstream: &str) -> Result<Self, Refused> {
        let upstream = Upstream::parse(upstream)?;
        Ok(Self { client, upstream })
    }

    async fn forward(
        &self,
        payment: &PaymentContext,
        request: Request,
    ) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        // The paywall has read it whole, within its limit.
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.map_err(|_| unreadable())?;
        let uri = self
            .upstream
            .locate(&head.uri)
            .map_err(|_| refused_path())?;
        let mut onward = http::Request::new(body);
        *onward.method_mut() = head.method;
        *onward.uri_mut() = uri;
        *onward.headers_mut() = headers::onward(head.headers, payment);

        let answer = self.client.send(onward).await.map_err(|err| failed(&err))?;
        let (mut head, body) = answer.into_parts();
        let due = Due::of(head.status, &head.headers, payment)?;
        if let Due::Exactly(amount) = due {
            payment.meter.set(amount);
        }
        headers::back(&mut head.headers);
        Ok(Response::from_parts(head, streamed(body)))
    }
}

impl core::fmt::Debug for Gate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// Puts every path of the upstream behind `paywall`; nothing of it is free.
pub fn router(gate: Gate, paywall: &Paywall) -> Router {
    let forward = any(forward).with_state(gate);
    Router::new().fallback_service(paywall.protect(forward))
}

async fn forward(
    State(gate): State<Gate>,
    Extension(payment): Extension<PaymentContext>,
    request: Request,
) -> Response {
    let answered = gate.forward(&payment, request).await;
    answered.unwrap_or_else(|problem| {
        payment.meter.set(Amount::ZERO);
        axum::response::IntoResponse::into_response(problem)
    })
}

/// The pieces of an answer as they come. One that breaks off ends the client's too.
fn streamed(body: seamline_net::client::Body) -> Body {
    Body::from_stream(stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match body.chunk().await {
            Ok(piece) => piece.map(|piece: Bytes| (Ok(piece), Some(body))),
            Err(err) => Some((Err(err), None)),
        }
    }))
}

fn failed(err: &ClientError) -> Problem {
    let (status, code, text) = match err {
        ClientError::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "the service behind the paywall took too long",
        ),
        ClientError::BodyTooLong { .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_too_long",
            "the answer of the service behind the paywall is too long",
        ),
        ClientError::Build(_)
        | ClientError::Connect(_)
        | ClientError::Exchange(_)
        | ClientError::PinMismatch
        | ClientError::Untrusted
        | ClientError::Url(_)
        | _ => (
            StatusCode::BAD_GATEWAY,
            "upstream_unreachable",
            "the service behind the paywall does not answer",
        ),
    };
    Problem::new(status, code, text).with_internal(chain(err))
}

fn refused_path() -> Problem {
    let text = "this path is not forwarded";
    Problem::new(StatusCode::BAD_REQUEST, "path_refused", text)
}

fn unreadable() -> Problem {
    let text = "the request body cannot be read";
    Problem::new(StatusCode::BAD_REQUEST, "request_unreadable", text)
}

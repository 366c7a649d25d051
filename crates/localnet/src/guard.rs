//! In front of the facilitator of a network that shares a real one's chain id: authorizations of accounts
//! that are not the network's own go no further, because each would be valid on the real chain too.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::Address;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// Why such a payment is refused, on the wire.
pub(crate) const REASON: &str = "payer_not_of_this_local_network";

const MESSAGE: &str = "this local network shares the chain id and the addresses of a real one, so an authorization signed for it could be settled there: pay with the key that the network printed";

/// As the facilitator's own limit.
const BODY_LIMIT: usize = 1024 * 1024;

/// Refuses what anybody but `own` authorizes; everything else passes as it came.
pub(crate) fn own_payers(router: Router, own: Arc<BTreeSet<Address>>) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let own = Arc::clone(&own);
        async move { check(&own, request, next).await }
    }))
}

async fn check(own: &BTreeSet<Address>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match stranger(own, &body) {
        Some(payer) => axum::Json(json!({
            "isValid": false, "invalidReason": REASON, "invalidMessage": MESSAGE,
            "success": false, "errorReason": REASON, "errorMessage": MESSAGE,
            "payer": payer, "transaction": "", "network": "",
        }))
        .into_response(),
        None => next.run(Request::from_parts(parts, Body::from(body))).await,
    }
}

/// The first payer of a request body that is not one of `own`.
fn stranger(own: &BTreeSet<Address>, body: &Bytes) -> Option<Address> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut left = vec![body.get("paymentPayload")?];
    // Every scheme names who pays `from`, `payer` or, in sponsored approvals, `from` again.
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let payer = value
                        .as_str()
                        .filter(|_| name == "from" || name == "payer")
                        .and_then(|text| text.parse::<Address>().ok());
                    if payer.is_some_and(|payer| !own.contains(&payer)) {
                        return payer;
                    }
                    left.push(value);
                }
            }
            Value::Array(values) => left.extend(values),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;

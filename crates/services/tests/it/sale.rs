//! A paid call with everything real but the chain: paywall, facilitator over HTTP, signed payment.

use core::time::Duration;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use http::request::Parts;
use http::{Request, StatusCode};
use seamline_core::Amount;
use seamline_evm::x402::{FacilitatorRequest, OfferTerms, PaymentRequired, Reason, SettleResponse};
use seamline_net::{
    ClientOptions, FacilitatorApi as _, FacilitatorError, HttpFacilitator, PaymentContext, Paywall,
    PaywallConfig, Problem, http_client, serve,
};
use seamline_services::facilitator::router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::chain::Mood;
use crate::payments::{Desk, MAX, NOW, offer, request, request_for, requirement, signer};

pub(crate) fn price(_: &Parts, _: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
    let mut terms = requirement().terms().clone();
    terms.extra.remove("facilitatorAddress");
    Ok(vec![terms])
}

async fn handler(Extension(payment): Extension<PaymentContext>) -> &'static str {
    payment.meter.set(Amount::new(42));
    "an answer"
}

/// A facilitator behind a loopback socket.
pub(crate) async fn listen(desk: &Desk) -> HttpFacilitator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let endpoints = router(desk.facilitator.clone());
    tokio::spawn(serve(listener, endpoints, core::future::pending()));
    HttpFacilitator::new(http_client(ClientOptions::default()).unwrap(), url)
}

async fn send(shop: &Router, payment: Option<&FacilitatorRequest>) -> Response {
    let mut request = Request::post("/v1/chat/completions")
        .body(Body::from("{}"))
        .unwrap();
    if let Some(payment) = payment {
        let value = payment.payment_payload.to_header().parse().unwrap();
        request.headers_mut().insert("payment-signature", value);
    }
    shop.clone().oneshot(request).await.unwrap()
}

/// With what the chain does not show: without it an answer is given once.
pub(crate) fn named(mut request: FacilitatorRequest) -> FacilitatorRequest {
    let name =
        json!({"payment-identifier": {"info": {"id": "pay_000102030405060708090a0b0c0d0e0f"}}});
    let named = request
        .payment_payload
        .with_extensions(name.as_object().unwrap());
    request.payment_payload = named.unwrap();
    request
}

#[tokio::test]
async fn an_offer_is_paid_answered_and_settled_once() {
    let desk = Desk::open().await;
    let config = PaywallConfig::new("https://node.example", Arc::new(|| NOW));
    let paywall = Paywall::new(config, Arc::new(listen(&desk).await), price);
    let shop = Router::new().route("/v1/chat/completions", paywall.protect(post(handler)));

    let refused = send(&shop, None).await;
    let header = refused.headers()["payment-required"].as_bytes();
    let required = PaymentRequired::from_header(header).unwrap();
    assert_eq!(required.offers[0].terms(), requirement().terms());

    // The payer signs the offer as it came, and a loser of the reply presents it again.
    let raw = serde_json::from_str(required.offers[0].raw()).unwrap();
    let payment = named(request_for(&raw, 1, MAX));
    for _ in 0..2 {
        let answer = send(&shop, Some(&payment)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let header = answer.headers()["payment-response"].as_bytes();
        let settled = SettleResponse::from_header(header).unwrap();
        assert!(settled.success, "{settled:?}");
        assert_eq!(settled.settled_amount(), Some(Amount::new(42)));
    }
    assert_eq!(desk.chain.mined_nonces(), [0]);

    // A payment for another seller buys nothing.
    let mut other = offer(signer().address());
    other["payTo"] = serde_json::json!("0x9999999999999999999999999999999999999999");
    let refused = send(&shop, Some(&request_for(&other, 2, MAX))).await;
    assert_eq!(refused.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

/// A 503 without an offer: nobody who knows x402 signs another payment for it.
fn assert_later(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(!answer.headers().contains_key("payment-required"));
}

#[tokio::test]
async fn a_facilitator_without_its_chain_is_later_and_never_a_refusal() {
    let desk = Desk::open().await;
    let remote = listen(&desk).await;
    let config = PaywallConfig {
        // Nobody waits long for a chain that is away.
        settle_wait: Duration::from_secs(1),
        ..PaywallConfig::new("https://node.example", Arc::new(|| NOW))
    };
    let paywall = Paywall::new(config, Arc::new(remote.clone()), price);
    let chain = Arc::clone(&desk.chain);
    // The chain is lost while the first answer is computed.
    let losing = move |payment: Extension<PaymentContext>| {
        chain.set(Mood::Down);
        handler(payment)
    };
    let shop = Router::new().route("/v1/chat/completions", paywall.protect(post(losing)));
    let payment = named(request(1, MAX));

    // Before the answer: nothing was computed, nothing is charged.
    desk.chain.set(Mood::Down);
    for refused in [
        remote.verify(&payment).await.map(|_| ()),
        remote.settle(&payment).await.map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, FacilitatorError::Status(503)),
            "{refused}"
        );
    }
    let answer = send(&shop, Some(&payment)).await;
    assert_later(&answer);
    assert!(!answer.headers().contains_key("payment-response"));
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let told = (&body["code"], &body["charged"], &body["retry"]);
    let expected = (
        &json!("facilitator_unavailable"),
        &json!("no"),
        &json!(true),
    );
    assert_eq!(told, expected);

    // Between answer and settlement: it may still settle.
    desk.chain.set(Mood::Instant);
    let answer = send(&shop, Some(&payment)).await;
    assert_later(&answer);
    let header = answer.headers()["payment-response"].as_bytes();
    let settled = SettleResponse::from_header(header).unwrap();
    assert_eq!(settled.error_reason, Some(Reason::SettlementPending));
    assert_eq!(desk.chain.distinct(), 0);

    // The same payment gets the answer that was computed, and is settled once.
    desk.chain.set(Mood::Instant);
    let mut answer = send(&shop, Some(&payment)).await;
    for _ in 0..30 {
        // Only where this machine was too slow for one wait.
        if answer.status() == StatusCode::OK {
            break;
        }
        assert_later(&answer);
        answer = send(&shop, Some(&payment)).await;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

#[tokio::test]
async fn a_facilitator_behind_http_says_what_it_says_in_process() {
    let desk = Desk::open().await;
    let remote = listen(&desk).await;
    assert_eq!(
        remote.supported().await.unwrap(),
        desk.facilitator.supported_kinds()
    );
    let verdict = remote.verify(&request(1, 41)).await.unwrap();
    assert_eq!(verdict.invalid_reason, Some(Reason::Permit2AmountMismatch));
    desk.chain.set(Mood::Reverts);
    let failed = remote.settle(&request(1, 41)).await.unwrap();
    let reason = Reason::InvalidUptoEvmTransactionFailed;
    assert_eq!((failed.success, failed.error_reason), (false, Some(reason)));
}

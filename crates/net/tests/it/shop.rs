//! A shop for tests: a scripted facilitator, a handler that counts, payments to present.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use axum::{Extension, Router};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use seamline_core::{Address, Amount, Timestamp};
use seamline_evm::x402::{
    FacilitatorRequest, OfferTerms, PaymentRequired, Reason, SettleResponse, Supported,
    SupportedKind, VerifyResponse, decode_header, encode_header,
};
use seamline_net::{
    FacilitatorApi, FacilitatorError, FacilitatorFuture, PaymentContext, Paywall, PaywallConfig,
    Pricer, Problem,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub(crate) const NETWORK: &str = "eip155:31610";
pub(crate) const MAX: u128 = 1_000;
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// The body of a 409 for an answer that is not kept.
pub(crate) const GONE: &[u8] = br#"{"error":"this payment was settled and its answer is not kept","code":"answer_gone","charged":"yes","retry":false}"#;

/// What the facilitator answers next; the last answer of a kind is repeated.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) verify: Mutex<Option<Result<Reason, u16>>>,
    pub(crate) settle: Mutex<VecDeque<Settling>>,
    pub(crate) verified: AtomicUsize,
    pub(crate) settled: Mutex<Vec<Amount>>,
    /// Holds verifications back until it is opened.
    pub(crate) gate: Option<tokio::sync::Semaphore>,
    /// Holds settlements back until it is opened.
    pub(crate) settle_gate: Option<tokio::sync::Semaphore>,
}

/// One scripted answer to `/settle`.
#[derive(Clone)]
pub(crate) enum Settling {
    Refuse(Reason),
    /// Refused: the nonce went for this amount.
    SpentBy(Amount),
    Lose,
    Reject(u16),
    Succeed,
}

impl FacilitatorApi for Script {
    fn verify<'a>(&'a self, _: &'a FacilitatorRequest) -> FacilitatorFuture<'a, VerifyResponse> {
        Box::pin(async move {
            self.verified.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                drop(gate.acquire().await.unwrap());
            }
            let payer: Address = PAYER.parse().unwrap();
            match self.verify.lock().unwrap().clone() {
                None => Ok(VerifyResponse::valid(payer)),
                Some(Ok(reason)) => Ok(VerifyResponse::invalid(reason, Some(payer))),
                Some(Err(status)) => Err(FacilitatorError::Status(status)),
            }
        })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        let amount = request.payment_requirements.terms().amount().unwrap();
        self.settled.lock().unwrap().push(amount);
        let mut script = self.settle.lock().unwrap();
        let next = script.pop_front().unwrap_or(Settling::Succeed);
        Box::pin(async move {
            if let Some(gate) = &self.settle_gate {
                drop(gate.acquire().await.unwrap());
            }
            match next {
                Settling::Succeed => Ok(settled(amount, None)),
                Settling::Refuse(reason) => Ok(settled(amount, Some(reason))),
                Settling::SpentBy(moved) => {
                    let spent = settled(amount, Some(Reason::Permit2InvalidNonce));
                    let by = json!({"spentBy": {"amount": moved.to_string(), "transaction": null}});
                    Ok(SettleResponse {
                        extra: Some(by),
                        ..spent
                    })
                }
                Settling::Lose => {
                    let lost = std::io::Error::other("connection reset");
                    Err(FacilitatorError::Unreachable(lost.into()))
                }
                Settling::Reject(status) => Err(FacilitatorError::Status(status)),
            }
        })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        let kind = SupportedKind {
            x402_version: 2,
            scheme: "upto".to_owned(),
            network: NETWORK.to_owned(),
            extra: Some(json!({"facilitatorAddress": Address::repeat_byte(0xfa).to_string()})),
        };
        let supported = Supported {
            kinds: vec![kind],
            ..Supported::default()
        };
        Box::pin(async { Ok(supported) })
    }
}

fn settled(amount: Amount, error_reason: Option<Reason>) -> SettleResponse {
    SettleResponse {
        success: error_reason.is_none(),
        error_message: None,
        payer: Some(PAYER.to_owned()),
        transaction: match error_reason {
            None | Some(Reason::SettlementPending) => format!("0x{}", "ab".repeat(32)),
            Some(_) => String::new(),
        },
        error_reason,
        network: NETWORK.to_owned(),
        amount: Some(amount.to_string()),
        extensions: None,
        extra: None,
    }
}

/// Terms that depend on the body's length, as an enclave's depend on `max_tokens`.
pub(crate) fn price(_: &Parts, body: &Bytes) -> Result<Vec<OfferTerms>, Problem> {
    if body.as_ref() == b"unknown model" {
        let status = StatusCode::BAD_REQUEST;
        return Err(Problem::new(status, "unknown_model", "no such model"));
    }
    let amount = MAX + u128::try_from(body.len()).unwrap();
    let extra = json!({"name": "OpenGradient", "version": "1", "assetTransferMethod": "permit2"});
    Ok(vec![OfferTerms {
        scheme: "upto".to_owned(),
        network: NETWORK.to_owned(),
        asset: Address::repeat_byte(0x11).to_string(),
        amount: amount.to_string(),
        pay_to: Address::repeat_byte(0x22).to_string(),
        max_timeout_seconds: 300,
        extra: extra.as_object().unwrap().clone(),
    }])
}

/// Terms of `scheme` over `method` for a fixed price.
pub(crate) fn terms(scheme: &str, method: &str) -> OfferTerms {
    let extra = json!({"name": "OpenGradient", "version": "1", "assetTransferMethod": method});
    OfferTerms {
        scheme: scheme.to_owned(),
        network: NETWORK.to_owned(),
        asset: Address::repeat_byte(0x11).to_string(),
        amount: MAX.to_string(),
        pay_to: Address::repeat_byte(0x22).to_string(),
        max_timeout_seconds: 300,
        extra: extra.as_object().unwrap().clone(),
    }
}

/// A router with one paid route, `/v1/chat/completions`.
pub(crate) struct Shop {
    pub(crate) script: Arc<Script>,
    pub(crate) paywall: Paywall,
    router: Router,
}

impl Shop {
    pub(crate) fn open(script: Script, routes: MethodRouter) -> Self {
        Self::open_at(Timestamp::from_secs(NOW_S), script, routes)
    }

    /// A shop whose clock stands at `now`.
    pub(crate) fn open_at(now: Timestamp, script: Script, routes: MethodRouter) -> Self {
        Self::build(Arc::new(script), config_at(now), price, routes)
    }

    /// A shop that asks for `terms`, whatever the request.
    pub(crate) fn asking(terms: Vec<OfferTerms>, script: Script, routes: MethodRouter) -> Self {
        let config = config_at(Timestamp::from_secs(NOW_S));
        Self::build(Arc::new(script), config, always(terms), routes)
    }

    pub(crate) fn build(
        script: Arc<Script>,
        config: PaywallConfig,
        pricer: impl Pricer + 'static,
        routes: MethodRouter,
    ) -> Self {
        let api: Arc<dyn FacilitatorApi> = Arc::<Script>::clone(&script);
        let paywall = Paywall::new(config, api, pricer);
        let router = Router::new().route("/v1/chat/completions", paywall.protect(routes));
        Self {
            script,
            paywall,
            router,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.raw(request).await;
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) async fn raw(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks without a payment and returns the one offer.
    pub(crate) async fn offer(&self, body: &'static str) -> Value {
        let answer = self.send(unpaid("POST", body)).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        answer.required()["accepts"][0].clone()
    }

    /// Asks, accepts the offer with `nonce` and returns the header that pays for it.
    pub(crate) async fn payment(&self, body: &'static str, nonce: u64) -> String {
        pay(&self.offer(body).await, nonce)
    }

    /// Number of settlements that were asked for.
    pub(crate) fn settlements(&self) -> Vec<Amount> {
        self.script.settled.lock().unwrap().clone()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn required(&self) -> Value {
        let header = &self.headers["payment-required"];
        let json = decode_header(header.as_bytes()).unwrap();
        PaymentRequired::parse(&json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    /// The `error` of a 402.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.status, StatusCode::PAYMENT_REQUIRED, "{self:?}");
        self.required()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn settlement(&self) -> SettleResponse {
        SettleResponse::from_header(self.headers["payment-response"].as_bytes()).unwrap()
    }
}

pub(crate) fn config_at(now: Timestamp) -> PaywallConfig {
    let clock = Arc::new(move || now);
    let mut config = PaywallConfig::new("https://node.example/", clock);
    config.settle_wait = core::time::Duration::from_millis(20);
    config
}

/// A pricer that asks for `terms`, whatever the request.
pub(crate) fn always(terms: Vec<OfferTerms>) -> impl Pricer + 'static {
    move |_: &Parts, _: &Bytes| Ok(terms.clone())
}

pub(crate) fn pay(offer: &Value, nonce: u64) -> String {
    header(&message(offer, nonce))
}

pub(crate) fn header(message: &Value) -> String {
    encode_header(message.to_string().as_bytes())
}

/// A payment message for `offer`; nobody here checks its signature, or whether its identifier is
/// random.
pub(crate) fn message(offer: &Value, nonce: u64) -> Value {
    json!({
        "x402Version": 2,
        "accepted": offer,
        "extensions": named(nonce),
        "payload": {
            "signature": format!("0x{}", "11".repeat(65)),
            "permit2Authorization": {
                "from": PAYER,
                "permitted": {"token": offer["asset"], "amount": offer["amount"]},
                "spender": "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
                "nonce": nonce.to_string(),
                "deadline": (NOW_S + 300).to_string(),
                "witness": {
                    "to": offer["payTo"],
                    "facilitator": offer["extra"]["facilitatorAddress"],
                    "validAfter": "0",
                },
            },
        },
    })
}

/// A payment of `exact` over ERC-3009.
pub(crate) fn transfer(offer: &Value, nonce: u8) -> Value {
    json!({
        "x402Version": 2,
        "accepted": offer,
        "extensions": named(u64::from(nonce)),
        "payload": {
            "signature": format!("0x{}", "11".repeat(65)),
            "authorization": {
                "from": PAYER,
                "to": offer["payTo"],
                "value": offer["amount"],
                "validAfter": "0",
                "validBefore": (NOW_S + 301).to_string(),
                "nonce": format!("0x{}", hex(nonce)),
            },
        },
    })
}

/// Extensions with an identifier.
pub(crate) fn named(nonce: u64) -> Value {
    json!({"payment-identifier": {"info": {"id": format!("pay_{nonce:032x}")}}})
}

fn hex(nonce: u8) -> String {
    format!("{nonce:02x}").repeat(32)
}

/// A payment of `exact` over Permit2.
pub(crate) fn permit(offer: &Value, nonce: u64) -> Value {
    let mut message = message(offer, nonce);
    let permit = &mut message["payload"]["permit2Authorization"];
    permit["spender"] = json!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");
    permit["witness"]
        .as_object_mut()
        .unwrap()
        .remove("facilitator");
    message
}

/// A handler that meters `amount`, counts its runs and numbers its answers.
pub(crate) fn counter(amount: u128) -> (MethodRouter, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        let run = count.fetch_add(1, Ordering::SeqCst);
        payment.meter.set(Amount::new(amount));
        async move { format!("answer {run}") }
    };
    (any(handler), runs)
}

/// A handler that knows nothing of payments and counts its runs.
pub(crate) fn plain() -> (MethodRouter, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let handler = move || {
        let run = count.fetch_add(1, Ordering::SeqCst);
        async move { format!("answer {run}") }
    };
    (any(handler), runs)
}

pub(crate) fn unpaid(method: &str, body: &'static str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/v1/chat/completions")
        .body(Body::from(body))
        .unwrap()
}

pub(crate) fn paid(body: &'static str, payment: &str) -> Request<Body> {
    let mut request = unpaid("POST", body);
    let value = payment.parse().unwrap();
    request.headers_mut().append("PAYMENT-SIGNATURE", value);
    request
}

pub(crate) fn runs(runs: &AtomicUsize) -> usize {
    runs.load(Ordering::SeqCst)
}

/// A facilitator that verifies everything and settles as told, then successfully.
pub(crate) fn script(settle: impl Into<Vec<Settling>>) -> Script {
    Script {
        settle: Mutex::new(settle.into().into()),
        ..Script::default()
    }
}

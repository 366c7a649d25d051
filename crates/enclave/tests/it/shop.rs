//! An enclave for tests: a scripted facilitator, an attester that notes, payments to present.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use seamline_core::{Address, Amount, Timestamp};
use seamline_enclave::{
    AttestError, Attester, AttesterKind, Enclave, EnclaveConfig, EnclaveIdentity, GuideUpstream,
    ModelPrice, Upstream,
};
use seamline_evm::x402::{
    FacilitatorRequest, SettleResponse, Supported, SupportedKind, VerifyResponse, decode_header,
    encode_header,
};
use seamline_net::{FacilitatorApi, FacilitatorFuture, Paywall};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const NETWORK: &str = "eip155:31610";
pub(crate) const NOW_S: u64 = 1_780_272_000;
pub(crate) const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub(crate) const PAY_TO: Address = Address::repeat_byte(0x22);
pub(crate) const QUESTION: &str = r#"{"model": "seamline/guide", "messages": [{"role": "user", "content": "What is a receipt?"}], "max_tokens": 200}"#;

/// Keys are slow to make, so all tests share these two.
pub(crate) fn identity() -> Arc<EnclaveIdentity> {
    static IDENTITY: OnceLock<Arc<EnclaveIdentity>> = OnceLock::new();
    Arc::clone(IDENTITY.get_or_init(generate))
}

pub(crate) fn other_identity() -> Arc<EnclaveIdentity> {
    static IDENTITY: OnceLock<Arc<EnclaveIdentity>> = OnceLock::new();
    Arc::clone(IDENTITY.get_or_init(generate))
}

fn generate() -> Arc<EnclaveIdentity> {
    Arc::new(EnclaveIdentity::generate(Timestamp::from_secs(NOW_S)).unwrap())
}

pub(crate) fn config() -> EnclaveConfig {
    let asset = Address::repeat_byte(0x11);
    let mut config = EnclaveConfig::new("https://127.0.0.1:8443", PAY_TO, NETWORK, asset);
    config.facilitator_url = "http://127.0.0.1:3002".to_owned();
    let price = ModelPrice {
        input: Amount::new(2_000_000),
        output: Amount::new(5_000_000),
    };
    config.prices.insert("seamline/guide".to_owned(), price);
    config
}

/// Documents that are only what was asked for: nonce, then user data.
pub(crate) struct Echo(pub(crate) AttesterKind);

impl Attester for Echo {
    fn document(
        &self,
        nonce: &[u8],
        user_data: &[u8],
        public_key: &[u8],
    ) -> Result<Vec<u8>, AttestError> {
        assert!(public_key.is_empty());
        Ok([nonce, user_data].concat())
    }

    fn kind(&self) -> AttesterKind {
        self.0
    }
}

/// Accepts every payment and notes what is settled.
#[derive(Default)]
pub(crate) struct Facilitator {
    pub(crate) settled: Mutex<Vec<Amount>>,
}

impl FacilitatorApi for Facilitator {
    fn verify<'a>(&'a self, _: &'a FacilitatorRequest) -> FacilitatorFuture<'a, VerifyResponse> {
        Box::pin(async { Ok(VerifyResponse::valid(PAYER.parse().unwrap())) })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        let amount = request.payment_requirements.terms().amount().unwrap();
        self.settled.lock().unwrap().push(amount);
        let response = SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(PAYER.to_owned()),
            transaction: format!("0x{}", "ab".repeat(32)),
            network: NETWORK.to_owned(),
            amount: Some(amount.to_string()),
            extensions: None,
            extra: None,
        };
        Box::pin(async { Ok(response) })
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

/// One enclave and those around it.
pub(crate) struct Shop {
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) facilitator: Arc<Facilitator>,
    pub(crate) paywall: Paywall,
    router: Router,
    payments: AtomicU64,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(config(), Arc::new(GuideUpstream::new(None)))
    }

    pub(crate) fn with(config: EnclaveConfig, upstream: Arc<dyn Upstream>) -> Self {
        Self::attested(config, upstream, AttesterKind::Software)
    }

    pub(crate) fn attested(
        config: EnclaveConfig,
        upstream: Arc<dyn Upstream>,
        kind: AttesterKind,
    ) -> Self {
        let clock = Arc::new(|| Timestamp::from_secs(NOW_S));
        let attester = Arc::new(Echo(kind));
        let enclave = Enclave::new(config, identity(), attester, upstream, clock).unwrap();
        let facilitator = Arc::new(Facilitator::default());
        let api: Arc<dyn FacilitatorApi> = Arc::<Facilitator>::clone(&facilitator);
        let paywall = enclave.paywall(api);
        Self {
            router: enclave.router(&paywall),
            enclave,
            facilitator,
            paywall,
            payments: AtomicU64::new(1),
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        let request = Request::builder().uri(uri).body(Body::empty());
        self.send(request.unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await;
        Answer {
            status: head.status,
            headers: head.headers,
            cut_off: body.is_err(),
            body: body.map(Vec::from).unwrap_or_default(),
        }
    }

    /// The body of a paid answer, to be read piece by piece or dropped.
    pub(crate) async fn buy_unread(&self, body: &str) -> Body {
        let offer = self.send(chat(body)).await.offer();
        self.unread(self.paid(chat(body), &offer)).await
    }

    /// The body of the answer to `request`, to be read piece by piece or dropped.
    pub(crate) async fn unread(&self, request: Request<Body>) -> Body {
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    /// Asks for the price of `body`, pays it, and returns the answer.
    pub(crate) async fn buy(&self, body: &str) -> Answer {
        let offer = self.send(chat(body)).await.offer();
        self.send(self.paid(chat(body), &offer)).await
    }

    /// Adds a payment of `offer` to a request.
    pub(crate) fn paid(&self, mut request: Request<Body>, offer: &Value) -> Request<Body> {
        let nonce = self.payments.fetch_add(1, Ordering::Relaxed);
        let payment = payment(offer, nonce).parse().unwrap();
        request.headers_mut().insert("PAYMENT-SIGNATURE", payment);
        request
    }

    /// What was settled, once everything under way has ended.
    pub(crate) async fn settled(&self) -> Vec<Amount> {
        let drained = self
            .paywall
            .tasks()
            .drain(std::time::Duration::from_secs(10))
            .await;
        assert!(drained, "settlements do not end");
        self.facilitator.settled.lock().unwrap().clone()
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) cut_off: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The one offer of a 402.
    pub(crate) fn offer(&self) -> Value {
        assert_eq!(self.status, StatusCode::PAYMENT_REQUIRED, "{}", self.text());
        let required = decode_header(self.headers["payment-required"].as_bytes()).unwrap();
        let required: Value = serde_json::from_slice(&required).unwrap();
        assert_eq!(required["accepts"].as_array().unwrap().len(), 1);
        required["accepts"][0].clone()
    }

    /// The JSON of each `data:` frame of a stream, without `[DONE]`.
    pub(crate) fn frames(&self) -> Vec<Value> {
        let frames = self
            .text()
            .split("\n\n")
            .filter_map(|frame| frame.strip_prefix("data: "));
        let frames = frames.filter(|data| *data != "[DONE]");
        frames
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The text of a stream, as its reader puts it together.
    pub(crate) fn streamed_text(&self) -> String {
        let frames = self.frames();
        let deltas = frames
            .iter()
            .map(|frame| &frame["choices"][0]["delta"]["content"]);
        deltas.filter_map(Value::as_str).collect()
    }
}

/// A chat request with everything but a payment.
pub(crate) fn chat(body: &str) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("authorization", "Bearer 0x1234567890abcdef")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

pub(crate) fn streamed(body: &str) -> String {
    body.replacen('{', r#"{"stream": true, "#, 1)
}

/// A payment message for `offer`; nobody here checks its signature.
pub(crate) fn payment(offer: &Value, nonce: u64) -> String {
    let message = json!({
        "x402Version": 2,
        "accepted": offer,
        "extensions": {"payment-identifier": {"info": {"id": format!("pay_{nonce:032x}")}}},
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
    });
    encode_header(message.to_string().as_bytes())
}

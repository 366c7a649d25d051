//! Payments to settle, and a facilitator to settle them.

use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use seamline_core::{Address, Amount, B256, Timestamp, keccak256};
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::scheme::Scheme;
use seamline_evm::scheme::{Marks, sign};
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::{FacilitatorRequest, Offer, PaymentRequired, Reason, SettleResponse};
use seamline_evm::{Rpc, Wallet};
use seamline_services::facilitator::{
    Error, Facilitator, FacilitatorConfig, StoreLocation, router,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::chain::{Chain, Mood};

pub(crate) const CHAIN_ID: u64 = 31610;
pub(crate) const TOKEN: Address = Address::repeat_byte(0x11);
pub(crate) const SELLER: Address = Address::repeat_byte(0x22);
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const MAX: u128 = 5_000;

pub(crate) fn payer() -> Wallet {
    Wallet::from_bytes(&keccak256("payer").0).unwrap()
}

pub(crate) fn signer() -> Wallet {
    Wallet::from_bytes(&keccak256("facilitator").0).unwrap()
}

/// The offer of a seller who names `facilitator`.
pub(crate) fn offer(facilitator: Address) -> Value {
    json!({
        "scheme": "upto",
        "network": format!("eip155:{CHAIN_ID}"),
        "asset": TOKEN.to_string(),
        "amount": MAX.to_string(),
        "payTo": SELLER.to_string(),
        "maxTimeoutSeconds": 300,
        "extra": {
            "name": "OpenGradient", "version": "1", "assetTransferMethod": "permit2",
            "facilitatorAddress": facilitator.to_string(),
        },
    })
}

/// The offer of a seller who is paid exactly, by `method`.
pub(crate) fn exact_offer(method: &str) -> Value {
    let mut exact = offer(signer().address());
    exact["scheme"] = json!("exact");
    exact["amount"] = json!("42");
    exact["extra"] = json!({
        "name": "OpenGradient", "version": "1", "assetTransferMethod": method,
    });
    exact
}

/// A payment of exactly 42 by `method`.
pub(crate) fn exact(method: &str, number: u64) -> FacilitatorRequest {
    request_for(&exact_offer(method), number, 42)
}

/// A payment with the nonce `number`, to be settled at `amount`.
pub(crate) fn request(number: u64, amount: u128) -> FacilitatorRequest {
    request_for(&offer(signer().address()), number, amount)
}

pub(crate) fn request_for(offer: &Value, number: u64, amount: u128) -> FacilitatorRequest {
    let required = json!({"x402Version": 2, "accepts": [offer]}).to_string();
    let required = PaymentRequired::parse(required.as_bytes()).unwrap();
    let policy = SpendPolicy {
        per_call: Amount::MAX,
        per_hour: None,
        per_day: Amount::MAX,
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Exact, Scheme::Upto],
        networks: vec![required.offers[0].terms().network.clone()],
        assets: vec![required.offers[0].terms().asset_address().unwrap()],
        facilitators: None,
        max_lifetime_s: 300,
    };
    let pay_to = required.offers[0].terms().pay_to_address().unwrap();
    let admitted = policy.admit(&required, pay_to, &Spent::default()).unwrap();
    let nonce: B256 = keccak256(number.to_be_bytes());
    let signed = sign(&admitted, nonce, Marks::default(), &payer(), NOW).unwrap();
    FacilitatorRequest {
        payment_payload: signed.payload,
        payment_requirements: required.offers[0].with_amount(Amount::new(amount)),
    }
}

/// The request with one member of its message replaced.
pub(crate) fn altered(request: &FacilitatorRequest, pointer: &str, value: Value) -> String {
    let mut message: Value = serde_json::from_str(&request.to_json()).unwrap();
    *message.pointer_mut(pointer).unwrap() = value;
    message.to_string()
}

pub(crate) fn config(chain: &Arc<Chain>, store: StoreLocation) -> FacilitatorConfig {
    let rpc: Arc<dyn Rpc> = Arc::<Chain>::clone(chain);
    let ceiling = FeeCeiling {
        max_fee_per_gas: 1_000,
        max_priority_fee_per_gas: 10,
    };
    let clock = Arc::new(|| NOW);
    let assets = vec![TOKEN];
    let config = FacilitatorConfig::new(
        Arc::new(signer()),
        rpc,
        CHAIN_ID,
        assets,
        store,
        clock,
        ceiling,
    );
    FacilitatorConfig {
        // Long enough to sign and send on a busy machine, short enough for what stays pending.
        settle_wait: Duration::from_secs(1),
        poll: Duration::from_millis(1),
        ..config
    }
}

/// A facilitator over a scripted chain.
pub(crate) struct Desk {
    pub(crate) chain: Arc<Chain>,
    pub(crate) facilitator: Facilitator,
    router: Router,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::on(&Arc::new(Chain::default())).await
    }

    /// A facilitator with an empty store on `chain`.
    pub(crate) async fn on(chain: &Arc<Chain>) -> Self {
        Self::with(config(chain, StoreLocation::Memory), chain)
            .await
            .unwrap()
    }

    /// A facilitator whose configuration is changed.
    pub(crate) async fn tuned(tune: impl FnOnce(&mut FacilitatorConfig)) -> Self {
        let chain = Arc::new(Chain::default());
        let mut config = config(&chain, StoreLocation::Memory);
        tune(&mut config);
        Self::with(config, &chain).await.unwrap()
    }

    pub(crate) async fn with(config: FacilitatorConfig, chain: &Arc<Chain>) -> Result<Self, Error> {
        let facilitator = Facilitator::start(config).await?;
        Ok(Self {
            chain: Arc::clone(chain),
            router: router(facilitator.clone()),
            facilitator,
        })
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: String) -> (StatusCode, Value) {
        self.send_as(&[], method, path, body).await
    }

    /// Sends with these values of `Authorization`.
    pub(crate) async fn send_as(
        &self,
        authorization: &[&str],
        method: &str,
        path: &str,
        body: String,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for value in authorization {
            request = request.header("authorization", *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (
            head.status,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    /// Settles over HTTP; a business outcome is always status 200. Asks again where only this
    /// machine was too slow for one wait.
    pub(crate) async fn settle(&self, request: &FacilitatorRequest) -> SettleResponse {
        let mut settled = self.settle_json(request.to_json()).await;
        for _ in 0..30 {
            let pending = settled.error_reason == Some(Reason::SettlementPending);
            let unsent = settled.transaction.is_empty();
            let slow = match self.chain.mood() {
                Mood::Down | Mood::Behind | Mood::Holds | Mood::Poor => false,
                Mood::Instant | Mood::Reverts | Mood::ErrsOnSend => pending,
                Mood::Slow | Mood::LosesReplies | Mood::HangsOnSend => pending && unsent,
            };
            if !slow {
                break;
            }
            settled = self.settle_json(request.to_json()).await;
        }
        settled
    }

    pub(crate) async fn settle_json(&self, body: String) -> SettleResponse {
        let (status, body) = self.send("POST", "/settle", body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        SettleResponse::parse(body.to_string().as_bytes()).unwrap()
    }

    /// Verifies over HTTP: `None` where the payment is valid.
    pub(crate) async fn verify(&self, body: String) -> Option<Reason> {
        let (status, body) = self.send("POST", "/verify", body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let reason = body.get("invalidReason").and_then(Value::as_str);
        assert_eq!(body["isValid"], json!(reason.is_none()), "{body}");
        reason.map(Reason::from)
    }
}

/// The offer of [`offer`], as the seller's requirement.
pub(crate) fn requirement() -> Offer {
    Offer::parse(offer(signer().address()).to_string().as_bytes()).unwrap()
}

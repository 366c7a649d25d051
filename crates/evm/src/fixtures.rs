//! A payer, a seller, a facilitator and a scripted chain for tests.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use alloy_primitives::{Address, B256, U256, address, keccak256};
use seamline_core::{Amount, Timestamp};
use serde_json::{Value, json};

use crate::policy::{Admitted, SpendPolicy, Spent};
use crate::rpc::BatchFuture;
use crate::scheme::{self, Authorization, Marks, Scheme, SignedAuthorization};
use crate::x402::{PaymentPayload, PaymentRequired};
use crate::{Rpc, RpcCall, RpcError, TransportError, Wallet};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_763_596_800);
pub(crate) const TOKEN: Address = address!("FbC2051AE2265686a469421b2C5A2D5462FbF5eB");
pub(crate) const SELLER: Address = address!("9deEBB5D1b22e4a6e027977CeAd13893A7E4cC1a");
pub(crate) const FACILITATOR: Address = address!("1111111111111111111111111111111111111111");

pub(crate) fn wallet() -> Wallet {
    Wallet::from_bytes(&keccak256("payer").0).unwrap()
}

/// The offer that most tests start from.
pub(crate) fn offer() -> Value {
    json!({
        "scheme": "upto",
        "network": "eip155:8453",
        "asset": TOKEN.to_string(),
        "amount": "5000",
        "payTo": SELLER.to_string(),
        "maxTimeoutSeconds": 300,
        "extra": {
            "name": "OpenGradient",
            "version": "1",
            "assetTransferMethod": "permit2",
            "facilitatorAddress": FACILITATOR.to_string(),
        },
    })
}

/// An offer of `exact` over ERC-3009.
pub(crate) fn transfer_offer() -> Value {
    let mut offer = offer();
    offer["scheme"] = json!("exact");
    offer["extra"] = json!({ "name": "OpenGradient", "version": "1" });
    offer
}

/// An offer of `exact` over Permit2.
pub(crate) fn exact_offer() -> Value {
    let mut offer = transfer_offer();
    offer["extra"]["assetTransferMethod"] = json!("permit2");
    offer
}

pub(crate) fn required(offers: &[Value]) -> PaymentRequired {
    let json = json!({
        "x402Version": 2,
        "error": "Payment required",
        "resource": { "url": "https://node.example/v1/chat/completions" },
        "accepts": offers,
    });
    PaymentRequired::parse(json.to_string().as_bytes()).unwrap()
}

pub(crate) fn policy() -> SpendPolicy {
    SpendPolicy {
        per_call: Amount::new(10_000),
        per_hour: None,
        per_day: Amount::new(50_000),
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Upto],
        networks: vec!["eip155:8453".to_owned()],
        assets: vec![TOKEN],
        facilitators: None,
        max_lifetime_s: 300,
    }
}

pub(crate) fn admitted() -> Admitted {
    let required = required(&[offer()]);
    policy()
        .admit(&required, SELLER, &Spent::default())
        .unwrap()
}

pub(crate) fn auth_nonce() -> B256 {
    keccak256("bind")
}

pub(crate) fn authorization() -> SignedAuthorization {
    scheme::sign(&admitted(), auth_nonce(), Marks::default(), &wallet(), NOW).unwrap()
}

/// What the payer signs for any offer.
pub(crate) fn signed(offer: &Value) -> SignedAuthorization {
    let admitted = admitted_of(offer);
    scheme::sign(&admitted, auth_nonce(), Marks::default(), &wallet(), NOW).unwrap()
}

pub(crate) fn admitted_of(offer: &Value) -> Admitted {
    let policy = SpendPolicy {
        schemes: vec![Scheme::Exact, Scheme::Upto],
        ..policy()
    };
    let required = required(std::slice::from_ref(offer));
    policy.admit(&required, SELLER, &Spent::default()).unwrap()
}

/// The payment for any offer as JSON, to be altered.
pub(crate) fn payment_of(offer: &Value) -> Value {
    serde_json::from_str(signed(offer).payload_json()).unwrap()
}

/// The payment as JSON, to be altered.
pub(crate) fn payment() -> Value {
    serde_json::from_str(authorization().payload_json()).unwrap()
}

pub(crate) fn parse(payment: &Value) -> PaymentPayload {
    PaymentPayload::parse(payment.to_string().as_bytes()).unwrap()
}

/// Signs again what an altered payment says, as a payer who means it would.
pub(crate) fn resign(payment: &mut Value, wallet: &Wallet, chain_id: u64) {
    let promise = Authorization::of(&parse(payment)).unwrap();
    let signature = wallet.sign_hash(&promise.digest(chain_id));
    payment["payload"]["signature"] = json!(signature.to_hex());
}

pub(crate) fn word(value: u64) -> Value {
    json!(format!("{:#066x}", U256::from(value)))
}

/// A chain that answers from a queue of batches and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Vec<RpcCall>>>,
}

pub(crate) type Answer = Result<Vec<Result<Value, RpcError>>, TransportError>;

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn asked(&self) -> Vec<Vec<RpcCall>> {
        self.asked.lock().unwrap().clone()
    }
}

impl Rpc for Script {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        self.asked.lock().unwrap().push(calls.to_vec());
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move { answer.expect("the script has no more answers") })
    }
}

pub(crate) fn all_ok(values: impl IntoIterator<Item = Value>) -> Answer {
    Ok(values.into_iter().map(Ok).collect())
}

pub(crate) fn reverted(data: &[u8]) -> RpcError {
    RpcError {
        code: 3,
        message: "execution reverted".to_owned(),
        data: Some(json!(crate::rpc::hex(data))),
    }
}

/// Runs a future that never waits: the script always has its answer.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a scripted future waits"),
    }
}

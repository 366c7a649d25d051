//! A payer, a seller and its authorizer with a channel between them.

use alloy_primitives::{B256, keccak256};
use seamline_core::Amount;
use serde_json::{Value, json};

use super::payer::{DepositRule, Keys};
use super::{ChainState, ChannelConfig, Payload, Terms};
use crate::Wallet;
use crate::fixtures::{self, SELLER, TOKEN};
use crate::policy::{Admitted, SpendPolicy, Spent};
use crate::scheme::Scheme;
use crate::x402::{Offer, PaymentPayload};

pub(crate) const CHAIN: u64 = 8453;
pub(crate) const PRICE: u128 = 1_000;

pub(crate) fn payer() -> Wallet {
    fixtures::wallet()
}

pub(crate) fn authorizer() -> Wallet {
    Wallet::from_bytes(&keccak256("receiver authorizer").0).unwrap()
}

/// The offer that most tests start from.
pub(crate) fn offer() -> Value {
    json!({
        "scheme": "batch-settlement",
        "network": "eip155:8453",
        "asset": TOKEN.to_string(),
        "amount": PRICE.to_string(),
        "payTo": SELLER.to_string(),
        "maxTimeoutSeconds": 300,
        "extra": {
            "receiverAuthorizer": authorizer().address().to_string(),
            "withdrawDelay": 900,
            "name": "OpenGradient",
            "version": "1",
            "minDeposit": "5000",
        },
    })
}

pub(crate) fn permit2_offer() -> Value {
    let mut offer = offer();
    offer["extra"]["assetTransferMethod"] = json!("permit2");
    offer
}

pub(crate) fn read(offer: &Value) -> Offer {
    Offer::parse(offer.to_string().as_bytes()).unwrap()
}

pub(crate) fn terms() -> Terms {
    Terms::of(&read(&offer())).unwrap()
}

pub(crate) fn policy() -> SpendPolicy {
    SpendPolicy {
        per_channel: Some(Amount::new(20_000)),
        schemes: vec![Scheme::BatchSettlement],
        ..fixtures::policy()
    }
}

pub(crate) fn admitted_of(offer: &Value) -> Admitted {
    let required = fixtures::required(std::slice::from_ref(offer));
    policy()
        .admit(&required, SELLER, &Spent::default())
        .unwrap()
}

pub(crate) fn admitted() -> Admitted {
    admitted_of(&offer())
}

pub(crate) fn config() -> ChannelConfig {
    let account = payer().address();
    super::payer::config_of(&admitted(), account, account, B256::ZERO).unwrap()
}

pub(crate) fn state(balance: u128, total_claimed: u128) -> ChainState {
    ChainState {
        balance: Amount::new(balance),
        total_claimed: Amount::new(total_claimed),
        ..ChainState::default()
    }
}

pub(crate) fn rule() -> DepositRule {
    DepositRule::default()
}

pub(crate) fn keys(wallet: &Wallet) -> Keys<'_> {
    Keys {
        payer: wallet,
        authorizer: wallet,
    }
}

/// Wraps a payload as the payment of an offer.
pub(crate) fn payment(payload: &Value, offer: &Value) -> PaymentPayload {
    let message = json!({ "x402Version": 2, "payload": payload, "accepted": offer });
    fixtures::parse(&message)
}

pub(crate) fn value(payload: &Payload) -> Value {
    serde_json::from_str(&payload.write()).unwrap()
}

/// The offer at another price, without a wish for a deposit.
pub(crate) fn admitted_at(price: u128) -> Admitted {
    admitted_of(&offer_at(price))
}

pub(crate) fn offer_at(price: u128) -> Value {
    let mut offer = offer();
    offer["amount"] = json!(price.to_string());
    offer["extra"]["minDeposit"] = Value::Null;
    offer
}

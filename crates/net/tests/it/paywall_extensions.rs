//! Extensions of x402 that a paywall answers, and version 1.

use std::sync::Arc;

use http::StatusCode;
use seamline_core::{Address, Amount, Timestamp};
use seamline_evm::Wallet;
use seamline_evm::x402::extensions::offer_receipt::{self, Paid};
use seamline_evm::x402::{Offer, SettleResponse, v1};
use seamline_net::{PaymentIdentifiers, PaywallConfig};
use serde_json::{Value, json};

use crate::shop::{
    GONE, MAX, NETWORK, NOW_S, PAYER, Script, Shop, always, config_at, counter, header, message,
    paid, plain, price, runs, terms, transfer, unpaid,
};

const ID: &str = "pay_7d5d747be160e280504c099d984bcfe0";

fn config() -> PaywallConfig {
    config_at(Timestamp::from_secs(NOW_S))
}

fn named(identifiers: PaymentIdentifiers) -> (Shop, Arc<core::sync::atomic::AtomicUsize>) {
    let mut config = config();
    config.identifiers = identifiers;
    let (routes, runs) = counter(5);
    (
        Shop::build(Arc::new(Script::default()), config, price, routes),
        runs,
    )
}

fn without_extensions(mut message: Value) -> Value {
    message.as_object_mut().unwrap().remove("extensions");
    message
}

fn with_id(mut message: Value, id: &str) -> String {
    let info = json!({"required": false, "id": id});
    message["extensions"] = json!({"payment-identifier": {"info": info}});
    header(&message)
}

#[tokio::test]
async fn an_identifier_names_one_payment() {
    let (shop, runs_of) = named(PaymentIdentifiers::Honoured);
    let required = shop.send(unpaid("POST", "hello")).await.required();
    let declared = &required["extensions"]["payment-identifier"]["info"];
    assert_eq!(declared, &json!({"required": false}));
    let offer = &required["accepts"][0];
    let first = with_id(message(offer, 1), ID);
    for _ in 0..2 {
        let answer = shop.send(paid("hello", &first)).await;
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (StatusCode::OK, &b"answer 0"[..])
        );
    }
    // The same identifier with another payment, or for another request.
    let second = with_id(message(offer, 2), ID);
    assert_eq!(
        shop.send(paid("hello", &second)).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(
        shop.send(paid("world", &first)).await.status,
        StatusCode::CONFLICT
    );
    // Without one nothing is different.
    let third = header(&without_extensions(message(offer, 3)));
    assert_eq!(
        shop.send(paid("hello", &third)).await.status,
        StatusCode::OK
    );
    // Another payer's identifiers are its own.
    let mut other = message(offer, 4);
    other["payload"]["permit2Authorization"]["from"] =
        json!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
    let answer = shop.send(paid("hello", &with_id(other, ID))).await;
    assert_ne!(answer.status, StatusCode::CONFLICT);
    assert_eq!(runs(&runs_of), 2);
}

#[tokio::test]
async fn a_failed_handler_gives_the_identifier_back() {
    let mut config = config();
    config.identifiers = PaymentIdentifiers::Honoured;
    let fails = axum::routing::any(|| async { StatusCode::BAD_GATEWAY });
    let shop = Shop::build(Arc::new(Script::default()), config, price, fails);
    let offer = shop.offer("hello").await;
    for nonce in 1..3 {
        let payment = with_id(message(&offer, nonce), ID);
        assert_eq!(
            shop.send(paid("hello", &payment)).await.status,
            StatusCode::BAD_GATEWAY
        );
    }
}

#[tokio::test]
async fn malformed_and_missing_identifiers_are_bad_requests() {
    let (shop, runs_of) = named(PaymentIdentifiers::Required);
    let required = shop.send(unpaid("POST", "hello")).await.required();
    let offer = &required["accepts"][0];
    let without = header(&without_extensions(message(offer, 1)));
    assert_eq!(
        shop.send(paid("hello", &without)).await.status,
        StatusCode::BAD_REQUEST
    );
    let too_long = "x".repeat(129);
    for id in [
        json!("short"),
        json!(too_long),
        json!("sixteen chars :-)"),
        json!(7),
    ] {
        let mut message = message(offer, 1);
        let info = json!({"required": true, "id": id});
        message["extensions"] = json!({"payment-identifier": {"info": info}});
        let answer = shop.send(paid("hello", &header(&message))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id}");
    }
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn an_echo_that_changes_what_was_declared_is_refused() {
    let (shop, runs_of) = named(PaymentIdentifiers::Required);
    let offer = shop.offer("hello").await;
    for extensions in [
        json!({"payment-identifier": {"info": {"required": false, "id": ID}}}),
        json!({"payment-identifier": {"info": {"id": ID}}}),
        json!([]),
        json!("text"),
    ] {
        let mut message = message(&offer, 1);
        message["extensions"] = extensions.clone();
        let answer = shop.send(paid("hello", &header(&message))).await;
        assert_eq!(answer.error(), "extension_echo_mismatch", "{extensions}");
    }
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn offers_and_receipts_are_signed_by_the_configured_key() {
    let wallet = Wallet::from_bytes(&[7; 32]).unwrap();
    let signer = wallet.address();
    let mut config = config();
    config.signer = Some(Arc::new(wallet));
    let (routes, _) = plain();
    let offers = always(vec![terms("exact", "eip3009"), terms("upto", "permit2")]);
    let shop = Shop::build(Arc::new(Script::default()), config, offers, routes);
    let required = shop.send(unpaid("POST", "hello")).await.required();
    let now = Timestamp::from_secs(NOW_S);
    let url = "https://node.example/v1/chat/completions";
    for offer in required["accepts"].as_array().unwrap() {
        let offer = Offer::parse(offer.to_string().as_bytes()).unwrap();
        let extensions = required.get("extensions");
        let verified = offer_receipt::verify_offer(extensions, &offer, url, &[signer], now);
        assert_eq!(verified, Ok(signer));
    }
    // An echo of an older 402, whose signed offers differ, is no mismatch.
    let mut payment = transfer(&required["accepts"][0], 1);
    let offers = json!([{"format": "eip712", "payload": {}, "signature": "0x"}]);
    payment["extensions"] = json!({"offer-receipt": {"info": {"offers": offers}}});
    let answer = shop.send(paid("hello", &header(&payment))).await;
    let settled = answer.settlement();
    let payer: Address = PAYER.parse().unwrap();
    let paid_for = Paid {
        network: NETWORK,
        resource_url: url,
        payer,
        transaction: settled.transaction_hash(),
    };
    let extensions = settled.extensions.as_ref();
    let verified =
        offer_receipt::verify_receipt(extensions, &paid_for, Address::ZERO, &[signer], now);
    assert_eq!(verified, Ok(signer));
}

/// Terms on a network that version 1 has a name for.
fn old_terms() -> seamline_evm::x402::OfferTerms {
    let mut terms = terms("exact", "eip3009");
    terms.network = "eip155:84532".to_owned();
    terms
}

fn old_payment(network: &str, scheme: &str) -> Value {
    let offer = json!({"payTo": "0x2222222222222222222222222222222222222222", "amount": "1000"});
    let message = transfer(&offer, 1);
    json!({"x402Version": 1, "scheme": scheme, "network": network, "payload": message["payload"]})
}

#[tokio::test]
async fn version_1_pays_where_it_is_switched_on() {
    let mut config = config();
    config.v1 = true;
    let (routes, runs_of) = plain();
    let offers = always(vec![old_terms()]);
    let shop = Shop::build(Arc::new(Script::default()), config, offers, routes);
    let asked = shop.send(unpaid("POST", "hello")).await;
    let required = v1::PaymentRequired::parse(&asked.body).unwrap();
    let body: Value = serde_json::from_slice(required.raw()).unwrap();
    assert_eq!(body["x402Version"], 1);
    assert_eq!(body["accepts"][0]["network"], "base-sepolia");
    assert_eq!(body["accepts"][0]["maxAmountRequired"], MAX.to_string());
    assert_eq!(asked.required()["x402Version"], 2, "both in one answer");
    let ask = |payment: &Value| {
        let mut request = unpaid("POST", "hello");
        let value = header(payment).parse().unwrap();
        request.headers_mut().insert("x-payment", value);
        shop.send(request)
    };
    for (network, scheme) in [
        ("base", "exact"),
        ("base-sepolia", "upto"),
        ("nowhere", "exact"),
    ] {
        let answer = ask(&old_payment(network, scheme)).await;
        assert_eq!(answer.error(), "No matching payment requirements");
    }
    let answer = ask(&json!({"x402Version": 2})).await;
    assert_eq!(answer.error(), "No matching payment requirements");
    assert_eq!(runs(&runs_of), 0);
    // Version 1 has nothing that the chain does not show: the answer is given once.
    for (status, body) in [
        (StatusCode::OK, &b"answer 0"[..]),
        (StatusCode::CONFLICT, GONE),
    ] {
        let answer = ask(&old_payment("base-sepolia", "exact")).await;
        assert_eq!((answer.status, answer.body.as_ref()), (status, body));
        let header = answer.headers["x-payment-response"].as_bytes();
        assert!(SettleResponse::from_header(header).unwrap().success);
    }
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(shop.settlements(), [Amount::new(MAX)]);
}

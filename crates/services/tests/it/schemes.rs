//! Every one-shot scheme, and version 1.

use seamline_core::Address;
use seamline_evm::x402::Reason;
use serde_json::{Value, json};

use crate::payments::{Desk, altered, exact, payer};

#[tokio::test]
async fn exact_payments_are_verified_and_settled_once() {
    for method in ["eip3009", "permit2"] {
        let desk = Desk::open().await;
        let request = exact(method, 1);
        assert_eq!(desk.verify(request.to_json()).await, None, "{method}");
        let settled = desk.settle(&request).await;
        assert!(settled.success, "{method} {settled:?}");
        assert_eq!(settled.amount.as_deref(), Some("42"));
        assert_eq!(settled.payer, Some(payer().address().to_string()));
        assert_eq!(desk.settle(&request).await, settled);
        assert_eq!(desk.chain.payments(), [1]);
        // Verified again, it is spent.
        let spent = match method {
            "permit2" => Reason::Permit2InvalidNonce,
            _ => Reason::InvalidExactEvmNonceAlreadyUsed,
        };
        assert_eq!(desk.verify(request.to_json()).await, Some(spent));
    }
}

#[tokio::test]
async fn exact_means_exactly() {
    let desk = Desk::open().await;
    let other = json!(Address::repeat_byte(0x99).to_string());
    let authorization = "/paymentPayload/payload/authorization";
    let at = |member: &str| format!("{authorization}/{member}");
    let transfer = exact("eip3009", 1);
    let cases = [
        (
            at("to"),
            other.clone(),
            Reason::InvalidExactEvmPayloadRecipientMismatch,
        ),
        (
            at("value"),
            json!("43"),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            at("validBefore"),
            json!("1800000005"),
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
        ),
        (
            at("validAfter"),
            json!("1800000001"),
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter,
        ),
        (at("from"), other, Reason::InvalidExactEvmPayloadSignature),
        (
            "/paymentRequirements/amount".to_owned(),
            json!("41"),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            "/paymentRequirements/scheme".to_owned(),
            json!("upto"),
            Reason::InvalidUptoEvmScheme,
        ),
        (
            "/paymentRequirements/network".to_owned(),
            json!("eip155:1"),
            Reason::InvalidNetwork,
        ),
    ];
    for (pointer, value, reason) in cases {
        let body = altered(&transfer, &pointer, value);
        assert_eq!(
            desk.verify(body.clone()).await,
            Some(reason.clone()),
            "{pointer}"
        );
        let settled = desk.settle_json(body).await;
        assert_eq!(
            (settled.success, settled.error_reason),
            (false, Some(reason))
        );
    }
    assert_eq!(desk.chain.distinct(), 0);
}

#[tokio::test]
async fn a_stranger_s_scheme_is_refused() {
    let desk = Desk::open().await;
    let mut body: Value = serde_json::from_str(&exact("eip3009", 1).to_json()).unwrap();
    for pointer in [
        "/paymentRequirements/scheme",
        "/paymentPayload/accepted/scheme",
    ] {
        *body.pointer_mut(pointer).unwrap() = json!("auth-capture");
    }
    let refused = desk.settle_json(body.to_string()).await;
    assert_eq!(refused.error_reason, Some(Reason::UnsupportedScheme));
}

#[tokio::test]
async fn version_1_is_settled_too() {
    let desk = Desk::open().await;
    let request: Value = serde_json::from_str(&exact("eip3009", 1).to_json()).unwrap();
    let offer = &request["paymentRequirements"];
    let body = json!({
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1, "scheme": "exact", "network": offer["network"],
            "payload": request["paymentPayload"]["payload"],
        },
        "paymentRequirements": {
            "scheme": "exact", "network": offer["network"], "maxAmountRequired": "42",
            "resource": "https://node.example/", "description": "", "mimeType": "",
            "payTo": offer["payTo"], "maxTimeoutSeconds": 300, "asset": offer["asset"],
            "extra": offer["extra"],
        },
    })
    .to_string();
    assert_eq!(desk.verify(body.clone()).await, None);
    let settled = desk.settle_json(body).await;
    assert!(settled.success, "{settled:?}");
    // The same payment, whatever version speaks of it.
    let again = desk.settle(&exact("eip3009", 1)).await;
    assert_eq!(again.transaction, settled.transaction);
    assert_eq!(desk.chain.payments(), [1]);
}

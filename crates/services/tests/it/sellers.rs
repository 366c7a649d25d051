//! Who may have what settled.

use http::StatusCode;
use seamline_core::{Address, sha256};
use seamline_evm::x402::{FacilitatorRequest, Reason, SettleResponse};
use seamline_net::{FacilitatorApi as _, FacilitatorError};
use seamline_services::facilitator::Sellers;
use serde_json::json;

use crate::payments::{Desk, SELLER, altered, exact, request};

const TOKEN: &str = "Bearer 0123456789abcdef0123456789abcdef";
const OPERATOR: &str = "Bearer operators-0123456789abcdef012345";

fn hash(bearer: &str) -> [u8; 32] {
    sha256(&[bearer.strip_prefix("Bearer ").unwrap().as_bytes()]).0
}

async fn desk() -> Desk {
    let sellers = Sellers::listed([
        (Some(SELLER), hash(TOKEN)),
        (
            Some(Address::repeat_byte(0x23)),
            hash("Bearer another-seller-0123456789abcdef0"),
        ),
        (None, hash(OPERATOR)),
    ]);
    Desk::tuned(|config| config.sellers = sellers).await
}

async fn settle(desk: &Desk, authorization: &[&str], request: &FacilitatorRequest) -> StatusCode {
    let sent = desk.send_as(authorization, "POST", "/settle", request.to_json());
    sent.await.0
}

/// M1: its payer settles what a session will cost for one unit.
#[tokio::test]
async fn a_payer_does_not_settle_its_own_authorization_for_less() {
    let desk = desk().await;
    for path in ["/settle", "/verify"] {
        let sent = desk.send("POST", path, request(1, 1).to_json());
        let (status, body) = sent.await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(body["code"], json!("seller_unauthorized"), "{path}");
    }
    assert!(desk.chain.offered().is_empty());
    let sent = desk.send_as(&[TOKEN], "POST", "/settle", request(1, 42).to_json());
    let (status, body) = sent.await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["amount"], json!("42"), "{body}");
    assert_ne!(body["errorReason"], json!("permit2_invalid_nonce"));
}

#[tokio::test]
async fn only_the_recipients_own_token_counts() {
    let desk = desk().await;
    let bad: [&[&str]; 9] = [
        &["Bearer another-seller-0123456789abcdef0"],
        &["Bearer 0123456789abcdef0123456789abcdeg"],
        &["Bearer 0123456789abcdef0123456789abcde"],
        &["Bearer "],
        &["Bearer"],
        &["Basic 0123456789abcdef0123456789abcdef"],
        &["0123456789abcdef0123456789abcdef"],
        &[TOKEN, TOKEN],
        // The hash that the operator keeps is no token.
        &["Bearer 3a3c4f2b1c7d5b1b8f4e2f0d9c6b5a493a3c4f2b1c7d5b1b8f4e2f0d9c6b5a49"],
    ];
    for authorization in bad {
        let status = settle(&desk, authorization, &request(1, 42)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization:?}");
    }
    let kept = format!("Bearer {}", hex::encode(hash(TOKEN)));
    let status = settle(&desk, &[&kept], &request(1, 42)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Strangers' dust does not use up the gas of the sellers either.
    let status = settle(&desk, &[], &exact("eip3009", 2)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let lower = TOKEN.replace("Bearer", "bearer");
    for (number, token) in [(3, TOKEN), (4, OPERATOR), (5, lower.as_str())] {
        let status = settle(&desk, &[token], &request(number, 42)).await;
        assert_eq!(status, StatusCode::OK, "{number}");
    }
}

/// A payer that is a seller, too, names itself in the requirement.
#[tokio::test]
async fn a_sellers_token_settles_nothing_of_another_seller() {
    let desk = desk().await;
    let own = Address::repeat_byte(0x23).to_string();
    let body = altered(&request(1, 1), "/paymentRequirements/payTo", json!(own));
    let token = ["Bearer another-seller-0123456789abcdef0"];
    let (status, body) = desk.send_as(&token, "POST", "/settle", body).await;
    assert_eq!((status, &body["success"]), (StatusCode::OK, &json!(false)));
    assert!(desk.chain.offered().is_empty());
}

#[tokio::test]
async fn a_list_without_sellers_settles_nothing() {
    let desk = Desk::tuned(|config| config.sellers = Sellers::listed([])).await;
    let status = settle(&desk, &[TOKEN], &request(1, 42)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

/// Where nobody is listed, the seller at least learns what it was paid.
#[tokio::test]
async fn a_seller_learns_what_was_settled_instead() {
    let desk = Desk::open().await;
    let foreign = desk.settle(&request(1, 1)).await;
    assert!(foreign.success, "{foreign:?}");
    let response: SettleResponse = desk.settle(&request(1, 42)).await;
    assert_eq!(response.error_reason, Some(Reason::Permit2InvalidNonce));
    let by = response.extra.unwrap()["spentBy"].clone();
    assert_eq!(by["amount"], json!("1"));
    assert_eq!(by["transaction"], json!(foreign.transaction));
}

#[tokio::test]
async fn a_paywalls_client_shows_its_token() {
    let desk = desk().await;
    let stranger = crate::sale::listen(&desk).await;
    let refused = stranger.settle(&request(1, 42)).await;
    assert!(matches!(refused, Err(FacilitatorError::Status(401))));
    let refused = stranger.verify(&request(1, 42)).await;
    assert!(matches!(refused, Err(FacilitatorError::Status(401))));
    assert!(!stranger.supported().await.unwrap().kinds.is_empty());
    let token = TOKEN.strip_prefix("Bearer ").unwrap();
    let seller = stranger.with_token(token).unwrap();
    seller.settle(&request(1, 42)).await.unwrap();
}

#[tokio::test]
async fn a_token_that_can_be_guessed_or_that_no_header_holds_is_refused() {
    let desk = desk().await;
    let api = crate::sale::listen(&desk).await;
    let control = format!("{}\n", "a".repeat(32));
    let spaced = format!("{} {}", "a".repeat(16), "a".repeat(16));
    for token in ["", &"a".repeat(31), &"a".repeat(257), &control, &spaced] {
        assert!(api.clone().with_token(token).is_err(), "{token:?}");
    }
    for token in ["a".repeat(32), "a".repeat(256)] {
        api.clone().with_token(&token).unwrap();
    }
}

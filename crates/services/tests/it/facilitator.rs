//! The facilitator's endpoints and its promises: at most once, and never forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use seamline_core::{Address, B256};
use seamline_evm::x402::Reason;
use seamline_services::facilitator::{Error, StoreLocation};
use serde_json::json;

use crate::chain::{Chain, Mood};
use crate::payments::{CHAIN_ID, Desk, MAX, altered, config, offer, payer, request, request_for};
use crate::payments::{requirement, signer};

#[tokio::test]
async fn it_says_what_it_settles() {
    let desk = Desk::open().await;
    let address = signer().address().to_string();
    let (status, supported) = desk.send("GET", "/supported", String::new()).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "kinds": [
            {"x402Version": 2, "scheme": "exact", "network": "eip155:31610"},
            {
                "x402Version": 2, "scheme": "upto", "network": "eip155:31610",
                "extra": {"facilitatorAddress": address},
            },
            {"x402Version": 1, "scheme": "exact", "network": "eip155:31610"},
        ],
        "extensions": ["eip2612GasSponsoring"],
        "signers": {"eip155:*": [address]},
    });
    assert_eq!(supported, expected);
    let (status, health) = desk.send("GET", "/health", String::new()).await;
    assert_eq!((status, &health["status"]), (StatusCode::OK, &json!("ok")));
}

#[tokio::test]
async fn a_payment_is_verified_and_settled_at_what_was_metered() {
    let desk = Desk::open().await;
    assert_eq!(desk.verify(request(1, MAX).to_json()).await, None);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.amount.as_deref(), Some("42"));
    assert_eq!(settled.network, "eip155:31610");
    assert_eq!(settled.payer, Some(payer().address().to_string()));
    assert!(settled.transaction_hash().is_some());
    assert_eq!(desk.chain.mined_nonces(), [0]);
}

#[tokio::test]
async fn what_is_not_a_request_is_400_and_too_much_is_413() {
    let desk = Desk::open().await;
    let good = request(1, 42);
    let version = altered(&good, "/x402Version", json!(1));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        &version,
        &format!("{} x", good.to_json()),
    ] {
        for path in ["/verify", "/settle"] {
            let (status, answer) = desk.send("POST", path, body.to_owned()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body:.40}");
            assert!(answer["error"].is_string(), "{answer}");
        }
    }
    let (status, _) = desk.send("POST", "/settle", "x".repeat(65_537)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = desk.send("GET", "/settle", String::new()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(desk.chain.distinct(), 0);
}

#[tokio::test]
async fn refusals_name_their_reason_and_send_nothing() {
    let desk = Desk::open().await;
    let ceiling = request(1, MAX);
    let payload = "/paymentPayload/payload";
    let at = |member: &str| format!("{payload}/permit2Authorization/{member}");
    let other = json!(Address::repeat_byte(0x99).to_string());
    let forged = json!(format!("0x{}", "11".repeat(65)));
    let cases = [
        (
            altered(&ceiling, "/paymentRequirements/network", json!("eip155:1")),
            Reason::InvalidNetwork,
        ),
        (
            altered(&ceiling, "/paymentRequirements/asset", other.clone()),
            Reason::InvalidPaymentRequirements,
        ),
        (
            altered(&ceiling, "/paymentRequirements/scheme", json!("exact")),
            Reason::InvalidUptoEvmScheme,
        ),
        (
            altered(&ceiling, "/paymentRequirements/payTo", other.clone()),
            Reason::InvalidPermit2RecipientMismatch,
        ),
        (
            altered(&ceiling, &at("witness/to"), other.clone()),
            Reason::InvalidPermit2RecipientMismatch,
        ),
        (
            altered(&ceiling, &at("witness/facilitator"), other.clone()),
            Reason::UptoFacilitatorMismatch,
        ),
        (
            altered(&ceiling, &at("spender"), other.clone()),
            Reason::InvalidPermit2Spender,
        ),
        (
            altered(&ceiling, &at("deadline"), json!("1800000005")),
            Reason::Permit2DeadlineExpired,
        ),
        (
            altered(&ceiling, &at("witness/validAfter"), json!("1800000001")),
            Reason::Permit2NotYetValid,
        ),
        (
            altered(&ceiling, &at("permitted/token"), other.clone()),
            Reason::Permit2TokenMismatch,
        ),
        (
            altered(&ceiling, &at("from"), other),
            Reason::InvalidPermit2Signature,
        ),
        (
            altered(&ceiling, &at("nonce"), json!("7")),
            Reason::InvalidPermit2Signature,
        ),
        (
            altered(&ceiling, &format!("{payload}/signature"), forged),
            Reason::InvalidPermit2Signature,
        ),
        (
            altered(&ceiling, "/paymentRequirements/amount", json!("5e3")),
            Reason::InvalidPaymentRequirements,
        ),
        (
            altered(&ceiling, payload, json!({})),
            Reason::InvalidPermit2PayloadFormat,
        ),
    ];
    for (body, reason) in cases {
        assert_eq!(
            desk.verify(body.clone()).await,
            Some(reason.clone()),
            "verify"
        );
        let settled = desk.settle_json(body).await;
        assert_eq!(
            (settled.success, settled.error_reason),
            (false, Some(reason))
        );
        assert_eq!(settled.transaction, "");
    }
    let over = desk.settle(&request(1, MAX + 1)).await;
    let reason = Reason::InvalidUptoEvmPayloadSettlementExceedsAmount;
    assert_eq!(over.error_reason, Some(reason));
    let under = desk.verify(request(1, MAX - 1).to_json()).await;
    assert_eq!(under, Some(Reason::Permit2AmountMismatch));
    let elsewhere = request_for(&offer(Address::repeat_byte(0x99)), 1, 42);
    let settled = desk.settle(&elsewhere).await;
    assert_eq!(settled.error_reason, Some(Reason::UptoFacilitatorMismatch));
    assert_eq!(desk.chain.distinct(), 0);
}

#[tokio::test]
async fn nothing_due_is_success_without_a_transaction() {
    let desk = Desk::open().await;
    let settled = desk.settle(&request(1, 0)).await;
    assert!(settled.success, "{settled:?}");
    assert_eq!(
        (settled.transaction.as_str(), settled.amount.as_deref()),
        ("", Some("0"))
    );
    assert_eq!(desk.chain.distinct(), 0);
    // The authorization is still worth something.
    assert!(desk.settle(&request(1, 42)).await.success);
}

#[tokio::test]
async fn the_same_request_gets_the_same_outcome_and_one_transaction() {
    let desk = Arc::new(Desk::open().await);
    let copies: Vec<_> = (0..50)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.settle(&request(1, 42)).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for copy in copies {
        outcomes.push(copy.await.unwrap());
    }
    outcomes.push(desk.settle(&request(1, 42)).await);
    assert!(outcomes[0].success);
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn another_request_for_the_same_nonce_is_refused() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    // Under way.
    let other = desk.settle(&request(1, 43)).await;
    assert_eq!(other.error_reason, Some(Reason::Permit2InvalidNonce));
    let verdict = desk.verify(request(1, MAX).to_json()).await;
    assert_eq!(verdict, Some(Reason::Permit2InvalidNonce));
    desk.chain.mine();
    assert!(desk.settle(&request(1, 42)).await.success);
    // Settled.
    let other = desk.settle(&request(1, 43)).await;
    assert_eq!(other.error_reason, Some(Reason::Permit2InvalidNonce));
    let verdict = desk.verify(request(1, MAX).to_json()).await;
    assert_eq!(verdict, Some(Reason::Permit2InvalidNonce));
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn forty_payments_at_once_share_one_sequence() {
    let desk = Arc::new(Desk::open().await);
    let settlements: Vec<_> = (0..40)
        .map(|number| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.settle(&request(number, 42)).await })
        })
        .collect();
    let mut transactions = BTreeSet::new();
    for settlement in settlements {
        let settled = settlement.await.unwrap();
        assert!(settled.success, "{settled:?}");
        transactions.insert(settled.transaction);
    }
    assert_eq!(transactions.len(), 40);
    assert_eq!(desk.chain.mined_nonces(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn pending_settlements_overlap_and_are_joined_later() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Slow);
    let first = desk.settle(&request(1, 42)).await;
    let second = desk.settle(&request(2, 42)).await;
    for pending in [&first, &second] {
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
        assert!(pending.transaction_hash().is_some());
    }
    assert_eq!(desk.chain.pooled(), 2);
    desk.chain.mine();
    for (number, pending) in [(1, first), (2, second)] {
        let settled = desk.settle(&request(number, 42)).await;
        assert!(settled.success);
        assert_eq!(settled.transaction, pending.transaction);
    }
    assert_eq!(desk.chain.distinct(), 2);
}

#[tokio::test]
async fn a_lost_reply_is_not_a_lost_settlement() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::LosesReplies);
    let pending = desk.settle(&request(1, 42)).await;
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    desk.chain.mine();
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success);
    assert_eq!(settled.transaction, pending.transaction);
}

#[tokio::test]
async fn a_broadcast_that_is_refused_for_a_moment_leaves_no_gap() {
    let desk = Desk::open().await;
    desk.chain.refuse_next("the node is restarting");
    assert!(desk.settle(&request(1, 42)).await.success);
    assert!(desk.settle(&request(2, 42)).await.success);
    assert_eq!(desk.chain.mined_nonces(), [0, 1]);
    assert_eq!(desk.chain.distinct(), 2);
}

#[tokio::test]
async fn an_account_nonce_that_was_taken_is_replaced() {
    let desk = Desk::open().await;
    desk.chain
        .refuse_next("nonce too low: next nonce 1, tx nonce 0");
    desk.chain.displace();
    assert!(desk.settle(&request(1, 42)).await.success);
    assert_eq!(desk.chain.mined_nonces(), [1]);
}

#[tokio::test]
async fn a_displaced_transaction_is_signed_anew() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Slow);
    let pending = desk.settle(&request(1, 42)).await;
    desk.chain.displace();
    desk.chain.set(Mood::Instant);
    let settled = desk.settle(&request(1, 42)).await;
    assert!(settled.success, "{settled:?}");
    assert_ne!(settled.transaction, pending.transaction);
    assert_eq!(desk.chain.mined_nonces(), [1]);
}

#[tokio::test]
async fn a_reverted_settlement_is_final() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Reverts);
    let failed = desk.settle(&request(1, 42)).await;
    let reason = Reason::InvalidUptoEvmTransactionFailed;
    assert_eq!(
        (failed.success, failed.error_reason.clone()),
        (false, Some(reason))
    );
    assert!(failed.transaction_hash().is_some());
    desk.chain.set(Mood::Instant);
    assert_eq!(desk.settle(&request(1, 42)).await, failed);
    assert_eq!(desk.chain.distinct(), 1);
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_no_verdict() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Down);
    for (path, amount) in [("/verify", MAX), ("/settle", 42)] {
        let asked = desk.send("POST", path, request(1, amount).to_json());
        let (status, body) = asked.await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert_eq!(body["code"], "chain_unavailable");
        assert_eq!(body["fault"], "chain");
        assert_eq!(body["retry"], "same_request");
        // What the official packages would take for a verdict is not there.
        assert!(body.get("isValid").is_none() && body.get("success").is_none());
    }
    desk.chain.set(Mood::Instant);
    assert!(desk.settle(&request(1, 42)).await.success);
}

#[tokio::test]
async fn a_settlement_whose_record_was_lost_is_found_on_the_chain() {
    let chain = Arc::new(Chain::default());
    let settled = Desk::on(&chain).await.settle(&request(1, 42)).await;
    let desk = Desk::on(&chain).await;
    let found = desk.settle(&request(1, 42)).await;
    assert_eq!(found, settled);
    // It moved 42, not 43, whatever is asked for.
    let desk = Desk::on(&chain).await;
    let other = desk.settle(&request(1, 43)).await;
    assert_eq!(other.error_reason, Some(Reason::Permit2InvalidNonce));
    assert_eq!(chain.distinct(), 1);
}

#[tokio::test]
async fn it_does_not_start_on_another_chain() {
    let chain = Arc::new(Chain::default());
    let mut config = config(&chain, StoreLocation::Memory);
    config.chain_id = 1;
    let error = Desk::with(config, &chain).await.err().unwrap();
    let expected = matches!(
        error,
        Error::Chain {
            configured: 1,
            actual: CHAIN_ID
        }
    );
    assert!(expected, "{error:?}");
}

#[tokio::test]
async fn it_does_not_start_without_a_chain() {
    let chain = Arc::new(Chain::default());
    chain.set(Mood::Down);
    let error = Desk::with(config(&chain, StoreLocation::Memory), &chain).await;
    assert!(matches!(error.err(), Some(Error::Rpc(_))));
}

/// The paywall's in-process seam says the same as HTTP does.
#[tokio::test]
async fn it_serves_in_process_too() {
    use seamline_net::FacilitatorApi as _;
    let desk = Desk::open().await;
    let mut verify = request(1, 42);
    verify.payment_requirements = requirement();
    assert!(desk.facilitator.verify(&verify).await.unwrap().is_valid);
    assert!(
        desk.facilitator
            .settle(&request(1, 42))
            .await
            .unwrap()
            .success
    );
    let supported = desk.facilitator.supported().await.unwrap();
    let address = supported.facilitator("upto", "eip155:31610");
    assert_eq!(address, Some(desk.facilitator.address()));
    assert_ne!(B256::ZERO, desk.facilitator.address().into_word());
}

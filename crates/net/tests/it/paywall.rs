//! The paywall step by step (x402 appendix C).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};
use http::{HeaderMap, StatusCode};
use seamline_core::Amount;
use seamline_evm::x402::Reason;
use seamline_net::PaymentContext;
use serde_json::{Value, json};

use crate::shop::{MAX, NETWORK, PAYER, Script, Shop, counter, header, message};
use crate::shop::{paid, pay, runs, unpaid};

#[tokio::test]
async fn the_offer_has_the_shape_of_x402_version_2() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let answer = shop.send(unpaid("POST", "hello")).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.body, "{}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let expected = json!({
        "x402Version": 2,
        "error": "Payment required",
        "resource": {
            "url": "https://node.example/v1/chat/completions",
            "description": "Chat completion",
            "mimeType": "application/json",
        },
        "accepts": [{
            "scheme": "upto",
            "network": NETWORK,
            "asset": "0x1111111111111111111111111111111111111111",
            "amount": "1005",
            "payTo": "0x2222222222222222222222222222222222222222",
            "maxTimeoutSeconds": 300,
            "extra": {
                "name": "OpenGradient",
                "version": "1",
                "assetTransferMethod": "permit2",
                "facilitatorAddress": "0xfaFAfafAFaFaFAfaFafAFafAFafafAfAFaFAfaFa",
            },
        }],
    });
    let mut required = answer.required();
    let address = required["accepts"][0]["extra"]["facilitatorAddress"].take();
    let mut same = expected;
    let wanted = same["accepts"][0]["extra"]["facilitatorAddress"].take();
    assert!(
        address
            .as_str()
            .unwrap()
            .eq_ignore_ascii_case(wanted.as_str().unwrap())
    );
    assert_eq!(required, same);
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn a_paid_request_is_answered_and_settled_at_what_was_metered() {
    let (routes, _) = counter(7);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"answer 0"[..])
    );
    assert_eq!(answer.headers["cache-control"], "private");
    let settlement = answer.settlement();
    assert!(settlement.success);
    assert_eq!(settlement.settled_amount(), Some(Amount::new(7)));
    assert_eq!(shop.settlements(), [Amount::new(7)]);
}

#[tokio::test]
async fn a_handler_sees_who_pays_and_never_the_authorization() {
    let handler = |Extension(payment): Extension<PaymentContext>, headers: HeaderMap| async move {
        assert_eq!(payment.payer.to_string(), PAYER);
        assert_eq!(payment.max, Amount::new(MAX + 5));
        assert!(!headers.contains_key("payment-signature"));
        payment.meter.set(Amount::MAX);
        [
            ("payment-response", "forged"),
            ("cache-control", "max-age=60"),
        ]
    };
    let shop = Shop::open(Script::default(), post(handler));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    // More than was authorized is not settled, whatever the handler says.
    assert_eq!(
        answer.settlement().settled_amount(),
        Some(Amount::new(MAX + 5))
    );
    assert_eq!(answer.headers["cache-control"], "max-age=60, private");
}

#[tokio::test]
async fn refusals_name_their_reason_and_run_nothing() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let offer = shop.offer("hello").await;
    let good = message(&offer, 1);
    let with = |pointer: &str, value: Value| {
        let mut message = good.clone();
        *message.pointer_mut(pointer).unwrap() = value;
        header(&message)
    };
    let asset = offer["asset"].as_str().unwrap().replace("0x11", "0X11");
    let mut without_extra = good.clone();
    without_extra["accepted"]["extra"]
        .as_object_mut()
        .unwrap()
        .remove("name");
    let unmatched = "No matching payment requirements";
    let cases = [
        ("not base64!", "invalid_payload"),
        (&header(&json!("text")), "invalid_payload"),
        (&"A".repeat(40_000), "invalid_payload"),
        (&with("/x402Version", json!(1)), "invalid_x402_version"),
        (
            &with("/payload/permit2Authorization/nonce", json!("-1")),
            "invalid_permit2_payload_format",
        ),
        (
            &with("/payload/signature", json!("0xzz")),
            "invalid_permit2_payload_format",
        ),
        (&with("/accepted/asset", json!(asset)), unmatched),
        (&with("/accepted/amount", json!("1")), unmatched),
        (&with("/accepted/amount", json!("01005")), unmatched),
        (&with("/accepted/payTo", json!(PAYER)), unmatched),
        (&with("/accepted/network", json!("eip155:1")), unmatched),
        (&with("/accepted/scheme", json!("exact")), unmatched),
        (&with("/accepted/maxTimeoutSeconds", json!(301)), unmatched),
        (
            &with("/accepted/extra/facilitatorAddress", json!(PAYER)),
            unmatched,
        ),
        (&header(&without_extra), unmatched),
    ];
    for (payment, error) in cases {
        let answer = shop.send(paid("hello", payment)).await;
        assert_eq!(answer.error(), error, "{payment:.60}");
    }
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn members_that_a_payer_adds_do_no_harm() {
    let (routes, _) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let mut message = message(&shop.offer("hello").await, 1);
    message["accepted"]["extra"]["note"] = json!("mine");
    message["unknown"] = json!({});
    let answer = shop.send(paid("hello", &header(&message))).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn two_payments_in_one_request_are_refused() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let offer = shop.offer("hello").await;
    let mut request = paid("hello", &pay(&offer, 1));
    let second = pay(&offer, 2).parse().unwrap();
    request.headers_mut().append("PAYMENT-SIGNATURE", second);
    assert_eq!(shop.send(request).await.error(), "invalid_payload");
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn a_payment_for_one_price_does_not_buy_another() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("short", 1).await;
    let answer = shop.send(paid("a longer request", &payment)).await;
    assert_eq!(answer.error(), "No matching payment requirements");
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn head_is_refused_even_with_a_payment() {
    let run = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&run);
    let handler = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { "free?" }
    };
    let shop = Shop::open(Script::default(), get(handler));
    let answer = shop.send(unpaid("HEAD", "")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(runs(&run), 0);
}

#[tokio::test]
async fn what_is_not_for_sale_gets_no_offer() {
    let (routes, _) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let answer = shop.send(unpaid("POST", "unknown model")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body, r#"{"error":"no such model"}"#);
    let long = Box::leak("x".repeat(1024 * 1024 + 1).into_boxed_str());
    let answer = shop.send(unpaid("POST", long)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_invalid_payment_gets_the_facilitators_reason_and_is_free_again() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    let invalid = Some(Ok(Reason::Permit2AllowanceRequired));
    *shop.script.verify.lock().unwrap() = invalid;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.error(), "permit2_allowance_required");
    assert_eq!(runs(&runs_of), 0);
    // A facilitator that cannot be asked, or that cannot ask its chain: not the payer's fault.
    for silent in [Err(500), Ok(Reason::UnexpectedVerifyError)] {
        *shop.script.verify.lock().unwrap() = Some(silent);
        let answer = shop.send(paid("hello", &payment)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "2");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        for (member, value) in [
            ("code", "facilitator_unavailable".into()),
            ("fault", "facilitator".into()),
            ("charged", "no".into()),
            ("retry", serde_json::Value::Bool(true)),
        ] {
            assert_eq!(body[member], value);
        }
    }
    assert_eq!(runs(&runs_of), 0);
    *shop.script.verify.lock().unwrap() = None;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_hundred_copies_of_one_payment_run_the_handler_once() {
    let (routes, runs_of) = counter(5);
    let shop = Arc::new(Shop::open(
        Script {
            gate: Some(tokio::sync::Semaphore::new(0)),
            ..Script::default()
        },
        routes,
    ));
    let payment = shop.payment("hello", 1).await;
    let copies: Vec<_> = (0..100)
        .map(|_| {
            let (shop, payment) = (Arc::clone(&shop), payment.clone());
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    shop.script.gate.as_ref().unwrap().add_permits(1_000);
    for copy in copies {
        let answer = copy.await.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (StatusCode::OK, &b"answer 0"[..])
        );
        assert!(answer.settlement().success);
    }
    assert_eq!(runs(&runs_of), 1);
    assert_eq!(shop.script.verified.load(Ordering::SeqCst), 1);
    assert_eq!(shop.settlements().len(), 1);
}

/// Each copy would otherwise begin to wait anew whenever another one fails.
#[tokio::test(start_paused = true)]
async fn no_copy_waits_longer_than_configured() {
    let handler = || async {
        tokio::time::sleep(core::time::Duration::from_secs(20)).await;
        StatusCode::BAD_GATEWAY
    };
    let shop = Arc::new(Shop::open(Script::default(), any(handler)));
    let payment = shop.payment("hello", 1).await;
    let began = tokio::time::Instant::now();
    let copies: Vec<_> = (0..10)
        .map(|_| {
            let (shop, payment) = (Arc::clone(&shop), payment.clone());
            tokio::spawn(async move { shop.send(paid("hello", &payment)).await })
        })
        .collect();
    for copy in copies {
        copy.await.unwrap();
    }
    // Two rounds: who waits through the second one has waited for thirty seconds.
    assert!(began.elapsed() <= core::time::Duration::from_secs(50));
}

#[tokio::test]
async fn an_authorization_serves_one_request() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    // Another body of the same price.
    let answer = shop.send(paid("world", &payment)).await;
    assert_eq!(answer.error(), "permit2_invalid_nonce");
    // Another path or query is another request.
    let mut request = paid("hello", &payment);
    *request.uri_mut() = "/v1/chat/completions?again".parse().unwrap();
    assert_eq!(shop.send(request).await.error(), "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 1);
}

/// Whoever saw a nonce does not get its owner's answer, nor keeps the owner from it.
#[tokio::test]
async fn a_known_nonce_is_worth_nothing_without_its_signature() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let offer = shop.offer("hello").await;
    let mut forged = message(&offer, 1);
    forged["payload"]["signature"] = json!(format!("0x{}", "22".repeat(65)));
    *shop.script.verify.lock().unwrap() = Some(Ok(Reason::InvalidPermit2Signature));
    let answer = shop.send(paid("hello", &header(&forged))).await;
    assert_eq!(answer.error(), "invalid_permit2_signature");
    *shop.script.verify.lock().unwrap() = None;
    assert_eq!(
        shop.send(paid("hello", &pay(&offer, 1))).await.status,
        StatusCode::OK
    );
    let answer = shop.send(paid("hello", &header(&forged))).await;
    assert_eq!(answer.error(), "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn a_handler_that_fails_costs_nothing_and_frees_the_authorization() {
    let run = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&run);
    let handler = move |Extension(payment): Extension<PaymentContext>| {
        let run = count.fetch_add(1, Ordering::SeqCst);
        payment.meter.set(Amount::new(5));
        async move {
            match run {
                0 => (StatusCode::BAD_GATEWAY, "upstream is down").into_response(),
                1 => panic!("a bug"),
                _ => "fine".into_response(),
            }
        }
    };
    let shop = Shop::open(Script::default(), post(handler));
    let payment = shop.payment("hello", 1).await;
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::BAD_GATEWAY, &b"upstream is down"[..])
    );
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.settlements(), []);
    let answer = shop.send(paid("hello", &payment)).await;
    assert_eq!(answer.body, "fine");
}

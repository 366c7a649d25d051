//! Ways around a paywall that lead nowhere: each test counts the runs of the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::response::AppendHeaders;
use axum::routing::{any, get};
use axum::{Extension, Router};
use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::{HeaderMap, StatusCode};
use seamline_core::{Amount, Timestamp};
use seamline_evm::x402::SettleResponse;
use seamline_net::{PaymentContext, Paywall};
use tower::ServiceExt as _;

use crate::shop::{
    NOW_S, Script, Shop, always, config_at, counter, header, message, paid, pay, runs, terms,
    unpaid,
};

fn upto() -> Vec<seamline_evm::x402::OfferTerms> {
    vec![terms("upto", "permit2")]
}

#[tokio::test]
async fn methods_without_an_answer_of_their_own_are_not_for_sale() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("", 1).await;
    for method in ["HEAD", "OPTIONS", "TRACE", "CONNECT"] {
        for payment in [None, Some(&payment)] {
            let mut request = unpaid(method, "");
            if let Some(payment) = payment {
                let value = payment.parse().unwrap();
                request.headers_mut().insert("payment-signature", value);
            }
            let answer = shop.send(request).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
    }
    assert_eq!(runs(&runs_of), 0);
    assert_eq!(shop.settlements(), []);
}

/// A fallback and `any` answer every method, those that nobody invented yet too.
#[tokio::test]
async fn every_method_of_a_catch_all_is_behind_the_paywall() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "BREW"] {
        let answer = shop.send(unpaid(method, "x")).await;
        assert_eq!(answer.error(), "Payment required", "{method}");
    }
    assert_eq!(runs(&runs_of), 0);
    let count = Arc::new(AtomicUsize::new(0));
    let other = Arc::clone(&count);
    let fallback = move || {
        other.fetch_add(1, Ordering::SeqCst);
        async { "fallback" }
    };
    let shop = Shop::open(
        Script::default(),
        get(|| async { "get" }).fallback(fallback),
    );
    let answer = shop.send(unpaid("DELETE", "x")).await;
    assert_eq!(answer.error(), "Payment required");
    assert_eq!(runs(&count), 0);
}

#[tokio::test]
async fn one_method_is_not_paid_for_with_another() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::asking(upto(), Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    assert_eq!(
        shop.send(paid("hello", &payment)).await.status,
        StatusCode::OK
    );
    for method in ["PUT", "DELETE"] {
        let mut request = paid("hello", &payment);
        *request.method_mut() = method.parse().unwrap();
        assert_eq!(shop.send(request).await.error(), "permit2_invalid_nonce");
    }
    assert_eq!(runs(&runs_of), 1);
}

/// A handler that answers what reached it.
fn mirror() -> axum::routing::MethodRouter {
    any(
        |Extension(payment): Extension<PaymentContext>, request: Request| async move {
            payment.meter.set(Amount::new(5));
            let names = request.headers().keys().map(|name| name.as_str());
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            format!("{} {}", request.method(), names.join(","))
        },
    )
}

#[tokio::test]
async fn no_header_reaches_a_handler_that_could_change_what_was_paid_for() {
    let shop = Shop::asking(upto(), Script::default(), mirror());
    let mut request = paid("hello", &shop.payment("hello", 1).await);
    for name in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "range",
        "if-range",
        "if-none-match",
        "if-modified-since",
        "settlement-overrides",
        "payment-response",
        "payment-required",
        "x-payment-response",
        "x-payment",
        "extension-responses",
        "x-kept",
    ] {
        request
            .headers_mut()
            .insert(name, "DELETE".parse().unwrap());
    }
    let answer = shop.send(request).await;
    assert_eq!(
        (answer.status, answer.body.as_ref()),
        (StatusCode::OK, &b"POST x-kept"[..])
    );
}

#[tokio::test]
async fn a_protocol_cannot_be_changed() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    for (name, value) in [
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("connection", "Upgrade"),
        ("connection", "keep-alive, upgrade"),
    ] {
        let mut request = paid("hello", &payment);
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = shop.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {value}");
    }
    assert_eq!(runs(&runs_of), 0);
    let switches = any(|Extension(payment): Extension<PaymentContext>| async move {
        payment.meter.set(Amount::new(5));
        StatusCode::SWITCHING_PROTOCOLS
    });
    let shop = Shop::open(Script::default(), switches);
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.settlements(), [], "what left HTTP is not sold");
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_around() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::asking(upto(), Script::default(), routes);
    for path in [
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/V1/chat/completions",
        "/v1/%63hat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completions;a=b",
        "/v1/chat/completions%0a",
        "/v1/chat/completions?free=1",
        "http://elsewhere.example/v1/chat/completions",
    ] {
        let mut request = unpaid("POST", "hello");
        *request.uri_mut() = path.parse().unwrap();
        let status = shop.send(request).await.status;
        let barred = [StatusCode::NOT_FOUND, StatusCode::PAYMENT_REQUIRED];
        assert!(barred.contains(&status), "{path}: {status}");
    }
    assert_eq!(runs(&runs_of), 0);
}

/// A router that nests others cuts their prefix off: two of them must not look alike.
#[tokio::test]
async fn a_payment_for_one_mount_is_not_good_for_another() {
    let (routes, runs_of) = counter(5);
    let script = Arc::new(Script::default());
    let api: Arc<dyn seamline_net::FacilitatorApi> = Arc::<Script>::clone(&script);
    let config = config_at(Timestamp::from_secs(NOW_S));
    let paywall = Paywall::new(config, api, always(upto()));
    let inner = Router::new().route("/x", paywall.protect(routes));
    let router = Router::new().nest("/a", inner.clone()).nest("/b", inner);
    let ask = |path: &'static str, payment: Option<String>| {
        let router = router.clone();
        async move {
            let mut request = Request::post(path).body(Body::from("same")).unwrap();
            if let Some(payment) = payment {
                let value = payment.parse().unwrap();
                request.headers_mut().insert("payment-signature", value);
            }
            router.oneshot(request).await.unwrap()
        }
    };
    let required = |response: &axum::response::Response| {
        let header = response.headers()["payment-required"].as_bytes();
        let json = seamline_evm::x402::decode_header(header).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };
    let first = required(&ask("/a/x", None).await);
    assert_eq!(first["resource"]["url"], "https://node.example/a/x");
    let payment = pay(&first["accepts"][0], 1);
    let answer = ask("/a/x", Some(payment.clone())).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = ask("/b/x", Some(payment)).await;
    assert_eq!(required(&answer)["error"], "permit2_invalid_nonce");
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn several_payments_in_one_request_are_none() {
    let (routes, runs_of) = counter(5);
    let mut config = config_at(Timestamp::from_secs(NOW_S));
    config.v1 = true;
    let shop = Shop::build(Arc::new(Script::default()), config, always(upto()), routes);
    let offer = shop.offer("hello").await;
    let (one, two) = (pay(&offer, 1), pay(&offer, 2));
    let cases: [&[(&str, &str)]; 4] = [
        &[("payment-signature", &one), ("payment-signature", &two)],
        &[("payment-signature", &one), ("payment-signature", &one)],
        &[("payment-signature", &one), ("x-payment", &two)],
        &[("x-payment", &one), ("x-payment", &two)],
    ];
    for headers in cases {
        let mut request = unpaid("POST", "hello");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        assert_eq!(shop.send(request).await.error(), "invalid_payload");
    }
    let mut merged = unpaid("POST", "hello");
    let value = format!("{one}, {two}").parse().unwrap();
    merged.headers_mut().insert("payment-signature", value);
    assert_eq!(shop.send(merged).await.error(), "invalid_payload");
    assert_eq!(runs(&runs_of), 0);
}

#[tokio::test]
async fn a_payment_of_version_1_is_none_where_that_is_off() {
    let (routes, runs_of) = counter(5);
    let shop = Shop::open(Script::default(), routes);
    let payment = shop.payment("hello", 1).await;
    let mut request = unpaid("POST", "hello");
    request
        .headers_mut()
        .insert("x-payment", payment.parse().unwrap());
    assert_eq!(shop.send(request).await.error(), "Payment required");
    let mut request = paid("hello", &payment);
    request
        .headers_mut()
        .insert("x-payment", "whatever".parse().unwrap());
    assert_eq!(shop.send(request).await.status, StatusCode::OK);
    assert_eq!(runs(&runs_of), 1);
}

#[tokio::test]
async fn caches_and_browsers_are_told_what_they_need() {
    let handler = |Extension(payment): Extension<PaymentContext>| async move {
        payment.meter.set(Amount::new(5));
        AppendHeaders([
            (CACHE_CONTROL, "public, max-age=60"),
            (CACHE_CONTROL, "s-maxage=600"),
            (VARY, "accept"),
            (SET_COOKIE, "a=1"),
            (SET_COOKIE, "b=2"),
        ])
    };
    let shop = Shop::open(Script::default(), any(handler));
    let asked = shop.send(unpaid("POST", "hello")).await;
    assert_eq!(asked.headers["cache-control"], "no-store");
    assert_eq!(asked.headers["vary"], "PAYMENT-SIGNATURE");
    let exposed = asked.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains("PAYMENT-REQUIRED"), "{exposed}");
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    let all = |headers: &HeaderMap, name: &str| {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| value.to_str().unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    assert_eq!(
        all(&answer.headers, "cache-control"),
        ["max-age=60, private"]
    );
    assert_eq!(
        all(&answer.headers, "vary"),
        ["accept", "PAYMENT-SIGNATURE"]
    );
    assert_eq!(all(&answer.headers, "set-cookie"), ["a=1", "b=2"]);
    let exposed = all(&answer.headers, "access-control-expose-headers").join(", ");
    assert!(exposed.contains("PAYMENT-RESPONSE"), "{exposed}");
}

/// A handler that forwards another server's answer forwards its claims too.
#[tokio::test]
async fn a_handler_says_nothing_about_payments() {
    let claims = || {
        let forged =
            SettleResponse::settled("eip155:1", seamline_core::Address::ZERO, None, Amount::ZERO);
        AppendHeaders([
            ("payment-response", forged.to_header()),
            ("x-payment-response", forged.to_header()),
            ("payment-required", "forged".to_owned()),
            ("settlement-overrides", "{\"amount\":\"0\"}".to_owned()),
            ("extension-responses", "forged".to_owned()),
        ])
    };
    let handler = move |Extension(payment): Extension<PaymentContext>, body: String| async move {
        payment.meter.set(Amount::new(5));
        let status = if body == "fail" {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::OK
        };
        (status, claims())
    };
    let shop = Shop::open(Script::default(), any(handler));
    let answer = shop
        .send(paid("hello", &shop.payment("hello", 1).await))
        .await;
    assert_eq!(answer.settlement().settled_amount(), Some(Amount::new(5)));
    let failed = shop
        .send(paid("fail", &shop.payment("fail", 2).await))
        .await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    for answer in [&answer.headers, &failed.headers] {
        for name in [
            "settlement-overrides",
            "extension-responses",
            "x-payment-response",
            "payment-required",
        ] {
            assert!(!answer.contains_key(name), "{name}");
        }
    }
    assert!(!failed.headers.contains_key("payment-response"));
    assert_eq!(shop.settlements(), [Amount::new(5)]);
}

#[tokio::test]
async fn a_remembered_ceiling_is_accepted_and_the_meter_decides() {
    let (routes, runs_of) = counter(2_000);
    let shop = Shop::open(Script::default(), routes);
    let mut offer = shop.offer("hello").await;
    offer["amount"] = serde_json::json!("5000");
    let answer = shop.send(paid("hello", &pay(&offer, 1))).await;
    assert_eq!(answer.status, StatusCode::OK);
    // Never more than what is asked for this request, though more was authorized.
    assert_eq!(
        answer.settlement().settled_amount(),
        Some(Amount::new(1_005))
    );
    for refused in ["1004", "05000", "5000.0", "+5000", "0x1388", "", "1e9"] {
        offer["amount"] = serde_json::json!(refused);
        let answer = shop.send(paid("hello", &header(&message(&offer, 2)))).await;
        assert_eq!(
            answer.error(),
            "No matching payment requirements",
            "{refused}"
        );
    }
    offer["amount"] = serde_json::json!("5000");
    offer["payTo"] = serde_json::json!("0x9999999999999999999999999999999999999999");
    let answer = shop.send(paid("hello", &pay(&offer, 3))).await;
    assert_eq!(answer.error(), "No matching payment requirements");
    assert_eq!(runs(&runs_of), 1);
}

//! Each lie that drills can ask for is told, and can be told from the truth.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use seamline_core::{Address, sha256};
use seamline_enclave::{Faults, Finish, GuideUpstream};
use tokio::time::Instant;

use crate::chat::{Scripted, USAGE, end, holds, text};
use crate::shop::{NOW_S, QUESTION, Shop, chat, config, identity, other_identity, streamed};

fn lying(faults: Faults) -> Shop {
    let config = config().danger_with_faults(faults);
    Shop::with(config, Arc::new(GuideUpstream::new(None)))
}

async fn evidence(shop: &Shop) -> Vec<u8> {
    let nonce = "ab".repeat(20);
    let answer = shop
        .get(&format!("/enclave/attestation?nonce={nonce}"))
        .await;
    BASE64.decode(answer.text().trim_end()).unwrap()
}

#[tokio::test]
async fn evidence_for_another_key() {
    let shop = lying(Faults {
        evidence_for: Some(other_identity()),
        ..Faults::default()
    });
    let document = evidence(&shop).await;
    let cert = sha256(&[identity().tls_certificate()]);
    let key = sha256(&[other_identity().signing_key_spki()]);
    assert_eq!(
        (&document[22..54], &document[56..]),
        (cert.as_slice(), key.as_slice())
    );
}

#[tokio::test]
async fn stale_nonce() {
    let shop = lying(Faults {
        stale_nonce: true,
        ..Faults::default()
    });
    assert_ne!(evidence(&shop).await[..20], [0xab; 20]);
    assert_eq!(evidence(&Shop::open()).await[..20], [0xab; 20]);
}

#[tokio::test]
async fn altered_text() {
    let shop = lying(Faults {
        altered_text: true,
        ..Faults::default()
    });
    let honest = GuideUpstream::new(None).answer("What is a receipt?");
    let json = shop.buy(QUESTION).await.json();
    let content = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!((content.len(), content == honest), (honest.len(), false));
    assert!(holds(&json, QUESTION, &honest, &identity()));
    assert!(!holds(&json, QUESTION, content, &identity()));
    let body = streamed(QUESTION);
    let answer = shop.buy(&body).await;
    let frames = answer.frames();
    assert!(holds(frames.last().unwrap(), &body, &honest, &identity()));
    assert!(!holds(
        frames.last().unwrap(),
        &body,
        &answer.streamed_text(),
        &identity()
    ));
}

#[tokio::test]
async fn signature_by_another_enclave() {
    let shop = lying(Faults {
        signed_by: Some(other_identity()),
        ..Faults::default()
    });
    let json = shop.buy(QUESTION).await.json();
    let content = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(!holds(&json, QUESTION, content, &identity()));
    assert!(holds(&json, QUESTION, content, &other_identity()));
}

#[tokio::test]
async fn price_above_the_first_offer() {
    let shop = lying(Faults {
        later_offers_times: Some(3),
        ..Faults::default()
    });
    let first = shop.send(chat(QUESTION)).await.offer();
    let paid = shop.send(shop.paid(chat(QUESTION), &first)).await;
    assert_eq!(paid.status, StatusCode::PAYMENT_REQUIRED);
    let amount =
        |offer: &serde_json::Value| offer["amount"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(amount(&paid.offer()), 3 * amount(&first));
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn swapped_payee() {
    let thief = Address::repeat_byte(0x66);
    let shop = lying(Faults {
        pay_to: Some(thief),
        ..Faults::default()
    });
    let offer = shop.send(chat(QUESTION)).await.offer();
    assert_eq!(offer["payTo"], thief.to_checksum(None));
}

#[tokio::test(start_paused = true)]
async fn stall() {
    let shop = lying(Faults {
        stall: Some(Duration::from_secs(7)),
        ..Faults::default()
    });
    let start = Instant::now();
    let body = streamed(QUESTION);
    let answer = shop.buy(&body).await;
    assert!(start.elapsed() >= Duration::from_secs(7));
    let frames = answer.frames();
    assert!(holds(
        frames.last().unwrap(),
        &body,
        &answer.streamed_text(),
        &identity()
    ));
}

#[tokio::test]
async fn closed_in_the_middle_of_a_stream() {
    let shop = lying(Faults {
        close_mid_stream: true,
        ..Faults::default()
    });
    let answer = shop.buy(&streamed(QUESTION)).await;
    assert!(!answer.text().contains("tee_signature"));
    assert!(!answer.text().contains("[DONE]"));
    let complete = !answer.cut_off && answer.streamed_text().len() > 1;
    assert!(!complete, "{}", answer.text());
}

#[tokio::test]
async fn failure_before_payment() {
    let shop = lying(Faults {
        fail_before_payment: true,
        ..Faults::default()
    });
    let answer = shop.send(chat(QUESTION)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"], "Request processing failed");
    assert_eq!(shop.get("/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn clock_skew() {
    for skew in [-600_i64, 90] {
        let faults = Faults {
            clock_skew_s: skew,
            ..Faults::default()
        };
        let config = config().danger_with_faults(faults);
        let pieces = vec![text("late"), end(Finish::Stop, USAGE)];
        let shop = Shop::with(config, Arc::new(Scripted(pieces)));
        let json = shop.buy(QUESTION).await.json();
        assert_eq!(
            json["tee_timestamp"].as_u64(),
            NOW_S.checked_add_signed(skew)
        );
        assert!(holds(&json, QUESTION, "late", &identity()));
    }
}

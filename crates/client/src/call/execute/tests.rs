use core::time::Duration;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use seamline_core::{Address, NodeId, Timestamp};
use seamline_evm::registry::NodeRecord;
use seamline_evm::x402::{PAYMENT_REQUIRED, PAYMENT_RESPONSE, Reason};

use super::{refusal, retry_after, settle_reply};
use crate::error::ErrorKind;
use crate::fixtures::{NODE, NOW, authorization};
use crate::leg::MAX_WAIT;

fn header(json: &str) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    HeaderValue::from_str(&text).unwrap()
}

#[test]
fn two_settle_replies_are_none() {
    let mut headers = HeaderMap::new();
    headers.append(PAYMENT_RESPONSE, header("{}"));
    assert_eq!(settle_reply(&headers).unwrap().as_ref(), b"{}");
    headers.append(PAYMENT_RESPONSE, header("{}"));
    assert!(settle_reply(&headers).is_none());
    let mut headers = HeaderMap::new();
    headers.append(PAYMENT_RESPONSE, HeaderValue::from_static("*"));
    assert!(settle_reply(&headers).is_none());
}

#[test]
fn a_peer_does_not_set_our_timers() {
    for (text, seconds) in [("0", Some(0)), ("3", Some(3)), ("86400", Some(86_400))] {
        let mut headers = HeaderMap::new();
        headers.append("retry-after", HeaderValue::from_static(text));
        let asked = retry_after(&headers);
        assert_eq!(asked, seconds.map(Duration::from_secs));
        assert!(asked.unwrap().min(MAX_WAIT) <= MAX_WAIT);
    }
    for text in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
        let mut headers = HeaderMap::new();
        headers.append("retry-after", HeaderValue::from_static(text));
        assert_eq!(retry_after(&headers), None, "{text}");
    }
}

fn record() -> NodeRecord {
    NodeRecord {
        node: NodeId::new(NODE),
        owner: Address::ZERO,
        pay_to: Address::ZERO,
        endpoint: "https://127.0.0.1:1".to_owned(),
        public_key: Vec::new().into(),
        tls_certificate: Vec::new().into(),
        pcr_hash: NODE,
        tee_type: 0,
        enabled: true,
        registered_at: 0,
        last_heartbeat_at: 0,
        ohttp: None,
    }
}

#[test]
fn a_refusal_shows_codes_and_no_words_of_the_node() {
    let paid = authorization(1, 100, Timestamp::from_secs(NOW.as_secs()));
    let offer = |amount: &str, error: &str| {
        let accepted = paid.payload.accepted().raw().replace("\"100\"", amount);
        format!(
            r#"{{"x402Version":2,"error":"{error}","resource":{{"url":"https://n.example/"}},"accepts":[{accepted}]}}"#
        )
    };
    let refuse = |json: &str| {
        let mut headers = HeaderMap::new();
        headers.append(PAYMENT_REQUIRED, header(json));
        refusal(&record(), &headers, &paid.payload)
    };
    let known = Reason::Permit2InsufficientBalance;
    let (kind, reason) = refuse(&offer("\"100\"", known.as_str()));
    assert_eq!(reason, known);
    assert!(kind.to_string().contains(known.as_str()), "{kind}");
    let (kind, _) = refuse(&offer("\"100\"", "my prompt was this"));
    assert!(!format!("{kind} {kind:?}").contains("prompt"), "{kind:?}");
    assert!(matches!(kind, ErrorKind::PaymentRefused { .. }));
    let (kind, _) = refuse(&offer("\"300\"", "my prompt was this"));
    assert!(matches!(kind, ErrorKind::OfferChanged { .. }));
    let (kind, _) = refusal(&record(), &HeaderMap::new(), &paid.payload);
    assert!(matches!(kind, ErrorKind::PaymentRefused { .. }));
}

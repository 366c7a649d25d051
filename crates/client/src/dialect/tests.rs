use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use seamline_core::{Address, B256, NodeId};
use seamline_evm::registry::NodeRecord;
use seamline_evm::settlement::SettlementType;

use super::{Dialect, Framed, OPENGRADIENT_GATEWAYS, Proven, Published, Said, Usage, ceiling};
use crate::error::ClaimFault;

fn record(measurement: B256) -> NodeRecord {
    NodeRecord {
        node: NodeId::new(B256::ZERO),
        owner: Address::ZERO,
        pay_to: Address::ZERO,
        endpoint: "https://127.0.0.1:1".to_owned(),
        public_key: Vec::new().into(),
        tls_certificate: Vec::new().into(),
        pcr_hash: measurement,
        tee_type: 0,
        enabled: true,
        registered_at: 0,
        last_heartbeat_at: 0,
        ohttp: None,
    }
}

#[test]
fn the_measured_code_says_how_it_speaks() {
    let published = OPENGRADIENT_GATEWAYS[0];
    let of = |measurement| Dialect::of(&record(measurement), &OPENGRADIENT_GATEWAYS);
    assert_eq!(of(published), Dialect::OpenGradient);
    assert_eq!(of(B256::repeat_byte(1)), Dialect::Seamline);
    assert!(!Dialect::OpenGradient.answers_again());
    assert!(Dialect::Seamline.answers_again());
}

fn asked(offers: &str) -> HeaderMap {
    let json = format!(
        r#"{{"x402Version":2,"error":"Payment required","resource":{{"url":"https://n.example/"}},"accepts":[{offers}]}}"#
    );
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&STANDARD.encode(json)).unwrap();
    headers.insert(seamline_evm::x402::PAYMENT_REQUIRED, value);
    headers
}

fn offer(scheme: &str, network: &str, amount: &str) -> String {
    format!(
        r#"{{"scheme":"{scheme}","network":"{network}","asset":"0xFbC2051AE2265686a469421b2C5A2D5462FbF5eB","amount":"{amount}","payTo":"0x9deEBB5D1b22e4a6e027977CeAd13893A7E4cC1a","maxTimeoutSeconds":300,"extra":{{"name":"OpenGradient","version":"1"}}}}"#
    )
}

#[test]
fn a_ceiling_is_the_dearest_metered_offer() {
    let two = [
        offer("upto", "eip155:8453", "100000000000000000"),
        offer("upto", "eip155:8453", "7"),
    ];
    let read = ceiling(&asked(&two.join(","))).unwrap();
    assert_eq!(read.amount.get(), 100_000_000_000_000_000);
    assert_eq!(read.network, "eip155:8453");
    for none in [
        offer("exact", "eip155:8453", "1"),
        offer("upto", "eip155:8453\\u001b", "1"),
        String::new(),
    ] {
        assert_eq!(ceiling(&asked(&none)), None, "{none}");
    }
    assert_eq!(ceiling(&HeaderMap::new()), None);
}

fn usage(json: &str) -> Usage {
    serde_json::from_str(json).unwrap()
}

#[test]
fn usage_is_held_against_what_was_sent_and_asked() {
    for possible in [
        "{}",
        r#"{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105}"#,
        r#"{"prompt_tokens":1,"completion_tokens":1}"#,
        r#"{"total_tokens":105}"#,
    ] {
        assert!(usage(possible).is_possible(100, 5), "{possible}");
    }
    for inflated in [
        r#"{"prompt_tokens":101}"#,
        r#"{"completion_tokens":6}"#,
        r#"{"total_tokens":106}"#,
        r#"{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}"#,
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1,"total_tokens":0}"#,
    ] {
        assert!(!usage(inflated).is_possible(100, 5), "{inflated}");
    }
    assert!(usage(r#"{"completion_tokens":4096}"#).is_possible(1, 0));
    assert!(!usage(r#"{"completion_tokens":4097}"#).is_possible(1, 0));
}

fn published(headers: &[(&'static str, String)]) -> Published {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        map.append(HeaderName::from_static(name), value);
    }
    Published::of(&map)
}

#[test]
fn settlement_headers_are_those_of_the_answer() {
    let (request_hash, output_hash) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let proven = Proven {
        node: NodeId::new(B256::repeat_byte(3)),
        request_hash,
        output_hash,
        timestamp_s: 7,
        signature: b"signed",
    };
    let hex = |byte| format!("{}", B256::repeat_byte(byte));
    let honest = [
        ("x-tee-id", hex(3)),
        ("x-tee-request-hash", hex(1)),
        ("x-tee-output-hash", hex(2)),
        ("x-tee-timestamp", "7".to_owned()),
        ("x-tee-signature", STANDARD.encode(b"signed")),
        ("x-settlement-tx-hash", hex(9)),
    ];
    let asked = SettlementType::Individual;
    let said = published(&honest);
    assert_eq!(said.check(&proven, asked), Ok(()));
    let transaction = said.said().and_then(|it| it.transaction);
    assert_eq!(transaction, Some(B256::repeat_byte(9)));
    for unasked in [SettlementType::Private, SettlementType::Batch] {
        assert_eq!(said.check(&proven, unasked), Err(ClaimFault::Unasked));
    }
    for at in 0..honest.len() {
        let mut other = honest.clone();
        other[at].1 = "8".to_owned();
        let checked = published(&other).check(&proven, asked);
        assert_eq!(checked, Err(ClaimFault::Other), "{}", other[at].0);
    }
    assert_eq!(published(&[]).check(&proven, asked), Ok(()));
}

fn framed(json: &str) -> Option<Framed> {
    serde_json::from_str::<Framed>(json).unwrap().said()
}

fn streamed(frame: &str, headers: &[(&'static str, String)]) -> Published {
    published(headers).framed(framed(frame))
}

fn any_proof() -> Proven<'static> {
    Proven {
        node: NodeId::new(B256::ZERO),
        request_hash: B256::ZERO,
        output_hash: B256::ZERO,
        timestamp_s: 0,
        signature: b"",
    }
}

#[test]
fn last_frame_says_what_headers_say() {
    assert_eq!(framed("{}"), None);
    let hash = B256::repeat_byte(9);
    let frame = format!(
        r#"{{"data_settlement_success":true,"settlement_type":"individual","data_settlement_transaction_hash":"{hash}","data_settlement_blob_id":"blob","settlement_job_id":"job","settlement_queue_nonce":3}}"#
    );
    let said = streamed(&frame, &[]);
    let expected = Said {
        via: "frame",
        transaction: Some(hash),
        blob: Some("blob".to_owned()),
        job: Some("job".to_owned()),
        failed: false,
    };
    assert_eq!(said.said(), Some(expected));
    let individual = SettlementType::Individual;
    assert_eq!(said.check(&any_proof(), individual), Ok(()));
    for unasked in [SettlementType::Private, SettlementType::Batch] {
        let checked = said.check(&any_proof(), unasked);
        assert_eq!(checked, Err(ClaimFault::Unasked));
    }
    let failed = r#"{"data_settlement_success":false,"data_settlement_error":"no"}"#;
    let said = streamed(failed, &[]).said().unwrap();
    assert!(said.failed && said.transaction.is_none());
}

#[test]
fn frame_and_headers_that_differ_are_of_another_answer() {
    let header = [("x-settlement-tx-hash", format!("{}", B256::repeat_byte(8)))];
    let individual = SettlementType::Individual;
    for transaction in [format!("{}", B256::repeat_byte(9)), "0x12".to_owned()] {
        let frame = format!(r#"{{"data_settlement_transaction_hash":"{transaction}"}}"#);
        let checked = streamed(&frame, &header).check(&any_proof(), individual);
        assert_eq!(checked, Err(ClaimFault::Other));
    }
    let no_hash = r#"{"data_settlement_transaction_hash":"soon"}"#;
    let checked = streamed(no_hash, &[]).check(&any_proof(), individual);
    assert_eq!(checked, Err(ClaimFault::Other));
}

#[test]
fn mode_that_nobody_asked_for_is_named() {
    let of = |mode: &str| published(&[("x-settlement-type", mode.to_owned())]);
    let frame = |mode: &str| streamed(&format!(r#"{{"settlement_type":"{mode}"}}"#), &[]);
    for said in [of("individual"), frame("individual")] {
        for unasked in [SettlementType::Private, SettlementType::Batch] {
            let checked = said.check(&any_proof(), unasked);
            assert_eq!(checked, Err(ClaimFault::Unasked));
        }
    }
    for said in [of("batch"), frame("batch")] {
        let checked = said.check(&any_proof(), SettlementType::Private);
        assert_eq!(checked, Err(ClaimFault::Unasked));
        assert_eq!(said.check(&any_proof(), SettlementType::Batch), Ok(()));
    }
    let private = of("private");
    assert_eq!(private.check(&any_proof(), SettlementType::Private), Ok(()));
    assert_eq!(private.said(), None);
}

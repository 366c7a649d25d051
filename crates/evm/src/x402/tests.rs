use serde_json::{Value, json};

use super::*;
use crate::Malformed;
use crate::fixtures;

fn required_json() -> Value {
    json!({ "x402Version": 2, "accepts": [fixtures::offer()] })
}

#[track_caller]
fn refuses(json: &Value, malformed: Malformed) {
    let parsed = PaymentRequired::parse(json.to_string().as_bytes());
    assert_eq!(parsed, Err(malformed), "{json}");
}

#[test]
fn headers_decode_in_both_alphabets_with_or_without_padding() {
    // Chosen so that its base64 uses the two characters that the alphabets differ in.
    let json = br#"{"a":"??>>~~"}"#;
    let standard = encode_header(json);
    let url_safe = standard.replace('+', "-").replace('/', "_");
    let bare = standard.trim_end_matches('=');
    assert_ne!(standard, url_safe);
    assert_ne!(standard, bare);
    for value in [standard.as_str(), url_safe.as_str(), bare] {
        assert_eq!(
            decode_header(value.as_bytes()).as_deref(),
            Ok(json.as_slice())
        );
    }
}

#[test]
fn other_headers_are_refused() {
    let refused = Err(Malformed::Base64);
    for value in [
        "ab c", "abc\n", "+-+-", "a", "====", "YQ=Y", "YR==", "\u{e4}",
    ] {
        assert_eq!(decode_header(value.as_bytes()), refused, "{value:?}");
    }
    let long = "A".repeat(MAX_HEADER + 4);
    assert_eq!(decode_header(long.as_bytes()), Err(Malformed::Size));
    assert!(decode_header(&long.as_bytes()[..MAX_HEADER]).is_ok_and(|bytes| !bytes.is_empty()));
}

#[test]
fn an_offer_keeps_its_bytes() {
    // Order, spacing, number spelling and unknown members of the seller.
    let offer = r#"{ "extra":{"z":1.0,"a":null},"payTo":"merchant","scheme":"new","maxTimeoutSeconds":60,
        "asset":"EUR", "amount":"1.50","network":"x:y","later":[1e3] }"#;
    let json = format!(r#"{{"x402Version":2,"accepts":[{offer}],"error":null}}"#);
    let required = PaymentRequired::parse(json.as_bytes()).unwrap();
    assert_eq!(required.offers[0].raw(), offer);
    assert_eq!(required.raw(), json.as_bytes());
    let terms = required.offers[0].terms();
    assert_eq!(
        (terms.scheme.as_str(), terms.amount.as_str()),
        ("new", "1.50")
    );
    assert_eq!((terms.amount(), terms.chain_id()), (None, None));
    let again = PaymentRequired::from_header(required.to_header().as_bytes()).unwrap();
    assert_eq!(again, required);
}

#[test]
fn a_written_402_reads_back() {
    let offer = fixtures::required(&[fixtures::offer()]).offers.remove(0);
    let resource = Resource::new(
        "https://a.example/\"x\"",
        "Chat completion",
        "application/json",
    );
    let written = PaymentRequired::new(
        Some("Payment required"),
        Some(&resource),
        std::slice::from_ref(&offer),
    );
    let read = PaymentRequired::from_header(written.to_header().as_bytes()).unwrap();
    assert_eq!(read.raw(), written.raw());
    assert_eq!(read.resource, Some(resource));
    assert_eq!(read.offers, std::slice::from_ref(&offer));
    let own = Offer::new(offer.terms().clone());
    assert_eq!(own.terms(), offer.terms());
    assert_eq!(Offer::parse(own.raw().as_bytes()), Ok(own));
}

#[test]
fn what_x402_requires_must_be_there() {
    refuses(&json!([]), Malformed::Json);
    refuses(&json!({ "x402Version": 2 }), Malformed::Json);
    refuses(
        &json!({ "x402Version": 2, "accepts": [] }),
        Malformed::Field("accepts"),
    );
    refuses(
        &json!({ "x402Version": 1, "accepts": [fixtures::offer()] }),
        Malformed::Version,
    );
    refuses(
        &json!({ "x402Version": "2", "accepts": [fixtures::offer()] }),
        Malformed::Json,
    );
    for name in [
        "scheme",
        "network",
        "asset",
        "amount",
        "payTo",
        "maxTimeoutSeconds",
    ] {
        for value in [Value::Null, json!([]), json!(-1), json!(1.5)] {
            let mut json = required_json();
            json["accepts"][0][name] = value;
            refuses(&json, Malformed::Field(name));
        }
        let mut json = required_json();
        json["accepts"][0].as_object_mut().unwrap().remove(name);
        refuses(&json, Malformed::Field(name));
    }
    let mut json = required_json();
    json["accepts"][0]["amount"] = json!(5000);
    refuses(&json, Malformed::Field("amount"));
    let mut json = required_json();
    json["accepts"][0]["extra"] = json!("x");
    refuses(&json, Malformed::Field("extra"));
    let mut json = required_json();
    json["resource"] = json!({ "description": "no url" });
    refuses(&json, Malformed::Field("resource.url"));
}

#[test]
fn a_document_has_bounds() {
    let good = required_json().to_string();
    let parse = |text: &str| PaymentRequired::parse(text.as_bytes()).map(|_| ());
    assert_eq!(parse(&good), Ok(()));
    assert_eq!(parse(&format!("{good}{good}")), Err(Malformed::Json));
    assert_eq!(parse(&format!("{good}x")), Err(Malformed::Json));
    assert_eq!(parse(&good[..good.len() - 1]), Err(Malformed::Json));
    let deep = |levels: usize| {
        let nest = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"deep":{nest},{}"#, &good[1..])
    };
    assert_eq!(parse(&deep(MAX_DEPTH - 1)), Ok(()));
    assert_eq!(parse(&deep(MAX_DEPTH)), Err(Malformed::Depth));
    let long = format!(r#"{{"long":"{}",{}"#, "x".repeat(MAX_HEADER), &good[1..]);
    assert_eq!(parse(&long), Err(Malformed::Size));
}

#[test]
fn a_member_comes_once() {
    let good = required_json().to_string();
    let twice = good.replacen(r#""amount":"5000""#, r#""amount":"1","amount":"5000""#, 1);
    assert_ne!(twice, good);
    let parsed = PaymentRequired::parse(twice.as_bytes());
    assert_eq!(parsed, Err(Malformed::Duplicate));
    // The same member, spelled with an escape.
    let twice = good.replacen(
        r#""amount":"5000""#,
        r#""\u0061mount":"1","amount":"5000""#,
        1,
    );
    let parsed = PaymentRequired::parse(twice.as_bytes());
    assert_eq!(parsed, Err(Malformed::Duplicate));
}

#[test]
fn an_echo_matches_by_the_rule_of_the_official_servers() {
    let base = Offer::parse(fixtures::offer().to_string().as_bytes()).unwrap();
    let mismatch = |change: &dyn Fn(&mut Value)| {
        let mut echo = fixtures::offer();
        change(&mut echo);
        let echo = Offer::parse(echo.to_string().as_bytes()).unwrap();
        base.terms().mismatch(echo.terms())
    };
    assert_eq!(mismatch(&|_| {}), None);
    assert_eq!(mismatch(&|it| it["extra"]["more"] = json!(1)), None);
    assert_eq!(mismatch(&|it| it["unknown"] = json!(1)), None);
    let asset = base.terms().asset.to_lowercase();
    assert_eq!(mismatch(&|it| it["asset"] = json!(asset)), Some("asset"));
    assert_eq!(
        mismatch(&|it| it["extra"]["name"] = json!("x")),
        Some("extra")
    );
    assert_eq!(mismatch(&|it| it["extra"] = json!({})), Some("extra"));
    for name in ["scheme", "network", "payTo", "amount"] {
        assert_eq!(mismatch(&|it| it[name] = json!("other")), Some(name));
    }
    let timeout = mismatch(&|it| it["maxTimeoutSeconds"] = json!(301));
    assert_eq!(timeout, Some("maxTimeoutSeconds"));
}

#[test]
fn numbers_of_the_wire() {
    use alloy_primitives::U256;
    let max = U256::MAX.to_string();
    assert_eq!(uint256("0"), Some(U256::ZERO));
    assert_eq!(uint256("0xff"), Some(U256::from(255)));
    assert_eq!(uint256(&max), Some(U256::MAX));
    let over = format!("{max}0");
    for text in [
        "",
        "0x",
        "-1",
        "+1",
        " 1",
        "1.0",
        "1e3",
        "0b1",
        "1_000",
        "ff",
        over.as_str(),
    ] {
        assert_eq!(uint256(text), None, "{text:?}");
    }
    assert_eq!(uint256(&format!("0x1{}", "0".repeat(64))), None);
}

#[test]
fn networks_and_addresses() {
    let terms = |network: &str| {
        let mut offer = fixtures::offer();
        offer["network"] = json!(network);
        Offer::parse(offer.to_string().as_bytes())
            .unwrap()
            .terms()
            .chain_id()
    };
    assert_eq!(terms("eip155:31610"), Some(31_610));
    for network in [
        "eip155:",
        "eip155:0",
        "eip155:01",
        "eip155:+1",
        "solana:1",
        "8453",
        "EIP155:1",
    ] {
        assert_eq!(terms(network), None, "{network}");
    }
    assert_eq!(
        address("0x1111111111111111111111111111111111111111"),
        Some(fixtures::FACILITATOR)
    );
    for text in [
        "",
        "0x",
        "1111111111111111111111111111111111111111",
        "0x11",
        "0xzz",
    ] {
        assert_eq!(address(text), None, "{text}");
    }
}

#[test]
fn payments_read_strictly() {
    let good = fixtures::payment();
    let parse = |json: &Value| PaymentPayload::parse(json.to_string().as_bytes()).map(|_| ());
    assert_eq!(parse(&good), Ok(()));
    let mut json = good.clone();
    json["x402Version"] = json!(1);
    assert_eq!(parse(&json), Err(Malformed::Version));
    let mut json = good.clone();
    json["payload"] = json!("x");
    assert_eq!(parse(&json), Err(Malformed::Field("payload")));
    for name in ["x402Version", "accepted", "payload"] {
        let mut json = good.clone();
        json.as_object_mut().unwrap().remove(name);
        assert_eq!(parse(&json), Err(Malformed::Json), "{name}");
    }
    // Unknown members and a missing resource are accepted by every official server.
    let mut json = good;
    json.as_object_mut().unwrap().remove("resource");
    json["more"] = json!(1);
    assert_eq!(parse(&json), Ok(()));
}

#[test]
fn a_facilitator_request_keeps_both_parts() {
    let authorization = fixtures::authorization();
    let request = FacilitatorRequest {
        payment_payload: authorization.payload.clone(),
        payment_requirements: authorization.payload.accepted().clone(),
    };
    let read = FacilitatorRequest::parse(request.to_json().as_bytes()).unwrap();
    assert_eq!(read.payment_payload.raw(), authorization.payload_json());
    assert_eq!(read.payment_requirements, request.payment_requirements);
    let parse = |json: Value| FacilitatorRequest::parse(json.to_string().as_bytes()).map(|_| ());
    let missing = parse(json!({ "paymentPayload": fixtures::payment() }));
    assert_eq!(missing, Err(Malformed::Field("paymentRequirements")));
    let missing = parse(json!({ "paymentRequirements": fixtures::offer() }));
    assert_eq!(missing, Err(Malformed::Field("paymentPayload")));
    let version = parse(json!({ "x402Version": 3 }));
    assert_eq!(version, Err(Malformed::Version));
}

#[test]
fn reasons_survive_known_or_not() {
    for reason in Reason::KNOWN {
        assert_eq!(Reason::from(reason.as_str()), *reason);
        assert!(!matches!(reason, Reason::Other(_)));
    }
    let json = r#"{"success":false,"errorReason":"some_new_code","transaction":"","network":"eip155:1","new":1}"#;
    let response = SettleResponse::parse(json.as_bytes()).unwrap();
    let code = Reason::Other("some_new_code".to_owned());
    assert_eq!(response.error_reason, Some(code));
    assert!(
        response
            .to_json()
            .contains(r#""errorReason":"some_new_code""#)
    );
}

#[test]
fn settle_responses_read_and_write() {
    use alloy_primitives::B256;
    use seamline_core::Amount;
    let hash = B256::repeat_byte(0xab);
    let settled = SettleResponse::settled("eip155:1", fixtures::SELLER, Some(hash), Amount::new(7));
    let read = SettleResponse::from_header(settled.to_header().as_bytes()).unwrap();
    assert_eq!(read, settled);
    assert_eq!(read.transaction_hash(), Some(hash));
    assert_eq!(read.settled_amount(), Some(Amount::new(7)));
    let nothing = SettleResponse::settled("eip155:1", fixtures::SELLER, None, Amount::ZERO);
    assert_eq!(
        (nothing.transaction.as_str(), nothing.transaction_hash()),
        ("", None)
    );
    for json in [
        r#"{"success":true}"#,
        r#"{"success":1,"transaction":"","network":""}"#,
    ] {
        assert_eq!(SettleResponse::parse(json.as_bytes()), Err(Malformed::Json));
    }
    // zod's `nullish` members.
    let json = r#"{"isValid":true,"payer":null,"invalidReason":null}"#;
    let valid = VerifyResponse::parse(json.as_bytes()).unwrap();
    assert_eq!((valid.is_valid, valid.payer), (true, None));
}

#[test]
fn supported_names_the_facilitator() {
    let json = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:8453"},
        {"x402Version":1,"scheme":"upto","network":"eip155:8453","extra":{"facilitatorAddress":"0x00"}},
        {"x402Version":2,"scheme":"upto","network":"eip155:8453",
         "extra":{"facilitatorAddress":"0x1111111111111111111111111111111111111111"}}],
        "extensions":[],"signers":{"eip155:*":["0x1111111111111111111111111111111111111111"]}}"#;
    let supported = Supported::parse(json.as_bytes()).unwrap();
    let find = |scheme, network| supported.facilitator(scheme, network);
    assert_eq!(find("upto", "eip155:8453"), Some(fixtures::FACILITATOR));
    assert_eq!(find("exact", "eip155:8453"), None);
    assert_eq!(find("upto", "eip155:1"), None);
}

#[test]
fn debug_shows_no_authorization() {
    let payload = fixtures::authorization().payload;
    let signature = payload.payload()["signature"].as_str().unwrap().to_owned();
    let shown = format!("{payload:?}");
    assert!(!shown.contains(&signature[2..20]), "{shown}");
}

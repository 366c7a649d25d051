use serde_json::{Value, json};

use super::*;
use crate::Malformed;
use crate::fixtures;
use crate::x402::{
    FacilitatorRequest, PaymentPayload, Resource, SettleResponse, is_test_network, name_of_network,
    network_of_name,
};

fn requirements() -> Value {
    let offer = fixtures::offer();
    json!({
        "scheme": "upto",
        "network": "base",
        "maxAmountRequired": offer["amount"],
        "resource": "https://node.example/v1/chat/completions",
        "description": "Chat",
        "mimeType": "application/json",
        "outputSchema": null,
        "payTo": offer["payTo"],
        "maxTimeoutSeconds": 300,
        "asset": offer["asset"],
        "extra": offer["extra"],
    })
}

fn body() -> Value {
    json!({ "x402Version": 1, "error": "X-PAYMENT header is required", "accepts": [requirements()] })
}

fn parse(body: &Value) -> Result<PaymentRequired, Malformed> {
    PaymentRequired::parse(body.to_string().as_bytes())
}

/// The payment of the fixtures, as a payer of version 1 sends it.
fn message() -> Value {
    let payment = fixtures::payment();
    json!({ "x402Version": 1, "scheme": "upto", "network": "base", "payload": payment["payload"] })
}

fn request(message: &Value, requirements: &Value) -> Result<FacilitatorRequest, Malformed> {
    let body = json!({
        "x402Version": 1, "paymentPayload": message, "paymentRequirements": requirements,
    });
    FacilitatorRequest::parse(body.to_string().as_bytes())
}

#[test]
fn every_name_is_one_network() {
    for (name, network) in [
        ("base", "eip155:8453"),
        ("base-sepolia", "eip155:84532"),
        ("ethereum", "eip155:1"),
        ("skale-base-sepolia", "eip155:1444673419"),
        ("solana", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ] {
        assert_eq!(network_of_name(name).as_deref(), Some(network));
        assert_eq!(name_of_network(network), Some(name));
    }
    for unknown in ["", "Base", "base ", "eip155:8453", "base\u{2010}sepolia"] {
        assert_eq!(network_of_name(unknown), None, "{unknown:?}");
    }
    for unknown in [
        "",
        "base",
        "eip155:",
        "eip155:08453",
        "eip155:+1",
        "eip155:2",
        "solana:",
    ] {
        assert_eq!(name_of_network(unknown), None, "{unknown:?}");
    }
    for test in [
        "eip155:84532",
        "eip155:31337",
        "eip155:31610",
        "eip155:11155111",
    ] {
        assert!(is_test_network(test), "{test}");
    }
    for main in [
        "eip155:8453",
        "eip155:1",
        "eip155:5",
        "base-sepolia",
        "eip155:084532",
        "",
    ] {
        assert!(!is_test_network(main), "{main}");
    }
}

#[test]
fn a_402_of_version_1_is_offers_of_version_2() {
    let json = body().to_string();
    let required = PaymentRequired::parse(json.as_bytes()).unwrap();
    assert_eq!(required.raw(), json.as_bytes());
    assert_eq!(required.accepts[0].raw(), requirements().to_string());
    let second = required.to_v2();
    assert_eq!(
        second.error.as_deref(),
        Some("X-PAYMENT header is required")
    );
    let sold = second.resource.as_ref().unwrap();
    assert_eq!(sold.url(), "https://node.example/v1/chat/completions");
    assert_eq!(sold.description().as_deref(), Some("Chat"));
    let terms = second.offers[0].terms();
    let original = fixtures::required(&[fixtures::offer()]);
    assert_eq!(terms, original.offers[0].terms());
    // And back.
    let again = Requirements::of_offer(&second.offers[0], sold).unwrap();
    assert_eq!(again.terms(), required.accepts[0].terms());
    let written = PaymentRequired::new("X-PAYMENT header is required", &[again]);
    assert_eq!(PaymentRequired::parse(written.raw()), Ok(written.clone()));
    assert_eq!(written.to_v2(), second);
}

#[test]
fn offers_of_different_resources_sell_none() {
    let mut body = body();
    let mut other = requirements();
    other["resource"] = json!("https://evil.example/");
    body["accepts"] = json!([requirements(), other]);
    let second = parse(&body).unwrap().to_v2();
    assert_eq!((second.offers.len(), second.resource), (2, None));
}

#[test]
fn what_version_1_requires_must_be_there() {
    for name in [
        "scheme",
        "network",
        "maxAmountRequired",
        "resource",
        "payTo",
        "maxTimeoutSeconds",
        "asset",
    ] {
        for value in [Value::Null, json!([]), json!({}), json!(-1), json!(1.5)] {
            let mut bad = body();
            bad["accepts"][0][name] = value;
            assert_eq!(parse(&bad), Err(Malformed::Field(name)));
        }
        let mut bad = body();
        bad["accepts"][0].as_object_mut().unwrap().remove(name);
        assert_eq!(parse(&bad), Err(Malformed::Field(name)));
    }
    for name in ["description", "mimeType", "extra"] {
        let mut bad = body();
        bad["accepts"][0][name] = json!(5);
        assert_eq!(parse(&bad), Err(Malformed::Field(name)));
        bad["accepts"][0][name] = Value::Null;
        assert!(parse(&bad).is_ok_and(|it| it.accepts.len() == 1), "{name}");
    }
    // An amount is a string, never a number.
    let mut bad = body();
    bad["accepts"][0]["maxAmountRequired"] = json!(5000);
    assert_eq!(parse(&bad), Err(Malformed::Field("maxAmountRequired")));
    for (version, refused) in [
        (json!(2), Malformed::Version),
        (json!(0), Malformed::Version),
        (json!("1"), Malformed::Json),
        (json!(1.0), Malformed::Json),
        (Value::Null, Malformed::Json),
    ] {
        let mut bad = body();
        bad["x402Version"] = version;
        assert_eq!(parse(&bad), Err(refused));
    }
    let mut bad = body();
    bad["accepts"] = json!([]);
    assert_eq!(parse(&bad), Err(Malformed::Field("accepts")));
    let twice = body()
        .to_string()
        .replacen("\"asset\"", "\"payTo\":\"0x\",\"asset\"", 1);
    assert_eq!(
        PaymentRequired::parse(twice.as_bytes()),
        Err(Malformed::Duplicate)
    );
    let long = format!("{}{}", body(), " ".repeat(PaymentRequired::MAX_BODY));
    assert_eq!(
        PaymentRequired::parse(long.as_bytes()),
        Err(Malformed::Size)
    );
}

#[test]
fn amounts_that_are_no_digits_are_never_amounts() {
    for amount in [
        "", "-1", "+1", "1.0", "1e3", "0x10", " 1", "1 ", "٣", "１", "1_000", "00", "01",
    ] {
        let mut odd = body();
        odd["accepts"][0]["maxAmountRequired"] = json!(amount);
        let second = parse(&odd).unwrap().to_v2();
        assert_eq!(second.offers[0].terms().amount(), None, "{amount:?}");
    }
}

#[test]
fn a_payer_of_version_1_answers_the_offer() {
    let required = parse(&body()).unwrap();
    let admitted = fixtures::policy()
        .admit(
            &required.to_v2(),
            fixtures::SELLER,
            &crate::policy::Spent::default(),
        )
        .unwrap();
    let answered = &required.accepts[admitted.index()];
    let payment = fixtures::payment();
    let signed = fixtures::parse(&payment);
    let sent = Payload::answering(&signed, answered).unwrap();
    let read = Payload::from_header(sent.to_header().as_bytes()).unwrap();
    assert_eq!((read.scheme(), read.network()), ("upto", "base"));
    let json: Value = serde_json::from_str(read.raw()).unwrap();
    assert_eq!(json, message());
    // A payment for another offer is no answer.
    for (member, value) in [
        ("payTo", json!(fixtures::TOKEN.to_string())),
        ("maxAmountRequired", json!("1")),
    ] {
        let mut other = requirements();
        other[member] = value;
        let other = Requirements::parse(other.to_string().as_bytes()).unwrap();
        let refused = Payload::answering(&signed, &other).map(|it| it.raw().to_owned());
        let member = if member == "payTo" { "payTo" } else { "amount" };
        assert_eq!(refused, Err(Malformed::Field(member)));
    }
}

#[test]
fn a_request_of_version_1_is_verified_as_version_2() {
    let read = request(&message(), &requirements()).unwrap();
    assert_eq!(read.version(), 1);
    assert_eq!(
        read.payment_payload.v1().map(Payload::raw),
        Some(message().to_string().as_str())
    );
    let offer = &read.payment_requirements;
    assert_eq!(read.payment_payload.accepted(), offer);
    assert_eq!(offer.terms().network, "eip155:8453");
    let payment = fixtures::payment();
    assert_eq!(read.payment_payload.payload(), &payment["payload"]);
    // Handed on, it is version 2.
    let again = FacilitatorRequest::parse(read.to_json().as_bytes()).unwrap();
    assert_eq!(again.version(), 2);
    assert_eq!(
        again.payment_payload.payload(),
        read.payment_payload.payload()
    );
    // The answer names the network as version 1 does.
    let reason = crate::x402::Reason::InvalidPayload;
    let answer = SettleResponse::failed("eip155:8453", None, reason, None);
    assert_eq!(answer.to_v1().network, "base");
    assert_eq!(network_said("eip155:31610"), "eip155:31610");
}

#[test]
fn a_payment_for_another_network_or_scheme_does_not_match() {
    for (member, value, differs) in [
        ("network", "base-sepolia", "network"),
        ("network", "nowhere", "network"),
        ("scheme", "exact", "scheme"),
    ] {
        let mut other = message();
        other[member] = json!(value);
        let read = request(&other, &requirements()).unwrap();
        let accepted = read.payment_payload.accepted().terms();
        let found = read.payment_requirements.terms().mismatch(accepted);
        assert_eq!(found, Some(differs), "{value}");
    }
}

#[test]
fn versions_do_not_mix() {
    let second = fixtures::payment();
    for (outer, payload, offer, refused) in [
        (json!(1), &second, requirements(), Malformed::Json),
        (
            json!(1),
            &message(),
            fixtures::offer(),
            Malformed::Field("maxAmountRequired"),
        ),
        (json!(2), &message(), fixtures::offer(), Malformed::Json),
        (json!(3), &second, fixtures::offer(), Malformed::Version),
        (json!("1"), &message(), requirements(), Malformed::Json),
        (json!(-1), &message(), requirements(), Malformed::Json),
    ] {
        let body = json!({
            "x402Version": outer, "paymentPayload": payload, "paymentRequirements": offer,
        });
        let read = FacilitatorRequest::parse(body.to_string().as_bytes()).map(|it| it.version());
        assert_eq!(read, Err(refused), "{body}");
    }
    let mut odd = message();
    odd["x402Version"] = json!(2);
    let read = Payload::parse(odd.to_string().as_bytes()).map(|it| it.raw().to_owned());
    assert_eq!(read, Err(Malformed::Version));
    for payload in [json!([]), json!("x"), Value::Null, json!(1)] {
        let mut odd = message();
        odd["payload"] = payload;
        let read = Payload::parse(odd.to_string().as_bytes()).map(|it| it.raw().to_owned());
        assert_eq!(read, Err(Malformed::Field("payload")));
    }
}

#[test]
fn nothing_signed_is_printed() {
    let read = request(&message(), &requirements()).unwrap();
    let signature = message()["payload"]["signature"].as_str().unwrap()[2..40].to_owned();
    let v1 = read.payment_payload.v1().unwrap();
    for printed in [format!("{read:?}"), format!("{v1:?}")] {
        assert!(!printed.contains(&signature), "{printed}");
    }
}

#[test]
fn extensions_are_added_without_touching_the_rest() {
    let signed = fixtures::parse(&fixtures::payment());
    let mut added = serde_json::Map::new();
    added.insert("k".to_owned(), json!({ "info": { "x": 1 } }));
    let with = signed.with_extensions(&added).unwrap();
    assert_eq!(with.extensions(), Some(&Value::Object(added.clone())));
    assert_eq!(with.accepted(), signed.accepted());
    assert_eq!(with.payload(), signed.payload());
    assert_eq!(with.resource(), signed.resource());
    let without = with.with_extensions(&serde_json::Map::new()).unwrap();
    assert_eq!(without.extensions(), None);
    added.insert("big".to_owned(), json!("x".repeat(crate::x402::MAX_HEADER)));
    let refused = signed.with_extensions(&added).map(|it| it.raw().len());
    assert_eq!(refused, Err(Malformed::Size));
    // A 402 declares them.
    added.remove("big");
    let offers = fixtures::required(&[fixtures::offer()]).offers;
    let required = crate::x402::PaymentRequired::new(Some("e"), None, &offers);
    let declared = required.clone().with_extensions(added.clone());
    let read = crate::x402::PaymentRequired::parse(declared.raw()).unwrap();
    assert_eq!(read.extensions, Some(Value::Object(added)));
    assert_eq!(
        required.clone().with_extensions(serde_json::Map::new()),
        required
    );
}

#[test]
fn odd_members_of_a_resource_are_no_members() {
    let read = |members: Value| {
        let mut payment = fixtures::payment();
        payment["resource"] = members;
        let parsed: PaymentPayload = fixtures::parse(&payment);
        parsed.resource().cloned()
    };
    let full: Resource = read(json!({
        "url": "u", "description": "d", "mimeType": "m", "serviceName": "Service", "iconUrl": "i",
        "tags": ["a", "", "b\u{e9}", 5, "c", "d", "e", "f", "g"],
    }))
    .unwrap();
    assert_eq!(full.service_name().as_deref(), Some("Service"));
    assert_eq!(full.icon_url().as_deref(), Some("i"));
    assert_eq!(full.tags(), ["a", "c", "d", "e", "f"]);
    let bare = read(json!({
        "url": "u", "description": null, "mimeType": 5, "serviceName": "x".repeat(33),
        "iconUrl": "x".repeat(2_049), "tags": null,
    }))
    .unwrap();
    assert_eq!((bare.description(), bare.mime_type()), (None, None));
    assert_eq!((bare.service_name(), bare.icon_url()), (None, None));
    assert!(bare.tags().is_empty());
    assert_eq!(read(Value::Null), None);
}

use alloy_primitives::{U256, address};
use seamline_testkit::json_vector;
use serde_json::{Map, Value, json};

use super::payment_identifier::{self, PaymentId};
use super::*;
use crate::Malformed;

fn vector() -> Value {
    json_vector("x402/extensions.json")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn echoes_match_as_the_vectors_say() {
    for case in vector()["echo"].as_array().unwrap() {
        let part = |name: &str| Some(&case[name]).filter(|value| !value.is_null());
        let checked = check_echo(part("declared"), part("sent"));
        let expected = if case["matches"] == json!(true) {
            Ok(())
        } else {
            Err(Reason::ExtensionEchoMismatch)
        };
        assert_eq!(checked, expected, "{}", case["name"]);
    }
}

#[test]
fn a_merge_keeps_what_the_server_said() {
    let declared = json!({
        "a": { "info": { "x": 1, "deep": { "y": 2 } }, "schema": { "type": "object" } },
        "b": { "info": {} },
    });
    let additions = json!({
        "a": { "info": { "x": 9, "id": "mine", "deep": { "y": 9, "z": 3 } }, "schema": false },
        "c": { "info": { "new": true } },
    });
    let merged = merge(Some(&declared), additions.as_object().unwrap());
    let expected = json!({
        "a": {
            "info": { "x": 1, "id": "mine", "deep": { "y": 2, "z": 3 } },
            "schema": { "type": "object" },
        },
        "b": { "info": {} },
        "c": { "info": { "new": true } },
    });
    assert_eq!(Value::Object(merged), expected);
    assert_eq!(check_echo(Some(&declared), Some(&expected)), Ok(()));
    // A server that declares no object declares nothing.
    for odd in [None, Some(Value::Null), Some(json!([1]))] {
        let merged = merge(odd.as_ref(), additions.as_object().unwrap());
        assert_eq!(Value::Object(merged), additions);
    }
}

#[test]
fn identifiers_have_a_form() {
    let vector = vector();
    let texts = |name: &str| {
        let list = vector["payment_identifier"][name].as_array().unwrap();
        list.iter().map(text).collect::<Vec<_>>()
    };
    let sent = |id: &Value| json!({ "payment-identifier": { "info": { "id": id } } });
    for id in texts("valid") {
        let read = payment_identifier::of(Some(&sent(&json!(id))));
        assert_eq!(read.map(|id| id.unwrap().to_string()), Ok(id));
    }
    let refused = Err(Malformed::Field(payment_identifier::KEY));
    let long = "x".repeat(129);
    for id in texts("invalid").iter().chain([&long]) {
        assert_eq!(
            payment_identifier::of(Some(&sent(&json!(id)))),
            refused,
            "{id}"
        );
    }
    for id in [json!(1), json!({}), json!([]), json!(true)] {
        assert_eq!(payment_identifier::of(Some(&sent(&id))), refused);
    }
    for none in [sent(&Value::Null), json!({}), json!({ "other": 1 })] {
        assert_eq!(payment_identifier::of(Some(&none)), Ok(None));
    }
    let id = PaymentId::from_bytes(&[0xab; 16]);
    assert_eq!(PaymentId::parse(id.as_str()), Ok(id.clone()));
    let sent = json!({ payment_identifier::KEY: id.addition() });
    assert_eq!(payment_identifier::of(Some(&sent)), Ok(Some(id)));
}

#[test]
fn a_402_says_whether_an_identifier_is_required() {
    let declared = |info: Value| json!({ "payment-identifier": { "info": info } });
    let asked = |all: &Value| payment_identifier::asked(Some(all));
    assert_eq!(payment_identifier::asked(None), Ok(None));
    assert_eq!(asked(&json!({})), Ok(None));
    assert_eq!(asked(&declared(json!({}))), Ok(Some(false)));
    assert_eq!(
        asked(&declared(json!({ "required": null }))),
        Ok(Some(false))
    );
    for required in [false, true] {
        let all = json!({ "payment-identifier": payment_identifier::declaration(required) });
        assert_eq!(asked(&all), Ok(Some(required)));
    }
    for odd in [json!("true"), json!(1), json!([])] {
        let refused = Err(Malformed::Field(payment_identifier::KEY));
        assert_eq!(asked(&declared(json!({ "required": odd }))), refused);
    }
}

#[test]
fn an_approval_is_whole_or_absent() {
    let approval = eip2612::Approval {
        from: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        asset: address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
        spender: crate::bindings::PERMIT2,
        amount: U256::from(5_000),
        nonce: U256::ZERO,
        deadline: U256::from(1_900_000_000_u64),
        signature: [7; 65],
    };
    let declared = json!({ eip2612::KEY: eip2612::declaration() });
    assert!(eip2612::is_declared(Some(&declared)));
    assert!(!eip2612::is_declared(Some(&json!({ eip2612::KEY: true }))));
    // Only echoed: nothing was signed.
    assert_eq!(eip2612::of(Some(&declared)), Ok(None));
    assert_eq!(eip2612::of(None), Ok(None));
    let mut additions = Map::new();
    additions.insert(eip2612::KEY.to_owned(), approval.addition());
    let sent = Value::Object(merge(Some(&declared), &additions));
    assert_eq!(check_echo(Some(&declared), Some(&sent)), Ok(()));
    assert_eq!(eip2612::of(Some(&sent)), Ok(Some(approval.clone())));
    let refused = Err(Reason::InvalidEip2612ExtensionFormat);
    for member in [
        "from",
        "asset",
        "spender",
        "amount",
        "nonce",
        "deadline",
        "signature",
        "version",
    ] {
        for odd in [
            Value::Null,
            json!(1),
            json!(""),
            json!("-1"),
            json!("1e3"),
            json!("٣"),
        ] {
            let mut bad = sent.clone();
            bad[eip2612::KEY]["info"][member] = odd.clone();
            assert_eq!(eip2612::of(Some(&bad)), refused, "{member} {odd}");
        }
    }
    // A signature never reaches a log.
    assert!(!format!("{approval:?}").contains("0707"));
}

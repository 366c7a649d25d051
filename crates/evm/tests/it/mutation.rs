//! Every member of an offer, changed in every way: the policy refuses it, or what is signed is exactly
//! what the changed offer says.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the helpers of a test stand outside of its function"
)]

use seamline_core::{Address, Amount, B256, Timestamp, U256, keccak256};
use seamline_evm::Wallet;
use seamline_evm::policy::{SpendPolicy, Spent};
use seamline_evm::scheme::{Authorization, Marks, Scheme, sign};
use seamline_evm::x402::PaymentRequired;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_763_596_800);
const TOKEN: Address = Address::repeat_byte(0x11);
const SELLER: Address = Address::repeat_byte(0x22);
const FACILITATOR: Address = Address::repeat_byte(0xfa);
const CHAIN_ID: u64 = 8453;
const CAP: u128 = 10_000;

fn offer(scheme: &str, method: &str) -> Value {
    let mut offer = json!({
        "scheme": scheme,
        "network": format!("eip155:{CHAIN_ID}"),
        "asset": TOKEN.to_string(),
        "amount": "5000",
        "payTo": SELLER.to_string(),
        "maxTimeoutSeconds": 200,
        "extra": {"name": "OpenGradient", "version": "1", "assetTransferMethod": method},
    });
    if scheme == "upto" {
        offer["extra"]["facilitatorAddress"] = json!(FACILITATOR.to_string());
    }
    offer
}

fn policy() -> SpendPolicy {
    SpendPolicy {
        per_call: Amount::new(CAP),
        per_hour: None,
        per_day: Amount::new(CAP),
        per_node_day: None,
        per_model_day: None,
        per_channel: None,
        schemes: vec![Scheme::Exact, Scheme::Upto],
        networks: vec![format!("eip155:{CHAIN_ID}")],
        assets: vec![TOKEN],
        facilitators: Some(vec![FACILITATOR]),
        max_lifetime_s: 300,
    }
}

/// Pointers to all members of a document.
fn members(value: &Value, at: &str, found: &mut Vec<String>) {
    if let Value::Object(all) = value {
        for (name, member) in all {
            let pointer = format!("{at}/{name}");
            members(member, &pointer, found);
            found.push(pointer);
        }
    }
}

/// Other values: of the same form, of another type, and close to it.
fn others(value: &Value) -> Vec<Value> {
    let mut others = vec![
        json!(null),
        json!(true),
        json!(""),
        json!([]),
        json!({}),
        json!(-1),
    ];
    match value {
        Value::String(text) => {
            for place in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
                others.push(json!(String::from_utf8(bytes).unwrap()));
            }
            for changed in [
                format!(" {text}"),
                format!("{text} "),
                format!("{text}\n"),
                format!("+{text}"),
                format!("-{text}"),
                format!("0{text}"),
                format!("{text}0"),
                format!("{text}.0"),
                format!("{text}e1"),
                text.to_uppercase(),
                text.to_lowercase(),
            ] {
                others.push(json!(changed));
            }
            if let Ok(number) = text.parse::<u64>() {
                others.push(json!(number));
                others.push(json!((number + 1).to_string()));
                others.push(json!(format!("{number:#x}")));
            }
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            others.extend([json!(number + 1), json!(0), json!(u64::MAX), json!(1.5)]);
            others.push(json!(number.to_string()));
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
    }
    others
}

/// Whether the policy takes an offer; what is signed for it is held against its text.
fn admits(offer: &Value) -> bool {
    let all = json!({"x402Version": 2, "accepts": [offer]}).to_string();
    let Ok(required) = PaymentRequired::parse(all.as_bytes()) else {
        return false;
    };
    let Ok(admitted) = policy().admit(&required, SELLER, &Spent::default()) else {
        return false;
    };
    let wallet = Wallet::from_bytes(&keccak256("payer").0).unwrap();
    let nonce: B256 = keccak256("nonce");
    let Ok(signed) = sign(&admitted, nonce, Marks::default(), &wallet, NOW) else {
        return false;
    };
    let promise = Authorization::of(&signed.payload).unwrap();
    let said = |name: &str| offer[name].as_str().unwrap();
    assert_eq!(promise.amount().to_string(), said("amount"));
    assert!(promise.amount() <= U256::from(CAP));
    assert_eq!(promise.pay_to(), said("payTo").parse::<Address>().unwrap());
    assert_eq!(promise.pay_to(), SELLER);
    assert_eq!(promise.asset(), said("asset").parse::<Address>().unwrap());
    assert_eq!(promise.asset(), TOKEN);
    assert_eq!(promise.scheme().as_str(), said("scheme"));
    assert_eq!(said("network"), format!("eip155:{CHAIN_ID}"));
    assert_eq!(promise.recover(CHAIN_ID).unwrap(), wallet.address());
    if promise.scheme() == Scheme::Upto {
        assert_eq!(promise.facilitator(), Some(FACILITATOR));
    }
    let lifetime = promise.deadline_s() - NOW.as_secs();
    let asked = offer["maxTimeoutSeconds"].as_u64().unwrap();
    assert!(lifetime <= asked.min(300), "{lifetime} of {asked}");
    if let Authorization::Eip3009(it) = &promise {
        assert_eq!(it.name, offer["extra"]["name"]);
        assert_eq!(it.version, offer["extra"]["version"]);
    }
    // The echo is what was offered, byte for byte.
    let echoed: Value = serde_json::from_str(signed.payload.accepted().raw()).unwrap();
    assert_eq!(echoed, *offer);
    true
}

#[test]
fn a_changed_offer_is_refused_or_signed_as_it_stands() {
    // A change of these alone may be admitted: it is another honest offer, and is signed as such.
    let free = [
        "/amount",                    // up to the cap
        "/maxTimeoutSeconds",         // down to the least lifetime, up to the policy's
        "/asset",                     // the same address in lower case
        "/payTo",                     // likewise
        "/extra",                     // over Permit2 of `exact` nothing in it is signed
        "/extra/name",                // a wrong one makes a signature that the token refuses
        "/extra/version",             // likewise
        "/extra/assetTransferMethod", // absent or null: the scheme's default
        "/extra/facilitatorAddress",  // the same address in lower case
    ];
    for (scheme, method) in [
        ("exact", "eip3009"),
        ("exact", "permit2"),
        ("upto", "permit2"),
    ] {
        let offer = offer(scheme, method);
        assert!(admits(&offer));
        let mut found = Vec::new();
        members(&offer, "", &mut found);
        for pointer in &found {
            for other in others(offer.pointer(pointer).unwrap()) {
                let mut changed = offer.clone();
                *changed.pointer_mut(pointer).unwrap() = other.clone();
                let admitted = changed != offer && admits(&changed);
                assert!(
                    !admitted || free.contains(&pointer.as_str()),
                    "{pointer}: {other}"
                );
            }
            let mut removed = offer.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = removed.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(name);
            let admitted = admits(&removed);
            assert!(
                !admitted || pointer.starts_with("/extra"),
                "without {pointer}"
            );
        }
    }
}

#[test]
fn a_member_that_stands_twice_makes_an_offer_unreadable() {
    for (scheme, method) in [
        ("exact", "eip3009"),
        ("exact", "permit2"),
        ("upto", "permit2"),
    ] {
        let text = offer(scheme, method).to_string();
        for name in [
            "scheme",
            "network",
            "asset",
            "amount",
            "payTo",
            "maxTimeoutSeconds",
        ] {
            let start = text.find(&format!("\"{name}\":")).unwrap();
            let end = start + text[start..].find([',', '}']).unwrap();
            let twice = format!("{{{},{}", &text[start..end], &text[1..]);
            let all = format!("{{\"x402Version\":2,\"accepts\":[{twice}]}}");
            let read = PaymentRequired::parse(all.as_bytes());
            let admitted = read.map(|it| policy().admit(&it, SELLER, &Spent::default()).is_ok());
            assert!(!matches!(admitted, Ok(true)), "{name} twice");
        }
    }
}

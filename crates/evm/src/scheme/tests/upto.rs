use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::SolCall as _;
use seamline_core::{Amount, Timestamp};
use serde_json::json;

use super::super::{FALLBACK_EXTENSION, Marks, SignedAuthorization, is_fallback, sign};
use crate::bindings::IUptoProxy;
use crate::fixtures::{self, FACILITATOR, NOW, SELLER, TOKEN};
use crate::policy::{SpendPolicy, Spent};
use crate::upto::Permit;
use crate::x402::{PaymentPayload, PaymentRequired, uint256};
use crate::{Error, Malformed, Wallet};

#[test]
fn signing_reproduces_the_header_of_the_public_sdk() {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let vector = &vectors["x402_upto_permit2"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let expected = text(&vector["decoded_header_json"]);
    // The offer and the resource as the node wrote them, cut out of the expected message.
    let between = |from: &str, to: &str| {
        let start = expected.find(from).unwrap() + from.len();
        let end = start + expected[start..].find(to).unwrap();
        expected[start..end].to_owned()
    };
    let offer = between("\"accepted\":", ",\"resource\":");
    let resource = expected[..expected.len() - 1]
        .split_once("\"resource\":")
        .unwrap()
        .1;
    let required = format!(r#"{{"x402Version":2,"resource":{resource},"accepts":[{offer}]}}"#);
    let required = PaymentRequired::parse(required.as_bytes()).unwrap();
    let policy = SpendPolicy {
        per_call: Amount::MAX,
        per_day: Amount::MAX,
        ..fixtures::policy()
    };
    let admitted = policy.admit(&required, SELLER, &Spent::default()).unwrap();
    let wallet = Wallet::from_hex(&text(&vector["private_key"])).unwrap();
    let nonce = &vector["payload"]["permit2Authorization"]["nonce"];
    let nonce = B256::from(uint256(&text(nonce)).unwrap());
    let now = Timestamp::from_secs(vector["now"].as_u64().unwrap());
    let authorization = sign(&admitted, nonce, Marks::default(), &wallet, now).unwrap();
    assert_eq!(authorization.payload_json(), expected);
    assert_eq!(authorization.header(), text(&vector["PAYMENT-SIGNATURE"]));
    assert_eq!(hex::encode(authorization.digest), text(&vector["digest"]));
    assert_eq!(authorization.deadline_s, 1_763_597_100);
}

#[test]
fn signing_twice_yields_the_same_bytes() {
    let (one, two) = (fixtures::authorization(), fixtures::authorization());
    assert_eq!(one.payload_json(), two.payload_json());
    assert_eq!(one.auth_nonce, fixtures::auth_nonce());
}

#[test]
fn an_authorization_reads_back_from_its_bytes() {
    let signed = fixtures::authorization();
    let payload = PaymentPayload::from_header(signed.header().as_bytes()).unwrap();
    let read = SignedAuthorization::from_payload(payload).unwrap();
    assert_eq!(read.digest, signed.digest);
    assert_eq!(read.payer, fixtures::wallet().address());
    assert_eq!(read.amount, Amount::new(5_000));
    assert_eq!(read.deadline_s, NOW.as_secs() + 300);
    assert_eq!(read.auth_nonce, fixtures::auth_nonce());
    assert_eq!((read.chain_id, read.asset), (8453, TOKEN));
    assert_eq!((read.pay_to, read.facilitator), (SELLER, Some(FACILITATOR)));
}

#[test]
fn an_altered_authorization_is_not_the_payers() {
    let alter = |pointer: &str, value: &str| {
        let mut payment = fixtures::payment();
        *payment.pointer_mut(pointer).unwrap() = json!(value);
        SignedAuthorization::from_payload(fixtures::parse(&payment)).map(|it| it.payer)
    };
    let other = Address::repeat_byte(9).to_string();
    let base = "/payload/permit2Authorization";
    for (member, value) in [
        ("from", other.as_str()),
        ("permitted/token", &other),
        ("permitted/amount", "1"),
        ("spender", &other),
        ("nonce", "1"),
        ("deadline", "1"),
        ("witness/to", &other),
        ("witness/facilitator", &other),
        ("witness/validAfter", "1"),
    ] {
        let read = alter(&format!("{base}/{member}"), value);
        assert_eq!(read, Err(Error::Signature), "{member}");
    }
    let network = alter("/accepted/network", "eip155:1");
    assert_eq!(network, Err(Error::Signature));
    let network = alter("/accepted/network", "solana:1");
    assert_eq!(network, Err(Malformed::Field("network").into()));
}

#[test]
fn every_member_must_be_there() {
    let members = [
        "from",
        "permitted/token",
        "permitted/amount",
        "spender",
        "nonce",
        "deadline",
        "witness/to",
        "witness/facilitator",
        "witness/validAfter",
    ];
    for member in members {
        for broken in [json!(null), json!(1), json!("x"), json!("1.5"), json!("-1")] {
            let mut payment = fixtures::payment();
            let pointer = format!("/payload/permit2Authorization/{member}");
            *payment.pointer_mut(&pointer).unwrap() = broken;
            let read = Permit::of(&fixtures::parse(&payment));
            assert!(
                matches!(read, Err(Malformed::Field(field)) if field.ends_with(member)),
                "{member}: {read:?}"
            );
        }
    }
    for broken in [json!(null), json!("1234"), json!("0xzz"), json!(1)] {
        let mut payment = fixtures::payment();
        payment["payload"]["signature"] = broken;
        let read = Permit::of(&fixtures::parse(&payment));
        assert_eq!(read, Err(Malformed::Field("/signature")));
    }
}

#[test]
fn numbers_may_be_hexadecimal() {
    let mut payment = fixtures::payment();
    let nonce = hex::encode_prefixed(fixtures::auth_nonce());
    payment["payload"]["permit2Authorization"]["nonce"] = json!(nonce);
    let read = SignedAuthorization::from_payload(fixtures::parse(&payment)).unwrap();
    assert_eq!(read.auth_nonce, fixtures::auth_nonce());
}

#[test]
fn a_fallback_says_so_and_signs_the_same() {
    let marks = Marks { fallback: true };
    let nonce = fixtures::auth_nonce();
    let marked = sign(
        &fixtures::admitted(),
        nonce,
        marks,
        &fixtures::wallet(),
        NOW,
    )
    .unwrap();
    let plain = fixtures::authorization();
    assert_eq!(marked.digest, plain.digest);
    assert!(is_fallback(&marked.payload));
    assert!(!is_fallback(&plain.payload));
    for value in [json!("true"), json!(1), json!(null), json!([true])] {
        let mut payment = fixtures::payment();
        payment["extensions"] = json!({ FALLBACK_EXTENSION: { "info": { "fallback": value } } });
        assert!(!is_fallback(&fixtures::parse(&payment)));
    }
}

#[test]
fn a_settlement_calls_the_proxy_with_what_was_signed() {
    let authorization = fixtures::authorization();
    let permit = Permit::of(&authorization.payload).unwrap();
    let input = permit.settle_call(Amount::new(7), None);
    assert_eq!(hex::encode(&input[..4]), "ff11e7b4");
    let call = IUptoProxy::settleCall::abi_decode_validate(&input).unwrap();
    assert_eq!(call.amount, U256::from(7));
    assert_eq!(call.owner, authorization.payer);
    assert_eq!(call.permit.permitted.amount, U256::from(5_000));
    assert_eq!(B256::from(call.permit.nonce), authorization.auth_nonce);
    assert_eq!(call.witness.facilitator, FACILITATOR);
    assert_eq!(call.signature.len(), 65);
}

#[test]
fn a_payment_is_known_by_payer_chain_and_nonce() {
    let permit = Permit::of(&fixtures::authorization().payload).unwrap();
    let key = permit.key(8453);
    assert_ne!(key, permit.key(1));
    let mut other = permit.clone();
    other.authorization.nonce = U256::from(1);
    assert_ne!(key, other.key(8453));
    other = permit.clone();
    other.from = Address::ZERO;
    assert_ne!(key, other.key(8453));
    // Whoever is asked to settle it, and for how much: it is the same payment.
    other = permit;
    other.authorization.amount = U256::from(1);
    other.authorization.to = Address::ZERO;
    assert_eq!(key, other.key(8453));
}

use alloy_primitives::{Address, B256};
use seamline_core::Timestamp;
use seamline_testkit::json_vector;
use serde_json::{Map, Value, json};

use super::*;
use crate::Wallet;
use crate::x402::OfferTerms;

const URL: &str = "https://api.example.com/premium-data";
const NOW: Timestamp = Timestamp::from_secs(1_703_123_500);

fn vector() -> Value {
    json_vector("x402/extensions.json")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn wallet() -> Wallet {
    Wallet::from_hex(&text(&vector()["offer"]["private_key"])).unwrap()
}

fn offer(pay_to: Address) -> Offer {
    let payload = &vector()["offer"]["payload"];
    Offer::new(OfferTerms {
        scheme: text(&payload["scheme"]),
        network: text(&payload["network"]),
        asset: text(&payload["asset"]),
        amount: text(&payload["amount"]),
        pay_to: pay_to.to_string(),
        max_timeout_seconds: 60,
        extra: Map::new(),
    })
}

/// The extensions of a 402 that signs its offer as the vector does.
fn golden() -> Value {
    let vector = vector();
    json!({ "offer-receipt": { "info": { "offers": [{
        "format": "eip712",
        "payload": vector["offer"]["payload"],
        "signature": vector["offer"]["signature"],
    }] } } })
}

/// The same, signed by the recipient.
fn signed(valid_until_s: Option<u64>) -> (Offer, Value) {
    let offer = offer(wallet().address());
    let statement = OfferStatement::of(&offer, URL, valid_until_s);
    let signed = Signed::offer(statement, &wallet()).unwrap();
    (offer, json!({ "offer-receipt": declaration(&[signed]) }))
}

#[test]
fn a_signed_offer_is_the_golden_one() {
    let vector = vector();
    let payload = &vector["offer"]["payload"];
    let pay_to = text(&payload["payTo"]).parse().unwrap();
    let statement = OfferStatement::of(&offer(pay_to), URL, payload["validUntil"].as_u64());
    assert_eq!(
        statement.digest().to_string(),
        text(&vector["offer"]["digest"])
    );
    let signed = Signed::offer(statement, &wallet()).unwrap();
    assert_eq!(
        hex::encode_prefixed(&signed.signature),
        text(&vector["offer"]["signature"])
    );
    let declared = json!({ "offer-receipt": declaration(&[signed]) });
    let sent = &declared["offer-receipt"]["info"]["offers"][0];
    assert_eq!(&sent["payload"], payload);
    // The vector's signer is not its payTo: it must be allowed by name.
    let signer = wallet().address();
    let verify =
        |allowed: &[Address]| verify_offer(Some(&golden()), &offer(pay_to), URL, allowed, NOW);
    assert_eq!(verify(&[signer]), Ok(signer));
    assert_eq!(verify(&[]), Err(Finding::Signer { observed: signer }));
}

#[test]
fn an_offer_is_matched_by_its_fields_and_not_by_its_place() {
    let (offer, one) = signed(None);
    let mut other = offer.terms().clone();
    other.amount = "1".to_owned();
    let other = OfferStatement::of(&Offer::new(other), URL, None);
    let other = Signed::offer(other, &wallet()).unwrap();
    let mut both = one;
    let list = both["offer-receipt"]["info"]["offers"]
        .as_array_mut()
        .unwrap();
    list.insert(0, declaration(&[other])["info"]["offers"][0].clone());
    // The hints of places are wrong on purpose.
    list[0]["acceptIndex"] = json!(0);
    list[1]["acceptIndex"] = json!(7);
    assert!(
        verify_offer(Some(&both), &offer, URL, &[], NOW).is_ok_and(|it| it == wallet().address())
    );
    list_of(&mut both).truncate(1);
    let differs = verify_offer(Some(&both), &offer, URL, &[], NOW);
    assert_eq!(differs, Err(Finding::Differs("amount")));
}

fn list_of(extensions: &mut Value) -> &mut Vec<Value> {
    extensions["offer-receipt"]["info"]["offers"]
        .as_array_mut()
        .unwrap()
}

#[test]
fn every_field_of_a_signed_offer_counts() {
    let (offer, good) = signed(Some(1_703_123_516));
    let verify = |all: &Value| verify_offer(Some(all), &offer, URL, &[], NOW);
    assert!(verify(&good).is_ok_and(|it| it == wallet().address()));
    for (member, value) in [
        ("resourceUrl", json!("https://evil.example/")),
        ("scheme", json!("upto")),
        ("network", json!("eip155:1")),
        ("asset", json!(Address::repeat_byte(9).to_string())),
        ("payTo", json!(Address::repeat_byte(9).to_string())),
        ("amount", json!("9999")),
    ] {
        let mut bad = good.clone();
        list_of(&mut bad)[0]["payload"][member] = value;
        assert_eq!(verify(&bad), Err(Finding::Differs(member)), "{member}");
        list_of(&mut bad)[0]["payload"][member] = json!(7);
        assert_eq!(verify(&bad), Err(Finding::Malformed(member)), "{member}");
    }
    // A longer validity than was signed is another digest, so another signer.
    let mut bad = good.clone();
    list_of(&mut bad)[0]["payload"]["validUntil"] = json!(1_803_123_516_u64);
    assert!(matches!(verify(&bad), Err(Finding::Signer { .. })));
    for (odd, found) in [
        (json!("1803123516"), Finding::Malformed("validUntil")),
        (json!(-1), Finding::Malformed("validUntil")),
        (json!(1.5), Finding::Malformed("validUntil")),
    ] {
        list_of(&mut bad)[0]["payload"]["validUntil"] = odd;
        assert_eq!(verify(&bad), Err(found));
    }
    let mut bad = good.clone();
    list_of(&mut bad)[0]["payload"]["version"] = json!(2);
    assert_eq!(verify(&bad), Err(Finding::Malformed("version")));
    let late = Timestamp::from_secs(1_703_123_517);
    assert_eq!(
        verify_offer(Some(&good), &offer, URL, &[], late),
        Err(Finding::Expired {
            valid_until_s: 1_703_123_516
        })
    );
}

#[test]
fn other_signatures_prove_nothing() {
    let (offer, good) = signed(None);
    let verify = |all: &Value| verify_offer(Some(all), &offer, URL, &[], NOW);
    for signature in ["0x", "0x12", &"00".repeat(65)] {
        let mut bad = good.clone();
        list_of(&mut bad)[0]["signature"] = json!(signature);
        let found = if signature.starts_with("0x") {
            Finding::Signature
        } else {
            Finding::Malformed("signature")
        };
        assert_eq!(verify(&bad), Err(found));
    }
    let mut jws = good;
    list_of(&mut jws)[0] =
        json!({ "format": "jws", "signature": "eyJhbGciOiJFUzI1NksifQ.e30.sig" });
    assert_eq!(
        verify(&jws),
        Err(Finding::UnsupportedFormat {
            observed: "jws".to_owned()
        })
    );
    for none in [json!({}), json!({ "offer-receipt": { "info": {} } })] {
        assert_eq!(verify(&none), Err(Finding::Missing));
    }
    assert_eq!(
        verify_offer(None, &offer, URL, &[], NOW),
        Err(Finding::Missing)
    );
}

#[test]
fn a_receipt_says_who_paid_for_what() {
    let payer = Address::repeat_byte(0x11);
    let hash = B256::repeat_byte(0x22);
    let statement = ReceiptStatement {
        network: "eip155:8453".to_owned(),
        resource_url: URL.to_owned(),
        payer: payer.to_string(),
        issued_at_s: NOW.as_secs(),
        transaction: Some(hash.to_string()),
    };
    let pay_to = wallet().address();
    let sealed = |statement: ReceiptStatement| {
        let signed = Signed::receipt(statement, &wallet()).unwrap();
        json!({ "offer-receipt": receipt_extension(&signed) })
    };
    let good = sealed(statement.clone());
    let paid = Paid {
        network: "eip155:8453",
        resource_url: URL,
        payer,
        transaction: Some(hash),
    };
    let verify = |all: &Value, paid: &Paid<'_>| verify_receipt(Some(all), paid, pay_to, &[], NOW);
    assert_eq!(verify(&good, &paid), Ok(pay_to));
    // A receipt may keep the transaction to itself, and a payer may not know it yet.
    let silent = sealed(ReceiptStatement {
        transaction: None,
        ..statement.clone()
    });
    assert_eq!(
        silent["offer-receipt"]["info"]["receipt"]["payload"]["transaction"],
        json!("")
    );
    assert_eq!(verify(&silent, &paid), Ok(pay_to));
    let unknown = Paid {
        transaction: None,
        ..paid
    };
    assert_eq!(verify(&good, &unknown), Ok(pay_to));
    let other = Address::repeat_byte(0x33);
    for (wrong, member) in [
        (
            Paid {
                network: "eip155:1",
                ..paid
            },
            "network",
        ),
        (
            Paid {
                resource_url: "https://x.example/",
                ..paid
            },
            "resourceUrl",
        ),
        (
            Paid {
                payer: other,
                ..paid
            },
            "payer",
        ),
        (
            Paid {
                transaction: Some(B256::ZERO),
                ..paid
            },
            "transaction",
        ),
    ] {
        assert_eq!(verify(&good, &wrong), Err(Finding::Differs(member)));
    }
    let future = sealed(ReceiptStatement {
        issued_at_s: NOW.as_secs() + 301,
        ..statement
    });
    assert_eq!(verify(&future, &paid), Err(Finding::Differs("issuedAt")));
    let stranger = verify_receipt(Some(&good), &paid, other, &[], NOW);
    assert_eq!(stranger, Err(Finding::Signer { observed: pay_to }));
    assert_eq!(
        verify_receipt(Some(&good), &paid, other, &[pay_to], NOW),
        Ok(pay_to)
    );
    assert_eq!(verify(&json!({}), &paid), Err(Finding::Missing));
    let jws = json!({ "offer-receipt": { "info": { "receipt": { "format": "jws", "signature": "a.b.c" } } } });
    let observed = "jws".to_owned();
    assert_eq!(
        verify(&jws, &paid),
        Err(Finding::UnsupportedFormat { observed })
    );
}

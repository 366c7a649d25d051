//! Every member of every payment and requirement counts: with any one of them changed, nothing is
//! valid any more.

use super::*;

/// Pointers to all leaves of a document.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(_) => panic!("a payment has no lists"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(at.to_owned());
        }
    }
}

/// Other values of the same form, and none at all.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![json!(number ^ 1), json!(0), json!(null)]
        }
        Value::String(text) => {
            let digits = text.strip_prefix("0x").map(str::len);
            let mut flipped: Vec<Value> = (0..text.len())
                .filter(|place| digits.is_none() || *place > 1)
                .map(|place| {
                    let mut bytes = text.clone().into_bytes();
                    bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
                    json!(String::from_utf8(bytes).unwrap())
                })
                .collect();
            flipped.push(json!(null));
            flipped.push(json!(""));
            flipped
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

fn is_valid(payment: &Value, required: &Value) -> bool {
    let Ok(payment) = crate::x402::PaymentPayload::parse(payment.to_string().as_bytes()) else {
        return false;
    };
    let Ok(required) = Offer::parse(required.to_string().as_bytes()) else {
        return false;
    };
    let plan = plan_verify(&payment, &required, &Rules::new(NOW, &SIGNERS));
    plan.is_ok_and(|plan| conclude_verify(&plan, &Ok(good_answers(&plan))).is_valid)
}

#[test]
fn every_member_counts() {
    for offer in [
        fixtures::offer(),
        fixtures::exact_offer(),
        fixtures::transfer_offer(),
    ] {
        let payment = fixtures::payment_of(&offer);
        assert!(is_valid(&payment, &offer));
        let mut found = Vec::new();
        leaves(&payment, "", &mut found);
        // x402 leaves the resource to the resource server.
        found.retain(|pointer| !pointer.starts_with("/resource"));
        for pointer in &found {
            for other in others(payment.pointer(pointer).unwrap()) {
                let mut changed = payment.clone();
                *changed.pointer_mut(pointer).unwrap() = other.clone();
                assert!(!is_valid(&changed, &offer), "{pointer}: {other}");
            }
        }
        found.clear();
        leaves(&offer, "", &mut found);
        for pointer in &found {
            for other in others(offer.pointer(pointer).unwrap()) {
                let mut changed = offer.clone();
                *changed.pointer_mut(pointer).unwrap() = other.clone();
                assert!(!is_valid(&payment, &changed), "{pointer}: {other}");
            }
        }
    }
}

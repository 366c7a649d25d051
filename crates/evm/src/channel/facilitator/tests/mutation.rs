//! Every member flipped in turn.

use super::*;

#[test]
fn every_member_of_the_requirement_matters() {
    for (pointer, changed, expected) in [
        ("/scheme", json!("exact"), "scheme"),
        ("/network", json!("eip155:1"), "network_mismatch"),
        ("/asset", json!(SELLER.to_string()), "token_mismatch"),
        ("/amount", json!("1001"), "invalid_payment_requirements"),
        ("/payTo", json!(TOKEN.to_string()), "receiver_mismatch"),
        (
            "/maxTimeoutSeconds",
            json!(301),
            "invalid_payment_requirements",
        ),
        (
            "/extra/receiverAuthorizer",
            json!(TOKEN.to_string()),
            "invalid_payment_requirements",
        ),
        (
            "/extra/withdrawDelay",
            json!(901),
            "invalid_payment_requirements",
        ),
        ("/extra/name", json!("USDC"), "invalid_payment_requirements"),
        ("/extra/version", json!("2"), "invalid_payment_requirements"),
        (
            "/extra/minDeposit",
            json!("1"),
            "invalid_payment_requirements",
        ),
    ] {
        let mut required = offer();
        *required.pointer_mut(pointer).unwrap() = changed.clone();
        for payload in [deposit_payload(&offer()), voucher_payload(1_000)] {
            let paid = payment(&payload, &offer());
            let refused = plan_verify(&paid, &read(&required), &RULES).unwrap_err();
            let answer = VerifyResponse::invalid(refused.reason, refused.payer);
            assert_eq!(short(&answer), expected, "{pointer}");
        }
        // Both sides changed alike: the signatures or the channel no longer fit, except where the
        // scheme signs nothing of it.
        if [
            "/asset",
            "/payTo",
            "/extra/receiverAuthorizer",
            "/extra/withdrawDelay",
        ]
        .contains(&pointer)
        {
            let answer = verify(&deposit_payload(&offer()), &required, deposit_answers());
            assert!(!answer.is_valid, "{pointer}");
        }
    }
    for (pointer, changed) in [("/extra/name", "USDC"), ("/extra/version", "2")] {
        let mut required = offer();
        *required.pointer_mut(pointer).unwrap() = json!(changed);
        let answer = verify(&deposit_payload(&offer()), &required, deposit_answers());
        assert_eq!(short(&answer), "receive_authorization_signature");
    }
}

#[test]
fn every_member_of_a_deposit_matters() {
    for (offer, method) in [
        (offer(), "erc3009Authorization"),
        (permit2_offer(), "permit2Authorization"),
    ] {
        let good = deposit_payload(&offer);
        let mut pointers = vec![String::new()];
        leaves(&good, &mut String::new(), &mut pointers);
        let answers = if method == "erc3009Authorization" {
            deposit_answers()
        } else {
            let mut rows = state(0, 0, 0);
            rows.extend([
                words(&[5_000]),
                no_code(),
                code(),
                words(&[1_000_000]),
                Ok(json!("0x")),
            ]);
            rows
        };
        assert!(verify(&good, &offer, answers.clone()).is_valid);
        assert!(pointers.len() > 15);
        for pointer in pointers.into_iter().filter(|it| !it.is_empty()) {
            let mut changed = good.clone();
            let leaf = changed.pointer_mut(&pointer).unwrap();
            *leaf = flipped(leaf);
            let answer = verify(&changed, &offer, answers.clone());
            assert!(!answer.is_valid, "{method} {pointer}");
        }
    }
}

#[test]
fn every_member_of_a_voucher_matters() {
    let good = voucher_payload(1_000);
    let mut pointers = Vec::new();
    leaves(&good, &mut String::new(), &mut pointers);
    assert_eq!(pointers.len(), 11);
    for pointer in pointers {
        let mut changed = good.clone();
        let leaf = changed.pointer_mut(&pointer).unwrap();
        *leaf = flipped(leaf);
        let answer = verify(&changed, &offer(), state(5_000, 0, 0));
        assert!(!answer.is_valid, "{pointer}");
    }
}

fn leaves(value: &Value, at: &mut String, found: &mut Vec<String>) {
    if let Some(members) = value.as_object() {
        for (name, member) in members {
            let length = at.len();
            at.push('/');
            at.push_str(name);
            leaves(member, at, found);
            at.truncate(length);
        }
    } else {
        found.push(at.clone());
    }
}

/// Another value of the same form.
fn flipped(value: &Value) -> Value {
    if let Some(number) = value.as_u64() {
        return json!(number.wrapping_add(1));
    }
    let text = value.as_str().unwrap();
    if let Ok(number) = text.parse::<u128>() {
        return json!(number.wrapping_add(1).to_string());
    }
    let last = text.chars().last().unwrap();
    let other = if last == '1' { '2' } else { '1' };
    let mut text = text.to_owned();
    text.pop();
    text.push(other);
    json!(text)
}

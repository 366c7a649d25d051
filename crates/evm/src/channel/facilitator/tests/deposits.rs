//! Deposits that are settled, and those that bring their approval.

use super::*;

#[test]
fn a_deposit_is_one_whatever_voucher_comes_with_it() {
    let required = read(&offer());
    let plan_of =
        |payload: &Value| plan_settle(&payment(payload, &offer()), &required, &RULES).unwrap();
    let first = deposit_payload(&offer());
    let mut second = first.clone();
    let config = config();
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(1_700), CHAIN, &payer()).unwrap();
    second["voucher"] = serde_json::from_str(&voucher.write()).unwrap();
    let plan = plan_of(&first);
    assert_eq!(plan.key(), plan_of(&second).key());
    assert!(plan.once());
    // The charge that a seller names besides is none of the facilitator's.
    let mut cheaper = offer();
    cheaper["amount"] = json!("10");
    let paid = payment(&first, &offer());
    plan_settle(&paid, &read(&cheaper), &RULES).unwrap();

    let Ready::Send(call) = plan.conclude(&Ok(deposit_answers())).unwrap() else {
        panic!("a deposit to send");
    };
    let sent = IBatchSettlement::depositCall::abi_decode(&call.input).unwrap();
    assert_eq!(sent.amount, 5_000);
    let deposited = |amount: u128| {
        let event = IBatchSettlement::Deposited {
            channelId: config.id(CHAIN),
            sender: FACILITATOR,
            amount,
            newBalance: 5_000,
        };
        receipt("0x1", &[log(&event)])
    };
    let settled = plan
        .check_settled(&deposited(5_000), call.before.as_ref())
        .unwrap();
    assert_eq!(settled.response.amount, Some("5000".to_owned()));
    let state = &settled.response.extra.unwrap()["channelState"];
    assert_eq!(state["balance"], "5000");
    for wrong in [deposited(4_999), receipt("0x1", &[]), receipt("0x0", &[])] {
        let refused = plan
            .check_settled(&wrong, call.before.as_ref())
            .unwrap_err();
        assert_eq!(code_of(&refused), "deposit_transaction_failed");
    }
}

#[test]
fn logs_of_other_contracts_prove_nothing() {
    let plan = plan_settle(
        &payment(&deposit_payload(&offer()), &offer()),
        &read(&offer()),
        &RULES,
    )
    .unwrap();
    let event = IBatchSettlement::Deposited {
        channelId: config().id(CHAIN),
        sender: FACILITATOR,
        amount: 5_000,
        newBalance: 5_000,
    };
    let mut forged = log(&event);
    forged["address"] = json!(TOKEN.to_string());
    let refused = plan
        .check_settled(&receipt("0x1", &[forged]), None)
        .unwrap_err();
    assert_eq!(code_of(&refused), "deposit_transaction_failed");
}

#[test]
fn a_sponsored_deposit_carries_its_approval() {
    let permit2 = permit2_offer();
    let payload = deposit_payload(&permit2);
    let signature = payer().sign_hash(&B256::repeat_byte(3));
    let good = json!({
        "from": payer().address().to_string(),
        "asset": TOKEN.to_string(),
        "spender": crate::bindings::PERMIT2.to_string(),
        "amount": "5000",
        "nonce": "0",
        "deadline": (NOW.as_secs() + 300).to_string(),
        "signature": signature.to_hex(),
        "version": "1",
    });
    let plan = |info: &Value| {
        let message = json!({
            "x402Version": 2, "payload": payload, "accepted": permit2,
            "extensions": { "eip2612GasSponsoring": { "info": info } },
        });
        let paid = crate::fixtures::parse(&message);
        plan_verify(&paid, &read(&permit2), &RULES).map_err(|invalid| invalid.reason)
    };
    let planned = plan(&good).unwrap();
    // No allowance is asked for, and the simulation uses the approval.
    assert_eq!(planned.calls().len(), 7);
    let simulated = planned.calls()[6].params[0]["data"]
        .as_str()
        .unwrap()
        .to_owned();
    let v = Bytes::from(U256::from(signature.as_bytes()[64]).abi_encode());
    assert!(simulated.contains(&hex::encode(v)));
    for (member, changed, expected) in [
        ("from", json!(TOKEN.to_string()), "eip2612_owner_mismatch"),
        ("asset", json!(SELLER.to_string()), "eip2612_asset_mismatch"),
        (
            "spender",
            json!(SELLER.to_string()),
            "eip2612_spender_mismatch",
        ),
        ("amount", json!("4999"), "eip2612_amount_mismatch"),
        (
            "deadline",
            json!((NOW.as_secs() + 5).to_string()),
            "eip2612_deadline_expired",
        ),
        ("nonce", json!("x"), "eip2612_invalid_format"),
        (
            "signature",
            json!(format!("0x{}", "ff".repeat(65))),
            "eip2612_invalid_signature",
        ),
    ] {
        let mut info = good.clone();
        info[member] = changed;
        assert_eq!(code_of(&plan(&info).unwrap_err()), expected, "{member}");
    }
}

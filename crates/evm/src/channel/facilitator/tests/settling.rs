//! Claims, payouts and refunds.

use super::*;

fn claim(salt: u8, ceiling: u128, total: u128) -> Claim {
    let config = ChannelConfig {
        salt: B256::repeat_byte(salt),
        ..config()
    };
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(ceiling), CHAIN, &payer()).unwrap();
    Claim {
        config,
        max_claimable: Amount::new(ceiling),
        signature: voucher.signature,
        total_claimed: Amount::new(total),
    }
}

fn claims(rows: Vec<Claim>, signer: Option<&Wallet>) -> Payload {
    let digest = typed::claim_batch_digest(&rows, CHAIN);
    let signature = signer.map(|signer| signer.sign_hash(&digest).as_bytes().to_vec());
    Payload::Claim {
        claims: rows,
        authorizer_signature: signature,
    }
}

fn order() -> Payload {
    let config = ChannelConfig {
        salt: B256::repeat_byte(1),
        ..config()
    };
    let row = claim(1, 2_000, 2_000);
    let voucher = Voucher {
        channel_id: config.id(CHAIN),
        max_claimable: row.max_claimable,
        signature: row.signature.clone(),
    };
    let digest = typed::refund_digest(
        &voucher.channel_id,
        U256::from(4),
        Amount::new(3_000),
        CHAIN,
    );
    let claim_digest = typed::claim_batch_digest(std::slice::from_ref(&row), CHAIN);
    let key = authorizer();
    Payload::Refund {
        config,
        voucher,
        amount: Some(Amount::new(3_000)),
        order: Some(RefundOrder {
            nonce: U256::from(4),
            claims: vec![row],
            refund_signature: Some(key.sign_hash(&digest).as_bytes().to_vec()),
            claim_signature: Some(key.sign_hash(&claim_digest).as_bytes().to_vec()),
        }),
    }
}

fn settle(payload: &Payload, rules: &Rules<'_>) -> Result<SettlePlan, Reason> {
    let offer = seller::seller_offer("eip155:8453", SELLER, TOKEN);
    let paid = seller::envelope(payload, &offer).unwrap();
    plan_settle(&paid, &offer, rules).map_err(|invalid| invalid.reason)
}

#[test]
fn claims_and_payouts_are_not_verified() {
    let settle =
        json!({ "type": "settle", "receiver": SELLER.to_string(), "token": TOKEN.to_string() });
    let answer = verify(&settle, &offer(), Vec::new());
    assert_eq!(short(&answer), "payload_type");
    let answer = verify(&value(&order()), &offer(), Vec::new());
    assert_eq!(short(&answer), "payload_type");
}

#[test]
fn a_claim_is_sent_once_and_proven_by_its_logs() {
    let rows = vec![claim(1, 2_000, 1_500), claim(2, 9_000, 9_000)];
    let key = authorizer();
    let plan = settle(&claims(rows.clone(), Some(&key)), &RULES).unwrap();
    let answers = |first: u64, second: u64, simulated: Row| {
        let mut all = state(10_000, first, 0);
        all.extend(state(10_000, second, 0));
        all.push(simulated);
        Ok(all)
    };
    let ready = plan.conclude(&answers(0, 0, Ok(json!("0x")))).unwrap();
    let Ready::Send(call) = ready else {
        panic!("a claim to send");
    };
    assert_eq!(call.to, BATCH_SETTLEMENT);
    let sent = IBatchSettlement::claimWithSignatureCall::abi_decode(&call.input).unwrap();
    assert_eq!(sent.voucherClaims.len(), 2);
    assert_eq!(sent.voucherClaims[0].totalClaimed, 1_500);
    // What the chain has is not sent again.
    let nothing = plan.conclude(&answers(1_500, 9_000, Err(reverted(&[]))));
    assert_eq!(nothing, Ok(Ready::Nothing));
    let failed = plan
        .conclude(&answers(1_500, 0, Err(reverted(&[]))))
        .unwrap_err();
    assert_eq!(code_of(&failed), "claim_simulation_failed");
    assert_eq!(
        code_of(&plan.conclude(&Ok(Vec::new())).unwrap_err()),
        "rpc_read_failed"
    );

    let claimed = |row: &Claim, total: u128| {
        log(&IBatchSettlement::Claimed {
            channelId: row.config.id(CHAIN),
            sender: FACILITATOR,
            claimAmount: 1,
            newTotalClaimed: total,
        })
    };
    let both = vec![claimed(&rows[0], 1_500), claimed(&rows[1], 9_000)];
    let settled = plan.check_settled(&receipt("0x1", &both), None).unwrap();
    assert!(settled.response.success);
    assert_eq!(settled.response.amount, None);
    // One row did nothing, because it was claimed before.
    let one = vec![claimed(&rows[1], 9_000)];
    plan.check_settled(&receipt("0x1", &one), None).unwrap();
    for logs in [
        vec![],
        vec![claimed(&rows[0], 1_499)],
        vec![claimed(&claim(3, 1, 1), 1)],
    ] {
        let refused = plan
            .check_settled(&receipt("0x1", &logs), None)
            .unwrap_err();
        assert_eq!(code_of(&refused), "claim_transaction_failed");
    }
    let reverted = plan.check_settled(&receipt("0x0", &[]), None).unwrap_err();
    assert_eq!(code_of(&reverted), "claim_transaction_failed");
    let no_receipt = plan.check_settled(&json!({}), None).unwrap_err();
    assert_eq!(no_receipt, Reason::UnexpectedSettleError);
}

#[test]
fn each_rule_of_a_claim_has_its_reason() {
    let key = authorizer();
    let mut foreign = claim(1, 10, 10);
    foreign.config.receiver = TOKEN;
    let mut token = claim(1, 10, 10);
    token.config.token = SELLER;
    let mut other = claim(2, 10, 10);
    other.config.receiver_authorizer = TOKEN;
    let other_voucher =
        Voucher::sign(other.config.id(CHAIN), other.max_claimable, CHAIN, &payer()).unwrap();
    other.signature = other_voucher.signature;
    let mut forged = claim(1, 10, 10);
    forged.max_claimable = Amount::new(11);
    let cases = [
        (vec![], "claim_payload"),
        (vec![claim(1, 10, 11)], "claim_payload"),
        (vec![foreign], "receiver_mismatch"),
        (vec![token], "token_mismatch"),
        (vec![claim(1, 10, 10), other], "authorizer_address_mismatch"),
        (vec![forged], "voucher_signature"),
    ];
    for (rows, expected) in cases {
        let refused = settle(&claims(rows, Some(&key)), &RULES).unwrap_err();
        assert_eq!(code_of(&refused), expected);
    }
}

#[test]
fn a_facilitator_signs_only_what_it_was_given_to() {
    let key = authorizer();
    let stranger = payer();
    let unsigned = claims(vec![claim(1, 10, 10)], None);
    let mut unsigned_refund = order();
    if let Payload::Refund {
        order: Some(order), ..
    } = &mut unsigned_refund
    {
        order.refund_signature = None;
        order.claim_signature = None;
    }
    let under = |delegation| Rules {
        delegation,
        ..RULES
    };
    for (payload, delegation, expected) in [
        (
            &unsigned,
            Delegation::None,
            Some("authorizer_not_configured"),
        ),
        (
            &unsigned,
            Delegation::Claims(&stranger),
            Some("authorizer_address_mismatch"),
        ),
        (&unsigned, Delegation::Claims(&key), None),
        (&unsigned, Delegation::ClaimsAndRefunds(&key), None),
        (
            &unsigned_refund,
            Delegation::None,
            Some("authorizer_not_configured"),
        ),
        (
            &unsigned_refund,
            Delegation::Claims(&key),
            Some("authorizer_not_configured"),
        ),
        (
            &unsigned_refund,
            Delegation::ClaimsAndRefunds(&stranger),
            Some("authorizer_address_mismatch"),
        ),
        (&unsigned_refund, Delegation::ClaimsAndRefunds(&key), None),
    ] {
        let refused = settle(payload, &under(delegation)).err();
        assert_eq!(refused.as_ref().map(code_of), expected);
    }
}

#[test]
fn a_payout_happens_only_where_something_is_owed() {
    let payload = Payload::Settle {
        receiver: SELLER,
        token: TOKEN,
    };
    let plan = settle(&payload, &RULES).unwrap();
    let ready = plan.conclude(&Ok(vec![words(&[10, 4]), Ok(json!("0x"))]));
    assert!(matches!(ready, Ok(Ready::Send(_))));
    let none = plan
        .conclude(&Ok(vec![words(&[10, 10]), Ok(json!("0x"))]))
        .unwrap_err();
    assert_eq!(code_of(&none), "nothing_to_settle");
    let failed = plan
        .conclude(&Ok(vec![words(&[10, 4]), Err(reverted(&[]))]))
        .unwrap_err();
    assert_eq!(code_of(&failed), "settle_simulation_failed");
    let paid = log(&IBatchSettlement::Settled {
        receiver: SELLER,
        token: TOKEN,
        sender: FACILITATOR,
        amount: 6,
    });
    let settled = plan.check_settled(&receipt("0x1", &[paid]), None).unwrap();
    assert_eq!(settled.response.amount, Some("6".to_owned()));
    let other = log(&IBatchSettlement::Settled {
        receiver: TOKEN,
        token: TOKEN,
        sender: FACILITATOR,
        amount: 6,
    });
    let refused = plan
        .check_settled(&receipt("0x1", &[other]), None)
        .unwrap_err();
    assert_eq!(code_of(&refused), "nothing_to_settle");
    let elsewhere = Payload::Settle {
        receiver: TOKEN,
        token: TOKEN,
    };
    let refused = settle(&elsewhere, &RULES).unwrap_err();
    assert_eq!(code_of(&refused), "receiver_mismatch");
}

#[test]
fn a_refund_claims_first_and_tells_what_is_left() {
    let plan = settle(&order(), &RULES).unwrap();
    assert!(plan.once());
    let answers = |balance, claimed, nonce, simulated: Row| {
        let mut all = state(balance, claimed, nonce);
        all.push(simulated);
        Ok(all)
    };
    let ready = plan
        .conclude(&answers(5_000, 500, 4, Ok(json!("0x"))))
        .unwrap();
    let Ready::Send(call) = ready else {
        panic!("a refund to send");
    };
    let both = IBatchSettlement::multicallCall::abi_decode(&call.input).unwrap();
    assert_eq!(both.data.len(), 2);
    let refund = IBatchSettlement::refundWithSignatureCall::abi_decode(&both.data[1]).unwrap();
    assert_eq!((refund.amount, refund.nonce), (3_000, U256::from(4)));
    for (answer, expected) in [
        (answers(2_000, 500, 4, Ok(json!("0x"))), "refund_no_balance"),
        (
            answers(5_000, 500, 5, Ok(json!("0x"))),
            "refund_simulation_failed",
        ),
        (
            answers(5_000, 500, 4, Err(reverted(&[]))),
            "refund_simulation_failed",
        ),
        (Ok(Vec::new()), "rpc_read_failed"),
    ] {
        assert_eq!(code_of(&plan.conclude(&answer).unwrap_err()), expected);
    }
    let refunded = |amount| {
        log(&IBatchSettlement::Refunded {
            channelId: claim(1, 1, 1).config.id(CHAIN),
            sender: FACILITATOR,
            amount,
        })
    };
    let receipt_of = |amount| receipt("0x1", &[refunded(amount)]);
    let settled = plan
        .check_settled(&receipt_of(3_000), call.before.as_ref())
        .unwrap();
    let response: SettleResponse = settled.response;
    assert_eq!(response.amount, Some("3000".to_owned()));
    let state = &response.extra.unwrap()["channelState"];
    assert_eq!(state["balance"], "2000");
    assert_eq!(state["totalClaimed"], "2000");
    assert_eq!(state["refundNonce"], "5");
    let refused = plan.check_settled(&receipt_of(3_001), call.before.as_ref());
    assert_eq!(code_of(&refused.unwrap_err()), "refund_transaction_failed");
}

#[test]
fn each_rule_of_a_refund_has_its_reason() {
    type Change = fn(&mut ChannelConfig, &mut Voucher, &mut Option<Amount>, &mut RefundOrder);
    let cases: [(Change, &str); 6] = [
        (
            |_, voucher, _, _| voucher.channel_id = B256::ZERO,
            "channel_id_mismatch",
        ),
        (
            |config, voucher, _, _| {
                config.receiver = TOKEN;
                voucher.channel_id = config.id(CHAIN);
            },
            "receiver_mismatch",
        ),
        (
            |config, voucher, _, _| {
                config.token = SELLER;
                voucher.channel_id = config.id(CHAIN);
            },
            "token_mismatch",
        ),
        (
            |_, voucher, _, _| voucher.max_claimable = Amount::new(1),
            "voucher_signature",
        ),
        (
            |_, _, _, order| order.claims.push(claim(2, 1, 1)),
            "refund_payload",
        ),
        (|_, _, amount, _| *amount = None, "refund_payload"),
    ];
    for (change, expected) in cases {
        let mut payload = order();
        if let Payload::Refund {
            config,
            voucher,
            amount,
            order: Some(order),
        } = &mut payload
        {
            change(config, voucher, amount, order);
        }
        assert_eq!(code_of(&settle(&payload, &RULES).unwrap_err()), expected);
    }
}

#[test]
fn a_voucher_settles_nothing() {
    let paid = payment(&voucher_payload(1_000), &offer());
    let refused = plan_settle(&paid, &read(&offer()), &RULES).unwrap_err();
    assert_eq!(code_of(&refused.reason), "unknown_settle_action");
}

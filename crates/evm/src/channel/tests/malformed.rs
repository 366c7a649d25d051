//! What does not read, and what does not fit, each with its reason.

use super::*;

#[test]
fn each_malformed_payload_has_its_reason() {
    let vectors = golden();
    let base =
        |name: &str| -> Value { serde_json::from_str(text(&vectors["payloads"], name)).unwrap() };
    let cases: [(&str, &str, Value, &str); 22] = [
        ("voucher", "/type", json!("vouchers"), "payload_type"),
        ("voucher", "/type", json!(1), "payload_type"),
        ("voucher", "/voucher", json!(null), "voucher_payload"),
        ("voucher", "/channelConfig", json!(null), "voucher_payload"),
        (
            "voucher",
            "/channelConfig/payer",
            json!("0x1"),
            "voucher_payload",
        ),
        (
            "voucher",
            "/channelConfig/withdrawDelay",
            json!(-1),
            "voucher_payload",
        ),
        (
            "voucher",
            "/channelConfig/withdrawDelay",
            json!(900.5),
            "voucher_payload",
        ),
        (
            "voucher",
            "/channelConfig/salt",
            json!("0x00"),
            "voucher_payload",
        ),
        (
            "voucher",
            "/voucher/channelId",
            json!("0xab"),
            "channel_id_invalid",
        ),
        (
            "voucher",
            "/voucher/maxClaimableAmount",
            json!("-1"),
            "voucher_payload",
        ),
        (
            "voucher",
            "/voucher/maxClaimableAmount",
            json!("1e3"),
            "voucher_payload",
        ),
        (
            "voucher",
            "/voucher/maxClaimableAmount",
            json!("340282366920938463463374607431768211456"),
            "voucher_payload",
        ),
        (
            "voucher",
            "/voucher/signature",
            json!("zz"),
            "voucher_payload",
        ),
        (
            "deposit_erc3009",
            "/deposit",
            json!(null),
            "deposit_payload",
        ),
        (
            "deposit_erc3009",
            "/deposit/amount",
            json!("five"),
            "deposit_payload",
        ),
        (
            "deposit_erc3009",
            "/deposit/authorization",
            json!({}),
            "deposit_payload",
        ),
        (
            "deposit_permit2",
            "/deposit/authorization/permit2Authorization/witness",
            json!({}),
            "deposit_payload",
        ),
        ("refund", "/amount", json!("0"), "refund_amount_invalid"),
        ("refund", "/amount", json!("1.5"), "refund_amount_invalid"),
        ("refund_order", "/claims", json!({}), "refund_payload"),
        (
            "claim",
            "/claims/0/totalClaimed",
            json!(null),
            "claim_payload",
        ),
        ("settle", "/receiver", json!("nobody"), "settle_payload"),
    ];
    for (name, pointer, value, reason) in cases {
        let mut json = base(name);
        *json.pointer_mut(pointer).unwrap() = value;
        let expected = format!("invalid_batch_settlement_evm_{reason}");
        let refused = Payload::parse(&json).unwrap_err();
        assert_eq!(refused.as_str(), expected, "{name} {pointer}");
    }
}

#[test]
fn a_deposit_with_two_authorizations_is_refused() {
    let vectors = golden();
    let mut json: Value =
        serde_json::from_str(text(&vectors["payloads"], "deposit_erc3009")).unwrap();
    let other: Value = serde_json::from_str(text(&vectors["payloads"], "deposit_permit2")).unwrap();
    json["deposit"]["authorization"]["permit2Authorization"] =
        other["deposit"]["authorization"]["permit2Authorization"].clone();
    let refused = Deposit::parse(&json["deposit"]).unwrap_err();
    assert_eq!(refused, Malformed::Field("authorization"));
}

#[test]
fn too_many_claims_are_refused() {
    let vectors = golden();
    let mut json: Value = serde_json::from_str(text(&vectors["payloads"], "claim")).unwrap();
    let row = json["claims"][0].clone();
    json["claims"] = Value::Array(vec![row; 101]);
    let refused = Payload::parse(&json).unwrap_err();
    assert_eq!(
        refused.as_str(),
        "invalid_batch_settlement_evm_claim_payload"
    );
}

#[test]
fn each_member_that_an_offer_lacks_has_its_reason() {
    let cases = [
        (
            "/scheme",
            json!("upto"),
            "invalid_batch_settlement_evm_scheme",
        ),
        (
            "/network",
            json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
            "invalid_batch_settlement_evm_network_mismatch",
        ),
        ("/amount", json!("0.5"), "invalid_payment_requirements"),
        ("/asset", json!("USD"), "invalid_payment_requirements"),
        ("/payTo", json!("merchant"), "invalid_payment_requirements"),
        (
            "/extra/receiverAuthorizer",
            json!(null),
            "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
        ),
        (
            "/extra/receiverAuthorizer",
            json!(Address::ZERO.to_string()),
            "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
        ),
        (
            "/extra/withdrawDelay",
            json!(null),
            "invalid_batch_settlement_evm_withdraw_delay_mismatch",
        ),
        (
            "/extra/withdrawDelay",
            json!("soon"),
            "invalid_batch_settlement_evm_withdraw_delay_mismatch",
        ),
    ];
    for (pointer, value, reason) in cases {
        let mut offer = offer();
        *offer.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            Terms::of(&read(&offer)).unwrap_err().as_str(),
            reason,
            "{pointer}"
        );
    }
    let mut offer = offer();
    offer["extra"]["assetTransferMethod"] = json!("erc7710");
    assert_eq!(
        Terms::of(&read(&offer)).unwrap_err(),
        Reason::InvalidPaymentRequirements
    );
}

#[test]
fn each_rule_of_a_channel_has_its_reason() {
    let terms = terms();
    let good = config();
    assert_eq!(good.check(&good.id(terms.chain_id), &terms), Ok(()));
    let id_mismatch = good.check(&B256::ZERO, &terms).unwrap_err();
    assert_eq!(
        id_mismatch,
        Reason::InvalidBatchSettlementEvmChannelIdMismatch
    );
    let other = Address::repeat_byte(0x77);
    type Change = fn(&mut ChannelConfig, &mut Terms, Address);
    let cases: [(Change, Reason); 6] = [
        (
            |it, _, other| it.receiver = other,
            Reason::InvalidBatchSettlementEvmReceiverMismatch,
        ),
        (
            |it, _, other| it.receiver_authorizer = other,
            Reason::InvalidBatchSettlementEvmReceiverAuthorizerMismatch,
        ),
        (
            |it, _, other| it.token = other,
            Reason::InvalidBatchSettlementEvmTokenMismatch,
        ),
        (
            |it, _, _| it.withdraw_delay_s = 901,
            Reason::InvalidBatchSettlementEvmWithdrawDelayMismatch,
        ),
        (
            |it, terms, _| {
                it.withdraw_delay_s = 899;
                terms.withdraw_delay_s = 899;
            },
            Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange,
        ),
        (
            |it, terms, _| {
                it.withdraw_delay_s = 2_592_001;
                terms.withdraw_delay_s = 2_592_001;
            },
            Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange,
        ),
    ];
    for (change, reason) in cases {
        let (mut config, mut terms) = (config(), terms.clone());
        change(&mut config, &mut terms, other);
        let refused = config
            .check(&config.id(terms.chain_id), &terms)
            .unwrap_err();
        assert_eq!(refused, reason);
    }
}

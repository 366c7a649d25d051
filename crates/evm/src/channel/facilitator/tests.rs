use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolEvent, SolValue as _};
use seamline_core::Amount;
use serde_json::{Value, json};

use super::{Delegation, Ready, Rules, SettlePlan, conclude_verify, plan_settle, plan_verify};
use crate::channel::fixtures::{
    CHAIN, admitted_of, authorizer, config, keys, offer, payer, payment, permit2_offer, read, rule,
    value,
};
use crate::channel::{
    BATCH_SETTLEMENT, ChannelConfig, Claim, IBatchSettlement, Payload, RefundOrder, Voucher,
    payer as pays, seller, typed,
};
use crate::fixtures::{FACILITATOR, NOW, SELLER, TOKEN, reverted};
use crate::x402::{Reason, SettleResponse, VerifyResponse};
use crate::{RpcError, Wallet};

const SALT: B256 = B256::repeat_byte(5);
const SIGNERS: &[Address] = &[FACILITATOR];
const RULES: Rules<'_> = Rules {
    now: NOW,
    own_signers: SIGNERS,
    delegation: Delegation::None,
};

type Row = Result<Value, RpcError>;

fn words(values: &[u64]) -> Row {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| U256::from(*value).to_be_bytes::<32>())
        .collect();
    Ok(json!(crate::rpc::hex(&bytes)))
}

fn code() -> Row {
    Ok(json!("0x60"))
}

fn no_code() -> Row {
    Ok(json!("0x"))
}

/// `channels`, `pendingWithdrawals`, `refundNonce`.
fn state(balance: u64, claimed: u64, nonce: u64) -> Vec<Row> {
    vec![words(&[balance, claimed]), words(&[0, 0]), words(&[nonce])]
}

/// The chain's answers to a good deposit: state, payer code, token code, balance, simulation.
fn deposit_answers() -> Vec<Row> {
    let mut rows = state(0, 0, 0);
    rows.extend([no_code(), code(), words(&[1_000_000]), Ok(json!("0x"))]);
    rows
}

fn deposit_payload(offer: &Value) -> Value {
    let wallet = payer();
    let mut channel = pays::Channel::new(config(), CHAIN);
    let paid = channel.pay(&admitted_of(offer), &keys(&wallet), &rule(), SALT, NOW);
    paid.unwrap().payload.payload().clone()
}

fn voucher_payload(total: u128) -> Value {
    let config = config();
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(total), CHAIN, &payer()).unwrap();
    value(&Payload::Voucher { config, voucher })
}

fn verify(payload: &Value, offer: &Value, rows: Vec<Row>) -> VerifyResponse {
    let payment = payment(payload, offer);
    match plan_verify(&payment, &read(offer), &RULES) {
        Ok(plan) => conclude_verify(&plan, &Ok(rows)),
        Err(invalid) => VerifyResponse::invalid(invalid.reason, invalid.payer),
    }
}

fn reason(response: &VerifyResponse) -> &str {
    assert!(!response.is_valid);
    response.invalid_reason.as_ref().unwrap().as_str()
}

fn short(response: &VerifyResponse) -> &str {
    let code = reason(response);
    code.strip_prefix("invalid_batch_settlement_evm_")
        .unwrap_or(code)
}

#[test]
fn a_good_deposit_and_a_good_voucher_are_valid() {
    let answer = verify(&deposit_payload(&offer()), &offer(), deposit_answers());
    assert!(answer.is_valid, "{answer:?}");
    assert_eq!(answer.payer, Some(payer().address().to_string()));
    let answer = verify(&voucher_payload(1_000), &offer(), state(5_000, 999, 3));
    assert!(answer.is_valid, "{answer:?}");
    let extra = answer.extra.unwrap();
    assert_eq!(extra["balance"], "5000");
    assert_eq!(extra["totalClaimed"], "999");
    assert_eq!(extra["refundNonce"], "3");
    assert_eq!(extra["withdrawRequestedAt"], 0);
    let permit2 = permit2_offer();
    let mut rows = state(0, 0, 0);
    rows.extend([
        words(&[5_000]),
        no_code(),
        code(),
        words(&[5_000]),
        Ok(json!("0x")),
    ]);
    let answer = verify(&deposit_payload(&permit2), &permit2, rows);
    assert!(answer.is_valid, "{answer:?}");
}

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
        return json!(number + 1);
    }
    let text = value.as_str().unwrap();
    if let Ok(number) = text.parse::<u128>() {
        return json!((number + 1).to_string());
    }
    let last = text.chars().last().unwrap();
    let other = if last == '1' { '2' } else { '1' };
    let mut text = text.to_owned();
    text.pop();
    text.push(other);
    json!(text)
}

#[test]
fn each_rule_of_a_deposit_has_its_reason() {
    type Change = fn(&mut Value);
    let permit = "/deposit/authorization/permit2Authorization";
    assert!(deposit_payload(&permit2_offer()).pointer(permit).is_some());
    let cases: [(Change, &str); 6] = [
        (|it| it["deposit"]["amount"] = json!("0"), "deposit_payload"),
        (
            |it| {
                it["deposit"]["authorization"]["erc3009Authorization"]["validBefore"] =
                    json!((NOW.as_secs() + 5).to_string())
            },
            "payload_authorization_valid_before",
        ),
        (
            |it| {
                it["deposit"]["authorization"]["erc3009Authorization"]["validAfter"] =
                    json!((NOW.as_secs() + 1).to_string())
            },
            "payload_authorization_valid_after",
        ),
        (
            |it| it["deposit"]["authorization"]["erc3009Authorization"]["salt"] = json!("7"),
            "receive_authorization_signature",
        ),
        (
            |it| {
                let signature = format!("0x{}{}", "11".repeat(65), "6492".repeat(16));
                it["deposit"]["authorization"]["erc3009Authorization"]["signature"] =
                    json!(signature);
            },
            "eip6492_factory_not_allowed",
        ),
        (
            |it| it["voucher"]["signature"] = json!(format!("0x{}", "11".repeat(65))),
            "voucher_signature",
        ),
    ];
    for (change, expected) in cases {
        let mut payload = deposit_payload(&offer());
        change(&mut payload);
        assert_eq!(
            short(&verify(&payload, &offer(), deposit_answers())),
            expected
        );
    }
    let cases: [(&str, Value, &str); 7] = [
        (
            "/from",
            json!(TOKEN.to_string()),
            "permit2_invalid_signature",
        ),
        (
            "/spender",
            json!(TOKEN.to_string()),
            "permit2_invalid_spender",
        ),
        (
            "/permitted/token",
            json!(SELLER.to_string()),
            "token_mismatch",
        ),
        (
            "/permitted/amount",
            json!("4999"),
            "permit2_amount_mismatch",
        ),
        (
            "/witness/channelId",
            json!(B256::ZERO.to_string()),
            "channel_id_mismatch",
        ),
        (
            "/deadline",
            json!((NOW.as_secs() + 5).to_string()),
            "permit2_deadline_expired",
        ),
        ("/nonce", json!("1"), "permit2_invalid_signature"),
    ];
    for (pointer, changed, expected) in cases {
        let mut payload = deposit_payload(&permit2_offer());
        *payload.pointer_mut(&format!("{permit}{pointer}")).unwrap() = changed;
        let mut rows = state(0, 0, 0);
        rows.extend([
            words(&[5_000]),
            no_code(),
            code(),
            words(&[5_000]),
            Ok(json!("0x")),
        ]);
        let answer = verify(&payload, &permit2_offer(), rows);
        assert_eq!(short(&answer), expected, "{pointer}");
    }
    // Authorized another way than the requirement says.
    let answer = verify(
        &deposit_payload(&permit2_offer()),
        &offer(),
        deposit_answers(),
    );
    assert_eq!(short(&answer), "erc3009_authorization_required");
    let answer = verify(
        &deposit_payload(&offer()),
        &permit2_offer(),
        deposit_answers(),
    );
    assert_eq!(short(&answer), "permit2_authorization_required");
    let mut nameless = offer();
    nameless["extra"]["name"] = Value::Null;
    let answer = verify(&deposit_payload(&offer()), &nameless, deposit_answers());
    assert_eq!(short(&answer), "missing_eip712_domain");
}

#[test]
fn a_facilitator_is_no_payer() {
    let rules = Rules {
        own_signers: &[payer().address()],
        ..RULES
    };
    let paid = payment(&deposit_payload(&offer()), &offer());
    let refused = plan_verify(&paid, &read(&offer()), &rules).unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::InvalidBatchSettlementEvmDepositPayload
    );
}

#[test]
fn each_answer_of_the_chain_to_a_deposit_has_its_reason() {
    // 0..3 state, 3 payer code, 4 token code, 5 balance, 6 simulation.
    let revert = || Err(reverted(&[]));
    let broken = || {
        Err(RpcError {
            code: -32000,
            message: "busy".to_owned(),
            data: None,
        })
    };
    let cases: [(usize, Row, &str); 12] = [
        (0, Ok(json!("0x")), "rpc_read_failed"),
        (0, broken(), "rpc_read_failed"),
        (0, words(&[0, 1_000]), "cumulative_below_claimed"),
        (1, broken(), "rpc_read_failed"),
        (2, broken(), "rpc_read_failed"),
        (3, broken(), "rpc_read_failed"),
        (4, no_code(), "asset_not_deployed_contract"),
        (4, broken(), "rpc_read_failed"),
        (5, words(&[4_999]), "insufficient_balance"),
        (5, broken(), "rpc_read_failed"),
        (6, revert(), "deposit_simulation_failed"),
        (6, broken(), "rpc_read_failed"),
    ];
    for (at, row, expected) in cases {
        let mut rows = deposit_answers();
        rows[at] = row;
        let answer = verify(&deposit_payload(&offer()), &offer(), rows);
        assert_eq!(short(&answer), expected, "{at}");
    }
    for rows in [Vec::new(), deposit_answers()[..6].to_vec()] {
        let answer = verify(&deposit_payload(&offer()), &offer(), rows);
        assert_eq!(short(&answer), "rpc_read_failed");
    }
    let permit2 = permit2_offer();
    let mut rows = state(0, 0, 0);
    rows.extend([
        words(&[4_999]),
        no_code(),
        code(),
        words(&[5_000]),
        Ok(json!("0x")),
    ]);
    let answer = verify(&deposit_payload(&permit2), &permit2, rows);
    assert_eq!(short(&answer), "permit2_allowance_required");
}

#[test]
fn a_promise_above_the_deposit_is_refused() {
    let mut payload = deposit_payload(&offer());
    let config = config();
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(5_001), CHAIN, &payer()).unwrap();
    payload["voucher"] = serde_json::from_str(&voucher.write()).unwrap();
    let answer = verify(&payload, &offer(), deposit_answers());
    assert_eq!(short(&answer), "cumulative_exceeds_balance");
}

#[test]
fn each_answer_of_the_chain_to_a_voucher_has_its_reason() {
    for (rows, expected) in [
        (state(0, 0, 0), "channel_not_found"),
        (state(999, 0, 0), "cumulative_exceeds_balance"),
        (state(5_000, 1_000, 0), "cumulative_below_claimed"),
        (Vec::new(), "rpc_read_failed"),
    ] {
        let answer = verify(&voucher_payload(1_000), &offer(), rows);
        assert_eq!(short(&answer), expected);
    }
    // For a refund, everything that was charged may have been claimed.
    let mut refund = voucher_payload(1_000);
    refund["type"] = json!("refund");
    assert!(verify(&refund, &offer(), state(5_000, 1_000, 0)).is_valid);
    let answer = verify(&refund, &offer(), state(5_000, 1_001, 0));
    assert_eq!(short(&answer), "cumulative_below_claimed");
}

fn self_signed(total: u128) -> Value {
    let config = ChannelConfig {
        payer_authorizer: Address::ZERO,
        ..config()
    };
    let voucher = Voucher::sign(config.id(CHAIN), Amount::new(total), CHAIN, &payer()).unwrap();
    value(&Payload::Voucher { config, voucher })
}

#[test]
fn a_payer_that_signs_itself_is_judged_by_its_code() {
    let magic = || {
        let mut word = vec![0; 32];
        word[..4].copy_from_slice(&[0x16, 0x26, 0xba, 0x7e]);
        Ok(json!(crate::rpc::hex(&word)))
    };
    let ask = |payload: &Value, code: Row, signature: Row| {
        let mut rows = state(5_000, 0, 0);
        rows.extend([code, signature]);
        verify(payload, &offer(), rows)
    };
    let good = self_signed(1_000);
    assert!(ask(&good, no_code(), Err(reverted(&[]))).is_valid);
    assert!(ask(&good, code(), magic()).is_valid);
    // With code, the key is worth nothing: a delegated account included.
    for said in [
        words(&[0]),
        words(&[1]),
        Ok(json!("0x")),
        Err(reverted(&[])),
    ] {
        assert_eq!(short(&ask(&good, code(), said)), "voucher_signature");
    }
    let mut forged = good.clone();
    forged["voucher"]["signature"] = json!(authorizer().sign_hash(&B256::ZERO).to_hex());
    assert_eq!(
        short(&ask(&forged, no_code(), magic())),
        "voucher_signature"
    );
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

// Settling.

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

fn code_of(reason: &Reason) -> &str {
    let code = reason.as_str();
    code.strip_prefix("invalid_batch_settlement_evm_")
        .unwrap_or(code)
}

fn log<E: SolEvent>(event: &E) -> Value {
    let encoded = event.encode_log_data();
    json!({
        "address": BATCH_SETTLEMENT.to_string(),
        "topics": encoded.topics().iter().map(|it| it.to_string()).collect::<Vec<_>>(),
        "data": encoded.data.to_string(),
    })
}

fn receipt(status: &str, logs: Vec<Value>) -> Value {
    json!({
        "transactionHash": B256::repeat_byte(1).to_string(),
        "blockHash": B256::repeat_byte(2).to_string(),
        "blockNumber": "0x10",
        "status": status,
        "logs": logs,
    })
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
    let settled = plan.check_settled(&receipt("0x1", both), None).unwrap();
    assert!(settled.response.success);
    assert_eq!(settled.response.amount, None);
    // One row did nothing, because it was claimed before.
    let one = vec![claimed(&rows[1], 9_000)];
    assert!(plan.check_settled(&receipt("0x1", one), None).is_ok());
    for logs in [
        vec![],
        vec![claimed(&rows[0], 1_499)],
        vec![claimed(&claim(3, 1, 1), 1)],
    ] {
        let refused = plan.check_settled(&receipt("0x1", logs), None).unwrap_err();
        assert_eq!(code_of(&refused), "claim_transaction_failed");
    }
    let reverted = plan
        .check_settled(&receipt("0x0", vec![]), None)
        .unwrap_err();
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
    let settled = plan
        .check_settled(&receipt("0x1", vec![paid]), None)
        .unwrap();
    assert_eq!(settled.response.amount, Some("6".to_owned()));
    let other = log(&IBatchSettlement::Settled {
        receiver: TOKEN,
        token: TOKEN,
        sender: FACILITATOR,
        amount: 6,
    });
    let refused = plan
        .check_settled(&receipt("0x1", vec![other]), None)
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
    let receipt_of = |amount| receipt("0x1", vec![refunded(amount)]);
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
    assert!(plan_settle(&paid, &read(&cheaper), &RULES).is_ok());

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
        receipt("0x1", vec![log(&event)])
    };
    let settled = plan
        .check_settled(&deposited(5_000), call.before.as_ref())
        .unwrap();
    assert_eq!(settled.response.amount, Some("5000".to_owned()));
    let state = &settled.response.extra.unwrap()["channelState"];
    assert_eq!(state["balance"], "5000");
    for wrong in [
        deposited(4_999),
        receipt("0x1", vec![]),
        receipt("0x0", vec![]),
    ] {
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
        .check_settled(&receipt("0x1", vec![forged]), None)
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

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

mod deposits;
mod mutation;
mod settling;

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

fn receipt(status: &str, logs: &[Value]) -> Value {
    json!({
        "transactionHash": B256::repeat_byte(1).to_string(),
        "blockHash": B256::repeat_byte(2).to_string(),
        "blockNumber": "0x10",
        "status": status,
        "logs": logs,
    })
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
fn each_rule_of_a_deposit_has_its_reason() {
    type Change = fn(&mut Value);
    let permit = "/deposit/authorization/permit2Authorization";
    assert!(deposit_payload(&permit2_offer()).pointer(permit).is_some());
    let cases: [(Change, &str); 6] = [
        (|it| it["deposit"]["amount"] = json!("0"), "deposit_payload"),
        (
            |it| {
                it["deposit"]["authorization"]["erc3009Authorization"]["validBefore"] =
                    json!((NOW.as_secs() + 5).to_string());
            },
            "payload_authorization_valid_before",
        ),
        (
            |it| {
                it["deposit"]["authorization"]["erc3009Authorization"]["validAfter"] =
                    json!((NOW.as_secs() + 1).to_string());
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
    let mut forged = good;
    forged["voucher"]["signature"] = json!(authorizer().sign_hash(&B256::ZERO).to_hex());
    assert_eq!(
        short(&ask(&forged, no_code(), magic())),
        "voucher_signature"
    );
}

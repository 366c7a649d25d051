//! The published vectors: the calls that settle them, encoded independently.

use alloy_primitives::{Address, B256, U256, hex};
use seamline_core::Amount;
use serde_json::Value;

use super::super::{Authorization, Eip2612};
use crate::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use crate::typed::{ExactAuthorization, TransferAuthorization, UptoAuthorization};
use crate::x402::{address, uint256};
use crate::{eip3009, exact, upto};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn number(value: &Value, name: &str) -> U256 {
    uint256(text(value, name)).unwrap()
}

fn account(value: &Value, name: &str) -> Address {
    address(text(value, name)).unwrap()
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).unwrap()
}

#[track_caller]
fn check(promise: &Authorization, golden: &Value, vector: &Value, contract: Address) {
    let chain_id = golden["chain_id"].as_u64().unwrap();
    assert_eq!(promise.digest(chain_id).to_string(), text(vector, "digest"));
    assert_eq!(promise.recover(chain_id), Ok(account(golden, "payer")));
    let amount = vector.get("settled_amount").and_then(Value::as_str);
    let amount = Amount::parse(amount.unwrap_or("0")).unwrap();
    let (to, input) = promise.settle_call(amount, None);
    assert_eq!(to, contract);
    assert_eq!(hex::encode_prefixed(input), text(vector, "settle_call"));
}

#[test]
fn erc3009() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let vector = &golden["eip3009"];
    let mut transfer = eip3009::Transfer {
        authorization: TransferAuthorization {
            from: account(&golden, "payer"),
            to: account(vector, "to"),
            value: number(vector, "value"),
            valid_after: number(vector, "validAfter"),
            valid_before: number(vector, "validBefore"),
            nonce: B256::from_slice(&bytes(vector, "nonce")),
        },
        chain_id: golden["chain_id"].as_u64().unwrap(),
        token: account(&golden, "token"),
        name: text(&golden["token_domain"], "name").to_owned(),
        version: text(&golden["token_domain"], "version").to_owned(),
        signature: bytes(vector, "signature"),
    };
    let promise = Authorization::Eip3009(transfer.clone());
    check(&promise, &golden, vector, transfer.token);
    assert_eq!(promise.deadline_s(), 1_899_999_999);
    transfer.signature = bytes(vector, "contract_signature");
    let input = hex::encode_prefixed(transfer.settle_call());
    assert_eq!(input, text(vector, "settle_call_contract_signature"));
}

#[test]
fn exact_over_permit2() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let vector = &golden["exact_permit2"];
    let promise = Authorization::ExactPermit2(exact::Permit {
        from: account(&golden, "payer"),
        authorization: ExactAuthorization {
            token: account(&golden, "token"),
            amount: number(vector, "amount"),
            spender: account(vector, "spender"),
            nonce: number(vector, "nonce"),
            deadline: number(vector, "deadline"),
            to: account(vector, "to"),
            valid_after: number(vector, "validAfter"),
        },
        signature: bytes(vector, "signature"),
    });
    check(&promise, &golden, vector, EXACT_PROXY);
    assert_eq!(promise.deadline_s(), 1_900_000_000);
}

#[test]
fn upto_with_and_without_approval() {
    let golden = seamline_testkit::json_vector("x402/golden.json");
    let vector = &golden["upto_permit2"];
    let promise = Authorization::Upto(upto::Permit {
        from: account(&golden, "payer"),
        authorization: UptoAuthorization {
            token: account(&golden, "token"),
            amount: number(vector, "amount"),
            spender: account(vector, "spender"),
            nonce: number(vector, "nonce"),
            deadline: number(vector, "deadline"),
            to: account(vector, "to"),
            facilitator: account(vector, "facilitator"),
            valid_after: number(vector, "validAfter"),
        },
        signature: bytes(vector, "signature"),
    });
    check(&promise, &golden, vector, UPTO_PROXY);
    let approval = &golden["eip2612"];
    let approval = Eip2612 {
        from: promise.payer(),
        asset: promise.asset(),
        spender: PERMIT2,
        amount: number(approval, "value"),
        nonce: number(approval, "nonce"),
        deadline: number(approval, "deadline"),
        signature: bytes(approval, "signature").try_into().unwrap(),
    };
    let (_, input) = promise.settle_call(Amount::new(2_350), Some(&approval));
    let expected = text(vector, "settle_with_permit_call");
    assert_eq!(hex::encode_prefixed(input), expected);
}

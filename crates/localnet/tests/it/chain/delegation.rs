//! Accounts that delegate to code (EIP-7702).

use alloy_consensus::{SignableTransaction as _, TxEip7702};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, Signature, U256};
use seamline_evm::Wallet;
use seamline_localnet::chain::{CHAIN_ID, Chain, Rejection, SendError};
use serde_json::{Value, json};

use super::{COUNTER, STRANGER, ask, get, number, open, open_at, send, signed, transfer, wallet};

fn delegation(by: &Wallet, chain_id: u64, to: Address, account_nonce: u64) -> SignedAuthorization {
    let authorization = Authorization {
        chain_id: U256::from(chain_id),
        address: to,
        nonce: account_nonce,
    };
    let signature = by.sign_hash(&authorization.signature_hash());
    authorization.into_signed(Signature::from_raw(signature.as_bytes()).expect("a signature"))
}

/// A transaction of wallet 1 that carries delegations.
fn carrying(account_nonce: u64, delegations: Vec<SignedAuthorization>) -> TxEip7702 {
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: account_nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: STRANGER,
        authorization_list: delegations,
        ..TxEip7702::default()
    }
}

fn sealed(tx: TxEip7702) -> Vec<u8> {
    let signature = wallet(1).sign_hash(&tx.signature_hash());
    let signature = Signature::from_raw(signature.as_bytes()).expect("a signature");
    tx.into_signed(signature).encoded_2718()
}

fn code(chain: &Chain, address: Address) -> Value {
    get(chain, "eth_getCode", json!([address, "latest"]))
}

fn designator(to: Address) -> Value {
    json!(format!("0xef0100{}", hex::encode(to)))
}

fn refusal(chain: &Chain, raw: &[u8]) -> String {
    send(chain, raw).expect_err("refused").message
}

#[test]
fn an_account_delegates_runs_the_code_and_takes_it_back() {
    let chain = open();
    let account = wallet(2).address();
    let raw = sealed(carrying(
        0,
        vec![delegation(&wallet(2), CHAIN_ID, COUNTER, 0)],
    ));
    let hash = send(&chain, &raw).expect("sent");
    assert_eq!(code(&chain, account), designator(COUNTER));
    let count = get(&chain, "eth_call", json!([{ "to": account }, "latest"]));
    assert_eq!(number(&count), U256::from(1));
    let shown = get(&chain, "eth_getTransactionByHash", json!([hash]));
    assert_eq!(
        (&shown["type"], &shown["maxFeePerGas"]),
        (&json!("0x4"), &json!("0x989680"))
    );
    assert_eq!(shown["authorizationList"][0]["address"], json!(COUNTER));
    assert_eq!(shown["authorizationList"][0]["nonce"], "0x0");
    let receipt = get(&chain, "eth_getTransactionReceipt", json!([hash]));
    assert_eq!(
        (&receipt["type"], &receipt["status"]),
        (&json!("0x4"), &json!("0x1"))
    );
    // To the zero address: no code any more. The delegation has used a nonce of the account.
    let raw = sealed(carrying(
        1,
        vec![delegation(&wallet(2), CHAIN_ID, Address::ZERO, 1)],
    ));
    send(&chain, &raw).expect("sent");
    assert_eq!(code(&chain, account), "0x");
    let count = get(
        &chain,
        "eth_getTransactionCount",
        json!([account, "latest"]),
    );
    assert_eq!(number(&count), U256::from(2));
}

#[test]
fn a_delegated_account_still_sends() {
    let chain = open();
    let own = delegation(&wallet(1), CHAIN_ID, COUNTER, 1);
    send(&chain, &sealed(carrying(0, vec![own]))).expect("sent");
    assert_eq!(code(&chain, wallet(1).address()), designator(COUNTER));
    send(&chain, &signed(&wallet(1), transfer(2))).expect("sent");
    assert_eq!(super::balance(&chain, STRANGER), U256::from(1));
}

#[test]
fn a_delegation_outlives_a_restart_and_is_undone_by_a_revert() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chain.redb");
    let chain = open_at(path.clone());
    let snapshot = get(&chain, "evm_snapshot", json!([]));
    let raw = sealed(carrying(0, vec![delegation(&wallet(2), 0, COUNTER, 0)]));
    send(&chain, &raw).expect("chain id 0 is any chain");
    get(&chain, "evm_revert", json!([snapshot]));
    assert_eq!(code(&chain, wallet(2).address()), "0x");
    send(&chain, &raw).expect("sent");
    drop(chain);
    let chain = open_at(path);
    assert_eq!(code(&chain, wallet(2).address()), designator(COUNTER));
    let count = get(&chain, "eth_call", json!([{ "to": wallet(2).address() }]));
    assert_eq!(number(&count), U256::from(1));
}

#[test]
fn a_delegation_that_does_not_hold_is_skipped() {
    let mut forged = delegation(&wallet(2), CHAIN_ID, COUNTER, 0);
    forged = SignedAuthorization::new_unchecked(
        forged.inner().clone(),
        forged.y_parity(),
        forged.r(),
        U256::MAX,
    );
    let bad = [
        delegation(&wallet(2), 1, COUNTER, 0),
        delegation(&wallet(2), CHAIN_ID, COUNTER, 1),
        forged,
    ];
    for bad in bad {
        let chain = open();
        let hash = send(&chain, &sealed(carrying(0, vec![bad]))).expect("sent");
        let receipt = get(&chain, "eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1", "the transaction stands");
        assert_eq!(code(&chain, wallet(2).address()), "0x");
    }
}

#[test]
fn what_delegates_nothing_or_costs_more_is_not_admitted() {
    let chain = open();
    assert_eq!(
        refusal(&chain, &sealed(carrying(0, Vec::new()))),
        "set code tx must have at least one authorization tuple"
    );
    // 25,000 gas per delegation (EIP-7702) on top of 21,000.
    let mut tx = carrying(0, vec![delegation(&wallet(2), CHAIN_ID, COUNTER, 0)]);
    tx.gas_limit = 45_999;
    assert!(refusal(&chain, &sealed(tx)).starts_with("intrinsic gas too low"));
    let mut tx = carrying(0, vec![delegation(&wallet(2), CHAIN_ID, COUNTER, 0)]);
    tx.chain_id = 1;
    assert!(refusal(&chain, &sealed(tx)).starts_with("invalid chain id"));
    // In a call there is no room for delegations: refused, not ignored.
    let list = json!([{ "chainId": "0x0" }]);
    let err = ask(
        &chain,
        "eth_call",
        json!([{ "to": STRANGER, "authorizationList": list }]),
    );
    assert_eq!(err.expect_err("refused").code, -32_602);
}

#[test]
fn the_chain_delegates_for_a_wallet() {
    let chain = open();
    let account = wallet(1).address();
    chain.delegate(&wallet(1), COUNTER).expect("delegated");
    assert_eq!(code(&chain, account), designator(COUNTER));
    chain
        .delegate(&wallet(1), Address::ZERO)
        .expect("delegated");
    assert_eq!(code(&chain, account), "0x");
    let poor = chain.delegate(&wallet(3), COUNTER).expect_err("refused");
    assert!(
        matches!(poor, SendError::Rejected(Rejection::Funds(_))),
        "{poor:?}"
    );
}

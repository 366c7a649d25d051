use alloy_consensus::{SignableTransaction as _, TxEip2930, TxLegacy};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{B256, Signature, TxKind, U256, keccak256};
use seamline_localnet::chain::CHAIN_ID;
use serde_json::{Value, json};

use super::{
    COUNTER, START, STRANGER, ask, balance, get, number, open, send, signed, transfer, wallet,
};

#[test]
fn a_new_chain_introduces_itself() {
    let chain = open();
    assert_eq!(get(&chain, "eth_chainId", json!([])), json!("0x7b7a"));
    assert_eq!(get(&chain, "net_version", json!([])), json!("31610"));
    assert_eq!(get(&chain, "eth_blockNumber", Value::Null), json!("0x0"));
    assert_eq!(get(&chain, "eth_syncing", json!([])), json!(false));
    assert_eq!(get(&chain, "eth_accounts", json!([])), json!([]));
    let version = get(&chain, "web3_clientVersion", json!([]));
    assert!(
        version
            .as_str()
            .is_some_and(|version| version.starts_with("seamline-localnet/"))
    );
    let genesis = get(&chain, "eth_getBlockByNumber", json!(["earliest", true]));
    assert_eq!(number(&genesis["timestamp"]), U256::from(START));
    assert_eq!(genesis["transactions"], json!([]));
}

#[test]
fn a_transfer_moves_value_and_leaves_a_receipt() {
    let chain = open();
    let raw = signed(&wallet(1), transfer(0));
    let hash = send(&chain, &raw).expect("sent");
    assert_eq!(hash, json!(keccak256(&raw)));
    assert_eq!(balance(&chain, STRANGER), U256::from(1));

    let receipt = get(&chain, "eth_getTransactionReceipt", json!([hash]));
    let block = get(&chain, "eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["type"], "0x2");
    assert_eq!(receipt["gasUsed"], "0x5208");
    assert_eq!(receipt["cumulativeGasUsed"], "0x5208");
    assert_eq!(receipt["contractAddress"], Value::Null);
    assert_eq!(receipt["blockHash"], block["hash"]);
    assert_eq!(receipt["from"], json!(wallet(1).address()));
    let price = number(&block["baseFeePerGas"]) + U256::from(1_000_000);
    assert_eq!(number(&receipt["effectiveGasPrice"]), price);

    let transaction = get(&chain, "eth_getTransactionByHash", json!([hash]));
    assert_eq!(block["transactions"], json!([transaction]));
    assert_eq!(number(&transaction["gasPrice"]), price);
    assert_eq!(
        get(&chain, "eth_getBlockReceipts", json!(["latest"])),
        json!([receipt])
    );
    assert_eq!(
        get(
            &chain,
            "eth_getBlockTransactionCountByNumber",
            json!(["0x1"])
        ),
        json!("0x1")
    );
    let by_hash = get(
        &chain,
        "eth_getBlockTransactionCountByHash",
        json!([block["hash"]]),
    );
    assert_eq!(by_hash, json!("0x1"));
}

#[test]
fn older_transaction_types_are_executed() {
    let chain = open();
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: 10_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(STRANGER),
        value: U256::from(5),
        ..TxLegacy::default()
    };
    let signature = wallet(1).sign_hash(&legacy.signature_hash());
    let signature = Signature::from_raw(signature.as_bytes()).expect("a signature");
    let hash = send(&chain, &legacy.into_signed(signature).encoded_2718()).expect("sent");
    let shown = get(&chain, "eth_getTransactionByHash", json!([hash]));
    // EIP-155: v = 35 + 2 * 31610 + parity.
    assert_eq!(
        number(&shown["v"]),
        U256::from(63_255 + u64::from(signature.v()))
    );
    assert_eq!(shown["type"], "0x0");

    let listed = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_price: 10_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(STRANGER),
        value: U256::from(6),
        ..TxEip2930::default()
    };
    let signature = wallet(1).sign_hash(&listed.signature_hash());
    let signature = Signature::from_raw(signature.as_bytes()).expect("a signature");
    let hash = send(&chain, &listed.into_signed(signature).encoded_2718()).expect("sent");
    assert_eq!(
        get(&chain, "eth_getTransactionReceipt", json!([hash]))["type"],
        "0x1"
    );
    assert_eq!(balance(&chain, STRANGER), U256::from(11));
}

#[test]
fn headers_chain_and_hash_as_clients_compute_them() {
    let chain = open();
    let sent = wallet(1);
    for account_nonce in 0..3 {
        send(&chain, &signed(&sent, transfer(account_nonce))).expect("sent");
    }
    let head = chain.head().expect("a head");
    assert_eq!(head.number, 3);
    let mut parent = Value::Null;
    for height in 0..=3 {
        let block = get(
            &chain,
            "eth_getBlockByNumber",
            json!([format!("{height:#x}"), false]),
        );
        if height > 0 {
            assert_eq!(block["parentHash"], parent);
        }
        let again = get(&chain, "eth_getBlockByHash", json!([block["hash"], false]));
        assert_eq!(again, block);
        parent = block["hash"].clone();
    }
    assert_eq!(parent, json!(head.hash));
}

#[test]
fn fee_history_has_the_shape_that_clients_read() {
    let chain = open();
    for account_nonce in 0..3 {
        send(&chain, &signed(&wallet(1), transfer(account_nonce))).expect("sent");
    }
    let history = get(
        &chain,
        "eth_feeHistory",
        json!(["0x2", "latest", [10, 50.5, 90]]),
    );
    assert_eq!(history["oldestBlock"], "0x2");
    assert_eq!(history["baseFeePerGas"].as_array().map(Vec::len), Some(3));
    assert_eq!(history["gasUsedRatio"].as_array().map(Vec::len), Some(2));
    assert_eq!(history["gasUsedRatio"][0].as_f64(), Some(0.0007));
    assert_eq!(
        history["reward"],
        json!([
            ["0xf4240", "0xf4240", "0xf4240"],
            ["0xf4240", "0xf4240", "0xf4240"]
        ])
    );
    // As a JSON number too, and more blocks than there are.
    let history = get(&chain, "eth_feeHistory", json!([1024, "latest"]));
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history.get("reward"), None);
    for bad in [
        json!(["0x1", "latest", [50, 10]]),
        json!(["0x1", "latest", [101]]),
        json!(["0x1", "latest", ["50"]]),
        json!(["0x1", "0x99"]),
        json!([-1, "latest"]),
    ] {
        ask(&chain, "eth_feeHistory", bad).expect_err("refused");
    }
}

#[test]
fn gas_price_covers_the_next_base_fee_and_a_tip() {
    let chain = open();
    assert_eq!(get(&chain, "eth_gasPrice", json!([])), json!("0x1e8480"));
    assert_eq!(
        get(&chain, "eth_maxPriorityFeePerGas", json!([])),
        json!("0xf4240")
    );
}

#[test]
fn unknown_things_are_null_and_unknown_states_are_errors() {
    let chain = open();
    let nowhere = B256::repeat_byte(9);
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x63", false])),
        ("eth_getBlockByHash", json!([nowhere, false])),
        ("eth_getBlockReceipts", json!(["0x63"])),
        ("eth_getTransactionByHash", json!([nowhere])),
        ("eth_getTransactionReceipt", json!([nowhere])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x63"])),
    ] {
        assert_eq!(get(&chain, method, params), Value::Null, "{method}");
    }
    for params in [
        json!([STRANGER, "0x63"]),
        json!([STRANGER, { "blockHash": nowhere }]),
    ] {
        let err = ask(&chain, "eth_getBalance", params).expect_err("no such state");
        assert_eq!(
            (err.code, err.message.as_str()),
            (-32_000, "header not found")
        );
    }
}

#[test]
fn wrong_parameters_are_named() {
    let chain = open();
    let cases = [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x12", "latest"])),
        ("eth_getBalance", json!([STRANGER, "newest"])),
        ("eth_getBalance", json!([STRANGER, "0x01"])),
        ("eth_getBalance", json!([STRANGER, 1])),
        ("eth_getBalance", json!({ "address": STRANGER })),
        ("eth_getStorageAt", json!([STRANGER, "0x", "latest"])),
        (
            "eth_getStorageAt",
            json!([STRANGER, format!("0x{}", "0".repeat(65)), "latest"]),
        ),
        ("eth_getTransactionReceipt", json!(["0x12"])),
        ("eth_getBlockByNumber", json!(["latest", "yes"])),
        ("eth_sendRawTransaction", json!(["02f8"])),
        ("eth_sendRawTransaction", json!(["0x0"])),
        ("eth_sendRawTransaction", json!([7])),
        ("eth_call", json!([])),
        ("eth_call", json!([[]])),
        ("eth_call", json!([{ "to": "0x1" }])),
        ("eth_call", json!([{ "value": "0x00" }])),
        (
            "eth_call",
            json!([{ "value": format!("0x1{}", "0".repeat(64)) }]),
        ),
        ("eth_call", json!([{ "data": "0x01", "input": "0x02" }])),
        (
            "eth_call",
            json!([{ "gasPrice": "0x1", "maxFeePerGas": "0x1" }]),
        ),
        ("eth_call", json!([{ "authorizationList": [] }])),
        (
            "eth_call",
            json!([{ "accessList": [{ "address": STRANGER }] }]),
        ),
        (
            "eth_call",
            json!([{}, "latest", { COUNTER.to_string(): { "balance": "0x1" } }]),
        ),
        (
            "eth_getLogs",
            json!([{ "fromBlock": "0x2", "toBlock": "0x1" }]),
        ),
        (
            "eth_getLogs",
            json!([{ "blockHash": B256::ZERO, "fromBlock": "0x0" }]),
        ),
        ("eth_getLogs", json!([{ "address": "0x1" }])),
        (
            "eth_getLogs",
            json!([{ "topics": [null, null, null, null, null] }]),
        ),
        ("eth_getLogs", json!([{ "topics": "0x1" }])),
    ];
    for (method, params) in cases {
        let err = ask(&chain, method, params.clone()).expect_err("refused");
        assert_eq!(err.code, -32_602, "{method} {params}: {}", err.message);
    }
}

#[test]
fn unknown_methods_are_refused_and_cut() {
    let chain = open();
    let err = ask(&chain, "eth_getProof", json!([])).expect_err("unknown");
    assert_eq!(err.code, -32_601);
    let err = ask(&chain, &"x".repeat(10_000), json!([])).expect_err("unknown");
    assert!(err.message.len() < 200);
}

#[test]
fn dev_methods_can_be_switched_off() {
    let chain = seamline_localnet::chain::Chain::open(seamline_localnet::chain::ChainConfig {
        dev_methods: false,
        only_from: None,
        models: None,
        ..super::config()
    })
    .expect("a chain");
    for method in [
        "evm_mine",
        "evm_increaseTime",
        "evm_setAutomine",
        "evm_snapshot",
        "evm_revert",
    ] {
        assert_eq!(
            ask(&chain, method, json!([])).expect_err("off").code,
            -32_601
        );
    }
}

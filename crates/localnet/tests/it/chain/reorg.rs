//! Blocks that are taken back, and transactions that vanish.

use alloy_primitives::U256;
use seamline_localnet::chain::{Chain, ChainConfig, Error, Mining, Orphans};
use serde_json::{Value, json};

use super::{STRANGER, ask, balance, config, get, open, open_at, send, signed, transfer, wallet};

fn latest(chain: &Chain) -> (Value, Value) {
    let block = get(chain, "eth_getBlockByNumber", json!(["latest", false]));
    (block["number"].clone(), block["hash"].clone())
}

fn receipt(chain: &Chain, hash: &Value) -> Value {
    get(chain, "eth_getTransactionReceipt", json!([hash]))
}

#[test]
fn what_was_in_a_block_is_gone() {
    let chain = open();
    let kept = send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let raw = signed(&wallet(1), transfer(1));
    let lost = send(&chain, &raw).expect("sent");
    let before = latest(&chain);
    get(&chain, "anvil_reorg", json!([1, []]));
    let after = latest(&chain);
    assert_eq!(before.0, after.0, "as long as before");
    assert_ne!(before.1, after.1, "and another");
    assert_eq!(
        get(&chain, "eth_getBlockByHash", json!([before.1, false])),
        Value::Null
    );
    assert_eq!(receipt(&chain, &kept)["status"], "0x1");
    assert_eq!(receipt(&chain, &lost), Value::Null);
    assert_eq!(
        get(&chain, "eth_getTransactionByHash", json!([lost])),
        Value::Null
    );
    assert_eq!(balance(&chain, STRANGER), U256::from(1), "its effects too");
    // Whoever wants it sends it again.
    send(&chain, &raw).expect("sent again");
    assert_eq!(receipt(&chain, &lost)["status"], "0x1");
    assert_eq!(balance(&chain, STRANGER), U256::from(2));
}

#[test]
fn an_orphan_may_wait_again() {
    let chain = open();
    let first = send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let second = send(&chain, &signed(&wallet(1), transfer(1))).expect("sent");
    let head = chain.reorg(2, Orphans::Requeue).expect("reorganised");
    assert_eq!(head.number, 2);
    for hash in [&first, &second] {
        let waiting = get(&chain, "eth_getTransactionByHash", json!([hash]));
        assert_eq!(waiting["blockHash"], Value::Null);
        assert_eq!(waiting["hash"], *hash);
        assert_eq!(receipt(&chain, hash), Value::Null);
    }
    get(&chain, "evm_mine", json!([]));
    assert_eq!(receipt(&chain, &second)["blockNumber"], "0x3");
    assert_eq!(balance(&chain, STRANGER), U256::from(2));
}

#[test]
fn another_transaction_may_take_its_nonce() {
    let chain = open();
    let lost = send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    chain.reorg(1, Orphans::Forget).expect("reorganised");
    let mut other = transfer(0);
    other.value = U256::from(5);
    send(&chain, &signed(&wallet(1), other)).expect("sent");
    assert_eq!(receipt(&chain, &lost), Value::Null);
    assert_eq!(balance(&chain, STRANGER), U256::from(5));
    // Now the first cannot come back.
    let err = send(&chain, &signed(&wallet(1), transfer(0))).expect_err("refused");
    assert!(err.message.starts_with("nonce too low"));
}

#[test]
fn an_orphan_yields_to_what_waits_with_its_nonce() {
    let chain = open();
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    get(&chain, "evm_setAutomine", json!([false]));
    let waiting = send(&chain, &signed(&wallet(1), transfer(1))).expect("pooled");
    chain.reorg(1, Orphans::Requeue).expect("reorganised");
    get(&chain, "evm_mine", json!([]));
    assert_eq!(receipt(&chain, &waiting)["blockNumber"], "0x2");
    assert_eq!(balance(&chain, STRANGER), U256::from(2));
}

#[test]
fn no_two_branches_are_alike() {
    let chain = open();
    get(&chain, "evm_mine", json!([]));
    let mut seen = vec![latest(&chain).1];
    for _ in 0..3 {
        chain.reorg(1, Orphans::Forget).expect("reorganised");
        let hash = latest(&chain).1;
        assert!(!seen.contains(&hash));
        seen.push(hash);
    }
    let untouched = latest(&chain);
    get(&chain, "anvil_reorg", json!([0]));
    assert_eq!(latest(&chain), untouched);
}

#[test]
fn a_branch_outlives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chain.redb");
    let chain = open_at(path.clone());
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    chain.reorg(1, Orphans::Requeue).expect("reorganised");
    let head = latest(&chain);
    drop(chain);
    let chain = open_at(path);
    assert_eq!(latest(&chain), head);
    // The pool is in memory: what waited is lost.
    assert_eq!(balance(&chain, STRANGER), U256::ZERO);
}

#[test]
fn a_snapshot_of_a_replaced_block_is_forgotten() {
    let chain = open();
    let first = get(&chain, "evm_snapshot", json!([]));
    get(&chain, "evm_mine", json!([]));
    let second = get(&chain, "evm_snapshot", json!([]));
    chain.reorg(1, Orphans::Forget).expect("reorganised");
    assert_eq!(get(&chain, "evm_revert", json!([second])), json!(false));
    assert_eq!(get(&chain, "evm_revert", json!([first])), json!(true));
}

#[test]
fn the_first_block_stays() {
    let chain = open();
    let deep = chain.reorg(1, Orphans::Forget).expect_err("refused");
    assert!(matches!(deep, Error::TooOld(_)), "{deep}");
    for _ in 0..130 {
        get(&chain, "evm_mine", json!([]));
    }
    let deep = chain.reorg(129, Orphans::Forget).expect_err("refused");
    assert!(matches!(deep, Error::TooOld(_)), "{deep}");
    chain.reorg(128, Orphans::Forget).expect("reorganised");
    let refusals = [
        (json!([]), -32_602),
        (json!(["deep"]), -32_602),
        (json!([1, [["0x00", 0]]]), -32_602),
        (json!([1, [], "yes"]), -32_602),
        (json!([131]), -32_000),
    ];
    for (params, code) in refusals {
        let err = ask(&chain, "anvil_reorg", params).expect_err("refused");
        assert_eq!(err.code, code, "{}", err.message);
    }
}

#[test]
fn these_are_methods_for_development() {
    let chain = Chain::open(ChainConfig {
        dev_methods: false,
        only_from: None,
        models: None,
        ..config()
    })
    .expect("a chain");
    for method in ["anvil_reorg", "anvil_dropTransaction"] {
        let err = ask(&chain, method, json!([1])).expect_err("refused");
        assert_eq!(err.code, -32_601);
    }
}

#[test]
fn what_waits_can_be_dropped() {
    let chain = Chain::open(ChainConfig {
        mining: Mining::Manual,
        ..config()
    })
    .expect("a chain");
    let raw = signed(&wallet(1), transfer(0));
    let hash = send(&chain, &raw).expect("pooled");
    send(&chain, &signed(&wallet(1), transfer(1))).expect("pooled");
    assert_eq!(
        get(&chain, "eth_blockNumber", json!([])),
        "0x0",
        "nothing by itself"
    );
    assert_eq!(get(&chain, "anvil_dropTransaction", json!([hash])), hash);
    assert_eq!(
        get(&chain, "anvil_dropTransaction", json!([hash])),
        Value::Null
    );
    assert_eq!(
        get(&chain, "eth_getTransactionByHash", json!([hash])),
        Value::Null
    );
    get(&chain, "evm_mine", json!([]));
    assert_eq!(
        balance(&chain, STRANGER),
        U256::ZERO,
        "the next one waits for it"
    );
    send(&chain, &raw).expect("pooled");
    get(&chain, "evm_mine", json!([]));
    assert_eq!(balance(&chain, STRANGER), U256::from(2));
}

#[test]
fn a_dear_block_leaves_cheap_transactions_waiting() {
    let chain = open();
    get(
        &chain,
        "anvil_setNextBlockBaseFeePerGas",
        json!([50_000_000]),
    );
    let stuck = send(&chain, &signed(&wallet(1), transfer(0))).expect("pooled");
    assert_eq!(get(&chain, "eth_blockNumber", json!([])), "0x0");
    let mut bumped = transfer(0);
    (bumped.max_fee_per_gas, bumped.max_priority_fee_per_gas) = (60_000_000, 1_125_000);
    let second = send(&chain, &signed(&wallet(1), bumped)).expect("replaced");
    assert_eq!(
        receipt(&chain, &second)["effectiveGasPrice"],
        "0x30c1b08",
        "51,125,000"
    );
    assert_eq!(
        get(&chain, "eth_getTransactionByHash", json!([stuck])),
        Value::Null
    );
    // It held for one block; from there the fee falls by an eighth with each that is near empty.
    get(&chain, "evm_mine", json!([]));
    let block = get(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    let fee = super::number(&block["baseFeePerGas"]);
    assert!(
        fee > U256::from(43_750_000) && fee < U256::from(43_800_000),
        "{fee}"
    );
}

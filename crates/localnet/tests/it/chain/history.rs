use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use seamline_localnet::chain::{Chain, ChainConfig, Mining};
use serde_json::{Value, json};

use super::{
    COUNTER, Hands, START, STRANGER, ask, balance, config, get, number, open, send, signed,
    transfer, wallet,
};

fn count_at(chain: &Chain, block: Value) -> U256 {
    U256::from_str_radix(
        get(chain, "eth_getStorageAt", json!([COUNTER, "0x0", block]))
            .as_str()
            .expect("a word")
            .trim_start_matches("0x"),
        16,
    )
    .expect("a word")
}

#[test]
fn the_past_can_be_read_for_128_blocks() {
    let chain = open();
    for _ in 0..130 {
        chain
            .transact(&wallet(1), Some(COUNTER), U256::ZERO, Bytes::new())
            .expect("sent");
    }
    assert_eq!(count_at(&chain, json!("latest")), U256::from(130));
    assert_eq!(count_at(&chain, json!("0x2")), U256::from(2));
    assert_eq!(count_at(&chain, json!("0x81")), U256::from(129));
    let block = get(&chain, "eth_getBlockByNumber", json!(["0x64", false]));
    assert_eq!(
        count_at(&chain, json!({ "blockHash": block["hash"] })),
        U256::from(100)
    );
    assert_eq!(
        count_at(&chain, json!({ "blockNumber": "0x64" })),
        U256::from(100)
    );
    let then = get(&chain, "eth_call", json!([{ "to": COUNTER }, "0x64"]));
    assert_eq!(then, json!(B256::from(U256::from(101))));
    let nonce = get(
        &chain,
        "eth_getTransactionCount",
        json!([wallet(1).address(), "0x64"]),
    );
    assert_eq!(nonce, json!("0x64"));
    let err = ask(&chain, "eth_getBalance", json!([STRANGER, "0x1"])).expect_err("too old");
    assert_eq!((err.code, err.message.contains("128")), (-32_000, true));
    // Blocks and receipts are kept for good.
    assert_eq!(
        get(&chain, "eth_getBlockReceipts", json!(["0x1"]))
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_snapshot_brings_everything_back() {
    let chain = open();
    chain
        .transact(&wallet(1), Some(COUNTER), U256::ZERO, Bytes::new())
        .expect("sent");
    let before = get(&chain, "eth_getBlockByNumber", json!(["latest", true]));
    let funds = balance(&chain, wallet(1).address());
    let first = get(&chain, "evm_snapshot", json!([]));
    let hash = send(&chain, &signed(&wallet(1), transfer(1))).expect("sent");
    let second = get(&chain, "evm_snapshot", json!([]));
    chain
        .transact(&wallet(1), Some(COUNTER), U256::ZERO, Bytes::new())
        .expect("sent");

    assert_eq!(get(&chain, "evm_revert", json!([first])), json!(true));
    assert_eq!(
        get(&chain, "eth_getBlockByNumber", json!(["latest", true])),
        before
    );
    assert_eq!(balance(&chain, wallet(1).address()), funds);
    assert_eq!(balance(&chain, STRANGER), U256::ZERO);
    assert_eq!(count_at(&chain, json!("latest")), U256::from(1));
    assert_eq!(
        get(&chain, "eth_getTransactionReceipt", json!([hash])),
        Value::Null
    );
    for gone in [first, second, json!("0x0"), json!("0x63")] {
        assert_eq!(get(&chain, "evm_revert", json!([gone])), json!(false));
    }
    // The same transaction can be made again.
    send(&chain, &signed(&wallet(1), transfer(1))).expect("sent again");
}

#[test]
fn a_snapshot_that_is_too_old_is_refused_whole() {
    let chain = open();
    let id = get(&chain, "evm_snapshot", json!([]));
    for _ in 0..130 {
        get(&chain, "evm_mine", json!([]));
    }
    assert_eq!(get(&chain, "evm_revert", json!([id])), json!(false));
    assert_eq!(get(&chain, "eth_blockNumber", json!([])), json!("0x82"));
}

#[test]
fn time_follows_the_clock_and_never_goes_back() {
    let hands = Hands::new();
    let chain = Chain::open(ChainConfig {
        clock: hands.clock(),
        ..config()
    })
    .expect("a chain");
    let mined = |seconds: u64| {
        hands.set(seconds);
        chain.mine().expect("a block").timestamp
    };
    assert_eq!(mined(START + 10), START + 10);
    assert_eq!(
        mined(START + 10),
        START + 10,
        "blocks of one second share it"
    );
    assert_eq!(mined(START - 100), START + 10, "a clock that was set back");
    assert_eq!(
        get(&chain, "evm_increaseTime", json!([3_600])),
        json!(3_600)
    );
    assert_eq!(mined(START + 20), START + 3_620);
    hands.set(START + 30);
    let pending = get(&chain, "eth_getBlockByNumber", json!(["pending", false]));
    assert_eq!(number(&pending["timestamp"]), U256::from(START + 3_630));
}

#[test]
fn the_base_fee_rises_with_full_blocks_and_has_a_floor() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    // 300,000 bytes of zeros at 10 gas each (EIP-7623), in pieces below the size limit.
    for account_nonce in 0..20 {
        let mut tx = transfer(account_nonce);
        (tx.input, tx.gas_limit) = (vec![0; 100_000].into(), 1_100_000);
        send(&chain, &signed(&wallet(1), tx)).expect("pooled");
    }
    get(&chain, "evm_mine", json!([]));
    get(&chain, "evm_mine", json!([]));
    let fee = |block: &str| {
        number(&get(&chain, "eth_getBlockByNumber", json!([block, false]))["baseFeePerGas"])
    };
    let full = get(&chain, "eth_getBlockByNumber", json!(["0x1", false]));
    assert!(
        number(&full["gasUsed"]) > U256::from(15_000_000),
        "above the target"
    );
    assert_eq!(fee("0x1"), U256::from(1_000_000));
    assert!(fee("0x2") > U256::from(1_000_000));
    for _ in 0..3 {
        get(&chain, "evm_mine", json!([]));
    }
    assert_eq!(fee("latest"), U256::from(1_000_000));
}

#[test]
fn what_does_not_fit_goes_into_the_next_block() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    for account_nonce in 0..3 {
        let mut tx = transfer(account_nonce);
        tx.gas_limit = 29_990_000;
        send(&chain, &signed(&wallet(1), tx)).expect("pooled");
    }
    get(&chain, "evm_setAutomine", json!([true]));
    assert_eq!(get(&chain, "eth_blockNumber", json!([])), json!("0x3"));
    assert_eq!(balance(&chain, STRANGER), U256::from(3));
}

#[tokio::test(start_paused = true)]
async fn interval_mining_makes_blocks_while_it_runs() {
    let mining = Mining::Interval(Duration::from_secs(2));
    let chain = Chain::open(ChainConfig { mining, ..config() }).expect("a chain");
    let hash = send(&chain, &signed(&wallet(1), transfer(0))).expect("pooled");
    assert_eq!(
        get(&chain, "eth_getTransactionReceipt", json!([hash])),
        Value::Null
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(chain.clone().run(async move {
        stopped.await.unwrap_or_default();
    }));
    while chain.head().expect("a head").number < 3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.send(()).expect("still running");
    running.await.expect("stopped");
    let receipt = get(&chain, "eth_getTransactionReceipt", json!([hash]));
    assert_eq!(receipt["blockNumber"], "0x1");
}

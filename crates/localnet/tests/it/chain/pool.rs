use alloy_primitives::{Bytes, TxKind, U256};
use serde_json::{Value, json};

use super::{
    STRANGER, ask, balance, config, ether, get, open, refuser_code, send, signed, transfer, wallet,
};

fn nonces(chain: &seamline_localnet::chain::Chain, seed: u8) -> (Value, Value) {
    let at = |tag: &str| {
        get(
            chain,
            "eth_getTransactionCount",
            json!([wallet(seed).address(), tag]),
        )
    };
    (at("latest"), at("pending"))
}

fn refusal(chain: &seamline_localnet::chain::Chain, raw: &[u8]) -> String {
    let err = send(chain, raw).expect_err("refused");
    assert_eq!(err.code, -32_000);
    err.message
}

#[test]
fn a_gap_waits_until_it_is_filled() {
    let chain = open();
    let ahead = send(&chain, &signed(&wallet(1), transfer(2))).expect("queued");
    send(&chain, &signed(&wallet(1), transfer(1))).expect("queued");
    assert_eq!(nonces(&chain, 1), (json!("0x0"), json!("0x0")));
    assert_eq!(get(&chain, "eth_blockNumber", json!([])), json!("0x0"));
    let waiting = get(&chain, "eth_getTransactionByHash", json!([ahead]));
    assert_eq!(waiting["blockHash"], Value::Null);
    assert_eq!(
        get(&chain, "eth_getTransactionReceipt", json!([ahead])),
        Value::Null
    );

    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    assert_eq!(nonces(&chain, 1), (json!("0x3"), json!("0x3")));
    let block = get(&chain, "eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["transactions"].as_array().map(Vec::len), Some(3));
    assert_eq!(balance(&chain, STRANGER), U256::from(3));
}

#[test]
fn pending_counts_what_waits_without_a_gap() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    send(&chain, &signed(&wallet(1), transfer(0))).expect("pooled");
    send(&chain, &signed(&wallet(1), transfer(1))).expect("pooled");
    send(&chain, &signed(&wallet(1), transfer(3))).expect("pooled");
    assert_eq!(nonces(&chain, 1), (json!("0x0"), json!("0x2")));
    let pending = get(&chain, "eth_getBlockByNumber", json!(["pending", true]));
    assert_eq!(pending["hash"], Value::Null);
    assert_eq!(pending["number"], "0x1");
    assert_eq!(pending["transactions"].as_array().map(Vec::len), Some(3));
    get(&chain, "evm_mine", json!([]));
    assert_eq!(nonces(&chain, 1), (json!("0x2"), json!("0x2")));
}

#[test]
fn a_replacement_pays_more_in_both_fees() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    let first = send(&chain, &signed(&wallet(1), transfer(0))).expect("pooled");
    let bid = |fee: u128, tip: u128| {
        let mut tx = transfer(0);
        (tx.max_fee_per_gas, tx.max_priority_fee_per_gas, tx.value) = (fee, tip, U256::from(9));
        signed(&wallet(1), tx)
    };
    let low = "replacement transaction underpriced";
    assert_eq!(refusal(&chain, &bid(10_999_999, 1_100_000)), low);
    assert_eq!(refusal(&chain, &bid(11_000_000, 1_099_999)), low);
    assert_eq!(
        refusal(&chain, &signed(&wallet(1), transfer(0))),
        "already known"
    );
    let second = send(&chain, &bid(11_000_000, 1_100_000)).expect("replaced");
    get(&chain, "evm_mine", json!([]));
    assert_eq!(
        get(&chain, "eth_getTransactionByHash", json!([first])),
        Value::Null
    );
    assert_eq!(
        get(&chain, "eth_getTransactionReceipt", json!([second]))["status"],
        "0x1"
    );
    assert_eq!(balance(&chain, STRANGER), U256::from(9));
}

#[test]
fn the_higher_tip_goes_first_and_nonces_stay_in_order() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    let tip = |account_nonce: u64, tip: u128| {
        let mut tx = transfer(account_nonce);
        tx.max_priority_fee_per_gas = tip;
        tx
    };
    send(&chain, &signed(&wallet(1), tip(1, 5_000_000))).expect("pooled");
    send(&chain, &signed(&wallet(1), tip(0, 1_000_000))).expect("pooled");
    send(&chain, &signed(&wallet(2), tip(0, 2_000_000))).expect("pooled");
    get(&chain, "evm_mine", json!([]));
    let block = get(&chain, "eth_getBlockByNumber", json!(["latest", true]));
    let order: Vec<_> = block["transactions"]
        .as_array()
        .expect("transactions")
        .iter()
        .map(|tx| (tx["from"].clone(), tx["nonce"].clone()))
        .collect();
    let (one, two) = (json!(wallet(1).address()), json!(wallet(2).address()));
    assert_eq!(
        order,
        [
            (two, json!("0x0")),
            (one.clone(), json!("0x0")),
            (one, json!("0x1"))
        ]
    );
}

#[test]
fn what_cannot_be_executed_is_not_admitted() {
    let chain = open();
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let bent = |bend: &dyn Fn(&mut alloy_consensus::TxEip1559)| {
        let mut tx = transfer(1);
        bend(&mut tx);
        refusal(&chain, &signed(&wallet(1), tx))
    };
    assert_eq!(
        refusal(&chain, &signed(&wallet(1), transfer(0))),
        "already known"
    );
    assert!(bent(&|tx| (tx.nonce, tx.value) = (0, U256::from(2))).starts_with("nonce too low"));
    assert!(bent(&|tx| tx.nonce = 1_026).starts_with("nonce too high"));
    assert!(bent(&|tx| tx.chain_id = 1).starts_with("invalid chain id"));
    assert!(bent(&|tx| tx.gas_limit = 20_999).starts_with("intrinsic gas too low"));
    assert_eq!(
        bent(&|tx| tx.gas_limit = 30_000_001),
        "exceeds block gas limit"
    );
    assert!(bent(&|tx| tx.max_priority_fee_per_gas = 10_000_001).starts_with("max priority fee"));
    assert!(
        bent(&|tx| (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (999_999, 0))
            .starts_with("transaction underpriced")
    );
    assert!(
        bent(&|tx| tx.value = ether(100)).starts_with("insufficient funds for gas * price + value")
    );
    assert!(
        bent(&|tx| {
            (tx.to, tx.input, tx.gas_limit) = (TxKind::Create, vec![0; 49_153].into(), 10_000_000);
        })
        .starts_with("max initcode size exceeded")
    );
    // EIP-7623: calldata that does little costs 40 gas per byte that is not zero.
    assert!(
        bent(&|tx| (tx.input, tx.gas_limit) = (vec![1; 100].into(), 24_999))
            .starts_with("intrinsic gas too low")
    );
}

#[test]
fn what_is_not_a_transaction_is_not_admitted() {
    let chain = open();
    let good = signed(&wallet(1), transfer(0));
    assert_eq!(refusal(&chain, &[]), "rlp: transaction is malformed");
    assert_eq!(
        refusal(&chain, &good[..good.len() - 1]),
        "rlp: transaction is malformed"
    );
    assert_eq!(
        refusal(&chain, &[good.as_slice(), &[0]].concat()),
        "rlp: transaction is malformed"
    );
    for kind in [0x03, 0x05, 0x7f] {
        let typed = [&[kind], &good[1..]].concat();
        assert_eq!(refusal(&chain, &typed), "transaction type not supported");
    }
    assert!(refusal(&chain, &vec![2; 131_073]).starts_with("oversized data"));
    // The signature is over other bytes: it recovers to an account without funds, or to none.
    let mut altered = good;
    altered[20] ^= 1;
    send(&chain, &altered).expect_err("refused");
    assert_eq!(get(&chain, "eth_blockNumber", json!([])), json!("0x0"));
}

#[test]
fn an_account_with_code_cannot_send() {
    let mut config = config();
    config.genesis = config.genesis.place(wallet(1).address(), refuser_code());
    let chain = seamline_localnet::chain::Chain::open(config).expect("a chain");
    let mut tx = transfer(1);
    tx.input = Bytes::new();
    assert!(refusal(&chain, &signed(&wallet(1), tx)).starts_with("sender not an eoa"));
    // In a call it can: a facilitator asks what its contract would do.
    get(
        &chain,
        "eth_call",
        json!([{ "from": wallet(1).address(), "to": STRANGER }]),
    );
}

#[test]
fn a_spent_balance_drops_what_follows() {
    let chain = open();
    get(&chain, "evm_setAutomine", json!([false]));
    let most = |account_nonce: u64| {
        let mut tx = transfer(account_nonce);
        tx.value = ether(1) - U256::from(1_000_000_000_000_u64);
        signed(&wallet(2), tx)
    };
    send(&chain, &most(0)).expect("pooled");
    let dropped = send(&chain, &most(1)).expect("affordable by itself");
    get(&chain, "evm_mine", json!([]));
    assert_eq!(nonces(&chain, 2), (json!("0x1"), json!("0x1")));
    assert_eq!(
        get(&chain, "eth_getTransactionByHash", json!([dropped])),
        Value::Null
    );
    ask(&chain, "evm_mine", json!([])).expect("the chain goes on");
}

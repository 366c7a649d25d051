use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolCall as _, SolEvent as _, SolValue as _, sol};
use seamline_core::Timestamp;
use seamline_localnet::chain::{
    Artifact, ArtifactError, Chain, ChainConfig, Clock, Error, SendError,
};
use serde_json::{Value, json};

use super::{COUNTER, Hands, REFUSER, STRANGER, ask, config, genesis, get, number, open, wallet};

const TOKEN: &str = include_str!("../../../../../contracts/artifacts/OPGToken.json");
const PERMIT2: &str = include_str!("../../../../../contracts/artifacts/Permit2.json");

sol! {
    event Transfer(address indexed from, address indexed to, uint256 value);
    function transfer(address to, uint256 value) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}

fn token_init(holder: alloy_primitives::Address, supply: u64) -> Bytes {
    let artifact = Artifact::parse(TOKEN).expect("an artifact");
    artifact.with_arguments(&(holder, U256::from(supply)).abi_encode_params())
}

fn read(chain: &Chain, to: alloy_primitives::Address, input: Vec<u8>) -> Vec<u8> {
    let out = get(
        chain,
        "eth_call",
        json!([{ "to": to, "data": Bytes::from(input) }, "latest"]),
    );
    hex::decode(out.as_str().expect("bytes")).expect("hex")
}

#[test]
fn a_contract_is_deployed_called_and_logged() {
    let chain = open();
    let owner = wallet(1);
    let token = chain
        .deploy(&owner, token_init(owner.address(), 1_000))
        .expect("deployed");
    assert_eq!(token, owner.address().create(0));
    let code = get(&chain, "eth_getCode", json!([token, "latest"]));
    assert!(code.as_str().is_some_and(|code| code.len() > 1_000));

    let input = transferCall {
        to: STRANGER,
        value: U256::from(7),
    }
    .abi_encode();
    let sent = chain
        .transact(&owner, Some(token), U256::ZERO, input.into())
        .expect("sent");
    assert_eq!(sent.logs.len(), 1);
    let out = read(
        &chain,
        token,
        balanceOfCall { account: STRANGER }.abi_encode(),
    );
    assert_eq!(U256::from_be_slice(&out), U256::from(7));

    let receipt = get(&chain, "eth_getTransactionReceipt", json!([sent.hash]));
    assert_eq!(
        receipt["logs"][0]["topics"][0],
        json!(Transfer::SIGNATURE_HASH)
    );
    assert_eq!(receipt["logs"][0]["logIndex"], "0x0");
    let deployed = get(&chain, "eth_getBlockReceipts", json!(["0x1"]));
    assert_eq!(deployed[0]["contractAddress"], json!(token));
}

#[test]
fn logs_are_found_by_every_part_of_a_filter() {
    let chain = open();
    let owner = wallet(1);
    let token = chain
        .deploy(&owner, token_init(owner.address(), 1_000))
        .expect("deployed");
    for value in 1..=3_u64 {
        let input = transferCall {
            to: STRANGER,
            value: U256::from(value),
        }
        .abi_encode();
        chain
            .transact(&owner, Some(token), U256::ZERO, input.into())
            .expect("sent");
        chain
            .transact(&owner, Some(COUNTER), U256::ZERO, Bytes::new())
            .expect("sent");
    }
    let count = |filter: Value| {
        get(&chain, "eth_getLogs", json!([filter]))
            .as_array()
            .expect("logs")
            .len()
    };
    let (all, topic) = (json!({ "fromBlock": "earliest" }), Transfer::SIGNATURE_HASH);
    let to = B256::left_padding_from(STRANGER.as_slice());
    let with = |extra: Value| {
        let mut filter = all.clone();
        filter
            .as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        count(filter)
    };
    assert_eq!(
        count(all.clone()),
        7,
        "one mint, three transfers, three counts"
    );
    assert_eq!(count(json!({})), 1, "without a range, the newest block");
    assert_eq!(with(json!({ "toBlock": "0x1" })), 1);
    assert_eq!(with(json!({ "address": token })), 4);
    assert_eq!(with(json!({ "address": [token, COUNTER] })), 7);
    assert_eq!(with(json!({ "address": STRANGER })), 0);
    assert_eq!(with(json!({ "topics": [topic] })), 4);
    assert_eq!(
        with(json!({ "topics": [[topic, B256::repeat_byte(0x11)]] })),
        7
    );
    assert_eq!(with(json!({ "topics": [null, null, to] })), 3);
    assert_eq!(
        with(json!({ "topics": [topic, null, [to, B256::ZERO]] })),
        3
    );
    assert_eq!(
        with(json!({ "topics": [B256::repeat_byte(0x11), null] })),
        0,
        "those logs have one topic"
    );
    assert_eq!(with(json!({ "topics": [] })), 7);
    assert_eq!(with(json!({ "fromBlock": "0x63", "toBlock": "0x64" })), 0);
    let block = get(&chain, "eth_getBlockByNumber", json!(["0x2", false]));
    assert_eq!(count(json!({ "blockHash": block["hash"] })), 1);
    let err =
        ask(&chain, "eth_getLogs", json!([{ "blockHash": B256::ZERO }])).expect_err("unknown");
    assert_eq!(err.code, -32_000);
    let logs = get(&chain, "eth_getLogs", json!([all]));
    assert_eq!(logs[6]["data"], json!(B256::from(U256::from(3))));
}

#[test]
fn a_revert_carries_its_reason_and_data() {
    let chain = open();
    for method in ["eth_call", "eth_estimateGas"] {
        let err = ask(&chain, method, json!([{ "to": REFUSER }])).expect_err("reverts");
        assert_eq!(
            (err.code, err.message.as_str()),
            (3, "execution reverted: nope")
        );
        let data = err
            .data
            .and_then(|data| data.as_str().map(str::to_owned))
            .expect("data");
        assert!(data.starts_with("0x08c379a0"));
    }
    let refused = chain.transact(&wallet(1), Some(REFUSER), U256::ZERO, Bytes::new());
    let refused = refused.expect_err("reverts");
    assert!(
        matches!(&refused, SendError::Reverted(reason) if reason == "execution reverted: nope"),
        "{refused}"
    );
    assert_eq!(
        get(&chain, "eth_blockNumber", json!([])),
        json!("0x0"),
        "nothing was sent"
    );
}

#[test]
fn a_failed_transaction_is_mined_as_failed() {
    let chain = open();
    let mut tx = super::transfer(0);
    (tx.to, tx.value, tx.gas_limit) =
        (alloy_primitives::TxKind::Call(REFUSER), U256::ZERO, 100_000);
    let hash = super::send(&chain, &super::signed(&wallet(1), tx)).expect("sent");
    let receipt = get(&chain, "eth_getTransactionReceipt", json!([hash]));
    assert_eq!(
        (receipt["status"].clone(), receipt["logs"].clone()),
        (json!("0x0"), json!([]))
    );
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    let chain = open();
    let call = json!({ "from": wallet(1).address(), "to": COUNTER });
    let estimate = number(&get(&chain, "eth_estimateGas", json!([call])));
    let sent = chain
        .transact(&wallet(1), Some(COUNTER), U256::ZERO, Bytes::new())
        .expect("sent");
    let used = U256::from(sent.gas_used);
    assert!(
        estimate >= used && estimate <= used * U256::from(110) / U256::from(100),
        "{estimate} for {used}"
    );
    assert_eq!(
        get(&chain, "eth_estimateGas", json!([{ "to": STRANGER }])),
        json!("0x5208")
    );
    let poor = json!([{ "from": STRANGER, "to": COUNTER, "value": "0x1" }]);
    let err = ask(&chain, "eth_estimateGas", poor).expect_err("no funds");
    assert_eq!(err.message, "insufficient funds for gas * price + value");
    let little = json!([{ "to": COUNTER, "gas": "0x5300" }]);
    ask(&chain, "eth_estimateGas", little).expect_err("out of gas");
}

/// A slot that gets the value it has costs less to write: an estimate of the block's second is too little one second later.
#[test]
fn a_transaction_has_gas_for_a_block_that_comes_later() {
    const STAMP: Address = address!("0x0000000000000000000000000000000000057a3b");
    let (hands, reads) = (Hands::new(), Arc::new(AtomicU64::new(u64::MAX)));
    let clock: Clock = {
        let reads = Arc::clone(&reads);
        Arc::new(move || {
            if reads.fetch_sub(1, Ordering::SeqCst) == 0 {
                hands.0.fetch_add(1, Ordering::SeqCst);
            }
            Timestamp::from_secs(hands.0.load(Ordering::SeqCst))
        })
    };
    // TIMESTAMP PUSH0 SSTORE STOP
    let stamps = Bytes::from_static(&[0x42, 0x5f, 0x55, 0x00]);
    let chain = Chain::open(ChainConfig {
        clock,
        genesis: genesis().place(STAMP, stamps),
        ..config()
    })
    .expect("a chain");
    let stamp = || chain.transact(&wallet(1), Some(STAMP), U256::ZERO, Bytes::new());
    // The second passes after each reading of the clock in turn: one of them lies between estimate and block.
    for moment in 0..12 {
        reads.store(u64::MAX, Ordering::SeqCst);
        stamp().expect("the slot has this second");
        reads.store(moment, Ordering::SeqCst);
        stamp().unwrap_or_else(|err| panic!("a second after {moment} readings: {err}"));
    }
}

#[test]
fn calls_leave_nothing_behind() {
    let chain = open();
    for _ in 0..2 {
        let out = get(&chain, "eth_call", json!([{ "to": COUNTER }]));
        assert_eq!(
            number(&json!(format!(
                "0x{}",
                out.as_str().expect("bytes").trim_start_matches("0x")
            ))),
            U256::from(1)
        );
    }
    let slot = get(
        &chain,
        "eth_getStorageAt",
        json!([COUNTER, "0x0", "latest"]),
    );
    assert_eq!(slot, json!(B256::ZERO));
}

#[test]
fn a_genesis_constructor_runs_in_place() {
    let place = address!("0x00000000000000000000000000000000000070c3");
    let permit2 = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");
    let mut config = config();
    let runtime = Artifact::parse(PERMIT2)
        .expect("an artifact")
        .deployed_bytecode;
    config.genesis = config
        .genesis
        .construct(place, token_init(STRANGER, 500))
        .place(permit2, runtime.clone());
    let chain = Chain::open(config).expect("a chain");
    let out = read(
        &chain,
        place,
        balanceOfCall { account: STRANGER }.abi_encode(),
    );
    assert_eq!(U256::from_be_slice(&out), U256::from(500));
    // The domain names the address and chain of this network, though it is computed in the constructor.
    let domain = (
        keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        ),
        keccak256("OpenGradient"),
        keccak256("1"),
        U256::from(31_610),
        place,
    );
    assert_eq!(
        read(&chain, place, DOMAIN_SEPARATORCall {}.abi_encode()),
        keccak256(domain.abi_encode()).to_vec()
    );
    assert_eq!(get(&chain, "eth_getCode", json!([permit2])), json!(runtime));
    assert_eq!(
        get(&chain, "eth_getTransactionCount", json!([place])),
        json!("0x1")
    );
}

#[test]
fn a_genesis_constructor_that_fails_names_its_address() {
    let mut config = config();
    config.genesis = config.genesis.construct(STRANGER, super::refuser_code());
    let refused = Chain::open(config).expect_err("refused");
    assert!(
        matches!(&refused, Error::Genesis { address, reason }
            if *address == STRANGER && reason == "execution reverted: nope"),
        "{refused}"
    );
}

#[test]
fn artifacts_must_be_whole() {
    assert_eq!(Artifact::parse("nonsense"), Err(ArtifactError::Json));
    assert_eq!(
        Artifact::parse("{}"),
        Err(ArtifactError::Member("bytecode"))
    );
    let unlinked = r#"{"bytecode": "0x60__$lib$__", "deployedBytecode": "0x"}"#;
    assert_eq!(
        Artifact::parse(unlinked),
        Err(ArtifactError::Member("bytecode"))
    );
    assert_eq!(
        Artifact::parse(r#"{"bytecode": "0x"}"#),
        Err(ArtifactError::Member("deployedBytecode"))
    );
}

//! Chains that were stored before their genesis grew.

use alloy_primitives::{Address, Bytes, U256, address};
use seamline_core::Timestamp;
use seamline_localnet::chain::{Artifact, Chain, ChainConfig, Error, Genesis, Orphans};
use seamline_localnet::contracts::{
    self, BATCH_SETTLEMENT, ERC3009_COLLECTOR, MULTICALL3, PERMIT2_COLLECTOR, REGISTRY,
};
use serde_json::json;

use super::{
    COUNTER, START, STRANGER, balance, config, counter_code, ether, genesis, get, number,
    refuser_code, send, signed, transfer, wallet,
};

const ADDED: Address = address!("0x000000000000000000000000000000000000adde");

fn open(folder: &tempfile::TempDir, genesis: Genesis) -> Result<Chain, Error> {
    Chain::open(ChainConfig {
        path: Some(folder.path().join("chain.redb")),
        genesis,
        ..config()
    })
}

fn grown() -> Genesis {
    genesis()
        .edition()
        .place(ADDED, counter_code())
        .store(ADDED, U256::ZERO, U256::from(41))
}

fn code(chain: &Chain, address: Address) -> Bytes {
    let code = get(chain, "eth_getCode", json!([address, "latest"]));
    hex::decode(code.as_str().expect("code"))
        .expect("hex")
        .into()
}

#[test]
fn a_stored_chain_gets_what_was_added_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open(&folder, genesis()).expect("a chain");
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let paid = transfer(1);
    let to_it = alloy_consensus::TxEip1559 {
        to: alloy_primitives::TxKind::Call(ADDED),
        ..paid
    };
    send(&chain, &signed(&wallet(1), to_it)).expect("sent");
    drop(chain);
    let chain = open(&folder, grown()).expect("the same chain");
    assert_eq!(chain.head().expect("a head").number, 3, "one block more");
    assert_eq!(code(&chain, ADDED), counter_code());
    assert_eq!(balance(&chain, ADDED), U256::from(1), "what it had by then");
    assert_eq!(balance(&chain, STRANGER), U256::from(1));
    let count = get(&chain, "eth_call", json!([{ "to": ADDED }]));
    assert_eq!(number(&count), U256::from(42), "its storage");
    send(&chain, &signed(&wallet(1), transfer(2))).expect("it goes on");
    let head = chain.head().expect("a head");
    drop(chain);
    let chain = open(&folder, grown()).expect("the same chain");
    assert_eq!(chain.head().expect("a head"), head, "once");
    // Before it, the addition was not there.
    let before = get(&chain, "eth_getCode", json!([ADDED, "0x2"]));
    assert_eq!(before, "0x");
}

#[test]
fn a_stored_chain_of_a_later_edition_is_not_opened_as_an_earlier_one() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(&folder, grown()).expect("a chain"));
    let err = open(&folder, genesis()).expect_err("refused");
    assert!(matches!(err, Error::OtherGenesis { .. }), "{err}");
    assert!(err.to_string().contains("move it away"), "{err}");
}

#[test]
fn an_edition_adds_and_does_not_change() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(&folder, genesis()).expect("a chain"));
    let changed = grown()
        .fund(STRANGER, ether(1))
        .place(COUNTER, refuser_code());
    let err = open(&folder, changed).expect_err("refused");
    assert!(matches!(err, Error::OtherGenesis { .. }), "{err}");
    let constructed = genesis().edition().construct(ADDED, counter_code());
    let err = open(&folder, constructed).expect_err("refused");
    assert!(
        matches!(err, Error::Genesis { address: ADDED, .. }),
        "{err}"
    );
    assert_eq!(
        open(&folder, genesis())
            .expect("unharmed")
            .head()
            .expect("a head")
            .number,
        0
    );
}

#[test]
fn a_later_edition_can_skip_one() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(&folder, genesis()).expect("a chain"));
    let newest = grown().edition().fund(STRANGER, ether(1));
    let chain = open(&folder, newest).expect("the same chain");
    assert_eq!(
        chain.head().expect("a head").number,
        1,
        "one block for both"
    );
    assert_eq!(
        (code(&chain, ADDED), balance(&chain, STRANGER)),
        (counter_code(), ether(1))
    );
}

#[test]
fn code_that_came_first_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open(&folder, genesis()).expect("a chain");
    let artifact = include_str!("../../../../../contracts/artifacts/Multicall3.json");
    let artifact = Artifact::parse(artifact).expect("an artifact");
    let made = chain
        .deploy(&wallet(1), artifact.bytecode)
        .expect("deployed");
    drop(chain);
    let chain =
        open(&folder, genesis().edition().place(made, refuser_code())).expect("the same chain");
    assert_eq!(code(&chain, made), artifact.deployed_bytecode);
}

#[test]
fn networks_without_channels_are_still_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let newest = network();
    drop(open(&folder, without_channels(&newest)).expect("a chain"));
    let chain = open(&folder, newest.clone()).expect("the same chain");
    for address in ADDITIONS {
        assert_eq!(code(&chain, address), newest.accounts[&address].code);
    }
}

#[test]
fn networks_with_another_registry_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let newest = network();
    let mut former = without_channels(&newest);
    let registry = former.accounts.get_mut(&REGISTRY).expect("a registry");
    registry.init_code = Bytes::new();
    registry.code = counter_code();
    drop(open(&folder, former.clone()).expect("a chain"));
    let err = open(&folder, newest).expect_err("refused");
    assert!(matches!(err, Error::OtherGenesis { .. }), "{err}");
    assert!(err.to_string().contains("move it away"), "{err}");
    open(&folder, former).expect("unharmed");
}

const ADDITIONS: [Address; 4] = [
    BATCH_SETTLEMENT,
    ERC3009_COLLECTOR,
    PERMIT2_COLLECTOR,
    MULTICALL3,
];

fn network() -> Genesis {
    let (operator, settler) = (Address::repeat_byte(0x11), Address::repeat_byte(0x22));
    contracts::genesis(Timestamp::from_secs(START), operator, &[settler]).expect("artifacts")
}

fn without_channels(newest: &Genesis) -> Genesis {
    let mut first = Genesis::new(Timestamp::from_secs(START));
    first.accounts.clone_from(&newest.accounts);
    for address in ADDITIONS {
        assert!(first.accounts.remove(&address).is_some());
    }
    first
}

#[test]
fn the_block_of_an_edition_is_not_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(&folder, genesis()).expect("a chain"));
    let chain = open(&folder, grown()).expect("the same chain");
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let err = chain.reorg(2, Orphans::Forget).expect_err("refused");
    assert!(matches!(err, Error::TooOld(1)), "{err}");
    chain.reorg(1, Orphans::Forget).expect("reorganised");
    assert_eq!(code(&chain, ADDED), counter_code());
}

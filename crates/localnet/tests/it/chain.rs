//! The embedded chain, as a client sees it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::needless_pass_by_value,
    reason = "helpers of tests: a panic is how they fail, and `json!` at the call reads best"
)]

mod contracts;
mod delegation;
mod durability;
mod edition;
mod history;
mod http;
mod methods;
mod models;
mod pool;
mod reorg;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, address};
use seamline_attest::TrustRoots;
use seamline_core::Timestamp;
use seamline_evm::Wallet;
use seamline_localnet::chain::{CHAIN_ID, Chain, ChainConfig, Clock, Genesis, Mining, RpcError};
use serde_json::{Value, json};

/// 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000;

/// An address that nobody has the key of.
const STRANGER: Address = address!("0x00000000000000000000000000000000000057a9");

/// Adds one to slot 0, emits the new value in a log and returns it.
const COUNTER: Address = address!("0x0000000000000000000000000000000000c0c0c0");

/// Reverts with `Error("nope")`.
const REFUSER: Address = address!("0x0000000000000000000000000000000000000bad");

/// A clock that tests move.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || Timestamp::from_secs(seconds.load(Ordering::SeqCst)))
    }
}

fn wallet(seed: u8) -> Wallet {
    Wallet::from_bytes(&[seed; 32]).expect("a key")
}

fn ether(amount: u64) -> U256 {
    U256::from(amount) * U256::from(10).pow(U256::from(18))
}

fn genesis() -> Genesis {
    Genesis::new(Timestamp::from_secs(START))
        .fund(wallet(1).address(), ether(100))
        .fund(wallet(2).address(), ether(1))
        .place(COUNTER, counter_code())
        .place(REFUSER, refuser_code())
}

fn config() -> ChainConfig {
    ChainConfig {
        path: None,
        chain_id: CHAIN_ID,
        genesis: genesis(),
        mining: Mining::Instant,
        roots: TrustRoots::none(),
        clock: Hands::new().clock(),
        dev_methods: true,
        only_from: None,
        models: None,
    }
}

fn open() -> Chain {
    Chain::open(config()).expect("a chain in memory")
}

fn open_at(path: PathBuf) -> Chain {
    Chain::open(ChainConfig {
        path: Some(path),
        ..config()
    })
    .expect("a chain on disk")
}

/// sload(0) + 1 -> slot 0; mstore(0); log1(0, 32, topic); return(0, 32)
fn counter_code() -> Bytes {
    let head = hex::decode("600054600101806000556000527f").expect("hex");
    let tail = hex::decode("60206000a160206000f3").expect("hex");
    [head, vec![0x11; 32], tail].concat().into()
}

fn refuser_code() -> Bytes {
    let head = hex::decode("6064600c60003960646000fd08c379a0").expect("hex");
    let word = |value: u64| U256::from(value).to_be_bytes::<32>().to_vec();
    let mut text = b"nope".to_vec();
    text.resize(32, 0);
    [head, word(32), word(4), text].concat().into()
}

/// A transfer that tests bend before they sign it.
fn transfer(account_nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: account_nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(STRANGER),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

fn signed(wallet: &Wallet, tx: TxEip1559) -> Vec<u8> {
    let signature = wallet.sign_hash(&tx.signature_hash());
    let signature = Signature::from_raw(signature.as_bytes()).expect("a signature");
    tx.into_signed(signature).encoded_2718()
}

fn ask(chain: &Chain, method: &str, params: Value) -> Result<Value, RpcError> {
    chain.handle(method, &params)
}

fn get(chain: &Chain, method: &str, params: Value) -> Value {
    ask(chain, method, params).unwrap_or_else(|err| panic!("{method}: {err}"))
}

fn send(chain: &Chain, raw: &[u8]) -> Result<Value, RpcError> {
    ask(
        chain,
        "eth_sendRawTransaction",
        json!([hex::encode_prefixed(raw)]),
    )
}

fn balance(chain: &Chain, address: Address) -> U256 {
    number(&get(chain, "eth_getBalance", json!([address, "latest"])))
}

fn number(value: &Value) -> U256 {
    let text = value
        .as_str()
        .and_then(|text| text.strip_prefix("0x"))
        .expect("a quantity");
    U256::from_str_radix(text, 16).expect("a quantity")
}

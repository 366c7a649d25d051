//! A chain that knows one contract: enough of JSON-RPC for a facilitator, and every way to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::bindings::{PERMIT2, UPTO_PROXY};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::{Rpc, RpcCall, RpcError, TransportError};
use serde_json::{Value, json};

use crate::payments::CHAIN_ID;

/// What the chain does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Mines every transaction at once.
    #[default]
    Instant,
    /// Takes transactions and mines nothing.
    Slow,
    /// Takes transactions, mines nothing, and loses the reply to each send.
    LosesReplies,
    /// Never replies to a send and does not take it: the moment of a crash.
    HangsOnSend,
    /// Mines every transaction, each reverted.
    Reverts,
    /// Mines every transaction, and shows neither receipts nor logs: its indexer is behind.
    Behind,
    /// Mines every transaction and answers every send with an internal error.
    ErrsOnSend,
    /// Holds calls back until the mood changes.
    Holds,
    /// Does not answer at all.
    Down,
}

#[derive(Default)]
struct State {
    mood: Mood,
    /// Every transaction that was offered, in order.
    offered: Vec<Vec<u8>>,
    /// Transactions that wait for a block, by account nonce.
    pool: BTreeMap<u64, Transaction>,
    mined: Vec<(Transaction, bool)>,
    refuse_next: Option<RpcError>,
    /// Account nonces below this are taken.
    next_account_nonce: u64,
}

/// A scripted chain.
#[derive(Default)]
pub(crate) struct Chain(Mutex<State>);

#[derive(Clone)]
struct Transaction {
    hash: B256,
    account_nonce: u64,
    input: Vec<u8>,
}

impl Chain {
    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn mood(&self) -> Mood {
        self.state().mood
    }

    pub(crate) fn refuse_next(&self, message: &str) {
        self.state().refuse_next = Some(RpcError {
            code: -32000,
            message: message.to_owned(),
            data: None,
        });
    }

    /// Mines what waits and goes on mining.
    pub(crate) fn mine(&self) {
        let mut state = self.state();
        state.mood = Mood::Instant;
        state.mine(true);
    }

    /// Another user of the key takes the next account nonce: what waits at it is displaced.
    pub(crate) fn displace(&self) {
        let mut state = self.state();
        let taken = state.next_account_nonce;
        state.pool.remove(&taken);
        state.next_account_nonce += 1;
    }

    pub(crate) fn offered(&self) -> Vec<Vec<u8>> {
        self.state().offered.clone()
    }

    /// Number of different transactions that were offered: the same bytes may come again.
    pub(crate) fn distinct(&self) -> usize {
        self.state().offered.iter().collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn pooled(&self) -> usize {
        self.state().pool.len()
    }

    /// Account nonces of the mined transactions, in order.
    pub(crate) fn mined_nonces(&self) -> Vec<u64> {
        let state = self.state();
        state.mined.iter().map(|(tx, _)| tx.account_nonce).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Rpc for Chain {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(async move {
            let calls_contract = calls.iter().any(|call| call.method == "eth_call");
            while calls_contract && self.mood() == Mood::Holds {
                tokio::task::yield_now().await;
            }
            let mood = self.state().mood;
            if mood == Mood::Down {
                return Err(unreachable());
            }
            let sends = calls
                .iter()
                .any(|call| call.method == "eth_sendRawTransaction");
            if sends && mood == Mood::HangsOnSend {
                let raw = bytes(&calls[0].params[0]);
                self.state().offered.push(raw);
                core::future::pending::<()>().await;
            }
            let mut state = self.state();
            let results = calls.iter().map(|call| state.answer(call)).collect();
            if sends && mood == Mood::LosesReplies {
                return Err(unreachable());
            }
            Ok(results)
        })
    }
}

impl State {
    fn answer(&mut self, call: &RpcCall) -> Result<Value, RpcError> {
        let params = &call.params;
        Ok(match call.method.as_ref() {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_getBlockByNumber" => json!({
                "number": "0x64",
                "hash": B256::repeat_byte(0xbb),
                "timestamp": "0x6b49d200",
                "parentHash": B256::ZERO,
            }),
            "eth_getCode" => {
                let contract = [PERMIT2, UPTO_PROXY, crate::payments::TOKEN]
                    .map(|address| json!(address))
                    .contains(&params[0]);
                json!(if contract { "0x6001" } else { "0x" })
            }
            "eth_getTransactionCount" if params[1] == "pending" => {
                let pooled = u64::try_from(self.pool.len()).unwrap();
                json!(format!("{:#x}", self.next_account_nonce + pooled))
            }
            "eth_getTransactionCount" => json!(format!("{:#x}", self.next_account_nonce)),
            "eth_feeHistory" => json!({"baseFeePerGas": ["0x7", "0x7"], "reward": [["0x1"]]}),
            "eth_call" => return self.call(&params[0]),
            "eth_sendRawTransaction" => return self.send(&params[0]),
            "eth_getTransactionReceipt" => self.receipt(&params[0]),
            "eth_getTransactionByHash" => {
                let mined = self.mined.iter().map(|(tx, _)| tx);
                let mut known = mined.chain(self.pool.values());
                match known.find(|tx| json!(tx.hash) == params[0]) {
                    Some(tx) => json!({
                        "to": UPTO_PROXY, "hash": tx.hash,
                        "input": alloy_hex(&tx.input),
                    }),
                    None => Value::Null,
                }
            }
            "eth_getLogs" if self.mood == Mood::Behind => json!([]),
            "eth_getLogs" => self.mined.iter().map(|(tx, _)| log(tx, 0)).collect(),
            method => panic!("the facilitator should not call {method}"),
        })
    }

    fn call(&self, transaction: &Value) -> Result<Value, RpcError> {
        let input = bytes(&transaction["data"]);
        let settles = transaction["to"] == json!(UPTO_PROXY);
        let settled = |tx: &Transaction| word(&tx.input, 2) == word(&input, 2);
        if settles && self.mined.iter().any(|(tx, ok)| *ok && settled(tx)) {
            // Permit2's InvalidNonce().
            return Err(RpcError {
                code: 3,
                message: "execution reverted".to_owned(),
                data: Some(json!("0x756688fe")),
            });
        }
        let plenty = U256::from(u64::MAX);
        Ok(json!(if settles {
            "0x".to_owned()
        } else {
            alloy_hex(&plenty.to_be_bytes::<32>())
        }))
    }

    fn send(&mut self, raw: &Value) -> Result<Value, RpcError> {
        let raw = bytes(raw);
        self.offered.push(raw.clone());
        if let Some(error) = self.refuse_next.take() {
            return Err(error);
        }
        let tx = Transaction::read(&raw);
        let hash = json!(tx.hash);
        if self.mined.iter().any(|(mined, _)| mined.hash == tx.hash)
            || self.pool.contains_key(&tx.account_nonce)
        {
            return Err(refusal("already known"));
        }
        if tx.account_nonce < self.next_account_nonce {
            return Err(refusal("nonce too low"));
        }
        self.pool.insert(tx.account_nonce, tx);
        match self.mood {
            Mood::Instant | Mood::Behind => self.mine(true),
            Mood::ErrsOnSend => {
                self.mine(true);
                return Err(refusal("internal error"));
            }
            Mood::Reverts => self.mine(false),
            Mood::Slow | Mood::LosesReplies | Mood::HangsOnSend | Mood::Holds | Mood::Down => {}
        }
        Ok(hash)
    }

    /// Mines from the pool in the order of the account, without gaps.
    fn mine(&mut self, success: bool) {
        while let Some(tx) = self.pool.remove(&self.next_account_nonce) {
            self.next_account_nonce += 1;
            self.mined.push((tx, success));
        }
    }

    fn find(&self, hash: &Value) -> Option<&(Transaction, bool)> {
        self.mined.iter().find(|(tx, _)| json!(tx.hash) == *hash)
    }

    fn receipt(&self, hash: &Value) -> Value {
        let found = self.find(hash).filter(|_| self.mood != Mood::Behind);
        let Some((tx, success)) = found else {
            return Value::Null;
        };
        let settled = json!({
            "address": UPTO_PROXY,
            "topics": ["0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6"],
            "data": "0x",
        });
        let logs = if *success {
            json!([log(tx, 0), settled])
        } else {
            json!([])
        };
        json!({
            "transactionHash": tx.hash,
            "blockNumber": "0x64",
            "blockHash": B256::repeat_byte(0xbb),
            "status": if *success { "0x1" } else { "0x0" },
            "logs": logs,
        })
    }
}

impl Transaction {
    /// Reads what is needed of an EIP-1559 transaction of our chain: `02 || list || chain id (3
    /// bytes) || account nonce || ... || input`.
    fn read(raw: &[u8]) -> Self {
        assert_eq!(raw[0], 2);
        assert_eq!((raw[1], &raw[4..7]), (0xf9, &[0x82, 0x7b, 0x7a][..]));
        let account_nonce = match raw[7] {
            0x80 => 0,
            small => u64::from(small),
        };
        let selector = [0xff, 0x11, 0xe7, 0xb4];
        let start = raw
            .windows(4)
            .position(|window| window == selector)
            .unwrap();
        let length = usize::from(raw[start - 2]) * 256 + usize::from(raw[start - 1]);
        Self {
            hash: keccak256(raw),
            account_nonce,
            input: raw[start..start + length].to_vec(),
        }
    }
}

/// The token's `Transfer` of a settlement: token, amount, owner and recipient are words 0, 4, 5
/// and 6 of the input.
fn log(tx: &Transaction, index: u64) -> Value {
    json!({
        "address": Address::from_word(word(&tx.input, 0)),
        "topics": [
            keccak256("Transfer(address,address,uint256)"),
            word(&tx.input, 5),
            word(&tx.input, 6),
        ],
        "data": word(&tx.input, 4),
        "transactionHash": tx.hash,
        "logIndex": index,
    })
}

fn word(input: &[u8], index: usize) -> B256 {
    let start = 4 + 32 * index;
    B256::from_slice(&input[start..start + 32])
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn alloy_hex(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

fn refusal(message: &str) -> RpcError {
    RpcError {
        code: -32000,
        message: message.to_owned(),
        data: None,
    }
}

fn unreachable() -> TransportError {
    TransportError {
        kind: TransportKind::Unreachable,
        detail: "scripted".to_owned(),
    }
}

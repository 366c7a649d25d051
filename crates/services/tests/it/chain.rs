//! A chain that knows one contract: enough of JSON-RPC for a facilitator, and every way to fail.

mod answer;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use seamline_core::{Address, B256, keccak256};
use seamline_evm::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::{Rpc, RpcCall, RpcError, TransportError};
use serde_json::Value;

use self::transaction::Transaction;
use crate::payments::{NOW, TOKEN};

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
    /// Takes nothing: the account cannot pay for gas.
    Poor,
}

struct State {
    mood: Mood,
    /// Every transaction that was offered, in order.
    offered: Vec<Vec<u8>>,
    /// Transactions that wait for a block, by account nonce.
    pool: BTreeMap<u64, Transaction>,
    /// Block 100 is empty; these follow it.
    blocks: Vec<Block>,
    refuse_next: Option<RpcError>,
    /// Account nonces below this are taken.
    next_account_nonce: u64,
    /// What a transaction must offer to be mined.
    min_fee: u128,
    /// Grows with every reorganisation, so that new blocks differ from old ones.
    fork: u64,
    time_s: u64,
    /// Accounts with code.
    contracts: BTreeSet<Address>,
    /// Batches that were asked.
    batches: usize,
}

#[derive(Clone)]
struct Block {
    hash: B256,
    mined: Vec<(Transaction, bool)>,
}

/// A scripted chain.
#[derive(Default)]
pub(crate) struct Chain(Mutex<State>);

impl Default for State {
    fn default() -> Self {
        Self {
            mood: Mood::default(),
            offered: Vec::new(),
            pool: BTreeMap::new(),
            blocks: Vec::new(),
            refuse_next: None,
            next_account_nonce: 0,
            min_fee: 0,
            fork: 0,
            time_s: NOW.as_secs(),
            contracts: [PERMIT2, UPTO_PROXY, EXACT_PROXY, TOKEN].into(),
            batches: 0,
        }
    }
}

impl Chain {
    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn mood(&self) -> Mood {
        self.state().mood
    }

    pub(crate) fn refuse_next(&self, message: &str) {
        self.state().refuse_next = Some(refusal(message));
    }

    /// Mines what waits and goes on mining.
    pub(crate) fn mine(&self) {
        let mut state = self.state();
        state.mood = Mood::Instant;
        state.mine(true);
    }

    /// Adds empty blocks.
    pub(crate) fn mine_empty(&self, blocks: usize) {
        let mut state = self.state();
        for _ in 0..blocks {
            state.close(Vec::new());
        }
    }

    /// What a transaction must offer to be mined.
    pub(crate) fn set_min_fee(&self, fee: u128) {
        self.state().min_fee = fee;
    }

    /// The time of the newest block.
    pub(crate) fn set_time(&self, secs: u64) {
        let mut state = self.state();
        state.time_s = secs;
        state.close(Vec::new());
    }

    /// Gives an account code, which accepts every signature.
    pub(crate) fn deploy(&self, account: Address) {
        self.state().contracts.insert(account);
    }

    /// The newest block is replaced by an empty one; its transactions are nowhere.
    pub(crate) fn reorg(&self) {
        let mut state = self.state();
        let gone = state.blocks.pop();
        state.fork += 1;
        let taken = gone.map_or(0, |block| block.mined.len());
        state.next_account_nonce -= u64::try_from(taken).unwrap();
        state.close(Vec::new());
    }

    /// Another user of the key takes the next account nonce: what waits at it is displaced.
    pub(crate) fn displace(&self) {
        let mut state = self.state();
        let taken = state.next_account_nonce;
        state.pool.remove(&taken);
        state.next_account_nonce += 1;
    }

    /// A transaction of the pool is lost.
    pub(crate) fn lose(&self, account_nonce: u64) {
        self.state().pool.remove(&account_nonce);
    }

    /// A stranger settles what the transaction `raw` would settle, at once.
    pub(crate) fn preempt(&self, raw: &[u8]) {
        let mut state = self.state();
        let mut stranger = Transaction::read(raw);
        stranger.hash = keccak256(stranger.hash);
        state.close(vec![(stranger, true)]);
    }

    pub(crate) fn offered(&self) -> Vec<Vec<u8>> {
        self.state().offered.clone()
    }

    /// Number of different transactions that were offered: the same bytes may come again.
    pub(crate) fn distinct(&self) -> usize {
        self.state().offered.iter().collect::<BTreeSet<_>>().len()
    }

    /// Fees of the different transactions that were offered, in order.
    pub(crate) fn bids(&self) -> Vec<(u64, u128)> {
        let mut bids = Vec::new();
        for raw in &self.state().offered {
            let tx = Transaction::read(raw);
            let bid = (tx.account_nonce, tx.max_fee);
            if !bids.contains(&bid) {
                bids.push(bid);
            }
        }
        bids
    }

    pub(crate) fn pooled(&self) -> usize {
        self.state().pool.len()
    }

    pub(crate) fn batches(&self) -> usize {
        self.state().batches
    }

    /// Account nonces of the mined transactions, in order.
    pub(crate) fn mined_nonces(&self) -> Vec<u64> {
        let state = self.state();
        state.mined().map(|(_, tx, _)| tx.account_nonce).collect()
    }

    /// How many times each authorization moved money.
    pub(crate) fn payments(&self) -> Vec<usize> {
        let state = self.state();
        let mut paid = BTreeMap::new();
        for (_, tx, ok) in state.mined() {
            if let (Some(settles), true) = (&tx.settles, *ok) {
                *paid.entry(settles.spends()).or_insert(0) += 1;
            }
        }
        paid.into_values().collect()
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
            state.batches += 1;
            let results = calls.iter().map(|call| state.answer(call)).collect();
            if sends && mood == Mood::LosesReplies {
                return Err(unreachable());
            }
            Ok(results)
        })
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
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

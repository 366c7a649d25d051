//! A chain on the virtual clock: blocks, a pool with account nonces and fees, forks of one block.
//!
//! Nothing happens by itself: whoever asks finds the chain as it is at that time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use seamline_core::{Address, B256, U256, keccak256};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::{Rpc, RpcCall, RpcError, TransportError};
use tokio::time::Instant;

use crate::contracts::{Ledger, Settles};
use crate::transaction::Transaction;

/// The number of the first block.
pub(crate) const GENESIS: u64 = 100;
/// Unix time at which every run begins.
pub(crate) const BEGAN_S: u64 = 1_800_000_000;
/// Blocks of a chain that mines at once, while nothing happens.
const IDLE_BLOCK_MS: u64 = 12_000;

/// When the chain does what nobody asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// Time between blocks; 0 mines each transaction at once.
    pub(crate) block_ms: u64,
    /// Times at which the newest blocks are replaced by empty ones.
    pub(crate) forks_ms: Vec<u64>,
    /// How many blocks a fork replaces.
    pub(crate) fork_depth: u64,
    /// Whether a fork loses its transactions instead of giving them back to the pool.
    pub(crate) fork_forgets: bool,
    /// Nothing is taken from the pool between these times.
    pub(crate) stuck_ms: Option<(u64, u64)>,
    /// Between these times a transaction must offer that much.
    pub(crate) dear: Option<(u64, u64, u128)>,
    /// Every so many transactions, one is acknowledged and lost.
    pub(crate) loses_every: u64,
    /// Every so many transactions, a stranger settles the same first, where anybody may.
    pub(crate) preempts_every: u64,
}

pub(crate) struct SimChain(Mutex<State>);

pub(crate) struct State {
    began: Instant,
    pub(crate) weather: Weather,
    pub(crate) blocks: Vec<Block>,
    pub(crate) pool: BTreeMap<(Address, u64), Arc<Transaction>>,
    next_block_ms: u64,
    forks: u64,
    pub(crate) sent: u64,
    /// Nonces whose settlement a fork took off the chain, and when the last one did.
    pub(crate) undone: BTreeMap<B256, u64>,
    decoded: HashMap<B256, Option<Arc<Settles>>>,
}

pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent: B256,
    pub(crate) time_s: u64,
    pub(crate) mined: Vec<(Arc<Transaction>, bool)>,
    /// The contracts after this block.
    pub(crate) ledger: Arc<Ledger>,
}

impl SimChain {
    pub(crate) fn new(weather: Weather, tokens: &[(Address, U256)]) -> Self {
        let ledger = Ledger::new(tokens);
        let genesis = Block {
            number: GENESIS,
            hash: keccak256("genesis"),
            parent: B256::ZERO,
            time_s: BEGAN_S,
            mined: Vec::new(),
            ledger: Arc::new(ledger),
        };
        Self(Mutex::new(State {
            began: Instant::now(),
            next_block_ms: weather.block_ms.max(1),
            weather,
            blocks: vec![genesis],
            pool: BTreeMap::new(),
            forks: 0,
            sent: 0,
            undone: BTreeMap::new(),
            decoded: HashMap::new(),
        }))
    }

    /// The blocks, in words.
    pub(crate) fn told(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let blocks = state.blocks.iter();
        let told = blocks.map(|block| {
            let mined: Vec<_> = block.mined.iter().map(|(tx, ok)| (tx.hash, *ok)).collect();
            format!(
                "block {} {} at {}: {mined:?}",
                block.number, block.hash, block.time_s
            )
        });
        told.collect()
    }

    /// The chain as it is now.
    pub(crate) fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        state.advance();
        state
    }
}

impl State {
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// The calldata as a settling call, with its signature recovered once.
    pub(crate) fn decode(&mut self, to: Address, input: &[u8]) -> Option<Arc<Settles>> {
        let name = keccak256([to.as_slice(), input].concat());
        let known = self.decoded.entry(name);
        known
            .or_insert_with(|| Settles::read(to, input).map(Arc::new))
            .clone()
    }

    /// Every settlement on the chain as it is.
    pub(crate) fn settlements(&self) -> impl Iterator<Item = (&Block, &Transaction, &Settles)> {
        let mined = self.blocks.iter().flat_map(|block| {
            let mined = block.mined.iter();
            mined.map(move |(tx, ok)| (block, tx, ok))
        });
        mined.filter_map(|(block, tx, ok)| {
            let settles = tx.settles.as_deref().filter(|_| *ok)?;
            Some((block, tx.as_ref(), settles))
        })
    }

    /// Transactions that were mined for nothing.
    pub(crate) fn reverted(&self) -> usize {
        let mined = self.blocks.iter().flat_map(|block| &block.mined);
        mined.filter(|(tx, ok)| tx.settles.is_some() && !ok).count()
    }

    /// Lets happen what is due.
    fn advance(&mut self) {
        let now = self.elapsed_ms();
        loop {
            let fork = self.weather.forks_ms.first().copied();
            if let Some(at) = fork.filter(|at| *at <= now && *at <= self.next_block_ms) {
                self.weather.forks_ms.remove(0);
                self.fork(at);
            } else if self.next_block_ms <= now {
                let at = self.next_block_ms;
                self.mine(at);
                let pause = match self.weather.block_ms {
                    0 => IDLE_BLOCK_MS,
                    pause => pause,
                };
                self.next_block_ms = at + pause;
            } else {
                return;
            }
        }
    }

    fn fork(&mut self, at: u64) {
        let depth = usize::try_from(self.weather.fork_depth).unwrap();
        let kept = self.blocks.len().saturating_sub(depth).max(1);
        self.forks += 1;
        for gone in self.blocks.split_off(kept) {
            for (tx, ok) in &gone.mined {
                let settles = tx.settles.as_ref().filter(|_| *ok);
                self.undone
                    .extend(settles.map(|it| (it.promise.auth_nonce(), at)));
            }
            if !self.weather.fork_forgets {
                for (tx, _) in gone.mined {
                    self.pool.insert((tx.from, tx.account_nonce), tx);
                }
            }
            let ledger = Arc::clone(&self.head().ledger);
            self.close(Vec::new(), ledger, gone.time_s);
        }
    }

    /// Mines what the pool has, at a time.
    pub(crate) fn mine(&mut self, at_ms: u64) {
        let time_s = (BEGAN_S + at_ms / 1_000).max(self.head().time_s);
        let mut ledger = Arc::clone(&self.head().ledger);
        let mut mined = Vec::new();
        let within =
            |span: Option<(u64, u64)>| span.is_some_and(|(from, to)| (from..to).contains(&at_ms));
        if !within(self.weather.stuck_ms) {
            let dear = self.weather.dear;
            let least = dear.filter(|(from, to, _)| within(Some((*from, *to))));
            let least = least.map_or(0, |(_, _, fee)| fee);
            let waiting: Vec<_> = self.pool.values().cloned().collect();
            for tx in waiting {
                let next = ledger.account_nonces.get(&tx.from).copied().unwrap_or(0);
                if tx.account_nonce < next {
                    self.pool.remove(&(tx.from, tx.account_nonce));
                }
                if tx.account_nonce != next || tx.max_fee < least {
                    continue;
                }
                self.pool.remove(&(tx.from, tx.account_nonce));
                let after = Arc::make_mut(&mut ledger);
                after.account_nonces.insert(tx.from, next + 1);
                let ok = match &tx.settles {
                    Some(settles) => after.settle(settles, tx.from, time_s).is_ok(),
                    None => true,
                };
                mined.push((tx, ok));
            }
        }
        self.close(mined, ledger, time_s);
    }

    fn close(&mut self, mined: Vec<(Arc<Transaction>, bool)>, ledger: Arc<Ledger>, time_s: u64) {
        let head = self.head();
        let (number, parent) = (head.number + 1, head.hash);
        let seed = [number.to_be_bytes(), self.forks.to_be_bytes()].concat();
        let hash = keccak256([parent.as_slice(), &seed].concat());
        self.blocks.push(Block {
            number,
            hash,
            parent,
            time_s,
            mined,
            ledger,
        });
    }

    /// Takes a transaction into the pool.
    pub(crate) fn send(&mut self, raw: &[u8]) -> Result<B256, RpcError> {
        let tx = Transaction::read(raw, |to, input| self.decode(to, input));
        let hash = tx.hash;
        let known = |(it, _): &(Arc<Transaction>, bool)| it.hash == hash;
        if self
            .blocks
            .iter()
            .any(|block| block.mined.iter().any(known))
        {
            return Err(refusal("already known"));
        }
        let nonces = &self.head().ledger.account_nonces;
        if tx.account_nonce < nonces.get(&tx.from).copied().unwrap_or(0) {
            return Err(refusal("nonce too low"));
        }
        let place = (tx.from, tx.account_nonce);
        if let Some(waiting) = self.pool.get(&place) {
            if waiting.hash == hash {
                return Err(refusal("already known"));
            }
            // Geth wants a tenth more, of both fees.
            if tx.max_fee * 10 < waiting.max_fee * 11 || tx.tip * 10 < waiting.tip * 11 {
                return Err(refusal("replacement transaction underpriced"));
            }
        }
        self.sent += 1;
        let sent = self.sent;
        let every = |count: u64| count > 0 && sent.is_multiple_of(count);
        if every(self.weather.preempts_every) && tx.settles.is_some() {
            self.preempt(&tx);
        }
        if every(self.weather.loses_every) {
            return Ok(hash);
        }
        self.pool.insert(place, Arc::new(tx));
        if self.weather.block_ms == 0 {
            self.mine(self.elapsed_ms());
        }
        Ok(hash)
    }

    /// A stranger with a higher bid: the next block has its transaction first.
    fn preempt(&mut self, tx: &Transaction) {
        let mut theirs = tx.clone();
        theirs.from = Address::ZERO;
        theirs.hash = keccak256(tx.hash);
        theirs.account_nonce = {
            let nonces = &self.head().ledger.account_nonces;
            let waiting = self.pool.keys().filter(|(from, _)| *from == theirs.from);
            let taken = u64::try_from(waiting.count()).unwrap();
            nonces.get(&theirs.from).copied().unwrap_or(0) + taken
        };
        let place = (theirs.from, theirs.account_nonce);
        self.pool.insert(place, Arc::new(theirs));
    }
}

impl Rpc for SimChain {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(async move {
            let mut state = self.look();
            Ok(calls.iter().map(|call| state.answer(call)).collect())
        })
    }
}

pub(crate) fn refusal(message: &str) -> RpcError {
    RpcError {
        code: -32000,
        message: message.to_owned(),
        data: None,
    }
}

pub(crate) fn unreachable() -> TransportError {
    TransportError {
        kind: TransportKind::Unreachable,
        detail: "simulated".to_owned(),
    }
}

//! A chain, a sender, a blob store and a process that dies where it is told to.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use alloy_sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use axum::body::Bytes;
use seamline_core::{Address, B256, NodeId, Timestamp, U256, sha256};
use seamline_evm::bindings::{ISettlement, TEEInfo};
use seamline_evm::rpc::{BatchFuture, TransportError, TransportKind};
use seamline_evm::settlement::{BatchRule, SettlementData, SignedInference, Standing, Tree};
use seamline_evm::{Rpc, RpcCall, RpcError};
use serde_json::{Value, json};

use crate::data::blob::{BlobError, BlobFuture, BlobStore, content_id};
use crate::data::seams::{Call, Paid, Payments, SeamFuture, SendError, Sender};
use crate::data::{DataConfig, DataDesk, MemoryTable, Table, Work};
use crate::facilitator::{StoreError, StoreFuture};

pub(super) const NOW: u64 = 1_763_596_800;
pub(super) const CONTRACT: Address = Address::repeat_byte(0xcc);
pub(super) const REGISTRY: Address = Address::repeat_byte(0xee);
pub(super) const NODE_PAYEE: Address = Address::repeat_byte(0x90);
pub(super) const SPKI: &[u8] = b"a signing key";
const DEPTH: u64 = 3;

/// Everything that outlives a process.
#[derive(Clone)]
pub(super) struct World {
    pub(super) table: Arc<dyn Table>,
    pub(super) state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) now_s: u64,
    pub(super) newest: u64,
    /// Makes block hashes: a reorganisation changes it for what follows.
    pub(super) forks: BTreeMap<u64, u64>,
    /// Records of the contract: block, topics, data.
    pub(super) records: Vec<(u64, Vec<B256>, Vec<u8>)>,
    /// What was sent, by id.
    pub(super) sent: HashMap<B256, (Call, Standing)>,
    pub(super) blobs: HashMap<String, Bytes>,
    pub(super) paid: HashMap<B256, Paid>,
    pub(super) disabled: bool,
    /// The contract refuses everything.
    pub(super) refuses: bool,
    /// The blob store returns other bytes.
    pub(super) lies: bool,
    /// The chain's endpoint does not answer.
    pub(super) silent: bool,
    pub(super) beats: usize,
    /// Effects until the process dies.
    pub(super) dies_in: Option<u64>,
    /// Whether the last effect happens.
    pub(super) dies_after: bool,
    pub(super) dead: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the process is dead")]
struct Dead;

impl World {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(MemoryTable::new()))
    }

    /// A world whose processes keep their books in `table`.
    pub(super) fn over(table: Arc<dyn Table>) -> Self {
        let world = Self {
            table,
            state: Arc::default(),
        };
        world.state().now_s = NOW;
        world.state().newest = 100;
        world
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A process.
    pub(super) fn desk(&self, payments: bool) -> DataDesk {
        let state = Arc::clone(&self.state);
        let mut config = DataConfig {
            rpc: Arc::new(self.clone()),
            chain_id: 31_337,
            registry: REGISTRY,
            contract: CONTRACT,
            table: Arc::new(self.clone()),
            blobs: Arc::new(self.clone()),
            sender: Arc::new(self.clone()),
            payments: None,
            verify,
            clock: Arc::new(move || Timestamp::from_secs(state.lock().unwrap().now_s)),
            rule: BatchRule {
                max_items: 4,
                idle_s: 300,
                longest_s: 900,
            },
            poll: Duration::from_millis(1),
            finality_depth: DEPTH,
            heartbeat_pause: Duration::from_secs(60),
        };
        if payments {
            config.payments = Some(Arc::new(self.clone()));
        }
        DataDesk::still(config)
    }

    /// Lets the process do something, or kills it.
    fn effect<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.state();
        if state.dead {
            return None;
        }
        match state.dies_in {
            Some(0) => {
                state.dead = true;
                if state.dies_after {
                    act(&mut state);
                }
                None
            }
            Some(left) => {
                state.dies_in = Some(left.saturating_sub(1));
                Some(act(&mut state))
            }
            None => Some(act(&mut state)),
        }
    }

    /// Roots on chain, in the order of their records.
    pub(super) fn roots(&self) -> Vec<B256> {
        let state = self.state();
        let batch = |topics: &&Vec<B256>| {
            topics.first() == Some(&ISettlement::BatchSettlement::SIGNATURE_HASH)
        };
        let topics = state.records.iter().map(|(_, topics, _)| topics);
        topics.filter(batch).map(|topics| topics[1]).collect()
    }

    /// Ids of the answers in the batch of `root`, from its blob.
    pub(super) fn leaves(&self, root: B256) -> Vec<B256> {
        let state = self.state();
        let tree = state.blobs.values().filter_map(|it| Tree::parse(it).ok());
        let tree = tree.into_iter().find(|tree| tree.root() == root).unwrap();
        tree.leaves().iter().map(|leaf| leaf.hash()).collect()
    }

    pub(super) fn advance(&self, seconds: u64) {
        let mut state = self.state();
        state.now_s = state.now_s.saturating_add(seconds);
        state.newest = state.newest.saturating_add(seconds / 2);
    }
}

impl State {
    fn hash(&self, number: u64) -> B256 {
        let fork = self.forks.range(..=number).next_back();
        let fork = fork.map_or(0, |(_, fork)| *fork);
        sha256(&[&number.to_be_bytes(), &fork.to_be_bytes()])
    }

    /// Mines a call, as the contract would.
    fn mine(&mut self, call: &Call) -> Standing {
        self.newest = self.newest.saturating_add(1);
        let (block, transaction) = (self.newest, sha256(&[call.id.as_slice()]));
        let record = record(call);
        // A batch is recorded as often as it is sent; only an answer of its own is refused.
        let is_batch = ISettlement::batchSettleCall::abi_decode(&call.input).is_ok();
        let known = |(topics, data): &(Vec<B256>, Vec<u8>)| {
            let mut records = self.records.iter();
            records.any(|(_, it, more)| it == topics && more == data)
        };
        let duplicate = !is_batch && record.as_ref().is_some_and(known);
        let succeeded = !self.refuses && !duplicate;
        if let Some((topics, data)) = record.filter(|_| succeeded) {
            self.records.push((block, topics, data));
        }
        Standing::Mined {
            transaction,
            block_number: block,
            block_hash: self.hash(block),
            succeeded,
            is_final: !succeeded,
        }
    }

    fn answer(&self, call: &RpcCall) -> Result<Value, RpcError> {
        let word = |hash: B256| json!(hash.to_string());
        match &*call.method {
            "eth_getBlockByNumber" => {
                let tag = call.params[0].as_str().unwrap();
                let number = tag.strip_prefix("0x");
                let number = number.map_or(self.newest, |it| u64::from_str_radix(it, 16).unwrap());
                let time = format!("{:#x}", self.now_s);
                Ok(
                    json!({"number": format!("{number:#x}"), "hash": word(self.hash(number)),
                    "parentHash": word(self.hash(number.saturating_sub(1))), "timestamp": time}),
                )
            }
            "eth_call" if call.params[0]["to"] == json!(format!("{REGISTRY:#x}")) => {
                let info = TEEInfo {
                    owner: Address::ZERO,
                    paymentAddress: NODE_PAYEE,
                    endpoint: String::new(),
                    publicKey: SPKI.to_vec().into(),
                    tlsCertificate: Bytes::new().into(),
                    pcrHash: B256::ZERO,
                    teeType: 0,
                    enabled: !self.disabled,
                    registeredAt: U256::ZERO,
                    lastHeartbeatAt: U256::ZERO,
                };
                Ok(json!(format!("0x{}", hex::encode(info.abi_encode()))))
            }
            "eth_call" if self.refuses => Err(RpcError {
                code: 3,
                message: "execution reverted".to_owned(),
                data: None,
            }),
            "eth_call" => Ok(json!("0x")),
            "eth_getLogs" => {
                let filter = &call.params[0];
                let wanted: Vec<&str> = filter["topics"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it.as_str().unwrap())
                    .collect();
                let matches = |topics: &[B256]| {
                    wanted
                        .iter()
                        .zip(topics)
                        .all(|(want, topic)| *want == topic.to_string())
                };
                let found = self.records.iter().filter(|(_, topics, _)| matches(topics));
                Ok(found
                    .map(|(block, topics, data)| {
                        json!({
                            "address": CONTRACT.to_string(),
                            "topics": topics.iter().map(ToString::to_string).collect::<Vec<_>>(),
                            "data": format!("0x{}", hex::encode(data)),
                            "transactionHash": word(sha256(&[&block.to_be_bytes()])),
                            "blockNumber": format!("{block:#x}"),
                            "blockHash": word(self.hash(*block)),
                        })
                    })
                    .collect())
            }
            other => panic!("{other} is not asked"),
        }
    }
}

/// The record that a call makes.
fn record(call: &Call) -> Option<(Vec<B256>, Vec<u8>)> {
    if let Ok(batch) = ISettlement::batchSettleCall::abi_decode(&call.input) {
        let event = ISettlement::BatchSettlement {
            merkleRoot: batch.merkleRoot,
            batchSize: batch.batchSize,
            walrusBlobId: batch.walrusBlobId,
        };
        let topics = vec![
            ISettlement::BatchSettlement::SIGNATURE_HASH,
            batch.merkleRoot,
        ];
        return Some((topics, event.encode_data()));
    }
    let it = ISettlement::settleIndividualCall::abi_decode(&call.input).ok()?;
    let event = ISettlement::IndividualSettlement {
        teeId: it.teeId,
        ethAddress: it.ethAddress,
        inputHash: it.inputHash,
        outputHash: it.outputHash,
        timestamp: it.timestamp,
        walrusBlobId: it.walrusBlobId,
        signature: it.signature,
    };
    let topics = vec![
        ISettlement::IndividualSettlement::SIGNATURE_HASH,
        it.teeId,
        it.ethAddress.into_word(),
    ];
    Some((topics, event.encode_data()))
}

impl Rpc for World {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        let state = self.state();
        if state.silent {
            let kind = TransportKind::Unreachable;
            let detail = "nobody listens".to_owned();
            return Box::pin(async move { Err(TransportError { kind, detail }) });
        }
        let answers = calls.iter().map(|call| state.answer(call)).collect();
        Box::pin(async move { Ok(answers) })
    }
}

impl Table for World {
    fn kind(&self) -> &'static str {
        "mortal"
    }

    fn transact(&self, work: Work) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let dead = || StoreError::Database(Box::new(Dead));
            // The table has its own lock: what dies is the process before or after it.
            let (mut before, mut alive) = (false, false);
            let lived = self.effect(|_| ()).is_some();
            if lived {
                alive = true;
            } else if self.state().dies_after && self.state().dies_in == Some(0) {
                before = true;
                self.state().dies_in = None;
            }
            if alive || before {
                self.table.transact(work).await?;
            }
            if alive { Ok(()) } else { Err(dead()) }
        })
    }
}

impl BlobStore for World {
    fn kind(&self) -> &'static str {
        "mortal"
    }

    fn put(&self, blob: Bytes) -> BlobFuture<'_, String> {
        Box::pin(async move {
            let id = content_id(&blob);
            let name = id.clone();
            let done = self.effect(|state| state.blobs.insert(name, blob));
            done.map(|_| id).ok_or(BlobError::Malformed)
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> BlobFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let state = self.state();
            if state.lies {
                return Ok(Some(Bytes::from_static(b"{}")));
            }
            Ok(state.blobs.get(id).cloned())
        })
    }
}

impl Sender for World {
    fn address(&self) -> Address {
        Address::repeat_byte(0xfa)
    }

    fn begin(&self, call: Call) -> SeamFuture<'_, Result<Standing, SendError>> {
        Box::pin(async move {
            // The record of a call is durable; the chain takes it a little later.
            let done = self.effect(|state| {
                if let Some((_, standing)) = state.sent.get(&call.id) {
                    return *standing;
                }
                if call.to == REGISTRY {
                    state.beats = state.beats.saturating_add(1);
                }
                let transaction = sha256(&[call.id.as_slice()]);
                let pending = Standing::Pending { transaction };
                state.sent.insert(call.id, (call.clone(), pending));
                pending
            });
            done.ok_or_else(|| SendError(Box::new(Dead)))
        })
    }

    fn standing(&self, id: B256) -> SeamFuture<'_, Result<Option<Standing>, SendError>> {
        Box::pin(async move {
            let mut state = self.state();
            if state.dead {
                return Err(SendError(Box::new(Dead)));
            }
            let Some((call, standing)) = state.sent.get(&id).cloned() else {
                return Ok(None);
            };
            if matches!(standing, Standing::Pending { .. }) {
                let mined = state.mine(&call);
                state.sent.insert(id, (call, mined));
                // Told about at the next look.
                return Ok(Some(standing));
            }
            Ok(Some(standing))
        })
    }
}

impl Payments for World {
    fn find(&self, payment: B256) -> SeamFuture<'_, Result<Paid, StoreError>> {
        let paid = self.state().paid.get(&payment).copied();
        Box::pin(async move { Ok(paid.unwrap_or(Paid::Unknown)) })
    }
}

/// A signature scheme for tests: whoever knows the key's bytes signs.
pub(super) fn sign(spki: &[u8], hash: &B256) -> Vec<u8> {
    sha256(&[spki, hash.as_slice()]).repeat(8)
}

pub(super) fn verify(spki: &[u8], hash: &B256, signature: &[u8]) -> bool {
    sign(spki, hash) == signature
}

/// The answer number `index`, signed.
pub(super) fn answer(index: u8) -> SettlementData {
    let mut inference = SignedInference {
        node: NodeId::of_signing_key(SPKI),
        input_hash: B256::repeat_byte(index),
        output_hash: B256::repeat_byte(0x77),
        signature: Vec::new().into(),
        timestamp: NOW.saturating_sub(u64::from(index)),
    };
    inference.signature = sign(SPKI, &inference.message_hash()).into();
    SettlementData {
        inference,
        content: None,
        payment: None,
    }
}

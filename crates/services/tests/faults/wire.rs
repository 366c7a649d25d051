//! The wires between the parts, and what they do to what they carry.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use seamline_core::{Address, B256, Timestamp};
use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::x402::{FacilitatorRequest, SettleResponse, Supported, VerifyResponse};
use seamline_evm::{Rpc, RpcCall, RpcError, TransportError};
use seamline_net::{FacilitatorApi, FacilitatorError, FacilitatorFuture, PaywallStore, Record};
use seamline_services::facilitator::{
    Change, Facilitator, MemoryStore, Settlement, Spent, Store, StoreError, StoreFuture,
};
use tokio::time::sleep;

use crate::chain::{SimChain, unreachable};
use crate::life::{Deed, Life};
use crate::rng::Rng;

/// What a wire does, in percent of what it carries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    /// The question is lost.
    pub(crate) question: u64,
    /// The answer is lost: what was asked for is done.
    pub(crate) answer: u64,
    /// The question arrives twice.
    pub(crate) twice: u64,
    /// One of several answers is an error.
    pub(crate) partial: u64,
    /// Nothing comes for half a minute.
    pub(crate) hang: u64,
    /// Longest delay, milliseconds.
    pub(crate) delay_ms: u64,
}

impl Noise {
    /// Whether it does anything.
    pub(crate) const fn is_some(&self) -> bool {
        self.question + self.answer + self.twice + self.partial + self.hang + self.delay_ms > 0
    }
}

/// A wire: its noise, until it is repaired.
pub(crate) struct Line {
    noise: Mutex<(Noise, Rng)>,
}

/// What happens to one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    LostQuestion,
    LostAnswer,
    Twice,
    Partial,
    Hangs,
}

impl Line {
    pub(crate) fn new(noise: Noise, rng: Rng) -> Arc<Self> {
        Arc::new(Self {
            noise: Mutex::new((noise, rng)),
        })
    }

    /// From now on it carries everything.
    pub(crate) fn repair(&self) {
        self.noise.lock().unwrap().0 = Noise::default();
    }

    pub(crate) fn fate(&self) -> Fate {
        let (noise, rng) = &mut *self.noise.lock().unwrap();
        let mut die = rng.below(100);
        for (share, fate) in [
            (noise.question, Fate::LostQuestion),
            (noise.answer, Fate::LostAnswer),
            (noise.twice, Fate::Twice),
            (noise.partial, Fate::Partial),
            (noise.hang, Fate::Hangs),
        ] {
            if die < share {
                return fate;
            }
            die -= share;
        }
        Fate::Fine
    }

    /// One of two, each as often.
    pub(crate) fn coin(&self) -> bool {
        self.noise.lock().unwrap().1.chance(50)
    }

    fn delay(&self) -> Duration {
        let (noise, rng) = &mut *self.noise.lock().unwrap();
        Duration::from_millis(rng.between(0, noise.delay_ms))
    }

    /// Takes its time, where it has any.
    pub(crate) async fn travel(&self) {
        let delay = self.delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
}

/// How long a wire hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// An endpoint of the chain, as one process sees it.
pub(crate) struct Endpoint {
    pub(crate) chain: Arc<SimChain>,
    pub(crate) line: Arc<Line>,
    pub(crate) life: Life,
}

impl Rpc for Endpoint {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(async move {
            let sends = |call: &RpcCall| call.method == "eth_sendRawTransaction";
            let deed = if calls.iter().any(sends) {
                Deed::Broadcast
            } else {
                Deed::Ask
            };
            self.life.act(deed, self.carry(calls)).await
        })
    }
}

impl Endpoint {
    async fn carry(
        &self,
        calls: &[RpcCall],
    ) -> Result<Vec<Result<serde_json::Value, RpcError>>, TransportError> {
        self.line.travel().await;
        match self.line.fate() {
            Fate::Fine => self.chain.batch(calls).await,
            Fate::LostQuestion => Err(unreachable()),
            Fate::LostAnswer => {
                drop(self.chain.batch(calls).await);
                Err(unreachable())
            }
            Fate::Twice => {
                drop(self.chain.batch(calls).await);
                self.chain.batch(calls).await
            }
            Fate::Partial => {
                let mut answers = self.chain.batch(calls).await?;
                if let Some(last) = answers.last_mut() {
                    *last = Err(crate::chain::refusal("internal error"));
                }
                Ok(answers)
            }
            Fate::Hangs => {
                sleep(HANG).await;
                Err(TransportError {
                    kind: TransportKind::Timeout,
                    detail: "simulated".to_owned(),
                })
            }
        }
    }
}

/// The facilitator's store, as one process sees it.
pub(crate) struct DeskDisk {
    pub(crate) store: MemoryStore,
    pub(crate) life: Life,
    /// A disk that loses what is written, to prove that the harness sees it.
    pub(crate) forgets: bool,
}

impl Store for DeskDisk {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        self.store.read(keys)
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        if self.forgets {
            let blank = MemoryStore::new();
            return Box::pin(async move { blank.change(key, signer, change).await });
        }
        Box::pin(
            self.life
                .act(Deed::Write, self.store.change(key, signer, change)),
        )
    }

    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()> {
        if self.life.is_dead() {
            return Box::pin(core::future::pending::<Result<(), StoreError>>());
        }
        self.store.beat(owner, lease)
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        if self.life.is_dead() {
            return Box::pin(core::future::pending());
        }
        self.store.take_over(owner, signer)
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        self.store.unfinished(signer)
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        self.store.spent(signer, payer, except, minute)
    }

    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        self.store.prune(before_s)
    }
}

type ShopFuture<'a, T> = seamline_net::StoreFuture<'a, T>;

/// The paywall's store, as one process sees it.
pub(crate) struct ShopDisk {
    pub(crate) store: seamline_net::MemoryStore,
    pub(crate) life: Life,
}

impl PaywallStore for ShopDisk {
    fn insert<'a>(&'a self, record: &'a Record) -> ShopFuture<'a, Option<Record>> {
        Box::pin(
            self.life
                .act(Deed::Write, async { self.store.insert(record).await }),
        )
    }

    fn replace<'a>(&'a self, record: &'a Record) -> ShopFuture<'a, bool> {
        Box::pin(
            self.life
                .act(Deed::Write, async { self.store.replace(record).await }),
        )
    }

    fn remove(&self, key: B256, version: u64) -> ShopFuture<'_, bool> {
        Box::pin(self.life.act(
            Deed::Write,
            async move { self.store.remove(key, version).await },
        ))
    }

    fn get(&self, key: B256) -> ShopFuture<'_, Option<Record>> {
        self.store.get(key)
    }

    fn abandoned(&self, now: Option<Timestamp>) -> ShopFuture<'_, Vec<Record>> {
        self.store.abandoned(now)
    }

    fn sweep(&self, now: Timestamp) -> ShopFuture<'_, ()> {
        self.store.sweep(now)
    }

    fn is_exclusive(&self) -> bool {
        self.store.is_exclusive()
    }
}

/// A running facilitator, or none.
pub(crate) type Slot = Arc<Mutex<Option<(Facilitator, Life)>>>;

/// The facilitators, as one paywall sees them.
pub(crate) struct Counter {
    pub(crate) desks: Vec<Slot>,
    pub(crate) line: Arc<Line>,
    pub(crate) life: Life,
    pub(crate) rng: Mutex<Rng>,
}

type Work<T> = dyn Fn(Facilitator) -> FacilitatorFuture<'static, T> + Send + Sync;

impl Counter {
    async fn carry<T>(&self, work: Box<Work<T>>) -> Result<T, FacilitatorError> {
        let desk = self.rng.lock().unwrap().pick(&self.desks);
        self.line.travel().await;
        let running = desk.lock().unwrap().clone();
        let Some((facilitator, life)) = running else {
            return Err(lost());
        };
        let ask = || async {
            let asked = work(facilitator.clone());
            tokio::select! {
                biased;
                () = life.death() => Err(lost()),
                answer = asked => answer,
            }
        };
        match self.line.fate() {
            Fate::Fine | Fate::Partial => ask().await,
            Fate::LostQuestion => Err(lost()),
            Fate::LostAnswer => {
                drop(ask().await);
                Err(lost())
            }
            Fate::Twice => {
                let (first, second) = tokio::join!(ask(), ask());
                drop(first);
                second
            }
            Fate::Hangs => {
                drop(ask().await);
                sleep(HANG).await;
                Err(lost())
            }
        }
    }
}

fn lost() -> FacilitatorError {
    FacilitatorError::Unreachable(std::io::Error::other("simulated").into())
}

impl FacilitatorApi for Counter {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        let request = request.clone();
        let work = self.carry(Box::new(move |desk: Facilitator| {
            let request = request.clone();
            Box::pin(async move { desk.verify(&request).await })
        }));
        Box::pin(self.life.act(Deed::Verify, work))
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        let request = request.clone();
        let work = self.carry(Box::new(move |desk: Facilitator| {
            let request = request.clone();
            Box::pin(async move { desk.settle(&request).await })
        }));
        Box::pin(self.life.act(Deed::Settle, work))
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        Box::pin(async {
            let running = self.desks.iter().find_map(|it| it.lock().unwrap().clone());
            match running {
                Some((desk, _)) => desk.supported().await,
                None => Err(lost()),
            }
        })
    }
}

//! The process dies between every two steps: after each word to the store, and after each word to
//! the chain. Another one takes over, and the payment is made once.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_evm::rpc::BatchFuture;
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_evm::{Rpc, RpcCall};
use seamline_services::facilitator::{
    Change, Facilitator, FacilitatorConfig, MemoryStore, Settlement, Spent, Store, StoreError,
    StoreFuture, StoreLocation,
};
use tokio::runtime::Builder;

use crate::chain::Chain;
use crate::payments::{config, request};

/// What kills: the steps that are left, and whether the last is done before the end.
struct Fuse {
    left: AtomicUsize,
    acts_last: bool,
    is_burnt: AtomicBool,
}

impl Fuse {
    fn new(steps: usize, acts_last: bool) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(steps),
            acts_last,
            is_burnt: AtomicBool::new(false),
        })
    }

    /// Whether this step ends the process, and how.
    fn step(&self) -> Step {
        let taken = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match taken {
            Ok(left) if left > 0 => Step::Go,
            Ok(_) | Err(_) => {
                let first = !self.is_burnt.swap(true, Ordering::SeqCst);
                if first && self.acts_last {
                    Step::Last
                } else {
                    Step::Never
                }
            }
        }
    }
}

enum Step {
    /// Done, and answered.
    Go,
    /// Done, and never answered.
    Last,
    /// Never done.
    Never,
}

/// A chain that ends with its fuse.
struct Wire(Arc<Chain>, Arc<Fuse>);

impl Rpc for Wire {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(async move {
            match self.1.step() {
                Step::Go => self.0.batch(calls).await,
                Step::Last => {
                    drop(self.0.batch(calls).await);
                    core::future::pending().await
                }
                Step::Never => core::future::pending().await,
            }
        })
    }
}

/// A store that ends with its fuse.
struct Disk(MemoryStore, Arc<Fuse>);

impl Store for Disk {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        self.0.read(keys)
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            match self.1.step() {
                Step::Go => self.0.change(key, signer, change).await,
                Step::Last => {
                    drop(self.0.change(key, signer, change).await);
                    core::future::pending().await
                }
                Step::Never => core::future::pending().await,
            }
        })
    }

    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()> {
        self.0.beat(owner, lease)
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        self.0.take_over(owner, signer)
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        self.0.unfinished(signer)
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        self.0.spent(signer, payer, except, minute)
    }

    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        self.0.prune(before_s)
    }
}

/// One life, killed at its end. `None` where it did not even start.
fn life(
    chain: &Arc<Chain>,
    rpc: Arc<dyn Rpc>,
    store: Arc<dyn Store>,
    patience: Duration,
) -> Option<SettleResponse> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let config = FacilitatorConfig {
            rpc,
            lease: Duration::from_millis(60),
            settle_wait: patience,
            ..config(chain, StoreLocation::Memory)
        };
        let work = async {
            let facilitator = Facilitator::start_with(config, store).await.unwrap();
            let mut answer = facilitator.settle_payment(&request(1, 42)).await.unwrap();
            for _ in 0..30 {
                if answer.error_reason != Some(Reason::SettlementPending) || patience < WHOLE {
                    break;
                }
                answer = facilitator.settle_payment(&request(1, 42)).await.unwrap();
            }
            answer
        };
        tokio::time::timeout(patience * 60, work).await.ok()
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    answer
}

/// How long a life waits that shall come to its end.
const WHOLE: Duration = Duration::from_secs(1);
/// How long a life waits that is cut short.
const CUT: Duration = Duration::from_millis(40);

/// Cuts a life after `steps` steps, and lets another one finish.
fn cut(steps: usize, acts_last: bool, at_store: bool) -> bool {
    let chain = Arc::new(Chain::default());
    let store = MemoryStore::new();
    let fuse = Fuse::new(steps, acts_last);
    let never = Fuse::new(usize::MAX, false);
    let (wire, disk) = if at_store {
        (never, Arc::clone(&fuse))
    } else {
        (Arc::clone(&fuse), never)
    };
    let rpc = Arc::new(Wire(Arc::clone(&chain), wire));
    let first = life(&chain, rpc, Arc::new(Disk(store.clone(), disk)), CUT);
    let rpc = Arc::<Chain>::clone(&chain);
    let settled = life(&chain, rpc, Arc::new(store), WHOLE).unwrap();
    let place = format!("cut after {steps}, last step done {acts_last}, at the store {at_store}");
    assert!(settled.success, "{place}: {settled:?}");
    assert_eq!(chain.payments(), [1], "{place}");
    if let Some(first) = first.filter(|first| first.transaction_hash().is_some()) {
        assert_eq!(first.transaction, settled.transaction, "{place}");
    }
    // Whether the first life was cut at all.
    fuse.is_burnt.load(Ordering::SeqCst)
}

/// A store whose reply to the change after some others gets lost.
struct Lossy(MemoryStore, AtomicUsize);

impl Store for Lossy {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        self.0.read(keys)
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.change(key, signer, change).await?;
            match self.1.fetch_sub(1, Ordering::SeqCst) {
                1 => Err(StoreError::Database("the reply got lost".into())),
                _ => Ok(()),
            }
        })
    }

    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()> {
        self.0.beat(owner, lease)
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        self.0.take_over(owner, signer)
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        self.0.unfinished(signer)
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        self.0.spent(signer, payer, except, minute)
    }

    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        self.0.prune(before_s)
    }
}

#[tokio::test]
async fn a_change_whose_reply_got_lost_is_found_again() {
    // The first change looks at the lane, the second signs, the third is the outcome.
    for lost in 2..=3 {
        let chain = Arc::new(Chain::default());
        let config = FacilitatorConfig {
            lease: Duration::from_millis(60),
            ..config(&chain, StoreLocation::Memory)
        };
        let store = Lossy(MemoryStore::new(), AtomicUsize::new(lost));
        let facilitator = Facilitator::start_with(config, Arc::new(store));
        let facilitator = facilitator.await.unwrap();
        let mut last = facilitator.settle_payment(&request(1, 42)).await;
        for _ in 0..30 {
            if last.as_ref().is_ok_and(|answer| answer.success) {
                break;
            }
            last = facilitator.settle_payment(&request(1, 42)).await;
        }
        assert!(
            last.as_ref().is_ok_and(|answer| answer.success),
            "{lost} {last:?}"
        );
        assert_eq!(chain.payments(), [1]);
        assert_eq!(chain.distinct(), 1);
    }
}

#[test]
fn a_process_that_dies_anywhere_loses_and_doubles_nothing() {
    for at_store in [true, false] {
        for acts_last in [true, false] {
            let cuts = (1..9).filter(|steps| cut(*steps, acts_last, at_store));
            assert!(cuts.count() >= 2);
        }
    }
}

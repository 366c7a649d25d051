//! Several facilitators over one store: memory that they share, or a real Postgres.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use seamline_evm::x402::{Reason, SettleResponse};
use seamline_services::facilitator::{
    Facilitator, FacilitatorConfig, MemoryStore, Store, StoreLocation, open_store,
};
use tokio::runtime::{Builder, Runtime};

use crate::chain::{Chain, Mood};
use crate::payments::{CHAIN_ID, config, request, signer};
use crate::postgres;

/// Where replicas meet.
#[derive(Clone)]
enum Shared {
    Memory(MemoryStore),
    Postgres(String),
}

impl Shared {
    async fn all() -> Vec<Self> {
        let mut all = vec![Self::Memory(MemoryStore::new())];
        all.extend(postgres::database().await.map(Self::Postgres));
        all
    }

    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Postgres(url) => {
                let location = StoreLocation::Postgres(url.clone());
                let address = signer().address();
                open_store(location, CHAIN_ID, address).await.unwrap()
            }
        }
    }

    async fn replica(&self, chain: &Arc<Chain>, lease: Duration) -> Facilitator {
        let config = FacilitatorConfig {
            lease,
            ..config(chain, StoreLocation::Memory)
        };
        let store = self.open().await;
        Facilitator::start_with(config, store).await.unwrap()
    }
}

const LEASE: Duration = Duration::from_secs(60);
/// Of a replica that shall be missed soon.
const SHORT: Duration = Duration::from_millis(300);

/// Asks until it is not pending any more, for a busy machine.
async fn settle(replica: &Facilitator, number: u64, amount: u128) -> SettleResponse {
    let request = request(number, amount);
    let mut settled = replica.settle_payment(&request).await.unwrap();
    for _ in 0..30 {
        if settled.error_reason != Some(Reason::SettlementPending) {
            break;
        }
        settled = replica.settle_payment(&request).await.unwrap();
    }
    settled
}

#[tokio::test]
async fn two_replicas_that_race_broadcast_once_and_answer_the_same() {
    for shared in Shared::all().await {
        let chain = Arc::new(Chain::default());
        let one = shared.replica(&chain, LEASE).await;
        let two = shared.replica(&chain, LEASE).await;
        for number in 0..10 {
            let (first, second) = tokio::join!(settle(&one, number, 42), settle(&two, number, 42));
            assert!(first.success, "{first:?}");
            assert_eq!(first, second);
        }
        assert_eq!(chain.distinct(), 10);
        assert_eq!(chain.payments(), [1; 10]);
    }
}

#[tokio::test]
async fn replicas_that_share_a_signer_share_its_sequence() {
    for shared in Shared::all().await {
        let chain = Arc::new(Chain::default());
        let replicas = [
            shared.replica(&chain, LEASE).await,
            shared.replica(&chain, LEASE).await,
        ];
        let settlements: Vec<_> = (0..30)
            .map(|number| {
                let replica = replicas[usize::try_from(number % 2).unwrap()].clone();
                tokio::spawn(async move { settle(&replica, number, 42).await })
            })
            .collect();
        let mut transactions = BTreeSet::new();
        for settlement in settlements {
            let settled = settlement.await.unwrap();
            assert!(settled.success, "{settled:?}");
            transactions.insert(settled.transaction);
        }
        assert_eq!(transactions.len(), 30);
        assert_eq!(chain.mined_nonces(), (0..30).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_replica_that_was_idle_knows_that_the_lane_has_room() {
    for shared in Shared::all().await {
        let chain = Arc::new(Chain::default());
        let few = FacilitatorConfig {
            lease: SHORT,
            max_in_flight: 2,
            ..config(&chain, StoreLocation::Memory)
        };
        let store = shared.open().await;
        let idle = Facilitator::start_with(few, store).await.unwrap();
        let busy = shared.replica(&chain, LEASE).await;
        for number in 0..6 {
            assert!(settle(&busy, number, 42).await.success);
        }
        assert!(settle(&idle, 6, 42).await.success);
        // Nor does it see gaps where there are none.
        chain.set(Mood::Slow);
        let pending = busy.settle_payment(&request(7, 42)).await.unwrap();
        assert!(pending.transaction_hash().is_some());
        tokio::time::sleep(SHORT * 2).await;
        assert_eq!(chain.distinct(), 8);
    }
}

#[tokio::test]
async fn another_requirement_for_the_same_payment_is_refused_by_every_replica() {
    for shared in Shared::all().await {
        let chain = Arc::new(Chain::default());
        let one = shared.replica(&chain, LEASE).await;
        let two = shared.replica(&chain, LEASE).await;
        chain.set(Mood::Slow);
        let pending = one.settle_payment(&request(1, 42)).await.unwrap();
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
        let other = two.settle_payment(&request(1, 43)).await.unwrap();
        assert_eq!(other.error_reason, Some(Reason::Permit2InvalidNonce));
        chain.mine();
        assert!(settle(&two, 1, 42).await.success);
        let other = two.settle_payment(&request(1, 43)).await.unwrap();
        assert_eq!(other.error_reason, Some(Reason::Permit2InvalidNonce));
        assert_eq!(chain.distinct(), 1);
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A replica dies at `mood`; another one takes its settlement up, and the same bytes settle it.
fn dies_at(mood: Mood) {
    let setup = runtime();
    for shared in setup.block_on(Shared::all()) {
        let chain = Arc::new(Chain::default());
        chain.set(mood);
        let first = runtime();
        let pending = first.block_on(async {
            let one = shared.replica(&chain, SHORT).await;
            one.settle_payment(&request(1, 42)).await.unwrap()
        });
        first.shutdown_timeout(Duration::from_secs(5));
        assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
        assert!(pending.transaction_hash().is_some());
        chain.set(Mood::Instant);
        let second = runtime();
        let settled = second.block_on(async {
            let two = shared.replica(&chain, SHORT).await;
            chain.mine();
            settle(&two, 1, 42).await
        });
        second.shutdown_timeout(Duration::from_secs(5));
        assert!(settled.success, "{settled:?}");
        assert_eq!(settled.transaction, pending.transaction);
        assert_eq!(chain.distinct(), 1);
        assert_eq!(chain.payments(), [1]);
    }
}

#[test]
fn a_replica_that_dies_before_the_broadcast_is_taken_over() {
    dies_at(Mood::HangsOnSend);
}

#[test]
fn a_replica_that_dies_after_the_broadcast_is_taken_over() {
    dies_at(Mood::Slow);
}

#[test]
fn a_replica_that_dies_without_a_reply_is_taken_over() {
    dies_at(Mood::LosesReplies);
}

#[tokio::test]
async fn replicas_meet_in_a_database_behind_tls() {
    let Some(server) = postgres::tls().await else {
        return;
    };
    let url = |root: &str| format!("{}&sslrootcert={root}", server.url);
    let chain = Arc::new(Chain::default());
    let shared = Shared::Postgres(url(&server.root));
    let one = shared.replica(&chain, LEASE).await;
    let two = shared.replica(&chain, LEASE).await;
    let (first, second) = tokio::join!(settle(&one, 1, 42), settle(&two, 1, 42));
    assert!(first.success, "{first:?}");
    assert_eq!(first, second);
    assert_eq!(chain.distinct(), 1);
    let location = StoreLocation::Postgres(url(&server.stranger));
    let other = open_store(location, CHAIN_ID, signer().address()).await;
    assert!(other.is_err(), "another authority did not sign it");
}

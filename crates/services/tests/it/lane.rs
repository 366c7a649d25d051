//! Calls that are no payments, through the same account.

use core::time::Duration;
use std::sync::Arc;

use seamline_core::{Address, B256};
use seamline_services::facilitator::{
    FacilitatorConfig, Job, JobError, MemoryStore, Outcome, Store, StoreLocation,
};

use crate::chain::{Chain, Mood};
use crate::payments::{Desk, config, payer, request};

fn job(number: u8) -> Job {
    Job {
        id: B256::repeat_byte(number),
        to: Address::repeat_byte(0xcc),
        input: vec![1, 2, 3, number],
        gas_limit: 100_000,
        payer: Some(payer().address()),
        runs_payers_code: false,
        memo: format!("job {number}"),
    }
}

#[tokio::test]
async fn a_job_is_done_once_and_its_outcome_is_found_again() {
    let desk = Desk::open().await;
    let lane = desk.facilitator.lane();
    let done = lane.send(job(1)).await.unwrap();
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    // The id decides, whatever else is said.
    let mut other = job(1);
    other.input = vec![9];
    assert_eq!(lane.send(other).await.unwrap(), done);
    assert_eq!(desk.chain.distinct(), 1);
    let found = lane.find(job(1).id).await.unwrap().unwrap();
    assert_eq!(found.memo(), "job 1");
    assert_eq!(found.ended(), Some(done));
    assert!(lane.find(job(2).id).await.unwrap().is_none());
}

#[tokio::test]
async fn jobs_and_payments_share_one_sequence() {
    let desk = Desk::open().await;
    let lane = desk.facilitator.lane();
    let payments = async {
        for number in 0..5 {
            assert!(desk.settle(&request(number, 42)).await.success);
        }
    };
    let jobs = async {
        for number in 0..5 {
            let done = lane.send(job(number)).await.unwrap();
            assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
        }
    };
    tokio::join!(payments, jobs);
    assert_eq!(desk.chain.mined_nonces(), (0..10).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_job_that_reverts_says_so() {
    let desk = Desk::open().await;
    desk.chain.set(Mood::Reverts);
    let reverted = desk.facilitator.lane().send(job(1)).await.unwrap();
    assert!(matches!(reverted, Outcome::Reverted { .. }), "{reverted:?}");
}

#[tokio::test]
async fn a_job_of_a_replica_that_died_is_done_by_the_next() {
    let chain = Arc::new(Chain::default());
    let store = MemoryStore::new();
    let short = || FacilitatorConfig {
        lease: Duration::from_millis(60),
        ..config(&chain, StoreLocation::Memory)
    };
    let open = |store: MemoryStore| {
        let store: Arc<dyn Store> = Arc::new(store);
        seamline_services::facilitator::Facilitator::start_with(short(), store)
    };
    chain.set(Mood::Slow);
    let first = open(store.clone()).await.unwrap();
    let sent = first.lane().begin(job(1)).await.unwrap();
    assert!(first.stop(Duration::from_secs(60)).await);
    drop((sent, first));
    chain.set(Mood::Instant);
    let second = open(store).await.unwrap();
    let done = second.lane().send(job(1)).await.unwrap();
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    assert_eq!(chain.mined_nonces(), [0]);
    assert_eq!(chain.distinct(), 1);
}

#[tokio::test]
async fn a_job_has_its_place_in_the_budgets() {
    let desk = Desk::tuned(|config| config.gas.payer_per_hour = 99_999).await;
    let full = desk.facilitator.lane().begin(job(1)).await;
    let Err(JobError::Budget { code, .. }) = full else {
        panic!("it was taken on");
    };
    assert_eq!(code, "payer_gas_budget_exhausted");
    // The facilitator's own business is bounded by the budget of everybody.
    let own = Job {
        payer: None,
        ..job(2)
    };
    let done = desk.facilitator.lane().send(own).await.unwrap();
    assert!(matches!(done, Outcome::Done { .. }));
    let desk = Desk::tuned(|config| config.gas.all_per_hour = 99_999).await;
    let own = Job {
        payer: None,
        ..job(2)
    };
    let full = desk.facilitator.lane().begin(own).await;
    assert!(matches!(full, Err(JobError::Budget { code, .. }) if code == "gas_budget_exhausted"));
    let long = Job {
        memo: "x".repeat(16 * 1024 + 1),
        ..job(3)
    };
    let long = desk.facilitator.lane().begin(long).await;
    assert!(matches!(long, Err(JobError::Memo)));
}

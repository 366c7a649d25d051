//! The process dies before or after each of its effects: nothing is lost, nothing settles twice.

use std::collections::HashSet;
use std::sync::Arc;

use seamline_core::B256;
use seamline_evm::settlement::{JobStatus, Stage};

use super::world::{CONTRACT, World, answer};
use crate::data::book;
use crate::data::{DataDesk, MemoryTable, open_table};
use crate::facilitator::StoreLocation;

/// Hands over six answers and lets everything happen; returns the ids that were acknowledged.
async fn live(world: &World, desk: &DataDesk) -> Vec<B256> {
    let mut taken = Vec::new();
    for index in 0..6 {
        let data = answer(index);
        if desk.settle(&data).await.is_ok() {
            taken.push(data.inference.id());
        }
    }
    for _ in 0..5 {
        // A dead process does nothing; a living one may have to wait.
        drop(desk.round().await);
        world.advance(301);
    }
    taken
}

pub(super) fn check(world: &World, taken: &[B256], what: &str) {
    let roots = world.roots();
    let once: HashSet<B256> = roots.iter().copied().collect();
    assert_eq!(once.len(), roots.len(), "{what}: a root is on chain twice");
    let leaves: Vec<B256> = roots.iter().flat_map(|root| world.leaves(*root)).collect();
    let settled: HashSet<B256> = leaves.iter().copied().collect();
    assert_eq!(
        settled.len(),
        leaves.len(),
        "{what}: an answer settled twice"
    );
    for id in taken {
        assert!(settled.contains(id), "{what}: {id} was lost");
    }
}

/// Where processes die.
pub(super) struct Deaths {
    /// Every how manieth effect is one.
    pub(super) stride: usize,
}

/// Lets processes die before and after their effects, each in a world of its own whose table is at
/// `place`, under the chain id that it says; returns how many died.
pub(super) async fn dies_everywhere(
    deaths: Deaths,
    place: impl Fn() -> (StoreLocation, u64),
) -> u32 {
    let mut count: u32 = 0;
    for dies_after in [false, true] {
        for dies_in in (0..).step_by(deaths.stride) {
            let (place, chain_id) = place();
            let shared = matches!(place, StoreLocation::Memory);
            let open = || async {
                let table = open_table(place.clone(), chain_id, CONTRACT).await;
                table.unwrap()
            };
            let mut world = World::over(open().await);
            world.state().dies_in = Some(dies_in);
            world.state().dies_after = dies_after;
            let first = world.desk(false);
            let mut taken = live(&world, &first).await;
            let died = world.state().dead;
            drop(first);
            {
                let mut state = world.state();
                state.dead = false;
                state.dies_in = None;
            }
            // The next process opens the place anew; whoever was not answered hands over again.
            if !shared {
                world.table = Arc::new(MemoryTable::new());
                world.table = open().await;
            }
            let second = world.desk(false);
            world.state().now_s = super::world::NOW + 10;
            taken.extend(live(&world, &second).await);
            assert_eq!(HashSet::<B256>::from_iter(taken.iter().copied()).len(), 6);
            check(
                &world,
                &taken,
                &format!("effect {dies_in}, after: {dies_after}"),
            );
            if !died {
                break;
            }
            count = count.saturating_add(1);
        }
    }
    count
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_settles_twice_wherever_it_dies() {
    let deaths = dies_everywhere(Deaths { stride: 1 }, || (StoreLocation::Memory, 1)).await;
    // Fewer would mean that effects are not counted any more.
    assert!(deaths > 60, "{deaths}");
}

#[tokio::test]
async fn two_replicas_settle_each_answer_once() {
    let world = World::new();
    let (one, two) = (world.desk(false), world.desk(false));
    for index in 0..24 {
        let desk = if index % 2 == 0 { &one } else { &two };
        // Each answer reaches both, as after a lost reply.
        desk.settle(&answer(index)).await.unwrap();
        let again = answer(index);
        let (first, second) = tokio::join!(one.settle(&again), two.settle(&again));
        assert_eq!(first.unwrap().job_id, second.unwrap().job_id);
        let (first, second) = tokio::join!(one.round(), two.round());
        first.unwrap();
        second.unwrap();
    }
    for _ in 0..12 {
        let (first, second) = tokio::join!(one.round(), two.round());
        first.unwrap();
        second.unwrap();
        world.advance(301);
    }
    let taken: Vec<B256> = (0..24).map(|it| answer(it).inference.id()).collect();
    check(&world, &taken, "two replicas");
}

#[tokio::test]
async fn a_block_that_leaves_the_chain_takes_the_batch_along_and_it_is_made_again() {
    let world = World::new();
    let desk = world.desk(false);
    for index in 0..4 {
        desk.settle(&answer(index)).await.unwrap();
    }
    desk.round().await.unwrap();
    desk.round().await.unwrap();
    let [root] = world.roots()[..] else {
        panic!("one batch");
    };
    let stage = || async {
        let job = desk.0.core.book(move |book| book::job(book, root)).await;
        job.unwrap().unwrap().stage
    };
    assert!(matches!(
        stage().await,
        Stage::Settled {
            is_final: false,
            ..
        }
    ));
    // The block goes, its record with it, and the sender's transaction is dropped.
    {
        let mut state = world.state();
        let (block, _, _) = state.records.pop().unwrap();
        state.forks.insert(block, 1);
        let dropped = seamline_evm::settlement::Standing::Dropped;
        for (_, standing) in state.sent.values_mut() {
            *standing = dropped;
        }
    }
    for _ in 0..6 {
        desk.round().await.unwrap();
        world.advance(60);
    }
    assert_eq!(world.roots(), [root]);
    assert!(matches!(
        stage().await,
        Stage::Settled { is_final: true, .. }
    ));
}

#[tokio::test]
async fn a_blob_that_reads_back_as_something_else_keeps_the_root_off_the_chain() {
    let world = World::new();
    let desk = world.desk(false);
    for index in 0..4 {
        desk.settle(&answer(index)).await.unwrap();
    }
    world.state().lies = true;
    for _ in 0..4 {
        desk.round().await.unwrap();
        world.advance(400);
    }
    assert!(world.state().sent.is_empty());
    world.state().lies = false;
    for _ in 0..4 {
        world.advance(400);
        desk.round().await.unwrap();
    }
    assert_eq!(world.roots().len(), 1);
}

#[tokio::test]
async fn a_contract_that_refuses_costs_no_gas_and_loses_nothing() {
    let world = World::new();
    let desk = world.desk(false);
    for index in 0..4 {
        desk.settle(&answer(index)).await.unwrap();
    }
    world.state().refuses = true;
    for _ in 0..20 {
        desk.round().await.unwrap();
        world.advance(400);
    }
    assert!(world.state().sent.is_empty());
    world.state().refuses = false;
    for _ in 0..4 {
        world.advance(400);
        desk.round().await.unwrap();
    }
    let job = desk.settle(&answer(1)).await.unwrap();
    assert_eq!(job.status, JobStatus::Succeeded);
}

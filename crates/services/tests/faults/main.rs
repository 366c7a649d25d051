//! Fault injection: payer, paywall and facilitator as they are, over a simulated chain and wires that
//! lose, double and delay, on a paused clock and without sockets.
//!
//! A run is a function of its point and its seed: faults, delays and chances are drawn from it, and
//! nothing else draws. `SEAMLINE_FAULT_RUNS` sets the runs of each point; `SEAMLINE_FAULT_SEED` runs one
//! seed that often instead.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test"
)]

mod answer;
mod books;
mod chain;
mod contracts;
mod http;
mod leg;
mod life;
mod payer;
mod points;
mod rng;
mod run;
mod transaction;
mod wire;
mod world;

use core::time::Duration;
use std::time::Instant;

use points::{Plan, Point};
use run::{Failure, Tally, play, run};

/// Runs of each point where `SEAMLINE_FAULT_RUNS` does not say.
const RUNS: u64 = if cfg!(debug_assertions) { 40 } else { 300 };
/// Failures of one point that are told in full.
const TOLD: usize = 1;

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment how long to run"
)]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// Runs a point with many seeds, on all processors.
fn many(point: Point) {
    let only = setting("SEAMLINE_FAULT_SEED");
    let runs = setting("SEAMLINE_FAULT_RUNS").unwrap_or(RUNS);
    let seeds: Vec<u64> = match only {
        Some(seed) => vec![seed; usize::try_from(runs).unwrap()],
        None => (1..=runs).collect(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = seeds.chunks(seeds.len().div_ceil(threads)).collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let part = |seeds: &[u64]| -> (Tally, Duration, Vec<(u64, Box<Failure>)>) {
            let (mut tally, mut slowest, mut failures) = Default::default();
            for seed in seeds {
                #[expect(clippy::disallowed_methods, reason = "how long this machine takes")]
                let began = Instant::now();
                match run(point, *seed, |_| {}) {
                    Ok(of_run) => Tally::add(&mut tally, of_run),
                    Err(failure) => Vec::push(&mut failures, (*seed, failure)),
                }
                slowest = Duration::max(slowest, began.elapsed());
            }
            (tally, slowest, failures)
        };
        let running: Vec<_> = parts
            .into_iter()
            .map(|seeds| scope.spawn(move || part(seeds)))
            .collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (mut tally, mut slowest, mut failures) = (Tally::default(), Duration::ZERO, Vec::new());
    for (of_part, longest, failed) in results {
        tally.add(of_part);
        slowest = slowest.max(longest);
        failures.extend(failed);
    }
    tell(point, &tally, slowest, &failures);
}

#[expect(clippy::print_stdout, reason = "the table of the runs")]
fn tell(point: Point, tally: &Tally, slowest: Duration, failures: &[(u64, Box<Failure>)]) {
    let name = point.name();
    println!(
        "faults: {name}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
        tally.runs + u64::try_from(failures.len()).unwrap(),
        tally.settled,
        tally.not_settled,
        tally.unsigned,
        tally.resolved,
        tally.answers,
        tally.on_credit,
        tally.undone,
        tally.reverted,
        slowest.as_millis(),
        failures.len(),
    );
    for (seed, failure) in failures.iter().take(TOLD) {
        println!("{name}, seed {seed}: {}", failure.broken);
        println!("{}\n{}", failure.plan, failure.trace.join("\n"));
    }
    let told: Vec<_> = failures
        .iter()
        .map(|(seed, failure)| format!("seed {seed}: {}", failure.broken))
        .take(20)
        .collect();
    assert!(failures.is_empty(), "{name}: {told:#?}");
}

macro_rules! points {
    ($($test:ident: $point:ident,)+) => {$(
        #[test]
        fn $test() {
            many(Point::$point);
        }
    )+};
}

points! {
    before_send: BeforeSend,
    after_send: AfterSend,
    after_verify: AfterVerify,
    after_broadcast: AfterBroadcast,
    before_the_reply: BeforeReply,
    at_restart: AtRestart,
    rpc_errors: RpcErrors,
    reorg_of_one_block: Reorg,
    stuck_mempool: StuckMempool,
    two_replicas: TwoReplicas,
    fallback: Fallback,
    clock_skew: ClockSkew,
    seller_dies: SellerDies,
    duplicates: Duplicates,
    preempted: Preempted,
    everything: Everything,
}

const ALL: [Point; 16] = [
    Point::BeforeSend,
    Point::AfterSend,
    Point::AfterVerify,
    Point::AfterBroadcast,
    Point::BeforeReply,
    Point::AtRestart,
    Point::RpcErrors,
    Point::Reorg,
    Point::StuckMempool,
    Point::TwoReplicas,
    Point::Fallback,
    Point::ClockSkew,
    Point::SellerDies,
    Point::Duplicates,
    Point::Preempted,
    Point::Everything,
];
/// Seeds of each point that are run twice.
const REPEATED: u64 = if cfg!(debug_assertions) { 6 } else { 40 };

#[test]
fn a_run_follows_from_its_seed() {
    let seeds = setting("SEAMLINE_FAULT_REPEATED").unwrap_or(REPEATED);
    for point in ALL {
        for seed in 1..=seeds {
            let (first, second) = (play(point, seed, |_| {}), play(point, seed, |_| {}));
            let lines = first.2.iter().zip(&second.2);
            let parting = lines.clone().find(|(one, other)| one != other);
            assert_eq!(parting, None, "{point:?}, seed {seed}");
            assert_eq!(first, second, "{point:?}, seed {seed}");
        }
    }
}

/// What breaks within some seeds, once a protection is off.
fn breaks(point: Point, change: fn(&mut Plan)) -> Vec<String> {
    let runs = (1..=60).filter_map(|seed| run(point, seed, change).err());
    runs.map(|failure| failure.broken).collect()
}

#[test]
fn a_payer_that_signs_anew_is_seen_to_pay_twice() {
    let broken = breaks(Point::BeforeReply, |plan| plan.signs_anew = true);
    assert!(
        broken.iter().any(|it| it.contains("paid twice")),
        "{broken:?}"
    );
}

#[test]
fn a_paywall_that_forgets_is_seen_to_work_twice_for_one_payment() {
    let broken = breaks(Point::SellerDies, |plan| {
        (plan.streams, plan.credit, plan.shop_forgets) = (true, 32, true);
    });
    assert!(
        broken.iter().any(|it| it.contains("two answers")),
        "{broken:?}"
    );
}

#[test]
fn a_facilitator_that_forgets_is_seen() {
    let broken = breaks(Point::Reorg, |plan| plan.desk_forgets = true);
    assert!(!broken.is_empty());
}

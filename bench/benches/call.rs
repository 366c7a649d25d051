//! Whole calls on the local network: the start, the first call, and a steady stream of calls.
//!
//! Nodes answer at once here, so that the figures are Seamline's own and not the pace of a model.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot set itself up"
)]

use core::time::Duration;
use std::path::Path;

use seamline_bench::World;
use seamline_localnet::{NodeSpec, three_nodes};
use tokio::time::Instant;

/// Starts measured, each with its first call.
const STARTS: usize = 15;
/// Calls measured in the steady state.
const CALLS: usize = 300;

fn main() {
    // `cargo test --benches` and the like only want to know that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let fresh: Vec<_> = measure_starts(None).await;
        let home = tempfile::tempdir().unwrap();
        World::start(home.path(), nodes())
            .await
            .unwrap()
            .net
            .stop()
            .await;
        let kept = measure_starts(Some(home.path())).await;
        report("fresh home: start", fresh.iter().map(|one| one.0).collect());
        report(
            "fresh home: start to answer",
            fresh.iter().map(|one| one.1).collect(),
        );
        report(
            "existing home: start",
            kept.iter().map(|one| one.0).collect(),
        );
        report(
            "existing home: start to answer",
            kept.iter().map(|one| one.1).collect(),
        );
        report("steady call", steady().await);
    });
}

/// The local network's nodes without their delays and paces.
fn nodes() -> Vec<NodeSpec> {
    let mut nodes = three_nodes();
    for node in &mut nodes {
        node.words_per_second = 0;
        node.delay = Duration::ZERO;
    }
    nodes
}

async fn measure_starts(home: Option<&Path>) -> Vec<(Duration, Duration)> {
    let mut measured = Vec::new();
    for _ in 0..STARTS {
        let fresh = tempfile::tempdir().unwrap();
        let folder = home.unwrap_or_else(|| fresh.path());
        let started = Instant::now();
        let world = World::start(folder, nodes()).await.unwrap();
        let up = started.elapsed();
        world.client.chat(&World::question()).await.unwrap();
        measured.push((up, started.elapsed()));
        world.net.stop().await;
    }
    measured
}

async fn steady() -> Vec<Duration> {
    let home = tempfile::tempdir().unwrap();
    let world = World::start(home.path(), nodes()).await.unwrap();
    world.client.chat(&World::question()).await.unwrap();
    let mut measured = Vec::new();
    for _ in 0..CALLS {
        let started = Instant::now();
        world.client.chat(&World::question()).await.unwrap();
        measured.push(started.elapsed());
    }
    world.net.stop().await;
    measured
}

fn report(what: &str, mut measured: Vec<Duration>) {
    measured.sort_unstable();
    let at = |share: usize| {
        let index = measured
            .len()
            .saturating_sub(1)
            .saturating_mul(share)
            .div_ceil(100);
        measured.get(index).copied().unwrap_or_default()
    };
    println!(
        "{what:<32} n {:>4}  p50 {:>9.2?}  p99 {:>9.2?}",
        measured.len(),
        at(50),
        at(99)
    );
}

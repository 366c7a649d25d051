//! The process dies between the record, the broadcast and the receipt.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use seamline_evm::x402::{Reason, SettleResponse};
use seamline_services::facilitator::{Error, StoreLocation};
use tokio::runtime::{Builder, Runtime};

use crate::chain::{Chain, Mood};
use crate::payments::{Desk, config, request};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// One life of a facilitator with a store in a file, killed at the end: tasks vanish where they
/// stand.
fn life<T>(chain: &Arc<Chain>, file: &Path, work: impl AsyncFnOnce(&Desk) -> T) -> T {
    let runtime = runtime();
    let result = runtime.block_on(async {
        let location = StoreLocation::File(file.to_owned());
        let desk = Desk::with(config(chain, location), chain).await.unwrap();
        work(&desk).await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

async fn settle(desk: &Desk) -> SettleResponse {
    desk.settle(&request(1, 42)).await
}

#[test]
fn a_crash_before_the_broadcast_sends_the_same_bytes_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settlements.redb");
    let chain = Arc::new(Chain::default());
    chain.set(Mood::HangsOnSend);
    let pending = life(&chain, &file, settle);
    assert_eq!(pending.error_reason, Some(Reason::SettlementPending));
    assert_eq!(chain.pooled(), 0);
    chain.set(Mood::Instant);
    let settled = life(&chain, &file, settle);
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.transaction, pending.transaction);
    let offered = chain.offered();
    assert_eq!(offered.len(), 2);
    assert_eq!(offered[0], offered[1]);
}

#[test]
fn a_crash_between_broadcast_and_receipt_pays_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settlements.redb");
    let chain = Arc::new(Chain::default());
    chain.set(Mood::Slow);
    let pending = life(&chain, &file, settle);
    chain.mine();
    let settled = life(&chain, &file, settle);
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.transaction, pending.transaction);
    assert_eq!(chain.mined_nonces(), [0]);
    assert!(chain.offered().iter().all(|raw| *raw == chain.offered()[0]));
    // A third life remembers the outcome without asking anyone.
    let sends = chain.offered().len();
    assert_eq!(life(&chain, &file, settle), settled);
    assert_eq!(chain.offered().len(), sends);
}

#[test]
fn after_a_crash_new_settlements_line_up_behind_the_open_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settlements.redb");
    let chain = Arc::new(Chain::default());
    chain.set(Mood::HangsOnSend);
    life(&chain, &file, settle);
    chain.set(Mood::Slow);
    life(&chain, &file, async |desk| {
        desk.settle(&request(2, 42)).await;
        desk.chain.mine();
        assert!(desk.settle(&request(2, 42)).await.success);
        assert!(settle(desk).await.success);
    });
    assert_eq!(chain.mined_nonces(), [0, 1]);
}

#[test]
fn a_store_that_is_not_one_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settlements.redb");
    std::fs::write(&file, b"not a database").unwrap();
    let chain = Arc::new(Chain::default());
    let location = StoreLocation::File(file.clone());
    let error = runtime().block_on(Desk::with(config(&chain, location), &chain));
    assert!(matches!(error.err(), Some(Error::Store(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"not a database");
}

#[cfg(unix)]
#[test]
fn the_store_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settlements.redb");
    let chain = Arc::new(Chain::default());
    life(&chain, &file, settle);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

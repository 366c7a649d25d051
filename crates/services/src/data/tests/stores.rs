//! One suite for every table, and the crash run over those that survive a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seamline_core::{Address, B256};

use super::crash::{Deaths, dies_everywhere};
use super::world::{CONTRACT, World, answer};
use crate::data::admit::NotTaken;
use crate::data::store::with;
use crate::data::{Error, MemoryTable, Table, open_table};
use crate::facilitator::{StoreError, StoreLocation, postgres_server as server};

const CHAIN_ID: u64 = 31_337;

async fn open(location: StoreLocation) -> Arc<dyn Table> {
    open_table(location, CHAIN_ID, CONTRACT).await.unwrap()
}

async fn value(table: &dyn Table, key: &'static [u8]) -> Option<Vec<u8>> {
    with(table, move |book| book.get(key)).await.unwrap()
}

/// What the book relies on.
async fn suite(table: Arc<dyn Table>) {
    reads_and_writes(table.as_ref()).await;
    does_nothing_of_what_fails(table.as_ref()).await;
    is_exclusive(&table).await;
    finishes_what_nobody_waits_for(&table).await;
}

async fn reads_and_writes(table: &dyn Table) {
    let found = with(table, |book| {
        assert_eq!(book.get(b"none")?, None);
        book.remove(b"none")?;
        for (key, value) in [(b"kb", b"2"), (b"ka", b"1"), (b"kc", b"3"), (b"l1", b"4")] {
            book.put(key, value)?;
        }
        // Its own writes are seen at once.
        book.put(b"kb", b"")?;
        book.remove(b"kc")?;
        book.put(b"k\xff", b"high")?;
        book.keys(b"k", b"l", 10)
    });
    let expected: [&[u8]; 3] = [b"ka", b"kb", b"k\xff"];
    assert_eq!(found.await.unwrap(), expected);
    assert_eq!(value(table, b"kb").await, Some(Vec::new()));
    assert_eq!(value(table, b"kc").await, None);
    let pages = with(table, |book| {
        Ok([
            book.keys(b"k", b"l", 1)?.len(),
            book.keys(b"k", b"l", 0)?.len(),
            book.keys(b"k", b"ka", 9)?.len(),
            book.keys(b"ka", b"kb", 9)?.len(),
            book.keys(b"l", b"m", usize::MAX >> 1)?.len(),
        ])
    });
    assert_eq!(pages.await.unwrap(), [1, 0, 0, 1, 1]);
}

async fn does_nothing_of_what_fails(table: &dyn Table) {
    let failed = with::<()>(table, |book| {
        book.put(b"ka", b"changed")?;
        book.put(b"kz", b"new")?;
        book.remove(b"l1")?;
        Err(StoreError::Fenced)
    });
    assert!(matches!(failed.await, Err(StoreError::Fenced)));
    assert_eq!(value(table, b"ka").await, Some(b"1".to_vec()));
    assert_eq!(value(table, b"kz").await, None);
    assert_eq!(value(table, b"l1").await, Some(b"4".to_vec()));
}

/// What was read is still so when it is written.
async fn is_exclusive(table: &Arc<dyn Table>) {
    let one = |table: Arc<dyn Table>| async move {
        let add = with(table.as_ref(), |book| {
            let before = book.get(b"count")?.map_or(0, |it| it[0]);
            book.put(b"count", &[before.saturating_add(1)])
        });
        add.await.unwrap();
    };
    let all = (0..12).map(|_| tokio::spawn(one(Arc::clone(table))));
    for done in all.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    assert_eq!(value(table.as_ref(), b"count").await, Some(vec![12]));
}

/// A handler that is cancelled leaves a change that is whole, or none.
async fn finishes_what_nobody_waits_for(table: &Arc<dyn Table>) {
    let (begun, seen) = tokio::sync::oneshot::channel::<()>();
    let table = Arc::clone(table);
    let shared = Arc::clone(&table);
    let asked = tokio::spawn(async move {
        let change = with(shared.as_ref(), |book| {
            book.put(b"left", b"1")?;
            drop(begun);
            book.put(b"right", b"1")
        });
        drop(change.await);
    });
    drop(seen.await);
    asked.abort();
    drop(asked.await);
    let left = value(table.as_ref(), b"left").await;
    let right = value(table.as_ref(), b"right").await;
    assert_eq!(left, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_rules() {
    suite(Arc::new(MemoryTable::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_rules_and_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.redb");
    let table = open(StoreLocation::File(path.clone())).await;
    assert_eq!(table.kind(), "redb");
    suite(Arc::clone(&table)).await;
    // One process at a time.
    let second = open_table(StoreLocation::File(path.clone()), CHAIN_ID, CONTRACT).await;
    assert!(matches!(second, Err(StoreError::Database(_))));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may hold prompts");
    }
    drop(table);
    let table = open(StoreLocation::File(path)).await;
    assert_eq!(value(table.as_ref(), b"count").await, Some(vec![12]));
}

#[tokio::test]
async fn a_file_that_is_no_table_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "somebody's notes, which are no database").unwrap();
    let opened = open_table(StoreLocation::File(path.clone()), CHAIN_ID, CONTRACT).await;
    assert!(matches!(opened, Err(StoreError::Database(_))));
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept, "somebody's notes, which are no database");
    let nowhere = StoreLocation::File(folder.path().join("no/such/folder"));
    let opened = open_table(nowhere, CHAIN_ID, CONTRACT).await;
    assert!(matches!(opened, Err(StoreError::Open { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_rules_and_what_was_written() {
    let Some(url) = server::database().await else {
        return;
    };
    let location = || StoreLocation::Postgres(url.clone());
    // Replicas that start at once make the table once.
    let (one, two) = tokio::join!(open(location()), open(location()));
    suite(Arc::clone(&one)).await;
    assert_eq!(two.kind(), "postgres");
    assert_eq!(value(two.as_ref(), b"count").await, Some(vec![12]));
    // Two processes exclude each other as two tasks do.
    let add = |table: Arc<dyn Table>| {
        tokio::spawn(async move {
            let add = with(table.as_ref(), |book| {
                let before = book.get(b"shared")?.map_or(0, |it| it[0]);
                book.put(b"shared", &[before.saturating_add(1)])
            });
            add.await.unwrap();
        })
    };
    let all: Vec<_> = (0..12)
        .map(|index| add(Arc::clone(if index % 2 == 0 { &one } else { &two })))
        .collect();
    for done in all {
        done.await.unwrap();
    }
    assert_eq!(value(one.as_ref(), b"shared").await, Some(vec![12]));
    // Another contract, another chain: nothing is shared.
    for (chain_id, contract) in [(CHAIN_ID, Address::ZERO), (1, CONTRACT)] {
        let other = open_table(location(), chain_id, contract).await.unwrap();
        assert_eq!(value(other.as_ref(), b"count").await, None);
        let keys = with(other.as_ref(), |book| book.keys(b"", b"\xff", 10));
        assert_eq!(keys.await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_without_its_password() {
    for url in [
        "postgres://user:canary@127.0.0.1:1/none",
        "postgres://u:canary@h:port/x",
    ] {
        let location = StoreLocation::Postgres(url.to_owned());
        let Err(error) = open_table(location, CHAIN_ID, CONTRACT).await else {
            panic!("there is a database at {url}");
        };
        let text = format!("{} {error:?}", seamline_core::chain(&error));
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn a_record_that_this_version_does_not_write_stops_the_desk_and_is_kept() {
    let world = World::new();
    let desk = world.desk(false);
    desk.settle(&answer(1)).await.unwrap();
    let id = answer(1).inference.id();
    let key = [b"i".as_slice(), id.as_slice()].concat();
    for text in ["{}", "", r#"{"version":2}"#] {
        let (key, text) = (key.clone(), text.as_bytes().to_vec());
        let write = with(world.table.as_ref(), move |book| book.put(&key, &text));
        write.await.unwrap();
        let told = desk.settle(&answer(1)).await.unwrap_err();
        assert!(
            matches!(told, NotTaken::Failed(Error::Store(StoreError::Corrupt))),
            "{told}"
        );
    }
}

/// A table of a file, which each process opens anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_loses_nothing_and_settles_nothing_twice_wherever_the_process_dies() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicU64::new(0);
    let deaths = dies_everywhere(Deaths { stride: 7 }, || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.redb"));
        (StoreLocation::File(path), CHAIN_ID)
    });
    assert!(deaths.await > 10);
}

/// A database that all lives share; each has a scope of its own, as networks have.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_loses_nothing_and_settles_nothing_twice_wherever_the_process_dies() {
    let Some(url) = server::database().await else {
        return;
    };
    let number = AtomicU64::new(0);
    let deaths = dies_everywhere(Deaths { stride: 7 }, || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        (StoreLocation::Postgres(url.clone()), number)
    });
    assert!(deaths.await > 10);
}

/// Two replicas on one database, each handed everything.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_on_postgres_settle_each_answer_once() {
    let Some(url) = server::database().await else {
        return;
    };
    let location = || StoreLocation::Postgres(url.clone());
    let one = World::over(open(location()).await);
    let other = World {
        table: open(location()).await,
        state: Arc::clone(&one.state),
    };
    let desks = [one.desk(false), other.desk(false)];
    for index in 0..12 {
        let again = answer(index);
        let (first, second) = tokio::join!(desks[0].settle(&again), desks[1].settle(&again));
        assert_eq!(first.unwrap().job_id, second.unwrap().job_id);
        let (first, second) = tokio::join!(desks[0].round(), desks[1].round());
        first.unwrap();
        second.unwrap();
    }
    for _ in 0..6 {
        let (first, second) = tokio::join!(desks[0].round(), desks[1].round());
        first.unwrap();
        second.unwrap();
        one.advance(301);
    }
    let taken: Vec<B256> = (0..12).map(|it| answer(it).inference.id()).collect();
    super::crash::check(&one, &taken, "two replicas on postgres");
}

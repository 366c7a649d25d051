//! One suite for every store.

use std::collections::BTreeSet;

use seamline_evm::x402::{Reason, SettleResponse};

use super::*;
use crate::facilitator::settlement::{Attempt, End, Event, Now, Pace, Place, Purpose, Stage};

#[path = "../../../tests/it/postgres.rs"]
pub(crate) mod server;

const SIGNER: Address = Address::repeat_byte(7);
const LONG: Duration = Duration::from_secs(60);
const CHAIN_ID: u64 = 31_610;

fn key(number: u8) -> B256 {
    B256::repeat_byte(number)
}

/// An open settlement with one transaction.
fn open(number: u8, account_nonce: u64, owner: u64) -> Settlement {
    let blank = SettleResponse::failed("eip155:1", None, Reason::SettlementPending, None);
    let lease = crate::facilitator::settlement::Lease { owner, fence: 0 };
    let request = "{}".to_owned();
    let mut settlement = Settlement::new(
        key(number),
        key(9),
        request,
        100,
        SIGNER,
        None,
        blank,
        lease,
    );
    let attempt = Attempt {
        purpose: Purpose::Settle,
        raw: "0x02".to_owned(),
        transaction: key(number),
        account_nonce,
        fees: None,
    };
    let now = Now {
        elapsed: Duration::ZERO,
        chain_s: 0,
    };
    let pace = Pace {
        bump_after: LONG,
        resend: LONG,
        displaced: LONG,
        refused: LONG,
    };
    settlement.on_event(Event::Signed(attempt), now, &pace);
    settlement
}

fn done(number: u8, settled_for_good: bool) -> Settlement {
    let mut settlement = open(number, number.into(), 1);
    let block = Place {
        number: 1,
        hash: key(1),
    };
    settlement.stage = Stage::Done {
        end: End::Settled,
        response: settlement.failure(Reason::TransactionFailed),
        block: Some(block),
        settled_for_good,
    };
    settlement
}

async fn put(store: &dyn Store, settlement: Settlement) -> Result<(), StoreError> {
    let key = settlement.key();
    with(store, key, None, move |page| {
        page.settlement = Some(settlement);
    })
    .await
}

async fn get(store: &dyn Store, number: u8) -> Option<Settlement> {
    let found = store.read(vec![key(number)]).await.unwrap();
    found.into_iter().next().unwrap()
}

/// Takes the next account nonce for a new settlement, as the facilitator does.
async fn take(store: &dyn Store, number: u8, owner: u64) -> Option<u64> {
    let taken = with(store, key(number), Some(SIGNER), move |page| {
        if page.settlement.is_some() {
            return None;
        }
        let account_nonce = page.next;
        page.next = page.next.saturating_add(1);
        page.settlement = Some(open(number, account_nonce, owner));
        Some(account_nonce)
    });
    taken.await.unwrap()
}

/// What every store must do, on an empty one.
async fn suite(store: Arc<dyn Store>) {
    reads_what_was_written(store.as_ref()).await;
    gives_one_payment_to_one(&store).await;
    gives_every_account_nonce_once(&store).await;
    refuses_an_account_nonce_of_another(store.as_ref()).await;
    hands_over_what_the_dead_left(store.as_ref()).await;
    prunes_what_is_over(store.as_ref()).await;
    counts_gas_with_the_record(store.as_ref()).await;
}

async fn reads_what_was_written(store: &dyn Store) {
    assert!(get(store, 1).await.is_none());
    put(store, open(1, 0, 1)).await.unwrap();
    let found = store.read(vec![key(2), key(1), key(3)]).await.unwrap();
    let present: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(present, [false, true, false]);
    let found = found.into_iter().flatten().next().unwrap();
    assert!(found.attempts == open(1, 0, 1).attempts);
    assert_eq!(store.unfinished(SIGNER).await.unwrap().len(), 1);
    let stranger = Address::repeat_byte(8);
    assert!(store.unfinished(stranger).await.unwrap().is_empty());
    // A change that writes nothing changes nothing; one that leaves nothing removes.
    let seen = with(store, key(1), None, |page| page.settlement.is_some()).await;
    assert!(seen.unwrap());
    with(store, key(1), None, |page| page.settlement = None)
        .await
        .unwrap();
    assert!(get(store, 1).await.is_none());
    assert!(store.unfinished(SIGNER).await.unwrap().is_empty());
    with(store, B256::ZERO, Some(SIGNER), |page| page.next = 0)
        .await
        .unwrap();
}

async fn gives_one_payment_to_one(store: &Arc<dyn Store>) {
    let racers = (0..20).map(|owner| {
        let store = Arc::clone(store);
        tokio::spawn(async move { take(store.as_ref(), 1, owner).await })
    });
    let mut winners = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        winners.extend(racer.await.unwrap());
    }
    assert_eq!(winners, [0]);
}

async fn gives_every_account_nonce_once(store: &Arc<dyn Store>) {
    let takers = (2..22).map(|number| {
        let store = Arc::clone(store);
        tokio::spawn(async move { take(store.as_ref(), number, 1).await })
    });
    let mut taken = BTreeSet::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken, (1..21).collect());
    let next = with(store.as_ref(), B256::ZERO, Some(SIGNER), |page| page.next);
    assert_eq!(next.await.unwrap(), 21);
}

async fn refuses_an_account_nonce_of_another(store: &dyn Store) {
    let twice = put(store, open(99, 5, 1)).await;
    assert!(matches!(twice, Err(StoreError::AccountNonce)), "{twice:?}");
    assert!(get(store, 99).await.is_none());
    // What is done has none: its nonce is in a block, or nowhere.
    put(store, done(5, false)).await.unwrap();
    for number in 1..22 {
        with(store, key(number), None, |page| page.settlement = None)
            .await
            .unwrap();
    }
}

async fn hands_over_what_the_dead_left(store: &dyn Store) {
    let alone = store.kind() == "redb";
    put(store, open(1, 1, 1)).await.unwrap();
    put(store, open(2, 2, 2)).await.unwrap();
    put(store, done(3, true)).await.unwrap();
    store.beat(1, LONG).await.unwrap();
    store.beat(2, Duration::ZERO).await.unwrap();
    let taken = store.take_over(3, SIGNER).await.unwrap();
    let keys: BTreeSet<B256> = taken.iter().map(Settlement::key).collect();
    let expected: BTreeSet<B256> = if alone {
        // Nobody else can be alive with the file open.
        [key(1), key(2)].into()
    } else {
        [key(2)].into()
    };
    assert_eq!(keys, expected);
    let found = get(store, 2).await.unwrap();
    let lease = found.lease();
    assert_eq!((lease.owner, lease.fence), (3, 1));
    assert_eq!(
        taken.iter().find(|it| it.key() == key(2)).unwrap().lease(),
        lease
    );
    // Taken once.
    store.beat(3, LONG).await.unwrap();
    assert!(store.take_over(3, SIGNER).await.unwrap().is_empty());
    let stranger = Address::repeat_byte(8);
    assert!(store.take_over(4, stranger).await.unwrap().is_empty());
}

async fn prunes_what_is_over(store: &dyn Store) {
    put(store, done(4, false)).await.unwrap();
    store.prune(100).await.unwrap();
    assert!(get(store, 3).await.is_some(), "its deadline is not over");
    store.prune(101).await.unwrap();
    assert!(get(store, 3).await.is_none());
    assert!(get(store, 4).await.is_some(), "it is still watched");
    assert!(get(store, 1).await.is_some());
}

#[tokio::test]
async fn memory_keeps_the_rules() {
    suite(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn a_file_keeps_the_rules_and_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settlements.redb");
    let location = || StoreLocation::File(path.clone());
    let store = open_store(location(), CHAIN_ID, SIGNER).await.unwrap();
    suite(store).await;
    let store = open_store(location(), CHAIN_ID, SIGNER).await.unwrap();
    assert!(get(store.as_ref(), 1).await.is_some());
    assert_eq!(store.unfinished(SIGNER).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_of_the_first_layout_is_taken_up() {
    const SETTLEMENTS: redb::TableDefinition<'_, [u8; 32], &[u8]> =
        redb::TableDefinition::new("settlements");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settlements.redb");
    let hash = key(1);
    let record = format!(
        r#"{{"version":1,"fingerprint":"{hash}","request":"{{}}","deadline_s":5,
        "state":{{"state":"broadcasting","raw":"0x02","transaction":"{hash}","account_nonce":3}}}}"#
    );
    let older = redb::Database::create(&path).unwrap();
    let write = older.begin_write().unwrap();
    {
        let mut table = write.open_table(SETTLEMENTS).unwrap();
        table.insert(key(1).0, record.as_bytes()).unwrap();
    }
    write.commit().unwrap();
    drop(older);
    let location = StoreLocation::File(path);
    let store = open_store(location, CHAIN_ID, SIGNER).await.unwrap();
    let taken = store.take_over(5, SIGNER).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].held_nonce(), Some(3));
}

#[tokio::test]
async fn postgres_keeps_the_rules_and_what_was_written() {
    let Some(url) = server::database().await else {
        return;
    };
    // Replicas that start at once make the tables once.
    let location = || StoreLocation::Postgres(url.clone());
    let (one, two) = tokio::join!(
        open_store(location(), CHAIN_ID, SIGNER),
        open_store(location(), CHAIN_ID, SIGNER),
    );
    suite(one.unwrap()).await;
    let two = two.unwrap();
    assert!(get(two.as_ref(), 1).await.is_some());
    // Another chain in the same database shares nothing.
    let other = open_store(location(), 1, SIGNER).await.unwrap();
    assert!(get(other.as_ref(), 1).await.is_none());
    assert!(other.unfinished(SIGNER).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_without_its_password() {
    let url = "postgres://user:canary@127.0.0.1:1/none".to_owned();
    let location = StoreLocation::Postgres(url);
    assert_eq!(format!("{location:?}"), "Postgres(..)");
    let Err(error) = open_store(location, CHAIN_ID, SIGNER).await else {
        panic!("there is a database at port 1");
    };
    let text = format!("{} {error:?}", seamline_core::chain(&error));
    assert!(!text.contains("canary"), "{text}");
    let Err(error) = open_store(
        StoreLocation::Postgres("postgres://u:canary@h:port/x".to_owned()),
        CHAIN_ID,
        SIGNER,
    )
    .await
    else {
        panic!("a port is a number");
    };
    let text = format!("{} {error:?}", seamline_core::chain(&error));
    assert!(
        matches!(error, StoreError::Url(_)) && !text.contains("canary"),
        "{text}"
    );
}

#[tokio::test]
async fn a_url_may_not_ask_for_less_than_full_verification() {
    for mode in ["disable", "allow", "prefer", "verify-ca", ""] {
        let url = format!("postgres://user@db.example/name?sslmode={mode}");
        let opened = open_store(StoreLocation::Postgres(url), CHAIN_ID, SIGNER).await;
        assert!(matches!(opened, Err(StoreError::Url(_))), "{mode}");
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for path in [empty.to_str().unwrap(), "/nowhere/root.pem", "/a%20b.pem"] {
        let url = format!("postgres://user@db.example/name?sslrootcert={path}");
        let opened = open_store(StoreLocation::Postgres(url), CHAIN_ID, SIGNER).await;
        assert!(matches!(opened, Err(StoreError::Url(_))), "{path}");
    }
}

#[tokio::test]
async fn a_file_is_of_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let open = |chain_id| open_store(StoreLocation::File(path.clone()), chain_id, SIGNER);
    drop(open(CHAIN_ID).await.unwrap());
    let other = open(1).await;
    assert!(matches!(other, Err(StoreError::Chain { found, .. }) if found == CHAIN_ID));
    drop(open(CHAIN_ID).await.unwrap());
}

async fn counts_gas_with_the_record(store: &dyn Store) {
    let signer = Address::repeat_byte(0x55);
    let payer = Address::repeat_byte(0x66);
    let spent = async |except, minute| store.spent(signer, payer, except, minute).await.unwrap();
    let record = |gas| {
        let mut settlement = open(200, 9_000, 1);
        settlement.signer = signer;
        settlement.gas = Some(gas);
        settlement
    };
    let mut gas = crate::facilitator::settlement::GasUse {
        payer,
        owner: 1,
        minute: 1_000,
        gas: 300,
        measured: false,
    };
    put(store, record(gas)).await.unwrap();
    let all = |gas| Spent {
        all: gas,
        payer: gas,
    };
    assert_eq!(spent(2, 1_000).await, all(300));
    assert_eq!(spent(1, 1_000).await, all(0), "its own is its own");
    assert_eq!(spent(2, 1_059).await, all(300));
    assert_eq!(spent(2, 1_060).await, all(0), "an hour later");
    // What was used takes the place of what was set aside.
    gas.gas = 90;
    put(store, record(gas)).await.unwrap();
    assert_eq!(spent(2, 1_000).await, all(90));
    let stranger = Address::repeat_byte(0x77);
    let other = store.spent(signer, stranger, 2, 1_000).await.unwrap();
    assert_eq!(other, Spent { all: 90, payer: 0 });
    // A record that is refused counts nothing, one that is removed counts nothing any more.
    let mut refused = record(gas);
    refused.key = key(201);
    assert!(matches!(
        put(store, refused).await,
        Err(StoreError::AccountNonce)
    ));
    assert_eq!(spent(2, 1_000).await, all(90));
    with(store, key(200), None, |page| page.settlement = None)
        .await
        .unwrap();
    assert_eq!(spent(2, 1_000).await, all(0));
}

#[tokio::test]
async fn a_database_over_tls_is_verified_by_the_named_authority() {
    let Some(server) = server::tls().await else {
        return;
    };
    let open = |query: String| {
        let url = format!("{}&{query}", server.url);
        open_store(StoreLocation::Postgres(url), CHAIN_ID, SIGNER)
    };
    let store = open(format!("sslrootcert={}", server.root)).await.unwrap();
    store.beat(1, LONG).await.unwrap();
    // Another authority, and those of the system, did not sign it.
    let other = open(format!("sslrootcert={}", server.stranger)).await;
    assert!(matches!(other, Err(StoreError::Database(_))));
    let system = open("sslmode=verify-full".to_owned()).await;
    assert!(matches!(system, Err(StoreError::Database(_))));
}

use std::sync::Arc;

use seamline_core::{Address, Amount, B256, Timestamp, U256};
use seamline_evm::x402::{PaymentPayload, SettleResponse};
use serde_json::json;

use super::memory::MOST;
use super::{Debt, Duty, FileStore, MemoryStore, PaywallStore, Record, StoreError};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The time `seconds` after now, Unix milliseconds.
fn after(seconds: u64) -> u64 {
    NOW.saturating_add(core::time::Duration::from_secs(seconds))
        .as_millis()
}

fn record(key: u8, duty: Duty) -> Record {
    Record {
        key: B256::repeat_byte(key),
        version: 1,
        authorization: B256::repeat_byte(0xa0),
        request: B256::repeat_byte(0xb0),
        payer: Address::repeat_byte(0x70),
        scope: None,
        lease_ms: after(15),
        deadline_ms: after(300),
        expires_ms: after(1_200),
        duty,
    }
}

fn debt(amount: u128) -> Duty {
    let offer = json!({
        "scheme": "upto", "network": "eip155:31610", "asset": "0x1111111111111111111111111111111111111111",
        "amount": "1005", "payTo": "0x2222222222222222222222222222222222222222",
        "maxTimeoutSeconds": 300, "extra": {"b": 1, "a": {"z": [1, 2]}},
    });
    let payload =
        json!({"x402Version": 2, "accepted": offer, "payload": {"signature": "0xCANARY"}});
    let payload = PaymentPayload::parse(payload.to_string().as_bytes()).unwrap();
    Duty::Owed(Box::new(Debt {
        amount: Amount::new(amount),
        upfront: false,
        delivered: true,
        offer: payload.accepted().clone(),
        payload,
    }))
}

fn ended() -> Duty {
    let network = "eip155:31610";
    let settled = SettleResponse::settled(network, Address::ZERO, None, Amount::ZERO);
    Duty::Ended {
        settled: Box::new(settled),
        served: true,
    }
}

/// Memory, memory that behaves as if it were shared, and a file.
async fn stores() -> (Vec<Arc<dyn PaywallStore>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = FileStore::open(folder.path().join("paywall.redb")).await;
    let stores: Vec<Arc<dyn PaywallStore>> = vec![
        Arc::new(MemoryStore::new()),
        Arc::new(MemoryStore::shared()),
        Arc::new(file.unwrap()),
    ];
    (stores, folder)
}

#[tokio::test]
async fn a_key_has_one_record_and_every_change_names_the_version_before() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let first = record(1, Duty::Held);
        assert!(store.insert(&first).await.unwrap().is_none());
        let present = store.insert(&record(1, Duty::Named)).await.unwrap();
        assert_eq!(format!("{:?}", present.unwrap().duty), "Held");
        let second = Record {
            version: 2,
            ..record(1, debt(7))
        };
        assert!(store.replace(&second).await.unwrap());
        assert!(!store.replace(&second).await.unwrap(), "not twice");
        let skipped = Record {
            version: 4,
            ..second.clone()
        };
        assert!(!store.replace(&skipped).await.unwrap(), "not over a gap");
        assert!(
            !store.replace(&record(2, Duty::Held)).await.unwrap(),
            "not over nothing"
        );
        assert!(
            !store.remove(first.key, 1).await.unwrap(),
            "not an old version"
        );
        assert!(store.remove(first.key, 2).await.unwrap());
        assert!(store.get(first.key).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_debt_comes_back_byte_for_byte() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let written = record(1, debt(7));
        store.insert(&written).await.unwrap();
        let read = store.get(written.key).await.unwrap().unwrap();
        let (Duty::Owed(written), Duty::Owed(read)) = (written.duty, read.duty) else {
            panic!("a debt stays a debt");
        };
        assert_eq!(read.payload.raw(), written.payload.raw());
        assert_eq!(read.offer, written.offer);
        assert_eq!((read.amount, read.upfront), (Amount::new(7), false));
    }
}

#[tokio::test]
async fn what_is_open_is_found_and_what_expired_is_forgotten() {
    let (stores, _folder) = stores().await;
    for store in stores {
        for (key, duty) in [
            (1, Duty::Held),
            (2, debt(7)),
            (3, ended()),
            (4, Duty::Named),
        ] {
            store.insert(&record(key, duty)).await.unwrap();
        }
        assert_eq!(store.abandoned(None).await.unwrap().len(), 2);
        let later = NOW.saturating_add(core::time::Duration::from_secs(15));
        assert_eq!(store.abandoned(Some(later)).await.unwrap().len(), 2);
        assert_eq!(store.abandoned(Some(NOW)).await.unwrap().len(), 0);
        store
            .sweep(Timestamp::from_millis(after(1_201)))
            .await
            .unwrap();
        assert!(store.get(B256::repeat_byte(3)).await.unwrap().is_none());
        assert_eq!(store.abandoned(None).await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_file_keeps_its_records_for_its_owner_and_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("paywall.redb");
    let store = FileStore::open(&path).await.unwrap();
    store.insert(&record(1, debt(7))).await.unwrap();
    let second = FileStore::open(&path).await;
    assert!(matches!(second, Err(StoreError::Database(_))), "it is held");
    drop(store);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else reads live authorizations");
    }
    let store = FileStore::open(&path).await.unwrap();
    assert_eq!(store.abandoned(None).await.unwrap().len(), 1);
    drop(store);
    std::fs::write(&path, "no database").unwrap();
    assert!(matches!(
        FileStore::open(&path).await,
        Err(StoreError::Database(_))
    ));
    let nowhere = folder.path().join("missing/paywall.redb");
    assert!(matches!(
        FileStore::open(nowhere).await,
        Err(StoreError::Open { .. })
    ));
}

#[test]
fn no_debug_text_shows_an_authorization() {
    let record = record(1, debt(7));
    let text = format!("{record:?} {:?}", record.duty);
    assert!(!text.contains("CANARY"), "{text}");
    assert!(text.contains("Owed(7)"), "{text}");
}

#[tokio::test]
async fn memory_forgets_what_is_settled_before_it_grows_without_bound() {
    let store = MemoryStore::new();
    let numbered = |number: usize, duty| {
        let number = u64::try_from(number).unwrap();
        Record {
            key: B256::from(U256::from(number)),
            expires_ms: after(1_200) + number,
            ..record(0, duty)
        }
    };
    let owed = numbered(0, debt(7));
    assert!(store.insert(&owed).await.unwrap().is_none());
    for number in 1..=MOST {
        let record = numbered(number, ended());
        assert!(store.insert(&record).await.unwrap().is_none());
    }
    assert!(store.get(owed.key).await.unwrap().is_some(), "it is owed");
    let key = |number| numbered(number, ended()).key;
    assert!(store.get(key(1)).await.unwrap().is_none(), "the oldest");
    assert!(store.get(key(MOST)).await.unwrap().is_some());
}

use core::future::ready;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::{B256, Timestamp};

use super::{Duty, PaywallStore, Record, StoreFuture};

/// Records in memory: nothing survives the process. Clones share them.
///
/// From 65,536 records on it forgets what has ended: what is settled first (the chain refuses it
/// again), then what was refused, then payment identifiers, the oldest of each. It never forgets what
/// is worked on or owed.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<BTreeMap<B256, Record>>>,
    shared: bool,
}

impl MemoryStore {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts empty, and behaves as if several processes shared it: for tests of replicas.
    pub fn shared() -> Self {
        Self {
            shared: true,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<B256, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PaywallStore for MemoryStore {
    fn insert<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, Option<Record>> {
        let mut records = self.lock();
        let present = records.get(&record.key).cloned();
        if present.is_none() {
            if records.len() >= MOST {
                make_room(&mut records);
            }
            records.insert(record.key, record.clone());
        }
        Box::pin(ready(Ok(present)))
    }

    fn replace<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, bool> {
        let mut records = self.lock();
        let is_next = records
            .get(&record.key)
            .is_some_and(|present| present.version.checked_add(1) == Some(record.version));
        if is_next {
            records.insert(record.key, record.clone());
        }
        Box::pin(ready(Ok(is_next)))
    }

    fn remove(&self, key: B256, version: u64) -> StoreFuture<'_, bool> {
        let mut records = self.lock();
        let is_it = records
            .get(&key)
            .is_some_and(|present| present.version == version);
        if is_it {
            records.remove(&key);
        }
        Box::pin(ready(Ok(is_it)))
    }

    fn get(&self, key: B256) -> StoreFuture<'_, Option<Record>> {
        Box::pin(ready(Ok(self.lock().get(&key).cloned())))
    }

    fn abandoned(&self, now: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>> {
        let records = self.lock();
        let open = records
            .values()
            .filter(|record| record.is_open() && !now.is_some_and(|now| record.is_leased(now)));
        Box::pin(ready(Ok(open.cloned().collect())))
    }

    fn sweep(&self, now: Timestamp) -> StoreFuture<'_, ()> {
        self.lock().retain(|_, record| !record.is_expired(now));
        Box::pin(ready(Ok(())))
    }

    fn is_exclusive(&self) -> bool {
        !self.shared
    }
}

/// Most records before ended ones are forgotten: each is below 1 KiB.
pub(super) const MOST: usize = 65_536;
/// How many are forgotten at once.
const ROOM: usize = MOST / 16;

fn make_room(records: &mut BTreeMap<B256, Record>) {
    let mut ended: Vec<_> = records
        .values()
        .filter_map(|record| Some((rank(&record.duty)?, record.expires_ms, record.key)))
        .collect();
    ended.sort_unstable();
    for (_, _, key) in ended.into_iter().take(ROOM) {
        records.remove(&key);
    }
}

/// How soon it can be forgotten, if at all.
fn rank(duty: &Duty) -> Option<u8> {
    match duty {
        Duty::Held | Duty::Owed(_) | Duty::Ended { served: false, .. } => None,
        Duty::Ended { settled, .. } => Some(u8::from(!settled.success)),
        Duty::Named => Some(2),
    }
}

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Table, Transaction, Work};
use crate::facilitator::{StoreError, StoreFuture};

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// A table in memory. Clones share it, as replicas share a database.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable(Arc<Mutex<Values>>);

/// A transaction over it, and how to undo it.
struct Open<'a> {
    values: &'a mut Values,
    before: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl MemoryTable {
    /// Begins empty.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Table for MemoryTable {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn transact(&self, work: Work) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut open = Open {
                values: &mut values,
                before: Vec::new(),
            };
            let done = work(&mut open);
            if done.is_err() {
                open.undo();
            }
            done
        })
    }
}

impl Open<'_> {
    fn undo(self) {
        for (key, value) in self.before.into_iter().rev() {
            match value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
    }
}

impl Transaction for Open<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let before = self.values.insert(key.to_vec(), value.to_vec());
        self.before.push((key.to_vec(), before));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let before = self.values.remove(key);
        self.before.push((key.to_vec(), before));
        Ok(())
    }

    fn keys(&mut self, first: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let range = self.values.range(first.to_vec()..end.to_vec());
        Ok(range.take(limit).map(|(key, _)| key.clone()).collect())
    }
}

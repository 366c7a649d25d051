use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use core::time::Duration;

use seamline_core::{Address, B256};
use tokio::time::Instant;

use super::ledger::{entries, oldest};
use super::{Change, Page, Spent, Store, StoreError, StoreFuture};
use crate::facilitator::settlement::Settlement;

/// Settlements in memory. Clones share them, as replicas share a database.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    settlements: BTreeMap<B256, Settlement>,
    lanes: BTreeMap<Address, u64>,
    owners: BTreeMap<u64, Instant>,
    /// By signer, payer, minute and replica.
    gas: BTreeMap<(Address, Address, u64, u64), u64>,
}

impl MemoryStore {
    /// Begins empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn change(
        &mut self,
        key: B256,
        signer: Option<Address>,
        change: Change,
    ) -> Result<(), StoreError> {
        let lane = signer.and_then(|signer| self.lanes.get(&signer));
        let mut page = Page {
            settlement: self.settlements.get(&key).cloned(),
            next: lane.copied().unwrap_or(0),
        };
        change(&mut page);
        let Page { settlement, next } = page;
        if let Some(settlement) = &settlement
            && self.is_taken(settlement)
        {
            return Err(StoreError::AccountNonce);
        }
        if let Some(signer) = signer {
            self.lanes.insert(signer, next);
        }
        let before = self.settlements.get(&key);
        let of = before.or(settlement.as_ref()).map(Settlement::signer);
        let gas = settlement.as_ref().and_then(Settlement::gas);
        for entry in entries(before.and_then(Settlement::gas), gas) {
            let place = (
                of.unwrap_or_default(),
                entry.payer,
                entry.minute,
                entry.owner,
            );
            let counted = self.gas.entry(place).or_default();
            *counted = entry.apply(*counted);
        }
        match settlement {
            Some(settlement) => self.settlements.insert(key, settlement),
            None => self.settlements.remove(&key),
        };
        Ok(())
    }

    fn is_taken(&self, settlement: &Settlement) -> bool {
        let place = |of: &Settlement| Some((of.signer(), of.held_nonce()?));
        let taken = place(settlement);
        let mut others = self.settlements.values();
        taken.is_some()
            && others.any(|other| other.key() != settlement.key() && place(other) == taken)
    }

    fn unfinished(&self, signer: Address) -> impl Iterator<Item = &Settlement> {
        let all = self.settlements.values();
        all.filter(move |it| it.is_unfinished() && it.signer() == signer)
    }
}

impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        Box::pin(async move {
            let book = self.book();
            let found = keys.iter().map(|key| book.settlements.get(key).cloned());
            Ok(found.collect())
        })
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.book().change(key, signer, change) })
    }

    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let until = Instant::now().checked_add(lease);
            let mut book = self.book();
            let until = until.ok_or(StoreError::Corrupt)?;
            book.owners.insert(owner, until);
            Ok(())
        })
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move {
            let now = Instant::now();
            let mut book = self.book();
            book.owners.retain(|_, until| *until > now);
            let Book {
                settlements,
                owners,
                ..
            } = &mut *book;
            let mut taken = Vec::new();
            for settlement in settlements.values_mut() {
                let orphan = !owners.contains_key(&settlement.lease().owner);
                if orphan && settlement.is_unfinished() && settlement.signer() == signer {
                    settlement.hand_over(owner);
                    taken.push(settlement.clone());
                }
            }
            Ok(taken)
        })
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move { Ok(self.book().unfinished(signer).cloned().collect()) })
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        Box::pin(async move {
            let book = self.book();
            let sum = |payer| {
                let first = (signer, payer, oldest(minute), 0);
                let hour = book.gas.range(first..=(signer, payer, minute, u64::MAX));
                let others = hour.filter(|((_, _, _, owner), _)| *owner != except);
                others.fold(0_u64, |sum, (_, gas)| sum.saturating_add(*gas))
            };
            Ok(Spent {
                all: sum(Address::ZERO),
                payer: sum(payer),
            })
        })
    }

    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut book = self.book();
            let before_minute = before_s.div_euclid(60);
            book.gas
                .retain(|(_, _, minute, _), _| *minute >= before_minute);
            book.settlements
                .retain(|_, it| it.is_unfinished() || it.keep_until_s() >= before_s);
            Ok(())
        })
    }
}

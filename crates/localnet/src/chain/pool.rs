//! Transactions that wait for a block.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use super::error::Rejection;
use super::transaction::Transaction;

/// Transactions that the pool holds at most; a facilitator under load keeps a few dozen in flight.
const MAX_POOLED: usize = 4_096;

/// How far ahead of the account a nonce may be.
const MAX_NONCE_GAP: u64 = 1_024;

/// Both fees of a replacement exceed those of the original by this much, as in go-ethereum.
const REPLACEMENT_BUMP_PERCENT: u128 = 10;

/// Waiting transactions by sender and nonce. Not durable: a client sends again after a restart.
#[derive(Debug, Default)]
pub(super) struct Pool {
    senders: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    arrivals: u64,
    len: usize,
}

#[derive(Debug)]
struct Waiting {
    transaction: Transaction,
    arrival: u64,
}

impl Pool {
    /// Adds a transaction whose own fields have been checked. `account_nonce` is the next of its sender.
    pub(super) fn add(
        &mut self,
        transaction: Transaction,
        account_nonce: u64,
    ) -> Result<(), Rejection> {
        let have = transaction.account_nonce();
        if have > account_nonce.saturating_add(MAX_NONCE_GAP) {
            return Err(Rejection::NonceTooHigh {
                address: transaction.sender,
                have,
                want: account_nonce,
            });
        }
        let full = self.len >= MAX_POOLED;
        self.arrivals = self.arrivals.saturating_add(1);
        let arrival = self.arrivals;
        let queue = self.senders.entry(transaction.sender).or_default();
        match queue.entry(have) {
            Entry::Occupied(mut entry) => {
                let old = &entry.get().transaction;
                if old.hash() == transaction.hash() {
                    return Err(Rejection::AlreadyKnown);
                }
                if !outbids(&transaction, old) {
                    return Err(Rejection::ReplacementUnderpriced);
                }
                entry.insert(Waiting {
                    transaction,
                    arrival,
                });
            }
            Entry::Vacant(_) if full => {
                self.prune();
                return Err(Rejection::PoolFull);
            }
            Entry::Vacant(entry) => {
                entry.insert(Waiting {
                    transaction,
                    arrival,
                });
                self.len = self.len.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Returns the transaction with this hash.
    pub(super) fn get(&self, hash: B256) -> Option<&Transaction> {
        self.iter().find(|transaction| transaction.hash() == hash)
    }

    /// Returns all waiting transactions, by sender and nonce.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Transaction> {
        self.senders
            .values()
            .flat_map(BTreeMap::values)
            .map(|waiting| &waiting.transaction)
    }

    /// Returns the senders with waiting transactions.
    pub(super) fn senders(&self) -> Vec<Address> {
        self.senders.keys().copied().collect()
    }

    /// Returns the nonce that follows those that wait without a gap.
    pub(super) fn next_nonce(&self, sender: Address, account_nonce: u64) -> u64 {
        let mut next = account_nonce;
        if let Some(queue) = self.senders.get(&sender) {
            for nonce in queue.range(account_nonce..).map(|(nonce, _)| *nonce) {
                if nonce != next {
                    break;
                }
                next = next.saturating_add(1);
            }
        }
        next
    }

    /// Returns the best of the transactions at the given nonces that pay `base_fee`: highest tip, then
    /// first to arrive.
    pub(super) fn best(
        &self,
        nonces: &BTreeMap<Address, u64>,
        base_fee: u64,
    ) -> Option<&Transaction> {
        let ready = nonces
            .iter()
            .filter_map(|(sender, nonce)| self.senders.get(sender)?.get(nonce));
        let paying = ready.filter_map(|waiting| {
            let tip = waiting
                .transaction
                .envelope
                .effective_tip_per_gas(base_fee)?;
            Some((
                tip,
                std::cmp::Reverse(waiting.arrival),
                &waiting.transaction,
            ))
        });
        paying
            .max_by_key(|(tip, arrival, _)| (*tip, *arrival))
            .map(|(_, _, transaction)| transaction)
    }

    /// Removes one transaction.
    pub(super) fn remove(&mut self, sender: Address, account_nonce: u64) {
        if let Some(queue) = self.senders.get_mut(&sender) {
            queue.remove(&account_nonce);
        }
        self.prune();
    }

    /// Removes the transaction with this hash; false where none waits.
    pub(super) fn drop_hash(&mut self, hash: B256) -> bool {
        let found = self.get(hash).map(|tx| (tx.sender, tx.account_nonce()));
        if let Some((sender, account_nonce)) = found {
            self.remove(sender, account_nonce);
        }
        found.is_some()
    }

    /// Removes what an account has used up.
    pub(super) fn settle(&mut self, sender: Address, account_nonce: u64) {
        if let Some(queue) = self.senders.get_mut(&sender) {
            *queue = queue.split_off(&account_nonce);
        }
        self.prune();
    }

    fn prune(&mut self) {
        self.senders.retain(|_, queue| !queue.is_empty());
        self.len = self.senders.values().map(BTreeMap::len).sum();
    }
}

fn outbids(new: &Transaction, old: &Transaction) -> bool {
    let bumped = |fee: u128| {
        let least = fee
            .saturating_mul(REPLACEMENT_BUMP_PERCENT.saturating_add(100))
            .div_ceil(100);
        least.max(fee.saturating_add(1))
    };
    let (new, old) = (&new.envelope, &old.envelope);
    new.max_fee_per_gas() >= bumped(old.max_fee_per_gas())
        && new.priority_fee_or_price() >= bumped(old.priority_fee_or_price())
}

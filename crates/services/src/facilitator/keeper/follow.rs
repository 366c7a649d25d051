//! Settlements that another replica carries and somebody here waits for.

use std::sync::Arc;

use seamline_core::B256;
use seamline_evm::x402::Reason;

use super::sweep::adopt;
use super::{Keeper, Mail};
use crate::facilitator::board::Progress;
use crate::facilitator::settlement::Settlement;

impl Keeper {
    /// Reads all of them, in one go.
    pub(super) fn follow(&mut self) {
        let board = &self.core.board;
        self.followed.retain(|key| board.is_heard(*key));
        if self.is_reading || self.followed.is_empty() {
            return;
        }
        self.is_reading = true;
        let keys: Vec<B256> = self.followed.iter().copied().collect();
        let core = Arc::clone(&self.core);
        self.core.workers.spawn(async move {
            let found = match core.store.read(keys.clone()).await {
                Ok(found) => keys.into_iter().zip(found).collect(),
                Err(error) => {
                    let error = seamline_core::chain(&error);
                    tracing::error!(error, "settlements of other replicas cannot be read");
                    Vec::new()
                }
            };
            core.post(Mail::Read(found));
        });
    }

    /// A change whose outcome got lost may be done: then the record is ours and nobody carries it.
    /// Twice seen, it is no settlement that is being handed over right now.
    pub(super) fn find_missing(&mut self, own: Vec<Settlement>) {
        let before = core::mem::take(&mut self.missing);
        for settlement in own {
            let key = settlement.key();
            if self.slots.contains_key(&key) {
                continue;
            }
            if !before.contains(&key) {
                self.missing.insert(key);
                continue;
            }
            match adopt(&self.core, settlement) {
                Ok(held) => self.core.post(Mail::Adopt(Box::new(held))),
                Err(error) => {
                    let error = seamline_core::chain(&error);
                    tracing::error!(error, %key, "a settlement cannot be taken up");
                }
            }
        }
    }

    pub(super) fn read(&mut self, found: Vec<(B256, Option<Settlement>)>) {
        for (key, settlement) in found {
            if self.slots.contains_key(&key) {
                self.followed.remove(&key);
                continue;
            }
            let progress = match &settlement {
                Some(settlement) => match (settlement.response(), settlement.newest()) {
                    (Some(response), _) => Progress::Done(response.clone()),
                    (None, Some(transaction)) => {
                        self.core.board.report(key, Progress::Pending(transaction));
                        continue;
                    }
                    (None, None) => continue,
                },
                // The other replica gave it up: whoever waits may begin anew.
                None => Progress::Forgotten(Reason::SettlementPending),
            };
            self.followed.remove(&key);
            self.core.board.report(key, progress);
        }
    }
}

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::x402::SettleResponse;
use tokio::sync::watch;

use crate::facilitator::Error;

/// How far a settlement is: nothing sent yet, a transaction, or its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) transaction: Option<B256>,
    /// An error where there is no answer now.
    pub(super) answer: Option<Result<SettleResponse, Arc<Error>>>,
}

/// Settlements under way: the same request joins the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<B256, watch::Receiver<Progress>>>>);

/// A settlement that is under way here. Dropping it lets the next request begin anew.
pub(super) struct Flight {
    flights: Flights,
    key: B256,
    progress: watch::Sender<Progress>,
}

/// Settlements that are worked on at once.
const MOST: usize = 1024;

impl Flights {
    /// The settlement of `key`; with a [`Flight`] for whoever carries it. `None` where as many are
    /// under way as there is room for.
    pub(super) fn join(&self, key: B256) -> Option<(watch::Receiver<Progress>, Option<Flight>)> {
        let mut flights = self.lock();
        if let Some(progress) = flights.get(&key) {
            return Some((progress.clone(), None));
        }
        if flights.len() >= MOST {
            return None;
        }
        let (sender, receiver) = watch::channel(Progress::default());
        flights.insert(key, receiver.clone());
        let flight = Flight {
            flights: self.clone(),
            key,
            progress: sender,
        };
        Some((receiver, Some(flight)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, watch::Receiver<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    pub(super) fn sent(&self, transaction: B256) {
        self.progress
            .send_modify(|progress| progress.transaction = Some(transaction));
    }

    /// Ends the settlement.
    pub(super) fn end(self, answer: Result<SettleResponse, Arc<Error>>) {
        self.progress
            .send_modify(|progress| progress.answer = Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

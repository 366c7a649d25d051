use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::x402::SettleResponse;
use tokio::sync::watch;

/// How far a settlement is: nothing sent yet, a transaction, or its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) transaction: Option<B256>,
    pub(super) answer: Option<SettleResponse>,
}

/// Settlements under way and the answers of those that the chain does once: the same request joins
/// the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<B256, watch::Receiver<Progress>>>>);

/// A settlement that is under way here. Dropping it lets the next request begin anew.
pub(super) struct Flight {
    flights: Flights,
    key: B256,
    progress: watch::Sender<Progress>,
    keep: bool,
}

/// Answers that are kept; beyond, the chain itself refuses the second one.
const MOST: usize = 16_384;

impl Flights {
    /// The settlement of `key`; with a [`Flight`] for whoever carries it.
    pub(super) fn join(&self, key: B256) -> (watch::Receiver<Progress>, Option<Flight>) {
        let mut flights = self.lock();
        if let Some(progress) = flights.get(&key) {
            return (progress.clone(), None);
        }
        if flights.len() >= MOST {
            flights.retain(|_, progress| progress.borrow().answer.is_none());
        }
        let (sender, receiver) = watch::channel(Progress::default());
        flights.insert(key, receiver.clone());
        let flight = Flight {
            flights: self.clone(),
            key,
            progress: sender,
            keep: false,
        };
        (receiver, Some(flight))
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

    /// Ends the settlement; its answer is kept where the chain does it once and did.
    pub(super) fn end(mut self, answer: SettleResponse, once: bool) {
        self.keep = once && answer.success;
        self.progress
            .send_modify(|progress| progress.answer = Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.keep {
            self.flights.lock().remove(&self.key);
        }
    }
}

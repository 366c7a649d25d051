use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::x402::SettleResponse;
use tokio::sync::watch;

/// How far a settlement of this process has come.
#[derive(Clone)]
pub(super) enum Progress {
    /// Being verified and signed.
    Preparing,
    /// Its transaction is on the way.
    Pending(B256),
    /// Answered.
    Done(SettleResponse),
    /// Given up, because the store failed.
    Failed,
}

/// The settlements under way, each once. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<B256, Flight>>>);

struct Flight {
    claim: B256,
    progress: watch::Receiver<Progress>,
}

/// The right to settle one payment; given back when dropped.
pub(super) struct Ticket {
    flights: Flights,
    key: B256,
    progress: watch::Sender<Progress>,
}

/// What boarding says.
pub(super) enum Boarding {
    /// Nobody settles this payment: do it.
    First(Ticket, watch::Receiver<Progress>),
    /// The same request is under way.
    Joined(watch::Receiver<Progress>),
    /// Another request for the same payment is under way. It may have no right to it: as long as it
    /// is only prepared, wait for its end.
    Conflict(watch::Receiver<Progress>),
}

impl Flights {
    pub(super) fn board(&self, key: B256, claim: B256) -> Boarding {
        let mut flights = self.lock();
        match flights.get(&key) {
            Some(flight) if flight.claim == claim => {
                return Boarding::Joined(flight.progress.clone());
            }
            Some(flight) => return Boarding::Conflict(flight.progress.clone()),
            None => {}
        }
        let (sender, receiver) = watch::channel(Progress::Preparing);
        let flight = Flight {
            claim,
            progress: receiver.clone(),
        };
        flights.insert(key, flight);
        let ticket = Ticket {
            flights: self.clone(),
            key,
            progress: sender,
        };
        Boarding::First(ticket, receiver)
    }

    pub(super) fn contains(&self, key: B256) -> bool {
        self.lock().contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(super) fn report(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The store knows the outcome before the flight ends, so nobody falls in between.
        self.flights.lock().remove(&self.key);
    }
}

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::x402::{Reason, SettleResponse};
use seamline_net::news::{Listener, Teller};

use super::Error;

/// How far a settlement has come, as this process knows.
#[derive(Clone)]
pub(super) enum Progress {
    /// Being verified and signed, or not known.
    Preparing,
    /// Its transaction is on the way.
    Pending(B256),
    /// Answered.
    Done(SettleResponse),
    /// Given up and forgotten, for this reason.
    Forgotten(Reason),
    /// Given up: nothing of it is under way.
    Failed(Arc<Error>),
}

/// Who waits for what: news by an identifier, as long as somebody listens. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<B256, Teller<Progress>>>>);

/// Requests that are worked on at once: 16 of the lane's default length wait for a block each, and a
/// pool that stands still must not fill the memory with what waits behind it.
const MAX_FLIGHTS: usize = 1024;

impl Board {
    /// Listens for news, from now on.
    pub(super) fn listen(&self, id: B256) -> Listener<Progress> {
        let mut board = self.lock();
        // Whoever left behind nothing but a sender is gone.
        board.retain(|_, sender| sender.is_heard());
        let sender = board
            .entry(id)
            .or_insert_with(|| Teller::new(Progress::Preparing));
        sender.listen()
    }

    /// Tells those who listen.
    pub(super) fn report(&self, id: B256, progress: Progress) {
        if let Some(sender) = self.lock().get(&id) {
            sender.tell(progress);
        }
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self, id: B256) -> bool {
        let board = self.lock();
        board.get(&id).is_some_and(|it| it.is_heard())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<B256, Teller<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests that this process works on, each once. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<BTreeMap<B256, Listener<Progress>>>>);

/// The right to work on one request; given back when dropped.
pub(super) struct Ticket {
    flights: Flights,
    claim: B256,
    progress: Teller<Progress>,
}

impl Flights {
    /// Joins the work on a request; with a ticket where nobody works on it yet. `None` where as much
    /// is worked on as there is room for.
    pub(super) fn board(&self, claim: B256) -> Option<(Listener<Progress>, Option<Ticket>)> {
        let mut flights = self.lock();
        if let Some(progress) = flights.get(&claim) {
            return Some((progress.clone(), None));
        }
        if flights.len() >= MAX_FLIGHTS {
            return None;
        }
        let sender = Teller::new(Progress::Preparing);
        let receiver = sender.listen();
        flights.insert(claim, receiver.clone());
        let ticket = Ticket {
            flights: self.clone(),
            claim,
            progress: sender,
        };
        Some((receiver, Some(ticket)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<B256, Listener<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(super) fn report(&self, progress: Progress) {
        self.progress.tell(progress);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The store knows the outcome before the flight ends, so nobody falls in between.
        self.flights.lock().remove(&self.claim);
    }
}

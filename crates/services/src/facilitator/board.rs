use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::x402::{Reason, SettleResponse};
use tokio::sync::watch;

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
    /// Given up, because the store failed.
    Failed,
}

/// Who waits for what: news by an identifier, as long as somebody listens. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<HashMap<B256, watch::Sender<Progress>>>>);

impl Board {
    /// Listens for news, from now on.
    pub(super) fn listen(&self, id: B256) -> watch::Receiver<Progress> {
        let mut board = self.lock();
        // Whoever left behind nothing but a sender is gone.
        board.retain(|_, sender| sender.receiver_count() > 0);
        let sender = board
            .entry(id)
            .or_insert_with(|| watch::channel(Progress::Preparing).0);
        sender.subscribe()
    }

    /// Tells those who listen.
    pub(super) fn report(&self, id: B256, progress: Progress) {
        if let Some(sender) = self.lock().get(&id) {
            sender.send_replace(progress);
        }
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self, id: B256) -> bool {
        let board = self.lock();
        board.get(&id).is_some_and(|it| it.receiver_count() > 0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, watch::Sender<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests that this process works on, each once. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<B256, watch::Receiver<Progress>>>>);

/// The right to work on one request; given back when dropped.
pub(super) struct Ticket {
    flights: Flights,
    claim: B256,
    progress: watch::Sender<Progress>,
}

impl Flights {
    /// Joins the work on a request; with a ticket where nobody works on it yet.
    pub(super) fn board(&self, claim: B256) -> (watch::Receiver<Progress>, Option<Ticket>) {
        let mut flights = self.lock();
        if let Some(progress) = flights.get(&claim) {
            return (progress.clone(), None);
        }
        let (sender, receiver) = watch::channel(Progress::Preparing);
        flights.insert(claim, receiver.clone());
        let ticket = Ticket {
            flights: self.clone(),
            claim,
            progress: sender,
        };
        (receiver, Some(ticket))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, watch::Receiver<Progress>>> {
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
        self.flights.lock().remove(&self.claim);
    }
}

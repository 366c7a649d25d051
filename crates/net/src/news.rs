//! The newest value of something, for any number of listeners, who are woken in the order in which
//! they came.
//!
//! tokio's `watch` draws by chance in which order it wakes. Here nothing is drawn, so that a whole run
//! of facilitators and paywalls on a paused clock can be repeated from its seed.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Tells. Listeners learn of its end.
pub struct Teller<T>(Arc<Shared<T>>);

/// Listens. Clones have seen what the original has.
pub struct Listener<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The teller is gone: nothing new will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing new will come")]
pub struct Ended;

struct Shared<T> {
    board: Mutex<Board<T>>,
    changed: Notify,
}

struct Board<T> {
    value: T,
    version: u64,
    ended: bool,
    listeners: usize,
}

impl<T> Shared<T> {
    fn board(&self) -> MutexGuard<'_, Board<T>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Teller<T> {
    /// Begins with a value.
    pub fn new(value: T) -> Self {
        let board = Mutex::new(Board {
            value,
            version: 0,
            ended: false,
            listeners: 0,
        });
        let changed = Notify::new();
        Self(Arc::new(Shared { board, changed }))
    }

    /// Says something new.
    pub fn tell(&self, value: T) {
        let mut board = self.0.board();
        board.value = value;
        board.version = board.version.wrapping_add(1);
        drop(board);
        self.0.changed.notify_waiters();
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener<T> {
        let mut board = self.0.board();
        board.listeners = board.listeners.saturating_add(1);
        let seen = board.version;
        drop(board);
        Listener {
            shared: Arc::clone(&self.0),
            seen,
        }
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.board().listeners > 0
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.0.board().ended = true;
        self.0.changed.notify_waiters();
    }
}

impl<T: Clone> Listener<T> {
    /// The newest value, which counts as seen.
    pub fn latest(&mut self) -> T {
        let board = self.shared.board();
        self.seen = board.version;
        board.value.clone()
    }
}

impl<T> Listener<T> {
    /// Waits for a value that was not seen, and counts it as seen.
    ///
    /// Cancellation: nothing is missed.
    ///
    /// # Errors
    ///
    /// [`Ended`] where the teller is gone and everything was seen.
    pub async fn changed(&mut self) -> Result<(), Ended> {
        loop {
            let shared = Arc::clone(&self.shared);
            // Listened for first, looked at second: nothing falls in between.
            let mut change = core::pin::pin!(shared.changed.notified());
            change.as_mut().enable();
            if self.is_new()? {
                return Ok(());
            }
            change.await;
        }
    }

    fn is_new(&mut self) -> Result<bool, Ended> {
        let board = self.shared.board();
        if self.seen != board.version {
            self.seen = board.version;
            return Ok(true);
        }
        if board.ended { Err(Ended) } else { Ok(false) }
    }
}

impl<T> Clone for Listener<T> {
    fn clone(&self) -> Self {
        let mut board = self.shared.board();
        board.listeners = board.listeners.saturating_add(1);
        drop(board);
        Self {
            shared: Arc::clone(&self.shared),
            seen: self.seen,
        }
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        let mut board = self.shared.board();
        board.listeners = board.listeners.saturating_sub(1);
    }
}

impl<T> fmt::Debug for Teller<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

#[cfg(test)]
mod tests;

//! Processes that die: what a dead one does has no effect, and what it waits for never comes.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// What a process does that may be its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It sends a transaction.
    Broadcast,
    /// It asks its chain anything else.
    Ask,
    /// It writes to its store.
    Write,
    /// It asks the facilitator to verify.
    Verify,
    /// It asks the facilitator to settle.
    Settle,
    /// Its handler works.
    Handle,
}

/// Which deed kills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fuse {
    pub(crate) deed: Deed,
    /// The how manieth, from 1.
    pub(crate) nth: u64,
    /// Whether the deed itself still happens.
    pub(crate) is_done: bool,
}

/// One life of a process. Clones share it.
#[derive(Clone)]
pub(crate) struct Life(Arc<Inner>);

struct Inner {
    is_dead: AtomicBool,
    death: Notify,
    fuse: Mutex<Option<Fuse>>,
}

impl Life {
    pub(crate) fn new(fuse: Option<Fuse>) -> Self {
        Self(Arc::new(Inner {
            is_dead: AtomicBool::new(false),
            death: Notify::new(),
            fuse: Mutex::new(fuse),
        }))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.is_dead.load(Ordering::SeqCst)
    }

    pub(crate) fn kill(&self) {
        self.0.is_dead.store(true, Ordering::SeqCst);
        self.0.death.notify_waiters();
    }

    /// Comes back when the process is dead.
    pub(crate) async fn death(&self) {
        let death = self.0.death.notified();
        if !self.is_dead() {
            death.await;
        }
    }

    /// Does a deed, unless the process is dead or dies of it.
    pub(crate) async fn act<T>(&self, deed: Deed, work: impl Future<Output = T>) -> T {
        if self.is_dead() {
            return core::future::pending().await;
        }
        if let Some(fuse) = self.burnt(deed) {
            if fuse.is_done {
                drop(work.await);
            }
            self.kill();
            return core::future::pending().await;
        }
        let done = work.await;
        if self.is_dead() {
            return core::future::pending().await;
        }
        done
    }

    fn burnt(&self, deed: Deed) -> Option<Fuse> {
        let mut fuse = self.0.fuse.lock().unwrap();
        let armed = fuse.as_mut().filter(|fuse| fuse.deed == deed)?;
        armed.nth -= 1;
        if armed.nth > 0 {
            return None;
        }
        fuse.take()
    }
}

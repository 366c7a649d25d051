//! How a command that serves is asked to end.

use crate::failure::{Exit, Failure};

/// Ctrl-C, or the signal with which a supervisor stops a process. Listened for before a service is
/// announced: whoever reads the announcement may ask at once.
#[cfg(unix)]
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|err| {
                Failure::new(
                    Exit::Bug,
                    "signals",
                    format!("cannot listen for signals: {err}"),
                )
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct Stop;

#[cfg(not(unix))]
impl Stop {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn asked(self) {
        // Where Ctrl-C cannot be heard, the process is stopped from outside.
        let _ = tokio::signal::ctrl_c().await;
    }
}

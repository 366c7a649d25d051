//! Where a streamed answer goes, piece by piece.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};

/// The beginning of a streamed answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct Head {
    /// The HTTP status, from 200 to 299: any other answer is read whole, and is the purchase's result.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
}

/// The payer's end of a streamed answer, for [`super::Payer::fetch_into`].
pub struct Outlet {
    head: Option<oneshot::Sender<Head>>,
    pieces: Option<mpsc::Sender<Bytes>>,
    whole: Arc<AtomicBool>,
}

/// The reader's end of a streamed answer. To drop it is to stop the purchase: the connection to the
/// server is closed, and only what the server settles for the part that it served is paid.
pub struct Inlet {
    head: Option<oneshot::Receiver<Head>>,
    pieces: mpsc::Receiver<Bytes>,
    whole: Arc<AtomicBool>,
}

/// Makes the two ends of one streamed answer. At most `pieces` pieces wait between them: a reader that
/// is slow slows the server down.
pub fn outlet(pieces: usize) -> (Outlet, Inlet) {
    let (head, heard) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(pieces.max(1));
    let whole = Arc::new(AtomicBool::new(false));
    let outlet = Outlet {
        head: Some(head),
        pieces: Some(sender),
        whole: Arc::clone(&whole),
    };
    let inlet = Inlet {
        head: Some(heard),
        pieces: receiver,
        whole,
    };
    (outlet, inlet)
}

impl Head {
    /// A beginning.
    pub const fn new(status: u16, headers: HeaderMap) -> Self {
        Self { status, headers }
    }
}

impl Inlet {
    /// Waits for the beginning. `None` where nothing is streamed: the purchase's result says why.
    pub async fn head(&mut self) -> Option<Head> {
        self.head.take()?.await.ok()
    }

    /// Waits for the next piece. `None` at the end; [`Inlet::is_whole`] says which end.
    ///
    /// # Cancellation
    ///
    /// Safe: a piece is returned or stays unread.
    pub async fn piece(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    /// Whether the server's last byte was passed on. `false` before that, and for ever where the answer
    /// was cut off.
    pub fn is_whole(&self) -> bool {
        self.whole.load(Ordering::SeqCst)
    }
}

impl Outlet {
    /// Says how the answer begins. For whoever stands in for a payer, as the next two are.
    pub fn open(&mut self, head: Head) {
        if let Some(sender) = self.head.take() {
            // A reader that left is noticed at the first piece.
            let _ = sender.send(head);
        }
    }

    /// Hands a piece on; `false` where the reader left, or read nothing for `patience`.
    pub async fn pass(&self, piece: Bytes, patience: Duration) -> bool {
        let Some(pieces) = &self.pieces else {
            return false;
        };
        let passed = tokio::time::timeout(patience, pieces.send(piece)).await;
        passed.is_ok_and(|passed| passed.is_ok())
    }

    /// Waits until the reader has left.
    pub async fn left(&self) {
        match &self.pieces {
            Some(pieces) => pieces.closed().await,
            None => core::future::pending().await,
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.pieces.as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    /// Ends the answer for its reader, who need not wait for the settlement.
    pub fn end(&mut self, whole: bool) {
        self.whole.store(whole, Ordering::SeqCst);
        self.head = None;
        self.pieces = None;
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("whole", &self.is_whole())
            .finish_non_exhaustive()
    }
}

//! What follows a stream, and what is kept of it.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use seamline_evm::x402::SettleResponse;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Piece;
use crate::paywall::answer;
use crate::paywall::holdback::Tail;
use crate::paywall::ledger::LONGEST_ANSWER;

/// What is said at the end of a stream.
pub(super) struct Conclusion {
    pub(super) client: mpsc::Sender<Piece>,
    pub(super) is_sse: bool,
    /// Whether an event may follow: a stream that failed with a frame of its own ends with that.
    pub(super) event: bool,
    pub(super) trailers: bool,
    pub(super) stall: Duration,
}

impl Conclusion {
    /// Sends what follows a stream: held bytes, the settlement, the final frame. A client that left
    /// gets nothing, which is its choice.
    pub(super) async fn say(self, tail: &Tail, settled: &SettleResponse) {
        let mut end = BytesMut::from(tail.held.as_slice());
        if self.is_sse && tail.at_line_start {
            end.extend_from_slice(&answer::stream_end(settled, tail.done, self.event));
        }
        if !end.is_empty() && !self.send(Frame::data(end.freeze())).await {
            return;
        }
        if self.trailers {
            self.send(Frame::trailers(answer::trailers(settled))).await;
        }
    }

    async fn send(&self, piece: Piece) -> bool {
        let sent = timeout(self.stall, self.client.send(piece)).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }
}

/// What was streamed, while it is short enough to be kept.
#[derive(Default)]
pub(super) struct Copy {
    bytes: BytesMut,
    overflowed: bool,
}

impl Copy {
    pub(super) fn add(&mut self, piece: &[u8]) {
        if self.overflowed || self.bytes.len().saturating_add(piece.len()) > LONGEST_ANSWER {
            self.overflowed = true;
            self.bytes = BytesMut::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub(super) fn whole(self) -> Option<Bytes> {
        (!self.overflowed).then(|| self.bytes.freeze())
    }
}

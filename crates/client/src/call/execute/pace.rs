use core::time::Duration;

use seamline_core::receipt::Stalled;
use tokio::time::Instant;

use crate::client::micros;

/// A pause shorter than this is ordinary scheduling, whatever the median says.
const LEAST_STALL: Duration = Duration::from_millis(200);
/// A pause this many times the median is a stall (`spec/hesitations.md`, STALL).
const TIMES_MEDIAN: u64 = 5;
/// Stalls that one answer may fill the receipt with: a receipt holds 4,096 events, and a node that
/// dawdles must not push the settlement out of it.
const MAX_STALLS: u32 = 64;
/// Gaps that the median looks back on.
const WINDOW: usize = 256;

/// Watches the gaps between the pieces of a stream.
pub(super) struct Pace {
    last: Instant,
    gaps: Vec<u64>,
    chunks: u64,
    stalls: u32,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self {
            last: Instant::now(),
            gaps: Vec::new(),
            chunks: 0,
            stalls: 0,
        }
    }

    /// Pieces so far.
    pub(super) const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Notes that a piece arrived; returns the stall that it ended, if it was one.
    pub(super) fn arrived(&mut self) -> Option<Stalled> {
        let now = Instant::now();
        let gap = now.duration_since(self.last);
        self.last = now;
        let after_chunks = self.chunks;
        self.chunks = self.chunks.saturating_add(1);
        let gap_us = micros(gap);
        let median_us = if gap >= LEAST_STALL { self.median() } else { 0 };
        let long = gap >= LEAST_STALL && gap_us > median_us.saturating_mul(TIMES_MEDIAN);
        if self.gaps.len() < WINDOW {
            self.gaps.push(gap_us);
        }
        // The wait for the first piece is the model's time to first token, not a stall.
        if !long || after_chunks == 0 || self.stalls >= MAX_STALLS {
            return None;
        }
        self.stalls = self.stalls.saturating_add(1);
        Some(Stalled {
            gap_us,
            median_us,
            after_chunks,
        })
    }

    fn median(&self) -> u64 {
        let mut sorted = self.gaps.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }
}

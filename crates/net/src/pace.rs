//! How fast a peer has to move.

use core::time::Duration;
#[cfg(feature = "server")]
use std::collections::VecDeque;

/// The least that a peer has to move in any span of `window` that it is waited for.
///
/// Only waiting counts: a peer that is not waited for may be as slow as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinSpeed {
    /// This much at least.
    pub bytes: usize,
    /// In each span of waiting this long.
    pub window: Duration,
}

/// What a peer moved lately, by the time that it was waited for.
#[cfg(feature = "server")]
#[derive(Debug)]
pub(crate) struct Pace {
    least: MinSpeed,
    /// How long it was waited for so far.
    clock: Duration,
    /// When something came, on that clock, and how much; the oldest first.
    moved: VecDeque<(Duration, usize)>,
}

/// Parts of a window that are told apart.
#[cfg(feature = "server")]
const PARTS: u32 = 16;

#[cfg(feature = "server")]
impl Pace {
    pub(crate) const fn new(least: MinSpeed) -> Self {
        Self {
            least,
            clock: Duration::ZERO,
            moved: VecDeque::new(),
        }
    }

    /// The peer was waited for.
    pub(crate) fn waited(&mut self, span: Duration) {
        self.clock = self.clock.saturating_add(span);
        let window = self.least.window;
        while let Some((at, _)) = self.moved.front() {
            if at.saturating_add(window) > self.clock {
                break;
            }
            self.moved.pop_front();
        }
    }

    /// The peer moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let part = self.least.window.checked_div(PARTS).unwrap_or_default();
        match self.moved.back_mut() {
            Some((at, sum)) if self.clock.saturating_sub(*at) < part => {
                *sum = sum.saturating_add(bytes);
            }
            Some(_) | None => self.moved.push_back((self.clock, bytes)),
        }
    }

    /// How much longer the peer may be waited for if nothing comes; zero for one that is too slow.
    pub(crate) fn left(&self) -> Duration {
        let window = self.least.window;
        let all = self.moved.iter().map(|(_, bytes)| *bytes);
        let mut sum = all.fold(0_usize, usize::saturating_add);
        // The first window is whole before anybody is judged.
        let mut ends = window;
        for (at, bytes) in &self.moved {
            if sum < self.least.bytes {
                break;
            }
            sum = sum.saturating_sub(*bytes);
            ends = ends.max(at.saturating_add(window));
        }
        ends.saturating_sub(self.clock)
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    const LEAST: MinSpeed = MinSpeed {
        bytes: 100,
        window: Duration::from_secs(16),
    };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_moves_nothing_has_one_window() {
        let mut pace = Pace::new(LEAST);
        assert_eq!(pace.left(), SECOND * 16);
        pace.waited(SECOND * 15);
        pace.moved(99);
        assert_eq!(pace.left(), SECOND, "not enough");
        pace.moved(1);
        assert_eq!(pace.left(), SECOND * 16);
        pace.waited(SECOND * 16);
        assert_eq!(pace.left(), Duration::ZERO);
    }

    /// A byte now and then keeps nobody waiting.
    #[test]
    fn who_moves_too_little_is_found_out() {
        let mut pace = Pace::new(LEAST);
        let mut waited = 0;
        while !pace.left().is_zero() {
            pace.waited(SECOND);
            pace.moved(6);
            waited += 1;
        }
        assert_eq!(waited, 16);
    }

    #[test]
    fn who_moves_enough_may_go_on_for_ever() {
        let mut pace = Pace::new(LEAST);
        for _ in 0..1_000 {
            pace.waited(SECOND);
            assert!(!pace.left().is_zero());
            pace.moved(8);
            assert!(pace.moved.len() <= 17);
        }
        // A burst buys one window from when it came, no more.
        pace.moved(1_000_000);
        assert_eq!(pace.left(), SECOND * 16);
        pace.waited(SECOND * 16);
        assert_eq!(pace.left(), Duration::ZERO);
    }

    #[test]
    fn many_small_pieces_are_few_entries() {
        let mut pace = Pace::new(LEAST);
        for _ in 0..10_000 {
            pace.waited(Duration::from_millis(1));
            pace.moved(1);
        }
        assert!(pace.moved.len() <= 17, "{}", pace.moved.len());
        // What came in the last part is not told apart.
        assert!((SECOND * 15..=SECOND * 16).contains(&pace.left()));
    }
}

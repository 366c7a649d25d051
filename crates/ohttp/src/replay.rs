use std::collections::{HashSet, VecDeque};

use crate::error::Error;

/// The newest requests that were executed, so that a relay cannot have one executed twice.
///
/// A request is told by its encapsulated key, which a client makes anew for each. The window is counted in
/// requests: whoever wants one forgotten must have `capacity` others executed. A service forgets those
/// that cost nothing ([`ReplayWindow::forget`]), so that each of them is paid for.
/// Memory: about 100 bytes for each.
#[derive(Debug)]
pub struct ReplayWindow {
    capacity: usize,
    order: VecDeque<[u8; 32]>,
    seen: HashSet<[u8; 32]>,
}

impl ReplayWindow {
    /// A window of `capacity` requests, at least one.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            order: VecDeque::new(),
            seen: HashSet::new(),
        }
    }

    /// Admits a request once.
    ///
    /// # Errors
    ///
    /// [`Error::Replayed`] where it is in the window.
    pub fn admit(&mut self, request_id: [u8; 32]) -> Result<(), Error> {
        if !self.seen.insert(request_id) {
            return Err(Error::Replayed);
        }
        self.order.push_back(request_id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        Ok(())
    }
}

impl ReplayWindow {
    /// Takes a request out that was admitted and not executed: it may come again.
    ///
    /// Looks from the newest on, where it is.
    pub fn forget(&mut self, request_id: &[u8; 32]) {
        if self.seen.remove(request_id)
            && let Some(at) = self.order.iter().rposition(|it| it == request_id)
        {
            self.order.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_passes_once_until_the_window_has_moved_on() {
        let mut window = ReplayWindow::new(2);
        assert_eq!(window.admit([1; 32]), Ok(()));
        assert_eq!(window.admit([1; 32]), Err(Error::Replayed));
        assert_eq!(window.admit([2; 32]), Ok(()));
        assert_eq!(window.admit([1; 32]), Err(Error::Replayed));
        assert_eq!(window.admit([3; 32]), Ok(()));
        assert_eq!(window.admit([1; 32]), Ok(()));
        assert_eq!(window.admit([3; 32]), Err(Error::Replayed));
    }

    #[test]
    fn what_is_forgotten_takes_no_room_and_may_come_again() {
        let mut window = ReplayWindow::new(2);
        assert_eq!(window.admit([1; 32]), Ok(()));
        for free in 2..100 {
            assert_eq!(window.admit([free; 32]), Ok(()));
            window.forget(&[free; 32]);
        }
        window.forget(&[200; 32]);
        assert_eq!(window.admit([1; 32]), Err(Error::Replayed));
        assert_eq!(window.admit([2; 32]), Ok(()));
        window.forget(&[2; 32]);
        assert_eq!(window.admit([2; 32]), Ok(()));
        assert_eq!(window.admit([2; 32]), Err(Error::Replayed));
    }
}

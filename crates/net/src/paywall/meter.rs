use std::sync::{Arc, Mutex, PoisonError};

use seamline_core::{Address, Amount, B256};
use seamline_evm::x402::Offer;

/// What a handler knows about the payment that it works for; in the extensions of its request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PaymentContext {
    /// Who pays: the owner in the verified authorization.
    pub payer: Address,
    /// The offer that was accepted.
    pub offer: Offer,
    /// The ceiling: what was asked, which is at most what was authorized.
    pub max: Amount,
    /// The nonce of the authorization, spendable once per payer.
    pub auth_nonce: B256,
    /// Where the handler reports what it used.
    pub meter: Meter,
}

/// What is to be settled: never passes the ceiling.
///
/// Where the scheme settles what was metered (`upto`, channels), a meter that nobody sets is at
/// zero: nothing is due. `exact` settles its whole amount whatever the meter says, except where it
/// was set to zero: then the answer is free.
#[derive(Clone, Debug)]
pub struct Meter {
    max: Amount,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    total: Option<Amount>,
    exceeded: bool,
}

impl Meter {
    pub(super) fn new(max: Amount) -> Self {
        Self {
            max,
            state: Arc::default(),
        }
    }

    /// Sets the amount that is due for everything delivered so far. More than the ceiling is not
    /// due and is cut to it; so is a stream that runs on after it: what it yields next does not
    /// leave.
    ///
    /// A stream calls this before it yields what it charges for: when the client disconnects,
    /// the last amount is settled.
    pub fn set(&self, total: Amount) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total = Some(total.min(self.max));
        state.exceeded |= total > self.max;
    }

    /// Returns the amount that is due.
    pub fn get(&self) -> Amount {
        self.read().total.unwrap_or_default()
    }

    /// The ceiling.
    pub const fn max(&self) -> Amount {
        self.max
    }

    /// What is due under a scheme that settles its whole amount where `exact`, given whether
    /// anything was delivered.
    pub(super) fn due(&self, exact: bool, delivered: bool) -> Amount {
        match (exact, self.read().total) {
            (true, Some(total)) if total.is_zero() => Amount::ZERO,
            (true, _) if delivered => self.max,
            (true, _) => Amount::ZERO,
            (false, total) => total.unwrap_or_default(),
        }
    }

    /// Whether more was reported than the ceiling.
    pub(super) fn is_exceeded(&self) -> bool {
        self.read().exceeded
    }

    fn read(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_never_passes_what_was_authorized() {
        let meter = Meter::new(Amount::new(100));
        assert_eq!(meter.get(), Amount::ZERO);
        meter.set(Amount::new(7));
        assert_eq!((meter.get(), meter.is_exceeded()), (Amount::new(7), false));
        meter.set(Amount::new(101));
        assert_eq!((meter.get(), meter.is_exceeded()), (Amount::new(100), true));
        meter.set(Amount::new(100));
        assert!(
            meter.is_exceeded(),
            "what was delivered once stays delivered"
        );
    }

    #[test]
    fn exact_is_all_or_nothing() {
        let meter = Meter::new(Amount::new(100));
        assert_eq!(meter.due(true, true), Amount::new(100));
        assert_eq!(meter.due(true, false), Amount::ZERO);
        assert_eq!(meter.due(false, true), Amount::ZERO);
        meter.set(Amount::new(3));
        assert_eq!(meter.due(true, true), Amount::new(100));
        assert_eq!(meter.due(false, false), Amount::new(3));
        meter.set(Amount::ZERO);
        assert_eq!(meter.due(true, true), Amount::ZERO);
    }
}

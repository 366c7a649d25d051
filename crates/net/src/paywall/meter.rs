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
    /// The ceiling: the amount that was authorized.
    pub max: Amount,
    /// The nonce of the authorization, spendable once per payer.
    pub auth_nonce: B256,
    /// Where the handler reports what it used.
    pub meter: Meter,
}

/// What is to be settled: starts at zero, never passes the authorized amount.
#[derive(Clone, Debug)]
pub struct Meter {
    max: Amount,
    total: Arc<Mutex<Amount>>,
}

impl Meter {
    pub(super) fn new(max: Amount) -> Self {
        Self {
            max,
            total: Arc::new(Mutex::new(Amount::ZERO)),
        }
    }

    /// Sets the amount that is due for everything delivered so far. More than the authorized
    /// amount is not due and is cut to it.
    ///
    /// A stream calls this before it yields what it charges for: when the client disconnects,
    /// the last amount is settled.
    pub fn set(&self, total: Amount) {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) = total.min(self.max);
    }

    /// Returns the amount that is due.
    pub fn get(&self) -> Amount {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(meter.get(), Amount::new(7));
        meter.set(Amount::new(101));
        assert_eq!(meter.get(), Amount::new(100));
    }
}

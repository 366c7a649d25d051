//! What the ledger keeps of one authorization.

use seamline_core::{Address, B256, Timestamp};

use super::Outcome;
use super::credit::{Exposure, Standing};
use crate::news::Teller;
use crate::paywall::settle::spent_otherwise;

/// One authorization with its request.
pub(super) struct Entry {
    pub(super) payer: Address,
    pub(super) request: B256,
    pub(super) expires: Timestamp,
    /// Whether it is its key's owner.
    pub(super) verified: bool,
    /// Whether its settlement was refused, for a reason that can pass.
    pub(super) refused: bool,
    /// What it costs us where it is never settled, once it is verified; nothing where it is paid
    /// before it is worked for.
    pub(super) exposure: Option<Exposure>,
    pub(super) state: State,
}

impl Entry {
    /// What it does to its payer's credit.
    pub(super) fn standing(&self) -> Standing {
        // Anybody can write a payer into a message: only what is verified counts.
        let Some(exposure) = self.exposure.filter(|_| self.verified) else {
            return Standing::Clear;
        };
        let open = if self.refused {
            Standing::Unpaid
        } else {
            Standing::Open(exposure)
        };
        match &self.state {
            State::Running(_) => open,
            State::Done(outcome) => match outcome.as_ref() {
                Outcome::Unsettled(..) => open,
                Outcome::Unpaid(refused) if spent_otherwise(refused).is_some() => Standing::Cheated,
                Outcome::Unpaid(_) => Standing::Unpaid,
                Outcome::Answered(_, settled) | Outcome::Spent(settled) => {
                    let amount = settled.settled_amount().unwrap_or(exposure.sure);
                    let (asset, amount) = (exposure.asset, amount.min(exposure.max));
                    if amount.is_zero() {
                        Standing::Clear
                    } else {
                        Standing::Paid { asset, amount }
                    }
                }
            },
        }
    }

    /// How soon it can be forgotten, if at all.
    pub(super) fn rank(&self) -> Option<u8> {
        match &self.state {
            State::Running(_) => None,
            State::Done(outcome) => match outcome.as_ref() {
                Outcome::Spent(_) => Some(0),
                Outcome::Unpaid(_) => Some(1),
                Outcome::Answered(..) | Outcome::Unsettled(..) => None,
            },
        }
    }
}

/// How far it is.
pub(super) enum State {
    Running(Teller<()>),
    Done(Box<Outcome>),
}

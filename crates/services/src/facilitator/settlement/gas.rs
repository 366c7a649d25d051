//! What a settlement counts in the gas budgets.

use seamline_core::Address;
use serde::{Deserialize, Serialize};

use super::Settlement;

/// Gas that a record stands for. A store adds it to its ledger with the record, changes it with the
/// record, and takes it back where the record is removed unspent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GasUse {
    /// Whose budget.
    pub payer: Address,
    /// The replica that counts it in its own memory, too.
    pub owner: u64,
    /// The minute in which it was signed: Unix seconds divided by 60.
    pub minute: u64,
    /// The gas limit while it is open, what was used afterwards, twice that where it reverted.
    pub gas: u64,
    /// Whether a transaction receipt said what was used.
    pub measured: bool,
}

impl Settlement {
    /// Counts what a transaction receipt says, before the record is written again.
    pub(crate) const fn measure(&mut self, counted: u64) {
        if let Some(gas) = &mut self.gas {
            gas.gas = counted;
            gas.measured = true;
        }
    }

    /// At its end: what no transaction receipt counted used nothing of ours.
    pub(super) const fn forget_unused(&mut self) {
        if let Some(gas) = &mut self.gas
            && !gas.measured
        {
            gas.gas = 0;
        }
    }
}

use seamline_core::Amount;
use serde_json::Value;

use super::wire::Reader;
use crate::Malformed;
use crate::x402::SettleResponse;

/// What a seller says in its answer that it charged. Its word alone: nothing is on the chain yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// For this request, base units.
    pub amount: Amount,
    /// In the channel in total, where it says so, base units.
    pub total: Option<Amount>,
}

impl Charge {
    /// Reads `extra.chargedAmount` and `extra.channelState.chargedCumulativeAmount`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn of(response: &SettleResponse) -> Result<Self, Malformed> {
        let extra = response.extra.as_ref().ok_or(Malformed::Field("extra"))?;
        let amount = Reader(extra).amount("chargedAmount")?;
        let state = Reader(extra).optional("channelState");
        let state = Reader(state.unwrap_or(&Value::Null));
        let total = state.optional("chargedCumulativeAmount");
        let total = total.map(|_| state.amount("chargedCumulativeAmount"));
        let total = total.transpose()?;
        Ok(Self { amount, total })
    }
}

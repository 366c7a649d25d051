use alloy_primitives::Address;
use alloy_sol_types::SolCall as _;
use serde_json::Value;

use super::super::{IBatchSettlement, state};
use super::asked::{Ask, Asked, unread};
use super::{Context, SETTLE_GAS, SettlePlan, Work};
use crate::RpcError;
use crate::x402::Reason;

/// Whom a transaction pays out.
#[derive(Clone, Copy, Debug)]
pub(super) struct SettleWork {
    pub(super) receiver: Address,
    pub(super) token: Address,
}

/// Plans the transaction that pays out what was claimed.
pub(super) fn plan(
    receiver: Address,
    token: Address,
    context: &Context<'_>,
) -> Result<SettlePlan, Reason> {
    // 5. To the receiver and in the token of the requirement.
    context.for_seller(receiver, token)?;
    let call = IBatchSettlement::settleCall { receiver, token };
    let input = call.abi_encode().into();
    let mut asked = Asked::default();
    asked.receiver(receiver, token);
    asked.simulate(context.sender(), &input, SETTLE_GAS);
    Ok(SettlePlan {
        work: Work::Settle(SettleWork { receiver, token }),
        network: context.network(),
        chain_id: context.chain_id,
        payer: None,
        input,
        gas: SETTLE_GAS,
        asked,
    })
}

/// Whether something is owed, and the chain would pay it.
pub(super) fn judge(asked: &Asked, results: &[Result<Value, RpcError>]) -> Result<(), Reason> {
    let owed = asked.answer(Ask::Receiver, results)?;
    let owed = state::answer::<IBatchSettlement::receiversCall>(owed).map_err(|_| unread())?;
    if owed.totalClaimed <= owed.totalSettled {
        return Err(nothing());
    }
    let reverted = Reason::InvalidBatchSettlementEvmSettleSimulationFailed;
    asked.simulated(results, reverted)
}

pub(super) fn nothing() -> Reason {
    Reason::from("invalid_batch_settlement_evm_nothing_to_settle")
}

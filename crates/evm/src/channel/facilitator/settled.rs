//! When a transaction receipt proves that money moved, and how it is told.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use seamline_core::Amount;
use serde_json::{Value, json};

use super::super::{BATCH_SETTLEMENT, ChainState, IBatchSettlement, Payload};
use super::claims::ClaimWork;
use super::refunds::RefundWork;
use super::settles::{SettleWork, nothing};
use super::{SettlePlan, VerifyPlan, Work};
use crate::rpc::{address_of, b256_of, bytes_of, member, u64_of};
use crate::x402::{Reason, SettleResponse};

/// A settlement that a transaction receipt proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Hash of the transaction.
    pub transaction: B256,
    /// Number of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// What moved: into the channel, to the receiver or back to the payer; nothing for a claim.
    pub amount: Option<Amount>,
    /// The answer to `/settle`.
    pub response: SettleResponse,
}

impl SettlePlan {
    /// Checks that a transaction receipt (`eth_getTransactionReceipt`, not null) shows what was to
    /// be done. `before` is [`super::SettleCall::before`] of the call that was sent.
    ///
    /// # Errors
    ///
    /// The `…_transaction_failed` reason of the work where the transaction reverted or its logs do
    /// not show it; `unexpected_settle_error` where it is no transaction receipt.
    pub fn check_settled(
        &self,
        tx_receipt: &Value,
        before: Option<&ChainState>,
    ) -> Result<Settled, Reason> {
        let receipt = Receipt::read(tx_receipt).ok_or(Reason::UnexpectedSettleError)?;
        let failed = self.failed();
        if !receipt.succeeded {
            return Err(failed);
        }
        let before = before.copied().unwrap_or_default();
        let (amount, extra) = match &self.work {
            Work::Deposit(plan) => deposited(plan, &receipt, &before).ok_or(failed)?,
            Work::Claim(work) => {
                claimed(work, &receipt).ok_or(failed)?;
                (None, None)
            }
            Work::Refund(work) => refunded(work, &receipt, &before).ok_or(failed)?,
            Work::Settle(work) => (Some(paid(*work, &receipt).ok_or_else(nothing)?), None),
        };
        let response = SettleResponse {
            success: true,
            error_reason: None,
            amount: amount.map(|amount| amount.to_string()),
            extra,
            ..SettleResponse::failed(
                &self.network,
                self.payer,
                Reason::SettlementPending,
                Some(receipt.transaction),
            )
        };
        Ok(Settled {
            transaction: receipt.transaction,
            block_number: receipt.block_number,
            block_hash: receipt.block_hash,
            amount,
            response,
        })
    }

    /// The answer where [`super::Ready::Nothing`] was left to do.
    pub fn done_before(&self) -> SettleResponse {
        SettleResponse {
            success: true,
            error_reason: None,
            ..SettleResponse::failed(&self.network, self.payer, Reason::SettlementPending, None)
        }
    }

    /// The reason of a transaction that failed.
    pub fn failed(&self) -> Reason {
        match self.work {
            Work::Claim(_) => Reason::InvalidBatchSettlementEvmClaimTransactionFailed,
            Work::Deposit(_) => Reason::InvalidBatchSettlementEvmDepositTransactionFailed,
            Work::Refund(_) => Reason::InvalidBatchSettlementEvmRefundTransactionFailed,
            Work::Settle(_) => Reason::InvalidBatchSettlementEvmSettleTransactionFailed,
        }
    }
}

type Told = (Option<Amount>, Option<Value>);

fn deposited(plan: &VerifyPlan, receipt: &Receipt, before: &ChainState) -> Option<Told> {
    let Payload::Deposit { deposit, .. } = &plan.payload else {
        return None;
    };
    let mut events = receipt.events::<IBatchSettlement::Deposited>();
    let event = events
        .find(|event| event.channelId == plan.channel_id && event.amount == deposit.amount.get())?;
    let after = ChainState {
        balance: Amount::new(event.newBalance),
        ..*before
    };
    let state = after.write(&plan.channel_id);
    Some((Some(deposit.amount), Some(json!({ "channelState": state }))))
}

/// Every row is there, or was there before: a row that does nothing has no event.
fn claimed(work: &ClaimWork, receipt: &Receipt) -> Option<()> {
    let events: Vec<_> = receipt.events::<IBatchSettlement::Claimed>().collect();
    let known = events.iter().all(|event| {
        let total = work.total(&event.channelId);
        total.is_ok_and(|total| total.get() == event.newTotalClaimed)
    });
    (known && !events.is_empty()).then_some(())
}

fn refunded(work: &RefundWork, receipt: &Receipt, before: &ChainState) -> Option<Told> {
    let mut events = receipt.events::<IBatchSettlement::Refunded>();
    let event = events.find(|event| event.channelId == work.channel_id)?;
    let amount = Amount::new(event.amount);
    if amount > work.amount {
        return None;
    }
    // As the contract does: a refund of at least what was asked back ends the withdrawal.
    let ended = before.withdraw_amount <= amount;
    let after = ChainState {
        balance: before.balance.checked_sub(amount)?,
        total_claimed: before.total_claimed.max(work.claimed),
        withdraw_requested_at_s: if ended {
            0
        } else {
            before.withdraw_requested_at_s
        },
        withdraw_amount: before
            .withdraw_amount
            .checked_sub(amount)
            .unwrap_or(Amount::ZERO),
        refund_nonce: work.nonce.saturating_add(alloy_primitives::U256::ONE),
    };
    let state = after.write(&work.channel_id);
    Some((Some(amount), Some(json!({ "channelState": state }))))
}

fn paid(work: SettleWork, receipt: &Receipt) -> Option<Amount> {
    let mut events = receipt.events::<IBatchSettlement::Settled>();
    let event =
        events.find(|event| event.receiver == work.receiver && event.token == work.token)?;
    Some(Amount::new(event.amount))
}

/// The part of a transaction receipt that says what happened to channels.
struct Receipt {
    transaction: B256,
    block_number: u64,
    block_hash: B256,
    succeeded: bool,
    /// Topics and data of the contract's own logs.
    logs: Vec<(Vec<B256>, Vec<u8>)>,
}

impl Receipt {
    fn read(value: &Value) -> Option<Self> {
        let mut logs = Vec::new();
        for log in member(value, "logs").ok()?.as_array()? {
            if address_of(member(log, "address").ok()?).ok()? != BATCH_SETTLEMENT {
                continue;
            }
            let topics = member(log, "topics").ok()?.as_array()?;
            let topics: Result<Vec<B256>, _> = topics.iter().map(b256_of).collect();
            let data = bytes_of(member(log, "data").ok()?).ok()?;
            logs.push((topics.ok()?, data.to_vec()));
        }
        Some(Self {
            transaction: b256_of(member(value, "transactionHash").ok()?).ok()?,
            block_number: u64_of(member(value, "blockNumber").ok()?).ok()?,
            block_hash: b256_of(member(value, "blockHash").ok()?).ok()?,
            succeeded: u64_of(member(value, "status").ok()?).ok()? == 1,
            logs,
        })
    }

    fn events<E: SolEvent>(&self) -> impl Iterator<Item = E> + '_ {
        self.logs.iter().filter_map(|(topics, data)| {
            E::decode_raw_log_validate(topics.iter().copied(), data).ok()
        })
    }
}

//! What a plan says, and what it concludes from the chain's answers.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use serde_json::Value;

use super::super::{BATCH_SETTLEMENT, ChainState, Payload};
use super::{Ready, SettleCall, SettlePlan, VerifyPlan, Work, deposits, settles, vouchers};
use crate::x402::Reason;
use crate::{RpcCall, RpcError, TransportError};

impl VerifyPlan {
    /// The batch to send; [`super::conclude_verify`] reads its answer.
    pub fn calls(&self) -> &[RpcCall] {
        self.asked.calls()
    }

    /// Who pays.
    pub const fn payer(&self) -> Address {
        self.config.payer
    }

    /// The channel's id.
    pub const fn channel_id(&self) -> B256 {
        self.channel_id
    }

    /// EIP-155 chain id of the requirement.
    pub const fn chain_id(&self) -> u64 {
        self.terms.chain_id
    }

    pub(super) fn judge(&self, results: &[Result<Value, RpcError>]) -> Result<ChainState, Reason> {
        match &self.payload {
            Payload::Deposit { deposit, .. } => deposits::judge(self, deposit, results),
            Payload::Voucher { .. } => vouchers::judge(self, false, results),
            Payload::Refund { .. } => vouchers::judge(self, true, results),
            Payload::Claim { .. } | Payload::Settle { .. } => {
                Err(Reason::InvalidBatchSettlementEvmPayloadType)
            }
        }
    }
}

impl SettlePlan {
    /// The batch to send; [`SettlePlan::conclude`] reads its answer.
    pub fn calls(&self) -> &[RpcCall] {
        self.asked.calls()
    }

    /// Who pays, of deposits and refunds.
    pub const fn payer(&self) -> Option<Address> {
        self.payer
    }

    /// The network as the requirement names it.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// EIP-155 chain id of the requirement.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// What identifies the settlement: two requests with the same key ask for the same thing, and
    /// one transaction at a time is enough for both.
    pub fn key(&self) -> B256 {
        let chain = self.chain_id.to_be_bytes();
        match &self.work {
            // The authorization is what the chain spends once, whatever voucher came with it.
            Work::Deposit(plan) => deposits::key(plan),
            Work::Claim(_) | Work::Refund(_) | Work::Settle(_) => {
                let domain = b"seamline/v1/channel-settlement".as_slice();
                keccak256([domain, &chain, &self.input].concat())
            }
        }
    }

    /// Whether the chain does it once: an outcome may then be remembered for ever. Paying out and
    /// claiming can be asked for again, and mean something new then.
    pub const fn once(&self) -> bool {
        match self.work {
            Work::Deposit(_) | Work::Refund(_) => true,
            Work::Claim(_) | Work::Settle(_) => false,
        }
    }

    /// Reads the chain's answer to [`SettlePlan::calls`]: whether to send, and what.
    ///
    /// # Errors
    ///
    /// The reason; `…_rpc_read_failed` where the chain could not be asked.
    pub fn conclude(
        &self,
        answer: &Result<Vec<Result<Value, RpcError>>, TransportError>,
    ) -> Result<Ready, Reason> {
        let results = answer.as_deref().unwrap_or_default();
        let before = match &self.work {
            Work::Deposit(plan) => Some(plan.judge(results)?),
            Work::Claim(work) => {
                if !work.judge(&self.asked, results)? {
                    return Ok(Ready::Nothing);
                }
                None
            }
            Work::Refund(work) => Some(work.judge(&self.asked, results)?),
            Work::Settle(_) => {
                settles::judge(&self.asked, results)?;
                None
            }
        };
        Ok(Ready::Send(SettleCall {
            to: BATCH_SETTLEMENT,
            input: self.input.clone(),
            gas_limit: self.gas,
            before,
        }))
    }
}

impl fmt::Debug for SettlePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettlePlan")
            .field("work", &self.work)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SettleCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleCall")
            .field("to", &self.to)
            .field("gas_limit", &self.gas_limit)
            .finish_non_exhaustive()
    }
}

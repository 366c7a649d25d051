//! Executions that leave nothing behind: calls and gas estimates.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::database_interface::WrapDatabaseRef;

use super::error::Error;
use super::evm::{self, Rules};
use super::state::StateView;
use super::{BLOCK_GAS_LIMIT, Chain};

/// What is to be executed; absent members take the defaults of `eth_call`.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    pub(super) gas: Option<u64>,
    /// Zero: the base fee is waived too, as in go-ethereum.
    pub(super) gas_price: u128,
    pub(super) tip: Option<u128>,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) account_nonce: Option<u64>,
    pub(super) access_list: AccessList,
}

/// A state with the block that executes on it.
pub(super) struct At {
    pub(super) view: StateView,
    pub(super) header: Header,
}

/// Why a call or an estimate has no result.
#[derive(Debug)]
pub(super) enum CallError {
    /// It could not start: text in go-ethereum's words.
    Invalid(String),
    /// It ran and failed.
    Failed(ExecutionResult),
    /// The chain failed.
    Chain(Error),
}

impl From<Error> for CallError {
    fn from(err: Error) -> Self {
        Self::Chain(err)
    }
}

impl Chain {
    /// Executes `call` and drops its effects.
    pub(super) fn call(&self, call: &Call, at: &At) -> Result<ExecutionResult, CallError> {
        let gas = call.gas.unwrap_or(BLOCK_GAS_LIMIT).min(BLOCK_GAS_LIMIT);
        self.call_with(call, at, gas)
    }

    /// Finds a gas limit with which `call` succeeds, at most 1/64 above the least one.
    ///
    /// What an execution used is not enough: the 63/64 rule (EIP-150) holds gas back from inner calls,
    /// and refunds come after the end. So the limit is searched for, as go-ethereum does.
    pub(super) fn estimate(&self, call: &Call, at: &At) -> Result<u64, CallError> {
        let mut enough = call.gas.unwrap_or(BLOCK_GAS_LIMIT).min(BLOCK_GAS_LIMIT);
        if call.gas_price > 0 {
            enough = enough.min(self.affordable(call, at)?);
        }
        let first = self.call_with(call, at, enough)?;
        if !first.is_success() {
            return Err(CallError::Failed(first));
        }
        let mut short = first.tx_gas_used().saturating_sub(1);
        let spent = first.gas().total_gas_spent().max(first.tx_gas_used());
        // 2,300: the stipend of a value transfer (EIP-150), which must be there and is not used.
        let held_back = spent.saturating_add(2_300).saturating_add(spent / 63);
        let mut guesses = [spent, held_back].into_iter();
        while enough.saturating_sub(short) > (enough / 64).max(1) {
            // Most limits are near the low end.
            let middle = short.midpoint(enough).min(short.saturating_mul(2));
            let guess = guesses
                .next()
                .unwrap_or(middle)
                .min(enough.saturating_sub(1));
            if guess <= short {
                continue;
            }
            if self.succeeds(call, at, guess)? {
                enough = guess;
            } else {
                short = guess;
            }
        }
        Ok(enough)
    }

    fn succeeds(&self, call: &Call, at: &At, gas: u64) -> Result<bool, CallError> {
        match self.call_with(call, at, gas) {
            Ok(result) => Ok(result.is_success()),
            // Below the intrinsic cost.
            Err(CallError::Invalid(_)) => Ok(false),
            Err(err) => Err(err),
        }
    }

    fn affordable(&self, call: &Call, at: &At) -> Result<u64, CallError> {
        let balance = at.view.account(call.from)?.balance;
        let left = balance
            .checked_sub(call.value)
            .ok_or_else(|| CallError::Invalid(FUNDS.to_owned()))?;
        let gas = left
            .checked_div(U256::from(call.gas_price))
            .unwrap_or(U256::MAX);
        Ok(gas.saturating_to())
    }

    fn call_with(
        &self,
        call: &Call,
        at: &At,
        gas_limit: u64,
    ) -> Result<ExecutionResult, CallError> {
        let mut block = evm::block_env(&at.header);
        if call.gas_price == 0 {
            block.basefee = 0;
        }
        let rules = Rules {
            chain_id: self.inner.chain_id,
            roots: Arc::clone(&self.inner.roots),
            models: self.inner.models.clone(),
            block,
            call: true,
        };
        let account_nonce = match call.account_nonce {
            Some(account_nonce) => account_nonce,
            None => at.view.account(call.from)?.account_nonce,
        };
        let mut tx = TxEnv {
            caller: call.from,
            gas_limit,
            gas_price: call.gas_price,
            kind: call.to.map_or(TxKind::Create, TxKind::Call),
            value: call.value,
            data: call.input.clone(),
            nonce: account_nonce,
            chain_id: Some(self.inner.chain_id),
            access_list: call.access_list.clone(),
            gas_priority_fee: call.tip,
            ..TxEnv::default()
        };
        tx.derive_tx_type()
            .map_err(|_| CallError::Invalid("transaction type not supported".to_owned()))?;
        match evm::execute(&rules, WrapDatabaseRef(&at.view), tx) {
            Ok(done) => Ok(done.result),
            Err(EVMError::Transaction(reason)) => Err(CallError::Invalid(refusal(&reason))),
            Err(err) => Err(CallError::Chain(evm::engine(err))),
        }
    }
}

/// Says why a transaction cannot start in the words that clients match on.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other refusals keep revm's own words"
)]
fn refusal(reason: &InvalidTransaction) -> String {
    match reason {
        InvalidTransaction::LackOfFundForMaxFee { .. } => FUNDS.to_owned(),
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => "intrinsic gas too low".to_owned(),
        InvalidTransaction::GasPriceLessThanBasefee => {
            "max fee per gas less than block base fee".to_owned()
        }
        InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        other => other.to_string(),
    }
}

const FUNDS: &str = "insufficient funds for gas * price + value";

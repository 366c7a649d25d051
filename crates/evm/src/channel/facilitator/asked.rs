//! What the chain was asked, and where in the batch each answer is.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;
use serde_json::Value;

use super::super::state::{self, CALLS};
use super::super::{BATCH_SETTLEMENT, ChainState, IBatchSettlement};
use crate::bindings::{IContractSigner, IToken};
use crate::rpc::{At, bytes_of};
use crate::x402::Reason;
use crate::{RpcCall, RpcError};

/// A question whose answer is looked for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The allowance of Permit2.
    Allowance,
    /// The payer's tokens.
    Balance,
    /// The payer's code.
    PayerCode,
    /// What is owed to a receiver.
    Receiver,
    /// The settlement, simulated.
    Simulation,
    /// A channel's state: three answers.
    State(B256),
    /// The token's code.
    TokenCode,
    /// What the payer's code says of the voucher.
    VoucherSignature,
}

/// A batch of calls with the meaning of each. `Debug` leaves the calls out: they hold signatures.
#[derive(Clone, Default)]
pub(super) struct Asked {
    calls: Vec<RpcCall>,
    asks: Vec<(Ask, usize)>,
}

impl Asked {
    pub(super) fn calls(&self) -> &[RpcCall] {
        &self.calls
    }

    pub(super) fn has(&self, ask: Ask) -> bool {
        self.asks.iter().any(|(asked, _)| *asked == ask)
    }

    pub(super) fn state(&mut self, channel_id: &B256) {
        self.put(Ask::State(*channel_id), state::calls(channel_id));
    }

    pub(super) fn simulate(&mut self, sender: Address, input: &Bytes, gas: u64) {
        let call = RpcCall::call_from(sender, BATCH_SETTLEMENT, input, gas, At::Latest);
        self.put(Ask::Simulation, [call]);
    }

    pub(super) fn payer_code(&mut self, payer: Address) {
        if !self.has(Ask::PayerCode) {
            self.put(Ask::PayerCode, [RpcCall::code(payer, At::Latest)]);
        }
    }

    pub(super) fn token_code(&mut self, token: Address) {
        self.put(Ask::TokenCode, [RpcCall::code(token, At::Latest)]);
    }

    pub(super) fn balance(&mut self, token: Address, owner: Address) {
        let input = IToken::balanceOfCall { owner }.abi_encode();
        self.put(Ask::Balance, [RpcCall::call(token, &input, At::Latest)]);
    }

    pub(super) fn allowance(&mut self, token: Address, owner: Address, spender: Address) {
        let input = IToken::allowanceCall { owner, spender }.abi_encode();
        self.put(Ask::Allowance, [RpcCall::call(token, &input, At::Latest)]);
    }

    pub(super) fn receiver(&mut self, receiver: Address, token: Address) {
        let input = IBatchSettlement::receiversCall { receiver, token }.abi_encode();
        let call = RpcCall::call(BATCH_SETTLEMENT, &input, At::Latest);
        self.put(Ask::Receiver, [call]);
    }

    /// Asks `payer`'s code about `digest`, as the contract will, bounded against code that burns
    /// gas.
    pub(super) fn voucher_signature(&mut self, payer: Address, digest: B256, signature: &[u8]) {
        let call = IContractSigner::isValidSignatureCall {
            digest,
            signature: Bytes::copy_from_slice(signature),
        };
        let gas = super::CLAIM_ROW_GAS;
        let input = call.abi_encode();
        let call = RpcCall::call_from(BATCH_SETTLEMENT, payer, &input, gas, At::Latest);
        self.put(Ask::VoucherSignature, [call]);
    }

    /// The answer to a question of one call.
    pub(super) fn answer<'a>(
        &self,
        ask: Ask,
        results: &'a [Result<Value, RpcError>],
    ) -> Result<&'a Result<Value, RpcError>, Reason> {
        let at = self.position(ask)?;
        self.whole(results)?.get(at).ok_or_else(unread)
    }

    pub(super) fn bytes(
        &self,
        ask: Ask,
        results: &[Result<Value, RpcError>],
    ) -> Result<Bytes, Reason> {
        let value = self.answer(ask, results)?.as_ref().map_err(|_| unread())?;
        bytes_of(value).map_err(|_| unread())
    }

    /// A token amount; beyond 128 bits it is more than anything that is asked here.
    pub(super) fn amount(
        &self,
        ask: Ask,
        results: &[Result<Value, RpcError>],
    ) -> Result<Amount, Reason> {
        let bytes = self.bytes(ask, results)?;
        let word: [u8; 32] = bytes.as_ref().try_into().map_err(|_| unread())?;
        let amount = Amount::try_from(U256::from_be_bytes(word));
        Ok(amount.unwrap_or(Amount::new(u128::MAX)))
    }

    pub(super) fn chain_state(
        &self,
        channel_id: &B256,
        results: &[Result<Value, RpcError>],
    ) -> Result<ChainState, Reason> {
        let at = self.position(Ask::State(*channel_id))?;
        let rest = self.whole(results)?.get(at..).unwrap_or_default();
        let (row, _) = rest.split_first_chunk::<CALLS>().ok_or_else(unread)?;
        state::read(row).map_err(|_| unread())
    }

    /// Whether the simulation passed.
    ///
    /// # Errors
    ///
    /// `reverted` where the contract refused; `…_rpc_read_failed` where it was not asked.
    pub(super) fn simulated(
        &self,
        results: &[Result<Value, RpcError>],
        reverted: Reason,
    ) -> Result<(), Reason> {
        match self.answer(Ask::Simulation, results)? {
            Ok(value) => bytes_of(value).map(|_| ()).map_err(|_| unread()),
            Err(error) => Err(error.ended().map_or_else(unread, |_| reverted)),
        }
    }

    /// A batch of another length answers nothing.
    fn whole<'a>(
        &self,
        results: &'a [Result<Value, RpcError>],
    ) -> Result<&'a [Result<Value, RpcError>], Reason> {
        if results.len() == self.calls.len() {
            Ok(results)
        } else {
            Err(unread())
        }
    }

    fn position(&self, ask: Ask) -> Result<usize, Reason> {
        let found = self.asks.iter().find(|(asked, _)| *asked == ask);
        found.map(|(_, at)| *at).ok_or_else(unread)
    }

    fn put<const N: usize>(&mut self, ask: Ask, calls: [RpcCall; N]) {
        self.asks.push((ask, self.calls.len()));
        self.calls.extend(calls);
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.asks).finish()
    }
}

pub(super) fn unread() -> Reason {
    Reason::InvalidBatchSettlementEvmRpcReadFailed
}

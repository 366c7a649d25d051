use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall;
use seamline_core::Amount;
use serde_json::{Map, Value, json};

use super::BATCH_SETTLEMENT;
use super::bindings::IBatchSettlement;
use super::wire::{self, Reader};
use crate::rpc::{At, bytes_of};
use crate::{Error, Malformed, RpcCall, RpcError};

/// What the chain has recorded of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainState {
    /// All that was put in and not taken back by the payer; what was claimed stays part of it.
    pub balance: Amount,
    /// What the receiver's side has claimed in total.
    pub total_claimed: Amount,
    /// When the payer asked for a withdrawal, Unix seconds; zero where none is pending.
    pub withdraw_requested_at_s: u64,
    /// How much the payer asked for, base units; zero where it is not known, because the wire does
    /// not say it.
    pub withdraw_amount: Amount,
    /// How many refunds there were.
    pub refund_nonce: U256,
}

/// A read of channels' states.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRead {
    channels: Vec<B256>,
    calls: Vec<RpcCall>,
}

impl ChainState {
    /// What the payer can still take back, and a claim can still take.
    pub fn unclaimed(&self) -> Amount {
        let left = self.balance.checked_sub(self.total_claimed);
        left.unwrap_or(Amount::ZERO)
    }

    /// Reads the members of `channelState`, or of the `extra` of a facilitator's answer.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        let requested = reader.optional("withdrawRequestedAt");
        let requested = requested.map(|_| reader.small("withdrawRequestedAt"));
        let nonce = reader.optional("refundNonce");
        let nonce = nonce.map(|_| reader.number("refundNonce"));
        Ok(Self {
            balance: reader.amount("balance")?,
            total_claimed: reader.amount("totalClaimed")?,
            withdraw_requested_at_s: requested.transpose()?.unwrap_or(0),
            withdraw_amount: Amount::ZERO,
            refund_nonce: nonce.transpose()?.unwrap_or(U256::ZERO),
        })
    }

    /// The members as the official SDKs write them: amounts and the counter are strings, the time is
    /// a number.
    pub fn write(&self, channel_id: &B256) -> Map<String, Value> {
        let members = [
            ("channelId", json!(wire::hex(channel_id.as_slice()))),
            ("balance", json!(self.balance.to_string())),
            ("totalClaimed", json!(self.total_claimed.to_string())),
            ("withdrawRequestedAt", json!(self.withdraw_requested_at_s)),
            ("refundNonce", json!(self.refund_nonce.to_string())),
        ];
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl StateRead {
    /// Plans the reads of `channels` at the newest block: three calls each, in one batch.
    pub fn new(channels: Vec<B256>) -> Self {
        let calls = channels.iter().flat_map(calls).collect();
        Self { channels, calls }
    }

    /// The batch to send.
    pub fn calls(&self) -> &[RpcCall] {
        &self.calls
    }

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// [`Error::Answer`], [`Error::BatchLength`] or [`Error::Call`]: then nothing is known of any.
    pub fn conclude(
        &self,
        results: &[Result<Value, RpcError>],
    ) -> Result<Vec<(B256, ChainState)>, Error> {
        if results.len() != self.calls.len() {
            return Err(Error::BatchLength {
                sent: self.calls.len(),
                received: results.len(),
            });
        }
        let (rows, _) = results.as_chunks::<CALLS>();
        let states = self.channels.iter().zip(rows);
        states.map(|(id, row)| Ok((*id, read(row)?))).collect()
    }
}

/// Calls per channel.
pub(super) const CALLS: usize = 3;

pub(super) fn calls(channel_id: &B256) -> [RpcCall; CALLS] {
    let channel = IBatchSettlement::channelsCall {
        channelId: *channel_id,
    };
    let withdrawal = IBatchSettlement::pendingWithdrawalsCall {
        channelId: *channel_id,
    };
    let nonce = IBatchSettlement::refundNonceCall {
        channelId: *channel_id,
    };
    let call = |input: Vec<u8>| RpcCall::call(BATCH_SETTLEMENT, &input, At::Latest);
    [
        call(channel.abi_encode()),
        call(withdrawal.abi_encode()),
        call(nonce.abi_encode()),
    ]
}

pub(super) fn read(row: &[Result<Value, RpcError>; CALLS]) -> Result<ChainState, Error> {
    let [channel, withdrawal, nonce] = row;
    let channel = answer::<IBatchSettlement::channelsCall>(channel)?;
    let withdrawal = answer::<IBatchSettlement::pendingWithdrawalsCall>(withdrawal)?;
    let refund_nonce = answer::<IBatchSettlement::refundNonceCall>(nonce)?;
    Ok(ChainState {
        balance: Amount::new(channel.balance),
        total_claimed: Amount::new(channel.totalClaimed),
        withdraw_requested_at_s: withdrawal.initiatedAt.to::<u64>(),
        withdraw_amount: Amount::new(withdrawal.amount),
        refund_nonce,
    })
}

pub(super) fn answer<C: SolCall>(result: &Result<Value, RpcError>) -> Result<C::Return, Error> {
    let bytes: Bytes = match result {
        Ok(value) => bytes_of(value)?,
        Err(error) => return Err(Error::Call(error.clone())),
    };
    C::abi_decode_returns_validate(&bytes).map_err(|_| Error::Answer("a channel's state"))
}

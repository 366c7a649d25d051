use std::fmt::Write as _;

use alloy_primitives::{Address, B256, aliases::U40};
use serde_json::Value;

use super::bindings::IBatchSettlement;
use super::wire::{self, Reader};
use super::{MAX_WITHDRAW_DELAY_S, MIN_WITHDRAW_DELAY_S, Terms, typed};
use crate::Malformed;
use crate::x402::Reason;

/// What a channel is. None of it can change: its EIP-712 hash is the channel's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelConfig {
    /// Whose money it holds.
    pub payer: Address,
    /// The key that signs vouchers; zero where the payer itself does, as an account of any kind.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// The key that signs claims and refunds for the receiver.
    pub receiver_authorizer: Address,
    /// Token contract.
    pub token: Address,
    /// Seconds between asking for a withdrawal and getting it.
    pub withdraw_delay_s: u64,
    /// Tells channels of the same parties apart.
    pub salt: B256,
}

impl ChannelConfig {
    /// The channel's id on `chain_id`.
    pub fn id(&self, chain_id: u64) -> B256 {
        typed::channel_id(self, chain_id)
    }

    /// Who must have signed a voucher, where that can be known without a chain: the authorizer, or
    /// `None` where it is zero and the payer's own code may decide.
    pub fn voucher_signer(&self) -> Option<Address> {
        (self.payer_authorizer != Address::ZERO).then_some(self.payer_authorizer)
    }

    /// Checks that the channel is what an offer on `chain_id` asks for and that `channel_id` is its
    /// id, in the order of `spec/channel.md`.
    ///
    /// # Errors
    ///
    /// The reason of the first rule that fails.
    pub fn check(&self, channel_id: &B256, terms: &Terms) -> Result<(), Reason> {
        let range = MIN_WITHDRAW_DELAY_S..=MAX_WITHDRAW_DELAY_S;
        let rules = [
            (
                self.id(terms.chain_id) == *channel_id,
                Reason::InvalidBatchSettlementEvmChannelIdMismatch,
            ),
            (
                self.receiver == terms.pay_to,
                Reason::InvalidBatchSettlementEvmReceiverMismatch,
            ),
            (
                self.receiver_authorizer == terms.receiver_authorizer,
                Reason::InvalidBatchSettlementEvmReceiverAuthorizerMismatch,
            ),
            (
                self.token == terms.asset,
                Reason::InvalidBatchSettlementEvmTokenMismatch,
            ),
            (
                self.withdraw_delay_s == terms.withdraw_delay_s,
                Reason::InvalidBatchSettlementEvmWithdrawDelayMismatch,
            ),
            (
                range.contains(&self.withdraw_delay_s),
                Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange,
            ),
        ];
        let failed = rules.into_iter().find(|(holds, _)| !holds);
        failed.map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// Reads `channelConfig`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Field`].
    pub fn parse(value: &Value) -> Result<Self, Malformed> {
        let reader = Reader(value);
        Ok(Self {
            payer: reader.address("payer")?,
            payer_authorizer: reader.address("payerAuthorizer")?,
            receiver: reader.address("receiver")?,
            receiver_authorizer: reader.address("receiverAuthorizer")?,
            token: reader.address("token")?,
            withdraw_delay_s: reader.small("withdrawDelay")?,
            salt: reader.word("salt")?,
        })
    }

    /// Writes `channelConfig` as the official SDKs do: members in this order, addresses with EIP-55
    /// case, the delay a number.
    pub fn write(&self) -> String {
        let mut json = String::from("{");
        for (name, account) in [
            ("payer", self.payer),
            ("payerAuthorizer", self.payer_authorizer),
            ("receiver", self.receiver),
            ("receiverAuthorizer", self.receiver_authorizer),
            ("token", self.token),
        ] {
            let written = write!(json, r#""{name}":"{account}","#);
            debug_assert!(written.is_ok(), "a string takes every byte");
        }
        let (delay, salt) = (self.withdraw_delay_s, wire::hex(self.salt.as_slice()));
        json.push_str(&format!(r#""withdrawDelay":{delay},"salt":"{salt}"}}"#));
        json
    }

    /// As the contract reads it. `None` where the delay is beyond 40 bits, which no channel has.
    pub fn to_sol(&self) -> Option<IBatchSettlement::ChannelConfig> {
        Some(IBatchSettlement::ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            withdrawDelay: U40::try_from(self.withdraw_delay_s).ok()?,
            salt: self.salt,
        })
    }
}

//! What the books of a channel say.

use alloy_primitives::B256;
use seamline_core::{Amount, Timestamp};
use serde_json::json;

use super::{Channel, Decline};
use crate::channel::{ChainState, ChannelConfig, CorrectiveState};
use crate::x402::{Reason, SettleResponse};

impl Channel {
    /// The answer to a payer: what it was charged, and the books. `deposit` is the transaction and
    /// the amount of the deposit that came with the request.
    pub fn response(
        &self,
        network: &str,
        charged: Amount,
        deposit: Option<(B256, Amount)>,
    ) -> SettleResponse {
        let mut state = self.chain.write(&self.id);
        let cumulative = json!(self.charged.to_string());
        state.insert("chargedCumulativeAmount".to_owned(), cumulative);
        let extra = json!({ "chargedAmount": charged.to_string(), "channelState": state });
        let (transaction, amount) = deposit.unzip();
        SettleResponse {
            success: true,
            error_reason: None,
            // Empty where nothing moved, as the official servers write it.
            amount: Some(amount.map(|it| it.to_string()).unwrap_or_default()),
            extra: Some(extra),
            ..SettleResponse::failed(
                network,
                Some(self.config.payer),
                Reason::SettlementPending,
                transaction,
            )
        }
    }

    /// The 402 that tells the payer these books.
    pub fn corrective(&self) -> Decline {
        let voucher = self.voucher.as_ref();
        Decline::Corrective(Box::new(CorrectiveState {
            channel_id: self.id,
            chain: self.chain,
            charged: Some(self.charged),
            voucher: voucher.map(|it| (it.max_claimable, it.signature.clone())),
        }))
    }

    /// The channel's id.
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// What the channel is.
    pub const fn config(&self) -> &ChannelConfig {
        &self.config
    }

    /// What was charged in total.
    pub const fn charged(&self) -> Amount {
        self.charged
    }

    /// The chain as last seen.
    pub const fn chain(&self) -> &ChainState {
        &self.chain
    }

    /// Whether a request holds the channel.
    pub const fn busy(&self) -> bool {
        self.held.is_some()
    }

    /// What is charged and not yet claimed.
    pub fn unclaimed(&self) -> Amount {
        let unclaimed = self.charged.checked_sub(self.chain.total_claimed);
        unclaimed.unwrap_or(Amount::ZERO)
    }

    /// Since when something is charged that is not claimed.
    pub const fn unclaimed_since(&self) -> Option<Timestamp> {
        self.unclaimed_since
    }

    /// When the chain was last seen.
    pub const fn synced_at(&self) -> Option<Timestamp> {
        self.synced_at
    }

    /// Whether these books can be dropped: nothing is left of the channel, and nothing is owed.
    pub fn spent(&self) -> bool {
        let nothing_left = self.chain.balance <= self.charged;
        self.known() && !self.busy() && nothing_left && self.unclaimed().is_zero()
    }
}

//! The refund of what is left of a channel.

use alloy_primitives::B256;
use seamline_core::{Amount, Timestamp};

use super::Channel;
use crate::Signer;
use crate::channel::{ChainState, Payload, RefundOrder, typed};
use crate::signer::sign_checked;
use crate::x402::Reason;

impl Channel {
    /// The order to a facilitator for the refund that holds the channel: claims what was charged,
    /// then gives back `amount`, or everything that is left. Without `signer` the facilitator must
    /// be the receiver authorizer.
    ///
    /// # Errors
    ///
    /// `…_channel_busy` where `id` holds no confirmed refund, `…_refund_no_balance` where that much
    /// is not left, `unexpected_settle_error` where nothing was signed.
    pub fn refund_order(
        &self,
        id: u64,
        amount: Option<Amount>,
        signer: Option<&dyn Signer>,
    ) -> Result<Payload, Reason> {
        let held = self.held.as_ref().filter(|held| held.id == id);
        let held = held.filter(|held| held.refund && !held.asked);
        let held = held.ok_or(Reason::InvalidBatchSettlementEvmChannelBusy)?;
        let left = self.chain.balance.checked_sub(self.charged);
        let left = left.filter(|left| !left.is_zero());
        let left = left.ok_or(Reason::InvalidBatchSettlementEvmRefundNoBalance)?;
        let amount = amount.unwrap_or(left);
        if amount > left || amount.is_zero() {
            return Err(Reason::InvalidBatchSettlementEvmRefundNoBalance);
        }
        let mut claims = Vec::new();
        if self.charged > self.chain.total_claimed {
            claims.push(self.claim_with(&held.voucher));
        }
        let sign = |digest: B256| -> Result<Option<Vec<u8>>, Reason> {
            let signature = signer
                .map(|signer| sign_checked(signer, &digest))
                .transpose();
            let signature = signature.map_err(|_| Reason::UnexpectedSettleError)?;
            Ok(signature.map(|it| it.as_bytes().to_vec()))
        };
        let nonce = self.chain.refund_nonce;
        let refund_signature = sign(typed::refund_digest(&self.id, nonce, amount, self.chain_id))?;
        let claim_signature = if claims.is_empty() {
            None
        } else {
            sign(typed::claim_batch_digest(&claims, self.chain_id))?
        };
        Ok(Payload::Refund {
            config: self.config.clone(),
            voucher: held.voucher.clone(),
            amount: Some(amount),
            order: Some(RefundOrder {
                nonce,
                claims,
                refund_signature,
                claim_signature,
            }),
        })
    }

    /// Takes in that the refund that holds the channel was settled, and releases it.
    pub fn refunded(&mut self, id: u64, chain: ChainState, now: Timestamp) {
        if let Some(held) = self.held.take_if(|held| held.id == id) {
            self.voucher = Some(held.voucher);
            self.observe(chain, now);
        }
    }
}

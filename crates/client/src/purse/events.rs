//! What a receipt has of a promise in a channel: the same for calls of nodes and for purchases.

use seamline_core::receipt::{
    SessionNamed, SettlementSeen, SettlementState, VoucherCharged, VoucherSigned,
};
use seamline_core::{Amount, B256};
use seamline_evm::channel::voucher_digest;
use seamline_evm::x402::SettleResponse;

use super::Promised;

/// A promise that waits for its answer, as the receipt has it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    channel: B256,
    before: Amount,
    deposit: bool,
}

impl Promised {
    /// The promise; `authorization` is its message among the receipt's evidence.
    pub(crate) fn signed(&self, authorization: B256) -> VoucherSigned {
        let total = self.payment.max_claimable;
        VoucherSigned {
            channel: self.id,
            payer: self.payer,
            charged_before: self.before,
            max_claimable: total,
            amount: self.amount,
            deposit: self.payment.deposit,
            digest: voucher_digest(&self.id, total, self.chain_id),
            authorization,
        }
    }

    /// The session that the channel is; `None` for a channel that was opened before there were any.
    pub(crate) fn session(&self) -> Option<SessionNamed> {
        let session = self.session?;
        Some(SessionNamed {
            channel: self.id,
            session_nonce: session.nonce,
            bind: session.bind,
        })
    }

    /// Where its answer belongs.
    pub(crate) const fn place(&self) -> Place {
        Place {
            channel: self.id,
            before: self.before,
            deposit: self.payment.deposit.is_some(),
        }
    }
}

impl Place {
    /// The seller's word about what it charged; `None` where it did not say, or where the total runs over.
    pub(crate) fn charged(
        &self,
        charged: Option<Amount>,
        reply: Option<&SettleResponse>,
    ) -> Option<VoucherCharged> {
        let amount = charged?;
        let deposited = reply.filter(|_| self.deposit);
        Some(VoucherCharged {
            channel: self.channel,
            amount,
            charged_after: self.before.checked_add(amount)?,
            deposit_transaction: deposited.and_then(SettleResponse::transaction_hash),
        })
    }
}

/// What is said where the seller did not say what it charged, or more than was promised: the promise stays
/// open, and reserved.
pub(crate) const fn unanswered(waited_ms: u64) -> SettlementSeen {
    SettlementSeen {
        state: SettlementState::Unknown,
        transaction: None,
        block_number: None,
        block_hash: None,
        amount: None,
        waited_ms,
    }
}

use seamline_core::{Amount, B256, Charged};
use serde::{Deserialize, Serialize};

use super::book::Token;
use super::channels::{VoucherRecord, VoucherState};
use super::payment::{PaymentRecord, PaymentState};

/// What the journal knows of one call. Holds no prompt and no completion.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallRecord {
    /// Gap-free sequence number.
    pub seq: u64,
    /// The call's id, 32 hexadecimal digits.
    pub call_id: String,
    /// Wall time of the open entry, Unix milliseconds.
    pub opened_ms: u64,
    /// Model asked for.
    pub model: String,
    /// Whether the call is still open, and how it ended.
    pub state: CallState,
    /// The last step that was begun.
    pub step: String,
    /// The payment leg, from the moment it was signed.
    pub payment: Option<PaymentRecord>,
    /// Hash of the sealed receipt.
    pub receipt: Option<B256>,
    /// What was bought, where it was no call of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchase: Option<PurchaseRecord>,
    /// What was promised in a payment channel instead of an authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<VoucherRecord>,
    /// Keccak-256 of the signature of the answer: the same one is never an answer to another call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<B256>,
    /// The record of its own that was asked for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_record: Option<NamedRecord>,
}

/// A record of an answer that is to be looked for on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedRecord {
    /// The transaction, where the node names one.
    pub transaction: Option<B256>,
    /// The block from which on it can be.
    pub from_block: u64,
    /// Whether the chain was read, so that the receipt has its word.
    pub known: bool,
}

impl NamedRecord {
    /// One that nobody has looked for yet.
    pub(crate) const fn new(transaction: Option<B256>, from_block: u64) -> Self {
        Self {
            transaction,
            from_block,
            known: false,
        }
    }
}

/// What a call costs at most, and where.
pub(super) struct Bill {
    pub(super) token: Token,
    pub(super) node: B256,
    pub(super) amount: Amount,
}

/// What was bought from a plain server. Holds no URL, no header and no body. `Debug` leaves the payment
/// out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PurchaseRecord {
    /// Names the request: the same one is the same purchase (`spec/binding.md`, "Purchases").
    pub key: B256,
    /// Scheme, host and port.
    pub origin: String,
    /// The payment as it is sent, where the server speaks version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v1_payload: Option<String>,
}

/// Whether a call is open, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Opened and not closed: it runs now, or its process died.
    Open,
    /// Its process died; what became of its money was settled afterwards from the chain.
    Interrupted,
    /// An answer was delivered and proven.
    Answered,
    /// It ended with an error.
    Failed,
}

impl CallRecord {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and integers always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What this call cost, or may still cost: reserved until the chain proves otherwise.
    pub fn committed(&self) -> Amount {
        let Some(payment) = &self.payment else {
            let voucher = self.voucher.as_ref();
            return voucher.map_or(Amount::ZERO, VoucherRecord::committed);
        };
        match payment.state {
            PaymentState::Settled => payment.settled.unwrap_or(payment.amount),
            PaymentState::NotSettled => Amount::ZERO,
            PaymentState::Authorized | PaymentState::Unknown => payment
                .rebuild()
                .map_or(payment.amount, |(payment, _)| payment.reserved()),
        }
    }

    /// What the call costs at most; `None` where nothing was signed.
    pub(super) fn bill(&self) -> Option<Bill> {
        match (&self.payment, &self.voucher) {
            (Some(payment), _) => Some(Bill {
                token: payment.token(),
                node: payment.node,
                amount: payment.reserved_amount(),
            }),
            (None, Some(voucher)) => Some(Bill {
                token: voucher.token(),
                node: voucher.node,
                amount: voucher.amount,
            }),
            (None, None) => None,
        }
    }

    /// The key of a purchase that was paid, or may have been, and that brought no answer.
    pub(crate) fn undelivered(&self) -> Option<B256> {
        let paid = self.charged() != Charged::No;
        let missing = self.state != CallState::Answered;
        let purchase = self.purchase.as_ref()?;
        (paid && missing).then_some(purchase.key)
    }

    /// Whether money moved, as far as the books know.
    pub fn charged(&self) -> Charged {
        if let (None, Some(voucher)) = (&self.payment, &self.voucher) {
            return match (voucher.state, voucher.charged) {
                (VoucherState::Void, _) => Charged::No,
                (VoucherState::Charged, Some(amount)) if amount.is_zero() => Charged::No,
                (VoucherState::Charged, _) => Charged::Yes,
                (VoucherState::Open, _) => Charged::Unknown,
            };
        }
        match self.payment.as_ref().map(|payment| payment.state) {
            None | Some(PaymentState::NotSettled) => Charged::No,
            Some(PaymentState::Settled) => Charged::Yes,
            Some(PaymentState::Authorized | PaymentState::Unknown) => Charged::Unknown,
        }
    }
}

impl core::fmt::Debug for PurchaseRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PurchaseRecord")
            .field("key", &self.key)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

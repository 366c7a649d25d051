//! What was paid, for people and for bookkeeping.

use seamline_core::{Address, Amount, B256, NodeId};

use seamline_evm::scheme::Scheme;

use super::{CallRecord, Journal, JournalError, PaymentState, VoucherState};

/// One payment: an authorization and what became of it. Holds no prompt, no URL beyond its origin, and
/// no authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paid {
    /// Number of the call.
    pub seq: u64,
    /// When the call was opened, Unix milliseconds.
    pub opened_ms: u64,
    /// The model that was asked, or the origin of a purchase.
    pub model: String,
    /// The node that was paid; `None` for a purchase from a plain server.
    pub node: Option<NodeId>,
    /// The origin of a purchase, such as `https://api.example`.
    pub origin: Option<String>,
    /// Who is paid.
    pub pay_to: Address,
    /// Scheme of the payment: `upto`, `exact`.
    pub scheme: String,
    /// CAIP-2 id of the chain.
    pub network: String,
    /// The ERC-20.
    pub asset: Address,
    /// Most that could be settled, base units.
    pub authorized: Amount,
    /// What was settled, where it was.
    pub settled: Option<Amount>,
    /// What is known.
    pub state: PaymentState,
    /// Last second at which it could be settled, Unix seconds; the largest number in a channel, whose
    /// vouchers have no end.
    pub deadline_s: u64,
    /// The nonce that the chain spends once; in a channel the channel's id.
    pub auth_nonce: B256,
    /// The settlement's transaction.
    pub transaction: Option<B256>,
    /// The settlement's block.
    pub block: Option<u64>,
}

impl Paid {
    fn of(call: CallRecord) -> Option<Self> {
        let origin = call.purchase.map(|purchase| purchase.origin);
        let Some(payment) = call.payment else {
            let voucher = call.voucher?;
            return Some(Self {
                seq: call.seq,
                opened_ms: call.opened_ms,
                model: call.model,
                node: origin.is_none().then(|| NodeId::new(voucher.node)),
                origin,
                pay_to: voucher.pay_to,
                authorized: voucher.amount,
                settled: voucher.charged,
                state: match voucher.state {
                    VoucherState::Open => PaymentState::Unknown,
                    VoucherState::Charged => PaymentState::Settled,
                    VoucherState::Void => PaymentState::NotSettled,
                },
                deadline_s: u64::MAX,
                auth_nonce: voucher.channel,
                transaction: None,
                block: None,
                scheme: Scheme::BatchSettlement.as_str().to_owned(),
                network: voucher.network,
                asset: voucher.asset,
            });
        };
        Some(Self {
            seq: call.seq,
            opened_ms: call.opened_ms,
            model: call.model,
            node: origin.is_none().then(|| NodeId::new(payment.node)),
            origin,
            pay_to: payment.pay_to,
            authorized: payment.reserved_amount(),
            settled: payment.settled,
            state: payment.state,
            deadline_s: payment.last_deadline_s(),
            auth_nonce: payment.auth_nonce,
            transaction: payment.transaction,
            block: payment.block,
            scheme: payment.scheme,
            network: payment.network,
            asset: payment.asset,
        })
    }
}

impl Journal {
    /// Every payment, newest first. Calls that signed nothing are left out.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be read.
    pub fn history(&self) -> Result<Vec<Paid>, JournalError> {
        let calls = self.calls()?;
        Ok(calls.into_iter().filter_map(Paid::of).collect())
    }
}

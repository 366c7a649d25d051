use seamline_core::{Address, Amount};
use seamline_evm::x402::{Reason, SettleResponse};

use super::Facilitator;
use super::record::Subject;

impl Facilitator {
    pub(super) fn settled(
        &self,
        transaction: String,
        payer: Address,
        amount: Amount,
    ) -> SettleResponse {
        SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(payer.to_string()),
            transaction,
            network: self.0.network.clone(),
            amount: Some(amount.to_string()),
            extensions: None,
            extra: None,
        }
    }

    pub(super) fn refused(
        &self,
        reason: Reason,
        payer: Option<Address>,
        amount: Amount,
    ) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(reason),
            payer: payer.map(|payer| payer.to_string()),
            ..self.settled(String::new(), Address::ZERO, amount)
        }
    }

    pub(super) fn conflict(&self, subject: &Subject) -> SettleResponse {
        let (payer, amount) = (subject.permit.from, subject.amount);
        self.refused(Reason::Permit2InvalidNonce, Some(payer), amount)
    }

    pub(super) fn pending(
        &self,
        transaction: String,
        payer: Address,
        amount: Amount,
    ) -> SettleResponse {
        let reason = Reason::SettlementPending;
        let mut response = self.refused(reason, Some(payer), amount);
        response.transaction = transaction;
        response
    }
}

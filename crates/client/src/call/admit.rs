//! 7. admit and 8. authorize: the spend policy over all offers, then one signature, on disk
//!    before it is on the wire.

use core::time::Duration;

use seamline_core::receipt::{self as event, EvidenceType};
use seamline_core::{Amount, U256};
use seamline_evm::chain;
use seamline_evm::payment::{Event, Misuse};
use seamline_evm::policy::Admitted;
use seamline_evm::registry::NodeRecord;
use seamline_evm::upto::{self, Authorization, Marks};
use seamline_evm::x402::PaymentRequired;

use super::open::LEG;
use super::pay::Next;
use super::{Call, word};
use crate::error::ErrorKind;
use crate::journal::{PaymentRecord, PaymentState};
use crate::step::Step;

impl Call<'_> {
    pub(super) async fn admit(
        &mut self,
        record: &NodeRecord,
        required: &PaymentRequired,
        offer_event: u32,
    ) -> Result<Admitted, ErrorKind> {
        self.begin(Step::Admit, &format!("node {}", record.node.short()));
        let node = record.node;
        let spent = self.client.journal.spent(self.now(), &node);
        let spent = spent.map_err(ErrorKind::Journal)?;
        let admitted = self
            .budget
            .admit(required, record.pay_to, &spent)
            .map_err(|source| ErrorKind::Refused { node, source })?;
        self.check_funds(admitted.amount()).await?;
        let terms = admitted.offer().terms();
        let (network, scheme) = (word(&terms.network), word(&terms.scheme));
        let max_timeout_s = terms.max_timeout_seconds;
        self.event(event::Admitted {
            offer_event,
            amount: admitted.amount(),
            asset: admitted.asset(),
            network,
            pay_to: admitted.pay_to(),
            scheme,
            max_timeout_s,
        });
        self.done();
        Ok(admitted)
    }

    /// Looks whether the payer could be charged at all: an authorization that nobody can settle would
    /// leave the call unknown until its deadline.
    async fn check_funds(&self, amount: Amount) -> Result<(), ErrorKind> {
        let network = &self.client.config.network;
        let payer = self.client.config.signer.address();
        let account = chain::account(&*network.rpc, network.asset, payer)
            .await
            .map_err(ErrorKind::Chain)?;
        let needed = U256::from(amount.get());
        if account.tokens < needed {
            return Err(ErrorKind::Funds { needed: amount });
        }
        if account.permit2_allowance < needed {
            return Err(ErrorKind::Allowance { needed: amount });
        }
        Ok(())
    }

    /// Signs the one authorization of this call and stores it, with its reservation, before it can
    /// be sent.
    pub(super) async fn authorize(
        &mut self,
        record: &NodeRecord,
        admitted: &Admitted,
    ) -> Result<Authorization, ErrorKind> {
        let amount = admitted
            .amount()
            .to_decimal(self.client.config.network.decimals);
        let symbol = &self.client.config.network.symbol;
        self.begin(Step::Authorize, &format!("at most {amount} {symbol}"));
        let now = self.now();
        let auth_nonce = *self.payment.auth_nonce();
        let signer = &self.client.config.signer;
        let authorization = upto::sign(admitted, auth_nonce, Marks::default(), signer, now)
            .map_err(ErrorKind::Sign)?;
        self.record.payment = Some(PaymentRecord {
            auth_nonce,
            digest: authorization.digest,
            payer: authorization.payer,
            asset: authorization.asset,
            network: admitted.offer().terms().network.clone(),
            pay_to: authorization.pay_to,
            node: *record.node.as_b256(),
            amount: authorization.amount,
            deadline_s: authorization.deadline_s,
            from_block: self.from_block,
            payload: authorization.payload.raw().to_owned(),
            state: PaymentState::Authorized,
            settled: None,
            transaction: None,
            block: None,
            block_hash: None,
        });
        let signed = Event::Signed((&authorization).into());
        match self.pay(signed, Duration::ZERO).await? {
            Next::Present => {}
            Next::Report => return Err(ErrorKind::Payment(Misuse::OutOfOrder)),
        }
        self.record_authorization(&authorization);
        self.done();
        Ok(authorization)
    }

    fn record_authorization(&mut self, authorization: &Authorization) {
        let raw = authorization.payload.raw().as_bytes().to_vec();
        let blob = self.attach(EvidenceType::Authorization, raw);
        self.event(event::Authorized {
            auth_nonce: authorization.auth_nonce,
            leg: LEG,
            payer: authorization.payer,
            amount: authorization.amount,
            deadline_s: authorization.deadline_s,
            digest: authorization.digest,
            authorization: blob,
        });
    }
}

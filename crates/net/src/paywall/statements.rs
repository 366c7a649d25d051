//! Signed offers and receipts (extension `offer-receipt`).

use core::time::Duration;
use std::sync::Arc;

use seamline_evm::signer::Signer;
use seamline_evm::x402::extensions::offer_receipt::{
    self, OfferStatement, ReceiptStatement, Signed,
};
use seamline_evm::x402::{Offer, SettleResponse};
use serde_json::{Map, Value};

use super::Inner;
use super::settle::Settled;

impl Inner {
    /// The declaration with every offer signed, valid for as long as an authorization may live;
    /// `None` without a signer, or where it does not sign.
    pub(super) async fn signed_offers(&self, offers: &[Offer], url: &str) -> Option<Value> {
        let now = (self.config.clock)();
        let statements: Vec<_> = offers
            .iter()
            .map(|offer| {
                let lifetime = Duration::from_secs(offer.terms().max_timeout_seconds);
                let until = now.saturating_add(lifetime).as_secs();
                OfferStatement::of(offer, url, Some(until))
            })
            .collect();
        self.sign(move |signer| {
            let signed = statements
                .into_iter()
                .map(|statement| Signed::<OfferStatement>::offer(statement, signer))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(offer_receipt::declaration(&signed))
        })
        .await
    }

    /// Adds a signed receipt to a settlement that moved money.
    pub(super) async fn with_receipt(&self, settled: Settled, url: &str) -> Settled {
        let Settled::Paid(mut response) = settled else {
            return settled;
        };
        if response
            .settled_amount()
            .is_some_and(|amount| amount.is_zero())
        {
            return Settled::Paid(response);
        }
        let statement = self.receipt_of(&response, url);
        let signed = self.sign(move |signer| {
            let signed = Signed::<ReceiptStatement>::receipt(statement, signer)?;
            Ok(offer_receipt::receipt_extension(&signed))
        });
        if let Some(receipt) = signed.await {
            let mut extensions = match response.extensions.take() {
                Some(Value::Object(extensions)) => extensions,
                Some(_) | None => Map::new(),
            };
            extensions.insert(offer_receipt::KEY.to_owned(), receipt);
            response.extensions = Some(Value::Object(extensions));
        }
        Settled::Paid(response)
    }

    fn receipt_of(&self, response: &SettleResponse, url: &str) -> ReceiptStatement {
        let transaction = Some(response.transaction.clone());
        ReceiptStatement {
            network: response.network.clone(),
            resource_url: url.to_owned(),
            payer: response.payer.clone().unwrap_or_default(),
            issued_at_s: (self.config.clock)().as_secs(),
            transaction: transaction.filter(|hash| !hash.is_empty()),
        }
    }

    /// Signs on a thread of its own: a signer may be a command or a service. A signer that fails
    /// costs the statement, not the sale.
    async fn sign<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Signer) -> Result<T, seamline_evm::Error> + Send + 'static,
    ) -> Option<T> {
        let signer = Arc::clone(self.config.signer.as_ref()?);
        match tokio::task::spawn_blocking(move || work(signer.as_ref())).await {
            Ok(Ok(signed)) => Some(signed),
            Ok(Err(error)) => {
                let error = seamline_core::chain(&error);
                tracing::error!(error, "a statement was not signed");
                None
            }
            Err(_) => None,
        }
    }
}

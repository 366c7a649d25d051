//! What data settlement asks about payments.

use seamline_core::B256;
use seamline_evm::scheme::Authorization;
use seamline_evm::x402::FacilitatorRequest;

use super::settlement::{End, Settlement, Stage};
use super::{Facilitator, StoreError};
use crate::data::{Paid, Payments, SeamFuture};

impl Payments for Facilitator {
    fn find(&self, payment: B256) -> SeamFuture<'_, Result<Paid, StoreError>> {
        Box::pin(async move {
            let known = self.0.core.store.read(vec![payment]).await?;
            Ok(known
                .into_iter()
                .flatten()
                .next()
                .map_or(Paid::Unknown, |it| paid(&it)))
        })
    }
}

fn paid(settlement: &Settlement) -> Paid {
    let end = match &settlement.stage {
        Stage::Broadcasting | Stage::Pending => return Paid::Open,
        Stage::Done { end, .. } => *end,
    };
    match end {
        End::Settled | End::Replaced => {
            let request = FacilitatorRequest::parse(settlement.request.as_bytes());
            let promise = request
                .ok()
                .map(|it| Authorization::of(&it.payment_payload));
            match promise {
                Some(Ok(promise)) => Paid::Settled {
                    payer: promise.payer(),
                    pay_to: promise.pay_to(),
                },
                // A transaction that serves no payment.
                Some(Err(_)) | None => Paid::Failed,
            }
        }
        End::Reverted | End::Expired => Paid::Failed,
    }
}

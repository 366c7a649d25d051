//! The facilitator's lane as a sender.

use seamline_core::{Address, B256};
use seamline_evm::settlement::Standing;

use super::seams::{Call, SeamFuture, SendError, Sender};
use crate::facilitator::{Job, Lane, Outcome, Sent};

impl Sender for Lane {
    fn address(&self) -> Address {
        Self::address(self)
    }

    fn begin(&self, call: Call) -> SeamFuture<'_, Result<Standing, SendError>> {
        Box::pin(async move {
            let Call {
                id,
                to,
                input,
                gas_limit,
                payer,
            } = call;
            let job = Job {
                id,
                to,
                input,
                gas_limit,
                payer,
                runs_payers_code: false,
                memo: String::new(),
            };
            let sent = Self::begin(self, job).await;
            sent.map(standing)
                .map_err(|error| SendError(Box::new(error)))
        })
    }

    fn standing(&self, id: B256) -> SeamFuture<'_, Result<Option<Standing>, SendError>> {
        Box::pin(async move {
            let sent = self.find(id).await;
            sent.map(|sent| sent.map(standing))
                .map_err(|error| SendError(Box::new(error)))
        })
    }
}

fn standing(mut sent: Sent) -> Standing {
    match sent.ended() {
        None => sent
            .transaction()
            .map_or(Standing::Dropped, |transaction| Standing::Pending {
                transaction,
            }),
        Some(Outcome::Done {
            transaction,
            block_number,
            block_hash,
        }) => Standing::Mined {
            transaction,
            block_number,
            block_hash,
            succeeded: true,
            is_final: false,
        },
        Some(Outcome::Reverted { transaction }) => Standing::Mined {
            transaction,
            block_number: 0,
            block_hash: B256::ZERO,
            succeeded: false,
            is_final: true,
        },
        Some(Outcome::Displaced) => Standing::Dropped,
    }
}

use std::sync::Arc;

use seamline_core::{Amount, B256};
use seamline_evm::channel::seller::Decline;
use seamline_evm::x402::{Reason, SettleResponse};

use super::Inner;
use crate::paywall::{Held, LocalFuture, Verdict};

/// A request that holds a channel. Dropping it releases the channel uncharged.
pub(super) struct Hold {
    pub(super) inner: Arc<Inner>,
    pub(super) channel_id: B256,
    pub(super) id: u64,
    /// The deposit that came with the request.
    pub(super) deposit: Option<(B256, Amount)>,
    /// Whether something may be stored that is not charged yet.
    noted: bool,
    pub(super) ended: bool,
}

impl Hold {
    pub(super) const fn new(inner: Arc<Inner>, channel_id: B256, id: u64) -> Self {
        Self {
            inner,
            channel_id,
            id,
            deposit: None,
            noted: false,
            ended: false,
        }
    }

    /// Stores the books with the charge, then makes it: nothing that is not on disk is told.
    async fn charge(&mut self, actual: Amount) -> Result<SettleResponse, Reason> {
        let now = self.inner.now();
        let missing = || Reason::InvalidBatchSettlementEvmMissingChannel;
        let charged = {
            let books = self.inner.lock();
            let channel = books.channels.get(&self.channel_id).ok_or_else(missing)?;
            channel.with_charge(self.id, actual, now)?
        };
        // Cut off from here on, the stored books would say more than was charged.
        self.noted = true;
        // Nobody else writes these books meanwhile: the channel is held. Where it fails, they may be on
        // disk all the same.
        self.noted = true;
        let stored = self.inner.store.save(&charged).await;
        if let Err(error) = stored {
            let error = seamline_core::chain(&error);
            tracing::error!(error, "a charge could not be stored");
            return Err(Reason::UnexpectedSettleError);
        }
        let mut books = self.inner.lock();
        let channel = books
            .channels
            .get_mut(&self.channel_id)
            .ok_or_else(missing)?;
        let made = channel.commit(self.id, actual, now)?;
        self.ended = true;
        Ok(channel.response(&self.inner.config.network, made.amount, self.deposit))
    }
}

impl Held for Hold {
    fn note(&mut self, so_far: Amount) -> LocalFuture<'_, bool> {
        let now = self.inner.now();
        let noted = {
            let books = self.inner.lock();
            let channel = books.channels.get(&self.channel_id);
            channel.and_then(|channel| channel.with_charge(self.id, so_far, now).ok())
        };
        self.noted = true;
        Box::pin(async move {
            let Some(noted) = noted else { return true };
            if let Err(error) = self.inner.store.save(&noted).await {
                let error = seamline_core::chain(&error);
                tracing::warn!(error, "what was delivered could not be noted");
            }
            // Nobody else writes these books: the channel is held.
            true
        })
    }

    fn commit(mut self: Box<Self>, actual: Amount) -> LocalFuture<'static, SettleResponse> {
        Box::pin(async move {
            match self.charge(actual).await {
                Ok(response) => response,
                Err(reason) => {
                    SettleResponse::failed(&self.inner.config.network, None, reason, None)
                }
            }
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut books = self.inner.lock();
        if self.noted {
            // The file says more than was charged; the background task writes the truth.
            books.dirty.insert(self.channel_id);
        }
        if let Some(channel) = books.channels.get_mut(&self.channel_id) {
            channel.cancel(self.id);
            if channel.synced_at().is_none() && channel.claim().is_none() {
                // Nothing was ever learned of it: anybody can name such a channel.
                books.channels.remove(&self.channel_id);
            }
        }
    }
}

pub(super) fn declined(decline: &Decline) -> Verdict {
    let extra = match decline {
        Decline::Corrective(state) => state.write(),
        Decline::Refused(_) => serde_json::Map::new(),
    };
    Verdict::Declined {
        reason: decline.reason(),
        extra,
    }
}

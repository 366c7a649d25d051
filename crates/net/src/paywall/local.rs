//! The seam for schemes that the paywall judges and settles itself: payment channels.

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use seamline_core::{Address, Amount, B256, Timestamp};
use seamline_evm::x402::{Offer, OfferTerms, PaymentPayload, Reason, SettleResponse};
use serde_json::{Map, Value};

use crate::problem::Problem;

/// What a [`LocalScheme`] returns, later.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A scheme whose payments the paywall verifies and settles without a facilitator on the way of
/// each request.
///
/// For one request the paywall calls [`promise`](Self::promise), then [`reserve`](Self::reserve),
/// then runs the handler, then [`Held::commit`] with what was metered; or it drops the [`Held`],
/// which releases what it holds uncharged. A payer's echo must hold all of the `extra` that
/// [`complete`](Self::complete) made; it may hold more, such as members of a correction.
pub trait LocalScheme: Send + Sync {
    /// The scheme's name on the wire, such as `batch-settlement`.
    fn scheme(&self) -> &str;

    /// Adds to the terms of an offer what a payer must know, such as `extra.receiverAuthorizer`.
    /// Terms of the same request must come out the same.
    ///
    /// # Errors
    ///
    /// A [`Problem`] where it is not known; the payer gets it instead of the 402.
    fn complete<'a>(&'a self, terms: &'a mut OfferTerms) -> LocalFuture<'a, Result<(), Problem>>;

    /// Reads what a payment promises; nothing is checked but its form.
    ///
    /// # Errors
    ///
    /// The reason of the 402.
    fn promise(
        &self,
        payload: &PaymentPayload,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<LocalPromise, Reason>;

    /// Verifies a payment and reserves what it promises, before the handler runs.
    ///
    /// # Cancellation
    ///
    /// The future may be dropped at any await; nothing stays reserved then.
    fn reserve<'a>(
        &'a self,
        payload: &'a PaymentPayload,
        offer: &'a Offer,
        now: Timestamp,
    ) -> LocalFuture<'a, Verdict>;
}

/// What a payment of a [`LocalScheme`] promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPromise {
    /// What can be charged once, such as a hash over the channel and the voucher's cumulative
    /// amount. A second presentation with the same key and the same request gets the stored
    /// answer; with another request it comes to [`LocalScheme::reserve`] again.
    pub key: B256,
    /// Who pays.
    pub payer: Address,
    /// The most that this request can be charged: at most the offer's amount.
    pub max: Amount,
    /// A number that is used once, for [`PaymentContext`](crate::PaymentContext).
    pub auth_nonce: B256,
    /// Until when the promise can be charged; bounds how long the handler may work.
    pub expires: Timestamp,
}

/// What became of [`LocalScheme::reserve`].
#[non_exhaustive]
pub enum Verdict {
    /// Valid; the handler may run.
    Held(Box<dyn Held>),
    /// Valid and done with: there is nothing to serve, such as for a refund. Answered with status
    /// 200, an empty object, and this settlement.
    Done(SettleResponse),
    /// Refused with a 402 that names `reason`; `extra` is merged into the `extra` of this scheme's
    /// offers there (a corrective 402).
    Declined {
        /// Why.
        reason: Reason,
        /// What the payer must know to do better.
        extra: Map<String, Value>,
    },
    /// It could not be found out.
    Failed(Problem),
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(_) => f.write_str("Held"),
            Self::Done(_) => f.write_str("Done"),
            Self::Declined { reason, .. } => write!(f, "Declined({reason})"),
            Self::Failed(problem) => write!(f, "Failed({})", problem.code),
        }
    }
}

/// A reserved payment. Dropping it releases it uncharged.
pub trait Held: Send + Sync {
    /// Writes down durably what was delivered so far, while a stream runs. Called before the first
    /// piece leaves and about once a second; after a crash this much is charged.
    ///
    /// `false` says that this process may not charge it any more, because another one does: the stream
    /// ends there.
    fn note(&mut self, _so_far: Amount) -> LocalFuture<'_, bool> {
        Box::pin(core::future::ready(true))
    }

    /// Says that the work goes on, every few seconds while nothing more is delivered; answers as
    /// [`note`](Self::note) does.
    fn renew(&mut self) -> LocalFuture<'_, bool> {
        Box::pin(core::future::ready(true))
    }

    /// Charges `actual`, at most the promise's `max`, durably before it returns. Zero is charged
    /// by dropping instead.
    ///
    /// `success: false` withholds a buffered answer; with the reason `settlement_pending` the payer
    /// is told to present the same payment again.
    fn commit(self: Box<Self>, actual: Amount) -> LocalFuture<'static, SettleResponse>;
}

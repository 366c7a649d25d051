//! Payment channels at a facilitator: deposits, claims, payouts and refunds of the scheme
//! `batch-settlement`, beside the facilitator of the other schemes.
//!
//! The rules are [`seamline_evm::channel::facilitator`]. A deposit's nonce, a claim's total, a payout's
//! remainder and a refund's counter make the contract do each of them once, whoever asks how often.
//! Transactions go through the facilitator's lane: its account, its store, its fee bumps, its budgets,
//! its recovery at start. What the chain does once is answered from the store for a day.

mod desk;
mod flights;
mod http;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::Address;
use seamline_evm::x402::{
    FacilitatorRequest, SettleResponse, Supported, SupportedKind, VERSION, VerifyResponse,
};
use seamline_evm::{Signer, channel};
use seamline_net::{FacilitatorApi, FacilitatorError, FacilitatorFuture, Tasks};
use serde_json::json;

use self::desk::Desk;
pub use self::http::router;
use crate::facilitator::{Error, Lane, Sellers};

/// What channels need of a facilitator, besides its lane.
pub struct ChannelDeskConfig {
    /// Tokens that channels may hold.
    pub assets: Vec<Address>,
    /// How long `/settle` waits for the transaction before it answers `settlement_pending`.
    pub settle_wait: Duration,
    /// Signs claims for sellers who made it their receiver authorizer; may be the account that sends.
    /// Where [`Sellers`] are not listed it signs, and pays gas, for whoever reaches it: the gas of claims
    /// counts for the seller, so that a payer could use up the seller's hour.
    /// Refunds are never signed for
    /// others: whoever reaches `/settle` could take back what a seller has not claimed yet.
    pub authorizer: Option<Arc<dyn Signer>>,
}

/// A facilitator with payment channels. Clones share everything.
#[derive(Clone)]
pub struct WithChannels {
    others: Arc<dyn FacilitatorApi>,
    desk: Arc<Desk>,
}

impl WithChannels {
    /// Puts channels beside `others`, which keeps every other scheme; `lane` sends.
    pub fn new(others: Arc<dyn FacilitatorApi>, lane: Lane, config: ChannelDeskConfig) -> Self {
        Self {
            others,
            desk: Arc::new(Desk::new(lane, config)),
        }
    }

    /// The account that sends.
    pub fn address(&self) -> Address {
        self.desk.address()
    }

    /// Who is served over HTTP.
    pub(crate) fn sellers(&self) -> &Sellers {
        self.desk.sellers()
    }

    /// Transactions that are waited for: drain them after the listener has stopped.
    pub fn tasks(&self) -> &Tasks {
        self.desk.tasks()
    }
}

impl FacilitatorApi for WithChannels {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        if is_channel(request) {
            Box::pin(async move { self.desk.verify(request).await.map_err(unreachable) })
        } else {
            self.others.verify(request)
        }
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        if is_channel(request) {
            Box::pin(async move {
                let settled = Desk::settle(&self.desk, request).await;
                settled.map_err(unreachable)
            })
        } else {
            self.others.settle(request)
        }
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        Box::pin(async move {
            let mut supported = self.others.supported().await?;
            let authorizer = self.desk.authorizer();
            supported.kinds.push(SupportedKind {
                x402_version: VERSION,
                scheme: channel::SCHEME.to_owned(),
                network: self.desk.network().to_owned(),
                extra: authorizer.map(|it| json!({ "receiverAuthorizer": it.to_string() })),
            });
            let signers = supported.signers.entry("eip155:*".to_owned());
            let (signers, address) = (signers.or_default(), self.address().to_string());
            if !signers.contains(&address) {
                signers.push(address);
            }
            Ok(supported)
        })
    }
}

impl core::fmt::Debug for WithChannels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WithChannels")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for ChannelDeskConfig {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ChannelDeskConfig")
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

fn unreachable(error: Error) -> FacilitatorError {
    FacilitatorError::Unreachable(error.into())
}

fn is_channel(request: &FacilitatorRequest) -> bool {
    request.payment_requirements.terms().scheme == channel::SCHEME
}

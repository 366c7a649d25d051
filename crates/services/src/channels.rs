//! Payment channels at a facilitator: deposits, claims, payouts and refunds of the scheme
//! `batch-settlement`, beside the facilitator of the other schemes.
//!
//! The rules are [`seamline_evm::channel::facilitator`]. Unlike one-shot settlements these need no
//! memory to be safe: a deposit's nonce, a claim's total, a payout's remainder and a refund's
//! counter make the contract do each of them once, whoever asks how often. What is remembered
//! while the process runs saves gas and answers repetitions.
//!
//! # Limits
//!
//! The desk sends from an account of its own, one transaction after the other, and keeps nothing on
//! disk. It sends a transaction's bytes again until they are mined, but never with a higher fee: where
//! the base fee outgrows it, it waits until that falls, and later ones behind it. After a restart an answer is lost, not money: asked again, the chain says what is done,
//! and a transaction that was dropped meanwhile is sent anew. It counts no gas budgets and takes the
//! first transaction receipt for final. One process sends from the account at a time.

mod desk;
mod flights;
mod http;

use core::time::Duration;
use std::sync::Arc;

use seamline_core::Address;
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::{
    FacilitatorRequest, SettleResponse, Supported, SupportedKind, VERSION, VerifyResponse,
};
use seamline_evm::{Rpc, Signer, Wallet, channel};
use seamline_net::{Clock, FacilitatorApi, FacilitatorFuture, Tasks};
use serde_json::json;

use self::desk::Desk;
pub use self::http::router;

/// What channels need of a facilitator.
pub struct ChannelDeskConfig {
    /// The account that sends: of its own, because it keeps its own count of nonces.
    pub wallet: Arc<Wallet>,
    /// The chain.
    pub rpc: Arc<dyn Rpc>,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// Tokens that channels may hold.
    pub assets: Vec<Address>,
    /// The wall clock.
    pub clock: Clock,
    /// The most that it pays for gas.
    pub fee_ceiling: FeeCeiling,
    /// How long `/settle` waits for the transaction before it answers `settlement_pending`.
    pub settle_wait: Duration,
    /// Pause between two looks for a transaction receipt.
    pub poll: Duration,
    /// Signs claims for sellers who made it their receiver authorizer; may be the account that sends.
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
    /// Puts channels beside `others`, which keeps every other scheme.
    pub fn new(others: Arc<dyn FacilitatorApi>, config: ChannelDeskConfig) -> Self {
        Self {
            others,
            desk: Arc::new(Desk::new(config)),
        }
    }

    /// The account that sends.
    pub fn address(&self) -> Address {
        self.desk.address()
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
            Box::pin(async move { Ok(self.desk.verify(request).await) })
        } else {
            self.others.verify(request)
        }
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        if is_channel(request) {
            Box::pin(async move { Ok(Desk::settle(&self.desk, request).await) })
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
            signers.or_default().push(self.address().to_string());
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
            .field("chain_id", &self.chain_id)
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

fn is_channel(request: &FacilitatorRequest) -> bool {
    request.payment_requirements.terms().scheme == channel::SCHEME
}

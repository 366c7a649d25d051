//! The x402 facilitator: verifies payments and settles them, each at most once.
//!
//! The rules are [`seamline_evm::facilitator`]; this module performs them and remembers. A
//! settlement is written to the store with the signed bytes of its transaction before they are
//! sent, so that a crash at any point leaves either nothing or something that sending again
//! completes. The same request is answered from the store for ever; another request for the same
//! nonce is refused.
//!
//! | endpoint | answer |
//! |---|---|
//! | `POST /verify` | 200 with `isValid`, whatever the verdict |
//! | `POST /settle` | 200 with `success`, whatever the outcome |
//! | `GET /supported` | schemes, networks and the settling account |
//! | `GET /health` | state and number of open settlements |

mod flight;
mod http;
mod lane;
mod record;
mod respond;
mod settle;
mod store;
mod watch;

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use seamline_core::Address;
use seamline_evm::facilitator::{Rules, conclude_verify, plan_verify};
use seamline_evm::tx::FeeCeiling;
use seamline_evm::x402::{
    FacilitatorRequest, Reason, SettleResponse, Supported, SupportedKind, VERSION, VerifyResponse,
};
use seamline_evm::{Rpc, Wallet, upto};
use seamline_net::{Clock, FacilitatorApi, FacilitatorError, FacilitatorFuture, Tasks};
use serde_json::json;

use self::flight::Flights;
pub use self::http::router;
use self::lane::Lane;
use self::store::Store;
pub use self::store::StoreError;

/// What a facilitator needs. Everything but the waits is a decision without a default.
pub struct FacilitatorConfig {
    /// The account that settles; `witness.facilitator` of every authorization it settles.
    pub wallet: Wallet,
    /// The chain.
    pub rpc: Arc<dyn Rpc>,
    /// EIP-155 id of the chain; the endpoint must agree.
    pub chain_id: u64,
    /// Tokens that it settles: an unknown token could pretend to have moved.
    pub assets: Vec<Address>,
    /// Where settlements are remembered.
    pub store: StoreLocation,
    /// The wall clock.
    pub clock: Clock,
    /// The most that it pays for gas.
    pub fee_ceiling: FeeCeiling,
    /// How long `/settle` waits for the transaction before it answers `settlement_pending`.
    pub settle_wait: Duration,
    /// Pause between two looks for a transaction receipt.
    pub poll: Duration,
}

/// Where a facilitator remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// A file, made if it is absent, readable by its owner only: it holds authorizations.
    File(PathBuf),
    /// Nowhere: for tests, and for networks that end with the process.
    Memory,
}

/// Default of [`FacilitatorConfig::settle_wait`]: five blocks of a chain with blocks every 2 s.
pub const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Default of [`FacilitatorConfig::poll`]: the lower end of what keeps a local endpoint idle.
pub const POLL: Duration = Duration::from_millis(25);

/// Why a facilitator does not start, or cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint speaks for another chain.
    #[error("the endpoint speaks for chain {actual}, not for chain {configured}")]
    Chain {
        /// Chain id in the configuration.
        configured: u64,
        /// Chain id that the endpoint answered.
        actual: u64,
    },
    /// The chain could not be asked.
    #[error("the chain does not answer")]
    Rpc(#[source] seamline_evm::Error),
    /// The store failed: nothing is settled that cannot be remembered.
    #[error("the settlement store failed")]
    Store(#[source] StoreError),
}

/// A running facilitator. Clones share everything.
#[derive(Clone)]
pub struct Facilitator(Arc<Inner>);

struct Inner {
    rpc: Arc<dyn Rpc>,
    chain_id: u64,
    network: String,
    address: Address,
    assets: Vec<Address>,
    store: Store,
    lane: Lane,
    flights: Flights,
    clock: Clock,
    settle_wait: Duration,
    poll: Duration,
    tasks: Tasks,
}

impl Facilitator {
    /// Opens the store, checks the chain, and takes up every settlement that a crash left open:
    /// their transactions are sent again, byte for byte, before this returns.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; nothing was sent where it is [`Error::Chain`].
    pub async fn start(config: FacilitatorConfig) -> Result<Self, Error> {
        let FacilitatorConfig {
            wallet,
            rpc,
            chain_id,
            assets,
            store,
            clock,
            fee_ceiling,
            settle_wait,
            poll,
        } = config;
        let (actual, _) = seamline_evm::chain::head(rpc.as_ref())
            .await
            .map_err(Error::Rpc)?;
        if actual != chain_id {
            return Err(Error::Chain {
                configured: chain_id,
                actual,
            });
        }
        let store = Store::open(store).await.map_err(Error::Store)?;
        let facilitator = Self(Arc::new(Inner {
            chain_id,
            network: format!("eip155:{chain_id}"),
            address: wallet.address(),
            lane: Lane::new(wallet, Arc::clone(&rpc), chain_id, fee_ceiling),
            rpc,
            assets,
            store,
            flights: Flights::default(),
            clock,
            settle_wait,
            poll,
            tasks: Tasks::new(),
        }));
        facilitator.recover().await?;
        Ok(facilitator)
    }

    /// The account that settles.
    pub fn address(&self) -> Address {
        self.0.address
    }

    /// Settlements under way: drain them after the listener has stopped. What is cut is taken up
    /// by the next start.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Judges a payment; nothing is reserved and nothing is remembered.
    pub async fn verify_payment(&self, request: &FacilitatorRequest) -> VerifyResponse {
        let inner = &self.0;
        if let Err(reason) = self.own_business(request) {
            return VerifyResponse::invalid(reason, None);
        }
        let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
        let now = (inner.clock)();
        let plan = match plan_verify(payload, offer, &Rules::new(now, &[inner.address])) {
            Ok(plan) => plan,
            Err(invalid) => return VerifyResponse::invalid(invalid.reason, invalid.payer),
        };
        // A settlement under way spends the nonce although the chain does not show it yet.
        let known = inner.store.get(plan.payment_key()).await;
        if !matches!(known, Ok(None)) || inner.flights.contains(plan.payment_key()) {
            let reason = match known {
                Ok(_) => Reason::Permit2InvalidNonce,
                Err(_) => Reason::UnexpectedVerifyError,
            };
            return VerifyResponse::invalid(reason, Some(plan.payer()));
        }
        let answer = inner.rpc.batch(plan.calls()).await;
        conclude_verify(&plan, &answer)
    }

    /// Says what can be settled.
    pub fn supported_kinds(&self) -> Supported {
        let address = self.0.address.to_string();
        Supported {
            kinds: vec![SupportedKind {
                x402_version: VERSION,
                scheme: upto::SCHEME.to_owned(),
                network: self.0.network.clone(),
                extra: Some(json!({ "facilitatorAddress": address })),
            }],
            extensions: Vec::new(),
            signers: [("eip155:*".to_owned(), vec![address])].into(),
        }
    }

    /// Whether a payment is on our chain and in a token that we know.
    fn own_business(&self, request: &FacilitatorRequest) -> Result<(), Reason> {
        let terms = request.payment_requirements.terms();
        if terms.network != self.0.network {
            return Err(Reason::InvalidNetwork);
        }
        match terms.asset_address() {
            Some(asset) if self.0.assets.contains(&asset) => Ok(()),
            Some(_) | None => Err(Reason::InvalidPaymentRequirements),
        }
    }
}

impl FacilitatorApi for Facilitator {
    fn verify<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, VerifyResponse> {
        Box::pin(async move { Ok(self.verify_payment(request).await) })
    }

    fn settle<'a>(
        &'a self,
        request: &'a FacilitatorRequest,
    ) -> FacilitatorFuture<'a, SettleResponse> {
        Box::pin(async move {
            let settled = self.settle_payment(request).await;
            settled.map_err(|error| FacilitatorError::Unreachable(error.into()))
        })
    }

    fn supported(&self) -> FacilitatorFuture<'_, Supported> {
        Box::pin(async { Ok(self.supported_kinds()) })
    }
}

impl fmt::Debug for FacilitatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorConfig")
            .field("chain_id", &self.chain_id)
            .field("assets", &self.assets)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Facilitator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facilitator")
            .field("network", &self.0.network)
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

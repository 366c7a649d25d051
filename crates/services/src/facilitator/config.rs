use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use seamline_core::Address;
use seamline_evm::tx::FeeCeiling;
use seamline_evm::{Rpc, Signer};
use seamline_net::Clock;

use super::budget::GasBudget;
use super::sellers::Sellers;
use super::store::{LEASE, StoreLocation};

/// What a facilitator needs. What [`FacilitatorConfig::new`] takes is a decision without a default;
/// the rest has one that suits a public service.
pub struct FacilitatorConfig {
    /// The account that settles; `witness.facilitator` of every `upto` authorization it settles.
    /// Replicas may share it where they share the store. A [`seamline_evm::Wallet`] signs in this
    /// process; any other signer is asked on a thread of its own, one settlement after the other, and
    /// where it fails, nothing was sent and the request may be repeated.
    pub signer: Arc<dyn Signer>,
    /// How long a signer that is not in this process may take for one signature.
    pub sign_wait: Duration,
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
    /// The most that it pays for gas, also when it bids again.
    pub fee_ceiling: FeeCeiling,
    /// How long `/settle` waits for the transaction before it answers `settlement_pending`.
    pub settle_wait: Duration,
    /// Pause between two looks for transaction receipts: one batch for all of them.
    pub poll: Duration,
    /// Blocks that hold a transaction, its own included, before it counts as settled. At least 1. A fork
    /// of depth `d` undoes what has `d` confirmations or fewer: what it undoes is sent again, and is lost
    /// where the chain takes it no more before the authorization's deadline.
    pub confirmations: u64,
    /// Blocks, the own included, after which nothing is watched any more. Until then a settlement
    /// whose block leaves the chain is sent again.
    pub finality_depth: u64,
    /// A transaction that waits this long is replaced by one that pays at least an eighth more.
    pub bump_after: Duration,
    /// Transactions on their way at most. Nodes keep 64 of an account that follow a gap.
    pub max_in_flight: u64,
    /// How long a replica may be silent before another takes up its settlements.
    pub lease: Duration,
    /// What may be spent on gas, and for whom.
    pub gas: GasBudget,
    /// Contracts that may deploy payers' wallets on our gas (ERC-6492). Empty allows none.
    pub factories: Vec<Address>,
    /// Whether payers' gasless approvals of Permit2 (EIP-2612) are used, for their gas.
    pub sponsor_approvals: bool,
    /// Who is served over HTTP. Default: [`Sellers::danger_anybody`], for a facilitator that only its own
    /// servers reach; calls within the process are the seller's.
    pub sellers: Sellers,
}

/// Default of [`FacilitatorConfig::settle_wait`]: five blocks of a chain with blocks every 2 s.
pub const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Default of [`FacilitatorConfig::sign_wait`]: key services answer within a second; no person is
/// asked for each settlement.
pub const SIGN_WAIT: Duration = Duration::from_secs(10);
/// Default of [`FacilitatorConfig::poll`]: the lower end of what keeps a local endpoint idle.
pub const POLL: Duration = Duration::from_millis(25);
/// Default of [`FacilitatorConfig::finality_depth`]: what wallets call confirmed.
pub const FINALITY_DEPTH: u64 = seamline_evm::chain::FINALITY_DEPTH;
/// Default of [`FacilitatorConfig::bump_after`]: a block of Ethereum, and time to see it.
pub const BUMP_AFTER: Duration = Duration::from_secs(15);
/// Default of [`FacilitatorConfig::max_in_flight`]: go-ethereum's queue for one account.
pub const MAX_IN_FLIGHT: u64 = 64;

impl FacilitatorConfig {
    /// A configuration with the defaults of a service behind its sellers: list them
    /// ([`FacilitatorConfig::sellers`]) where payers can reach it.
    pub fn new(
        signer: Arc<dyn Signer>,
        rpc: Arc<dyn Rpc>,
        chain_id: u64,
        assets: Vec<Address>,
        store: StoreLocation,
        clock: Clock,
        fee_ceiling: FeeCeiling,
    ) -> Self {
        Self {
            signer,
            sign_wait: SIGN_WAIT,
            rpc,
            chain_id,
            assets,
            store,
            clock,
            fee_ceiling,
            settle_wait: SETTLE_WAIT,
            poll: POLL,
            confirmations: 1,
            finality_depth: FINALITY_DEPTH,
            bump_after: BUMP_AFTER,
            max_in_flight: MAX_IN_FLIGHT,
            lease: LEASE,
            gas: GasBudget::default(),
            factories: Vec::new(),
            sponsor_approvals: true,
            sellers: Sellers::danger_anybody(),
        }
    }
}

impl fmt::Debug for FacilitatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorConfig")
            .field("chain_id", &self.chain_id)
            .field("assets", &self.assets)
            .field("store", &self.store)
            .field("sellers", &self.sellers)
            .finish_non_exhaustive()
    }
}

//! Where a local network has its contracts, and which chain it says it is.

use alloy_primitives::{Address, address};
use seamline_core::Timestamp;

use crate::chain::{ArtifactError, CHAIN_ID, Genesis};
use crate::contracts::{self, REGISTRY, SETTLEMENT, TOKEN};

/// Chain id and addresses of a local network. Permit2, its proxies and the attestation verifier stand at
/// the same addresses in every layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The registry of nodes.
    pub registry: Address,
    /// The token that calls are paid with.
    pub token: Address,
    /// The contract that records settled inferences.
    pub settlement: Address,
}

impl Layout {
    /// A chain id and addresses that no other network has: what is signed here is worth nothing elsewhere.
    pub const SEAMLINE: Self = Self {
        chain_id: CHAIN_ID,
        registry: REGISTRY,
        token: TOKEN,
        settlement: SETTLEMENT,
    };

    /// What OpenGradient's Python SDK 1.1.4 expects: Base's chain id, its OPG token there, and the registry
    /// at the SDK's default address. One chain plays both of theirs, the one that is paid on and the one that
    /// holds the registry; the SDK asks either by URL and compares no chain id when it reads the registry.
    ///
    /// # Security
    ///
    /// An authorization that is signed for this layout is valid on the real chain, for the real token. So a
    /// network of this layout knows only accounts that it drew itself ([`Layout::is_real`]).
    pub const OPENGRADIENT: Self = Self {
        chain_id: 8_453,
        registry: address!("703cB174AEadB35D611858369B4b1111dC9Abda6"),
        token: address!("FbC2051AE2265686a469421b2C5A2D5462FbF5eB"),
        settlement: SETTLEMENT,
    };

    /// Whether a real network has this chain id, so that what is signed here would be valid there.
    pub const fn is_real(self) -> bool {
        self.chain_id != CHAIN_ID
    }

    pub(crate) fn genesis(
        self,
        time: Timestamp,
        operator: Address,
        funded: &[Address],
    ) -> Result<Genesis, ArtifactError> {
        contracts::laid_out(self, time, operator, funded)
    }
}

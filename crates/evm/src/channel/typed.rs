//! The EIP-712 digests of the scheme.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, SolValue as _};
use seamline_core::Amount;

use super::{BATCH_SETTLEMENT, ChannelConfig, Claim, ERC3009_COLLECTOR, PERMIT2_COLLECTOR};
use crate::typed::{TokenDomain, permit2_domain};

mod message {
    alloy_sol_types::sol! {
        struct ChannelConfig {
            address payer; address payerAuthorizer; address receiver; address receiverAuthorizer;
            address token; uint40 withdrawDelay; bytes32 salt;
        }
        struct Voucher { bytes32 channelId; uint128 maxClaimableAmount; }
        struct Refund { bytes32 channelId; uint256 nonce; uint128 amount; }
        struct ClaimEntry { bytes32 channelId; uint128 maxClaimableAmount; uint128 totalClaimed; }
        struct ClaimBatch { ClaimEntry[] claims; }
        struct ReceiveWithAuthorization {
            address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
        }
        struct TokenPermissions { address token; uint256 amount; }
        struct DepositWitness { bytes32 channelId; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; DepositWitness witness;
        }
    }
}

/// The domain of the contract that keeps the channels.
fn domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(Cow::Borrowed("x402 Batch Settlement")),
        Some(Cow::Borrowed("1")),
        Some(U256::from(chain_id)),
        Some(BATCH_SETTLEMENT),
        None,
    )
}

pub(super) fn channel_id(config: &ChannelConfig, chain_id: u64) -> B256 {
    // Written by hand, so that a delay beyond 40 bits has an id too: one that no contract knows.
    let type_hash = message::ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payer_authorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiver_authorizer,
        token: config.token,
        withdrawDelay: alloy_primitives::aliases::U40::ZERO,
        salt: config.salt,
    }
    .eip712_type_hash();
    let fields = (
        type_hash,
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
        U256::from(config.withdraw_delay_s),
        config.salt,
    );
    let struct_hash = keccak256(fields.abi_encode());
    keccak256(
        [
            &[0x19, 0x01],
            domain(chain_id).separator().as_slice(),
            struct_hash.as_slice(),
        ]
        .concat(),
    )
}

/// What the payer's side signs: this channel, up to `max_claimable` in total.
pub fn voucher_digest(channel_id: &B256, max_claimable: Amount, chain_id: u64) -> B256 {
    let message = message::Voucher {
        channelId: *channel_id,
        maxClaimableAmount: max_claimable.get(),
    };
    message.eip712_signing_hash(&domain(chain_id))
}

/// What the receiver's side signs to give back `amount` at the channel's refund counter `nonce`.
pub fn refund_digest(channel_id: &B256, nonce: U256, amount: Amount, chain_id: u64) -> B256 {
    let message = message::Refund {
        channelId: *channel_id,
        nonce,
        amount: amount.get(),
    };
    message.eip712_signing_hash(&domain(chain_id))
}

/// What the receiver's side signs to claim `claims`, in this order.
pub fn claim_batch_digest(claims: &[Claim], chain_id: u64) -> B256 {
    let entry = |claim: &Claim| message::ClaimEntry {
        channelId: claim.config.id(chain_id),
        maxClaimableAmount: claim.max_claimable.get(),
        totalClaimed: claim.total_claimed.get(),
    };
    let message = message::ClaimBatch {
        claims: claims.iter().map(entry).collect(),
    };
    message.eip712_signing_hash(&domain(chain_id))
}

/// The ERC-3009 nonce of a deposit: it commits to the channel, so that nobody can move the money
/// into another one.
pub fn deposit_nonce(channel_id: &B256, salt: U256) -> B256 {
    keccak256((*channel_id, salt).abi_encode())
}

/// What a payer signs for a deposit by ERC-3009.
pub(super) struct ReceiveAuthorization {
    pub(super) from: Address,
    pub(super) value: Amount,
    pub(super) valid_after: U256,
    pub(super) valid_before: U256,
    pub(super) nonce: B256,
}

impl ReceiveAuthorization {
    pub(super) fn digest(&self, domain: &TokenDomain) -> B256 {
        let message = message::ReceiveWithAuthorization {
            from: self.from,
            to: ERC3009_COLLECTOR,
            value: self.value.into(),
            validAfter: self.valid_after,
            validBefore: self.valid_before,
            nonce: self.nonce,
        };
        message.eip712_signing_hash(&Eip712Domain::new(
            Some(Cow::Owned(domain.name.clone())),
            Some(Cow::Owned(domain.version.clone())),
            Some(U256::from(domain.chain_id)),
            Some(domain.token),
            None,
        ))
    }
}

/// What a payer signs for a deposit by Permit2.
pub(super) struct DepositPermit {
    pub(super) token: Address,
    pub(super) amount: U256,
    pub(super) nonce: U256,
    pub(super) deadline: U256,
    pub(super) channel_id: B256,
}

impl DepositPermit {
    pub(super) fn digest(&self, chain_id: u64) -> B256 {
        let message = message::PermitWitnessTransferFrom {
            permitted: message::TokenPermissions {
                token: self.token,
                amount: self.amount,
            },
            spender: PERMIT2_COLLECTOR,
            nonce: self.nonce,
            deadline: self.deadline,
            witness: message::DepositWitness {
                channelId: self.channel_id,
            },
        };
        message.eip712_signing_hash(&permit2_domain(chain_id))
    }
}

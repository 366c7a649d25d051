//! EIP-712 typed data of the authorizations: digests only, signing is [`crate::Wallet`].

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};

use crate::bindings::PERMIT2;

/// The digest of an `upto` authorization over Permit2, spendable by `spender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UptoAuthorization {
    /// Token contract.
    pub token: Address,
    /// Most that may be taken, base units.
    pub amount: U256,
    /// The proxy that Permit2 lets spend.
    pub spender: Address,
    /// Permit2 nonce.
    pub nonce: U256,
    /// Last second at which a settlement is valid, Unix seconds.
    pub deadline: U256,
    /// Recipient.
    pub to: Address,
    /// The only account that may settle.
    pub facilitator: Address,
    /// First second at which a settlement is valid, Unix seconds.
    pub valid_after: U256,
}

/// An `exact` authorization over Permit2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactAuthorization {
    /// Token contract.
    pub token: Address,
    /// What is taken, base units.
    pub amount: U256,
    /// The proxy that Permit2 lets spend.
    pub spender: Address,
    /// Permit2 nonce.
    pub nonce: U256,
    /// Last second at which a settlement is valid, Unix seconds.
    pub deadline: U256,
    /// Recipient.
    pub to: Address,
    /// First second at which a settlement is valid, Unix seconds.
    pub valid_after: U256,
}

/// An ERC-3009 authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferAuthorization {
    /// Payer.
    pub from: Address,
    /// Recipient.
    pub to: Address,
    /// What is taken, base units.
    pub value: U256,
    /// First second at which a settlement is valid is the one after this, Unix seconds.
    pub valid_after: U256,
    /// First second at which a settlement is no longer valid, Unix seconds.
    pub valid_before: U256,
    /// ERC-3009 nonce.
    pub nonce: B256,
}

/// An EIP-2612 approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose tokens.
    pub owner: Address,
    /// Who may move them.
    pub spender: Address,
    /// How many, base units.
    pub value: U256,
    /// The token's counter for `owner`.
    pub nonce: U256,
    /// Last second at which the approval can be used, Unix seconds.
    pub deadline: U256,
}

/// The EIP-712 domain of a token: its contract's `name` and `version`, not its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDomain {
    /// `name` of the domain.
    pub name: String,
    /// `version` of the domain.
    pub version: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Token contract.
    pub token: Address,
}

impl UptoAuthorization {
    /// The EIP-712 digest under Permit2's domain on `chain_id`.
    pub fn digest(&self, chain_id: u64) -> B256 {
        let Self {
            token,
            amount,
            spender,
            nonce,
            deadline,
            to,
            facilitator,
            valid_after,
        } = *self;
        let message = upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token, amount },
            spender,
            nonce,
            deadline,
            witness: upto::Witness {
                to,
                facilitator,
                validAfter: valid_after,
            },
        };
        message.eip712_signing_hash(&permit2_domain(chain_id))
    }
}

impl ExactAuthorization {
    /// The EIP-712 digest under Permit2's domain on `chain_id`.
    pub fn digest(&self, chain_id: u64) -> B256 {
        let Self {
            token,
            amount,
            spender,
            nonce,
            deadline,
            to,
            valid_after,
        } = *self;
        let message = exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token, amount },
            spender,
            nonce,
            deadline,
            witness: exact::Witness {
                to,
                validAfter: valid_after,
            },
        };
        message.eip712_signing_hash(&permit2_domain(chain_id))
    }
}

impl TransferAuthorization {
    /// The EIP-712 digest under the token's domain.
    pub fn digest(&self, domain: &TokenDomain) -> B256 {
        let Self {
            from,
            to,
            value,
            valid_after,
            valid_before,
            nonce,
        } = *self;
        let message = token::TransferWithAuthorization {
            from,
            to,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
        };
        message.eip712_signing_hash(&domain.eip712())
    }
}

impl Approval {
    /// The EIP-712 digest under the token's domain.
    pub fn digest(&self, domain: &TokenDomain) -> B256 {
        let Self {
            owner,
            spender,
            value,
            nonce,
            deadline,
        } = *self;
        let message = token::Permit {
            owner,
            spender,
            value,
            nonce,
            deadline,
        };
        message.eip712_signing_hash(&domain.eip712())
    }
}

impl TokenDomain {
    /// The EIP-712 domain separator.
    pub fn separator(&self) -> B256 {
        self.eip712().separator()
    }

    fn eip712(&self) -> Eip712Domain {
        Eip712Domain::new(
            Some(Cow::Owned(self.name.clone())),
            Some(Cow::Owned(self.version.clone())),
            Some(U256::from(self.chain_id)),
            Some(self.token),
            None,
        )
    }
}

/// Permit2's EIP-712 domain on `chain_id`; it has no `version`.
pub(crate) fn permit2_domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(Cow::Borrowed("Permit2")),
        None,
        Some(U256::from(chain_id)),
        Some(PERMIT2),
        None,
    )
}

// EIP-712 hashes the names of the structs, so that `upto` and `exact` each need a `Witness`.
mod upto {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; address facilitator; uint256 validAfter; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; Witness witness;
        }
    }
}

mod exact {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; uint256 validAfter; }
        struct PermitWitnessTransferFrom {
            TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; Witness witness;
        }
    }
}

mod token {
    alloy_sol_types::sol! {
        struct TransferWithAuthorization {
            address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce;
        }
        struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
    }
}

#[cfg(test)]
mod tests;

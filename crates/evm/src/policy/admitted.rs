use alloy_primitives::Address;
use seamline_core::Amount;

use crate::scheme::{Method, Scheme};
use crate::typed::TokenDomain;
use crate::x402::{Offer, Resource};

/// An offer that the policy admitted: the only thing that can be signed. The policy is its only
/// source.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    pub(super) offer: Offer,
    pub(super) resource: Option<Resource>,
    pub(super) index: usize,
    pub(super) scheme: Scheme,
    pub(super) method: Method,
    pub(super) amount: Amount,
    pub(super) chain_id: u64,
    pub(super) asset: Address,
    pub(super) pay_to: Address,
    pub(super) facilitator: Option<Address>,
    pub(super) token_domain: Option<TokenDomain>,
    pub(super) channel: Option<ChannelTerms>,
    pub(super) lifetime_s: u64,
}

/// What an admitted `batch-settlement` offer says about its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelTerms {
    /// Who may claim and refund for the receiver (`extra.receiverAuthorizer`); never zero.
    pub receiver_authorizer: Address,
    /// How long a withdrawal waits, in seconds: 900 to 2,592,000.
    pub withdraw_delay_s: u64,
    /// Least deposit that the seller suggests, base units; at most [`ChannelTerms::max_deposit`].
    pub min_deposit: Option<Amount>,
    /// Most that the channel may hold by the policy, base units.
    pub max_deposit: Amount,
    /// Most that all channels of the token may hold together, base units: what a day may cost.
    pub max_held: Amount,
}

impl Admitted {
    /// The offer, byte for byte.
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What is bought, byte for byte.
    pub const fn resource(&self) -> Option<&Resource> {
        self.resource.as_ref()
    }

    /// Position of the offer in the seller's list.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What moves the token; for `batch-settlement` into the channel.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// What the scheme may take for this call, in base units: the price for `exact`, the most for
    /// `upto` and `batch-settlement`.
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Token contract.
    pub const fn asset(&self) -> Address {
        self.asset
    }

    /// Recipient: the attested node's registered address, or what the caller allowed.
    pub const fn pay_to(&self) -> Address {
        self.pay_to
    }

    /// Who alone may settle: always there for `upto`, never for the other schemes.
    pub const fn facilitator(&self) -> Option<Address> {
        self.facilitator
    }

    /// The token's EIP-712 domain as the offer names it (`extra.name`, `extra.version`): always there
    /// for ERC-3009 and for `batch-settlement`. Said by the seller; a wrong one makes a signature that
    /// the token refuses.
    pub const fn token_domain(&self) -> Option<&TokenDomain> {
        self.token_domain.as_ref()
    }

    /// The channel's terms: always there for `batch-settlement`, never for the other schemes.
    pub const fn channel(&self) -> Option<&ChannelTerms> {
        self.channel.as_ref()
    }

    /// How long the authorization will live, in seconds: what the offer asks, at most what the
    /// policy allows. A voucher has no end of its own.
    pub const fn lifetime_s(&self) -> u64 {
        self.lifetime_s
    }
}

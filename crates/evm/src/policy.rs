//! What a caller allows to be spent, and which offer is taken.

use alloy_primitives::Address;
use seamline_core::Amount;

use crate::x402::{Offer, PaymentRequired, Resource};

/// What a caller allows one call to spend. There is no default: a budget is always said.
///
/// Caps are in base units of the token and hold for every allowed asset alike, so a policy lists
/// assets of one unit only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendPolicy {
    /// Most that one call may authorize.
    pub per_call: Amount,
    /// Most that a day may cost, with what is authorized and not yet known to be unspent.
    pub per_day: Amount,
    /// Most that a day may cost at one node; `None` bounds it by `per_day` alone.
    pub per_node_day: Option<Amount>,
    /// Chains as CAIP-2 that may be paid on. Empty allows none.
    pub networks: Vec<String>,
    /// Token contracts that may be paid with. Empty allows none.
    pub assets: Vec<Address>,
    /// Facilitators that may settle; `None` allows any that the offer names.
    pub facilitators: Option<Vec<Address>>,
    /// Longest that an authorization may live, in seconds. An offer that asks for longer gets this.
    pub max_lifetime_s: u64,
}

/// What the day has cost so far, from the caller's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Settled today.
    pub today: Amount,
    /// Authorized and neither settled nor proven unspent.
    pub reserved: Amount,
    /// Settled or reserved today at the node that is about to be paid.
    pub node_today: Amount,
}

/// An offer that the policy admitted: the only thing that can be signed. The policy is its only
/// source.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    offer: Offer,
    resource: Option<Resource>,
    index: usize,
    amount: Amount,
    chain_id: u64,
    asset: Address,
    pay_to: Address,
    facilitator: Address,
    lifetime_s: u64,
}

/// No offer was admitted, and why each was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spend policy admits none of the offers")]
pub struct NotAdmitted {
    /// For each offer in the seller's order, the first rule that refused it.
    pub refusals: Vec<Refusal>,
}

/// Why the policy refused an offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The amount is not digits, or not below 2^128.
    #[error("amount `{observed}` is not a number of base units")]
    Amount {
        /// The offer's amount.
        observed: String,
    },
    /// The asset is not allowed.
    #[error("asset `{observed}` is not allowed")]
    Asset {
        /// The offer's asset.
        observed: String,
    },
    /// The facilitator is not allowed.
    #[error("facilitator {observed} is not allowed")]
    Facilitator {
        /// The offer's facilitator.
        observed: Address,
    },
    /// The offer names no facilitator, so anybody or nobody could settle.
    #[error("the offer names no facilitator")]
    FacilitatorMissing,
    /// The offer asks for another flow than authorize first, settle later.
    #[error("payment flow `{observed}` is not supported")]
    Flow {
        /// The offer's flow.
        observed: String,
    },
    /// The authorization would expire before it could be settled.
    #[error("an authorization of {observed} s cannot be settled, at least {bound} s are needed")]
    Lifetime {
        /// Lifetime in seconds, after the policy's bound.
        observed: u64,
        /// Least lifetime in seconds.
        bound: u64,
    },
    /// The token would be moved by another method than Permit2.
    #[error("transfer method `{observed}` is not supported")]
    Method {
        /// The offer's method, or `eip3009` where it names none.
        observed: String,
    },
    /// The network is not allowed, or is no EVM chain.
    #[error("network `{observed}` is not allowed")]
    Network {
        /// The offer's network.
        observed: String,
    },
    /// The money would go to another address than the attested node registered.
    #[error("payTo `{observed}` is not the node's registered address {bound}")]
    PayTo {
        /// The offer's recipient.
        observed: String,
        /// The address that the attested node registered.
        bound: Address,
    },
    /// More than one call may authorize.
    #[error("amount {observed} exceeds the cap per call of {bound}")]
    PerCall {
        /// The offer's amount.
        observed: Amount,
        /// The cap.
        bound: Amount,
    },
    /// With it the day would cost too much.
    #[error("amount {observed} exceeds the {left} left of the cap per day of {bound}")]
    PerDay {
        /// The offer's amount.
        observed: Amount,
        /// What the day still allows.
        left: Amount,
        /// The cap.
        bound: Amount,
    },
    /// With it the day at this node would cost too much.
    #[error("amount {observed} exceeds the {left} left of the cap per node and day of {bound}")]
    PerNodeDay {
        /// The offer's amount.
        observed: Amount,
        /// What the day still allows at this node.
        left: Amount,
        /// The cap.
        bound: Amount,
    },
    /// The scheme is not supported.
    #[error("scheme `{observed}` is not supported")]
    Scheme {
        /// The offer's scheme.
        observed: String,
    },
}

/// Least lifetime of an authorization in seconds: facilitators refuse one that expires within six.
pub const MIN_LIFETIME_S: u64 = 7;

impl SpendPolicy {
    /// Chooses among all offers of `required` the cheapest one that every rule admits, the earlier
    /// one at the same amount. `expected_pay_to` is the address that the attested node registered.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`] with the first rule that refused each offer.
    pub fn admit(
        &self,
        required: &PaymentRequired,
        expected_pay_to: Address,
        spent: &Spent,
    ) -> Result<Admitted, NotAdmitted> {
        let mut refusals = Vec::new();
        let mut best: Option<Admitted> = None;
        for (index, offer) in required.offers.iter().enumerate() {
            match self.check(offer, expected_pay_to, spent) {
                Ok(mut admitted) => {
                    admitted.index = index;
                    admitted.resource = required.resource.clone();
                    if best
                        .as_ref()
                        .is_none_or(|best| admitted.amount < best.amount)
                    {
                        best = Some(admitted);
                    }
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        best.ok_or(NotAdmitted { refusals })
    }

    /// Applies every rule to one offer, in the order of `spec/payment.md`.
    fn check(&self, offer: &Offer, expected: Address, spent: &Spent) -> Result<Admitted, Refusal> {
        let _ = (offer, expected, spent);
        Err(Refusal::FacilitatorMissing)
    }
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

    /// The most that a settlement may take, in base units.
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

    /// Recipient: the attested node's registered address.
    pub const fn pay_to(&self) -> Address {
        self.pay_to
    }

    /// Who alone may settle.
    pub const fn facilitator(&self) -> Address {
        self.facilitator
    }

    /// How long the authorization will live, in seconds: what the offer asks, at most what the
    /// policy allows.
    pub const fn lifetime_s(&self) -> u64 {
        self.lifetime_s
    }
}

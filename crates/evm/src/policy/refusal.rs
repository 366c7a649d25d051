use alloy_primitives::Address;
use seamline_core::Amount;

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

impl Refusal {
    /// The stable code of the rule that refused.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Amount { .. } => "amount_malformed",
            Self::Asset { .. } => "asset_not_allowed",
            Self::Facilitator { .. } => "facilitator_not_allowed",
            Self::FacilitatorMissing => "facilitator_missing",
            Self::Flow { .. } => "payment_flow_not_supported",
            Self::Lifetime { .. } => "lifetime_too_short",
            Self::Method { .. } => "transfer_method_not_supported",
            Self::Network { .. } => "network_not_allowed",
            Self::PayTo { .. } => "pay_to_not_the_node",
            Self::PerCall { .. } => "over_cap_per_call",
            Self::PerDay { .. } => "over_cap_per_day",
            Self::PerNodeDay { .. } => "over_cap_per_node_day",
            Self::Scheme { .. } => "scheme_not_supported",
        }
    }
}

impl NotAdmitted {
    /// The refusal that went furthest through the rules: the one worth telling first.
    pub fn nearest(&self) -> Option<&Refusal> {
        self.refusals.iter().max_by_key(|refusal| refusal.rank())
    }
}

impl Refusal {
    /// Position of the rule in the order of admission.
    const fn rank(&self) -> u8 {
        match self {
            Self::Scheme { .. } => 1,
            Self::Flow { .. } => 2,
            Self::Method { .. } => 3,
            Self::Network { .. } => 4,
            Self::Asset { .. } => 5,
            Self::PayTo { .. } => 6,
            Self::Facilitator { .. } | Self::FacilitatorMissing => 7,
            Self::Lifetime { .. } => 8,
            Self::Amount { .. } => 9,
            Self::PerCall { .. } => 10,
            Self::PerDay { .. } => 11,
            Self::PerNodeDay { .. } => 12,
        }
    }
}

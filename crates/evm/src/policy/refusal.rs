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
    /// What a payment channel needs is missing or out of range.
    #[error("the channel's `{member}` is missing or out of range: `{observed}`")]
    Channel {
        /// The member of `extra`.
        member: &'static str,
        /// What it is; empty where it is missing.
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
    /// The token would be moved by a method that the scheme does not have.
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
    /// The policy lists test networks, and this one is none that is known.
    #[error("network `{observed}` may hold money, the policy is for test networks")]
    NotTestNetwork {
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
    /// The money would go to an address that the caller does not allow, or to nobody.
    #[error("payTo `{observed}` is not allowed")]
    PayToNotListed {
        /// The offer's recipient.
        observed: String,
    },
    /// More than one call may authorize.
    #[error("amount {observed} exceeds the cap per call of {bound}")]
    PerCall {
        /// The offer's amount.
        observed: Amount,
        /// The cap.
        bound: Amount,
    },
    /// The seller wants more in a channel than the policy lets one hold.
    #[error("a deposit of {observed} exceeds the cap per channel of {bound}")]
    PerChannel {
        /// Least deposit that the seller accepts.
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
    /// With it the hour would cost too much.
    #[error("amount {observed} exceeds the {left} left of the cap per hour of {bound}")]
    PerHour {
        /// The offer's amount.
        observed: Amount,
        /// What the hour still allows.
        left: Amount,
        /// The cap.
        bound: Amount,
    },
    /// With it the day for this model would cost too much.
    #[error("amount {observed} exceeds the {left} left of the cap per model and day of {bound}")]
    PerModelDay {
        /// The offer's amount.
        observed: Amount,
        /// What the day still allows for this model.
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
    /// What is sold is of another origin than what was asked for, or is not said.
    #[error("the offer sells `{observed}`, asked for was `{bound}`")]
    Resource {
        /// URL of the resource; empty where there is none.
        observed: String,
        /// URL that was asked for.
        bound: String,
    },
    /// The scheme is not supported, or not allowed.
    #[error("scheme `{observed}` is not supported")]
    Scheme {
        /// The offer's scheme.
        observed: String,
    },
    /// The offer does not name the token's EIP-712 domain, which the authorization is signed under.
    #[error("the offer does not name the token's EIP-712 domain")]
    TokenDomain,
}

impl Refusal {
    /// The stable code of the rule that refused.
    pub const fn code(&self) -> &'static str {
        self.rule().1
    }

    /// What was seen, as text; empty where something is missing. A seller's own words: not for a
    /// terminal as they are.
    pub fn observed(&self) -> String {
        match self {
            Self::Amount { observed }
            | Self::Asset { observed }
            | Self::Channel { observed, .. }
            | Self::Flow { observed }
            | Self::Method { observed }
            | Self::Network { observed }
            | Self::NotTestNetwork { observed }
            | Self::PayTo { observed, .. }
            | Self::PayToNotListed { observed }
            | Self::Resource { observed, .. }
            | Self::Scheme { observed } => observed.clone(),
            Self::Facilitator { observed } => observed.to_string(),
            Self::FacilitatorMissing | Self::TokenDomain => String::new(),
            Self::Lifetime { observed, .. } => observed.to_string(),
            Self::PerCall { observed, .. }
            | Self::PerChannel { observed, .. }
            | Self::PerDay { observed, .. }
            | Self::PerHour { observed, .. }
            | Self::PerModelDay { observed, .. }
            | Self::PerNodeDay { observed, .. } => observed.to_string(),
        }
    }

    /// The bound that it broke, as text; `None` where the bound is a list of the policy.
    pub fn bound(&self) -> Option<String> {
        match self {
            Self::Amount { .. }
            | Self::Asset { .. }
            | Self::Channel { .. }
            | Self::Facilitator { .. }
            | Self::FacilitatorMissing
            | Self::Flow { .. }
            | Self::Method { .. }
            | Self::Network { .. }
            | Self::NotTestNetwork { .. }
            | Self::PayToNotListed { .. }
            | Self::Scheme { .. }
            | Self::TokenDomain => None,
            Self::Lifetime { bound, .. } => Some(bound.to_string()),
            Self::PayTo { bound, .. } => Some(bound.to_string()),
            Self::Resource { bound, .. } => Some(bound.clone()),
            Self::PerCall { bound, .. }
            | Self::PerChannel { bound, .. }
            | Self::PerDay { bound, .. }
            | Self::PerHour { bound, .. }
            | Self::PerModelDay { bound, .. }
            | Self::PerNodeDay { bound, .. } => Some(bound.to_string()),
        }
    }

    /// Whether a cap of the caller refused: everything else is about what the seller asks for.
    pub const fn is_cap(&self) -> bool {
        matches!(
            self,
            Self::PerCall { .. }
                | Self::PerChannel { .. }
                | Self::PerDay { .. }
                | Self::PerHour { .. }
                | Self::PerModelDay { .. }
                | Self::PerNodeDay { .. }
        )
    }

    /// Position in the order of admission, and the code.
    const fn rule(&self) -> (u8, &'static str) {
        match self {
            Self::Scheme { .. } => (1, "scheme_not_supported"),
            Self::Flow { .. } => (2, "payment_flow_not_supported"),
            Self::Method { .. } => (3, "transfer_method_not_supported"),
            Self::Network { .. } => (4, "network_not_allowed"),
            Self::NotTestNetwork { .. } => (5, "network_not_a_test_network"),
            Self::Asset { .. } => (6, "asset_not_allowed"),
            Self::PayTo { .. } => (7, "pay_to_not_the_node"),
            Self::PayToNotListed { .. } => (7, "pay_to_not_allowed"),
            Self::Resource { .. } => (8, "resource_not_the_request"),
            Self::FacilitatorMissing => (9, "facilitator_missing"),
            Self::Facilitator { .. } => (9, "facilitator_not_allowed"),
            Self::TokenDomain => (10, "token_domain_missing"),
            Self::Channel { .. } => (11, "channel_terms_malformed"),
            Self::PerChannel { .. } => (12, "over_cap_per_channel"),
            Self::Lifetime { .. } => (13, "lifetime_too_short"),
            Self::Amount { .. } => (14, "amount_malformed"),
            Self::PerCall { .. } => (15, "over_cap_per_call"),
            Self::PerHour { .. } => (16, "over_cap_per_hour"),
            Self::PerDay { .. } => (17, "over_cap_per_day"),
            Self::PerNodeDay { .. } => (18, "over_cap_per_node_day"),
            Self::PerModelDay { .. } => (19, "over_cap_per_model_day"),
        }
    }
}

impl NotAdmitted {
    /// The refusal that went furthest through the rules: the one worth telling first.
    pub fn nearest(&self) -> Option<&Refusal> {
        self.refusals.iter().max_by_key(|refusal| refusal.rule().0)
    }
}

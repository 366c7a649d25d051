//! What a caller allows to be spent, and which offer is taken.

mod admitted;
mod encode;
mod origin;
mod refusal;
mod rules;

use alloy_primitives::Address;
use seamline_core::Amount;

use crate::scheme::Scheme;
use crate::x402::{Offer, PaymentRequired};

pub use admitted::{Admitted, ChannelTerms};
pub use origin::origin_matches;
pub use refusal::{NotAdmitted, Refusal};

/// What a caller allows one call to spend. There is no default: a budget is always said.
///
/// Caps are in base units of the token and hold for every allowed asset alike, so a policy lists
/// assets of one unit only: decimals are never asked and never guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendPolicy {
    /// Most that one call may authorize.
    pub per_call: Amount,
    /// Most that an hour may cost, with what is authorized and not yet known to be unspent; `None`
    /// bounds it by `per_day` alone.
    pub per_hour: Option<Amount>,
    /// Most that a day may cost, with what is authorized and not yet known to be unspent.
    pub per_day: Amount,
    /// Most that a day may cost at one node; `None` bounds it by `per_day` alone.
    pub per_node_day: Option<Amount>,
    /// Most that a day may cost for one model; `None` bounds it by `per_day` alone.
    pub per_model_day: Option<Amount>,
    /// Most that one payment channel may hold; `None` bounds it by `per_day`.
    pub per_channel: Option<Amount>,
    /// Schemes that may be paid with. Empty allows none.
    pub schemes: Vec<Scheme>,
    /// Chains as CAIP-2 that may be paid on. Empty allows none. A list with a known test network
    /// allows test networks only.
    pub networks: Vec<String>,
    /// Token contracts that may be paid with. Empty allows none.
    pub assets: Vec<Address>,
    /// Facilitators that may settle where the authorization names one (`upto`); `None` allows any
    /// that the offer names. An `exact` authorization is worth the same in anybody's hands.
    pub facilitators: Option<Vec<Address>>,
    /// Longest that an authorization may live, in seconds. An offer that asks for longer gets this.
    pub max_lifetime_s: u64,
}

/// What was spent so far, from the caller's books. Hours and days are the last 3,600 and 86,400
/// seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Settled within the last hour.
    pub hour: Amount,
    /// Settled within the last day.
    pub today: Amount,
    /// Authorized and neither settled nor proven unspent, whatever its age.
    pub reserved: Amount,
    /// Settled within the last day or reserved, at the node that is about to be paid.
    pub node_today: Amount,
    /// Settled within the last day or reserved, for the model that is about to be called.
    pub model_today: Amount,
}

/// What is about to be bought, as far as the caller knows it before it reads the offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purchase<'a> {
    /// Who may be paid.
    pub payee: Payee<'a>,
    /// The URL that was asked for. Where it is given, the 402 must sell a resource of its origin;
    /// `None` where the seller's identity is proven otherwise (an attested node).
    pub request_url: Option<&'a str>,
}

/// Who may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payee<'a> {
    /// The address that the attested node registered.
    Node(Address),
    /// One of these: allowed by the caller, or paid before at the same origin.
    Listed(&'a [Address]),
    /// Whoever the offer names, except nobody (the zero address). The caller should remember the
    /// address with the origin and list it the next time.
    Anyone,
}

/// Least lifetime of an authorization in seconds: facilitators refuse one that expires within six,
/// and paywalls keep ten of it for their settlement; the rest is for the answer itself.
pub const MIN_LIFETIME_S: u64 = 20;

impl SpendPolicy {
    /// Chooses among all offers of `required` the best one that every rule admits.
    /// `expected_pay_to` is the address that the attested node registered.
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
        let purchase = Purchase {
            payee: Payee::Node(expected_pay_to),
            request_url: None,
        };
        self.admit_purchase(required, &purchase, spent)
    }

    /// Chooses among all offers of `required` the best one that every rule admits: the cheapest; at
    /// the same amount `batch-settlement` before `upto` before `exact`; then the earlier one.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`] with the first rule that refused each offer.
    pub fn admit_purchase(
        &self,
        required: &PaymentRequired,
        purchase: &Purchase<'_>,
        spent: &Spent,
    ) -> Result<Admitted, NotAdmitted> {
        let mut refusals = Vec::new();
        let mut best: Option<Admitted> = None;
        let sold = required.resource.as_ref();
        for (index, offer) in required.offers.iter().enumerate() {
            match rules::check(self, offer, sold, purchase, spent) {
                Ok(mut admitted) => {
                    admitted.index = index;
                    if best.as_ref().is_none_or(|best| admitted.beats(best)) {
                        best = Some(admitted);
                    }
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        best.ok_or(NotAdmitted { refusals })
    }

    /// Applies every rule to one offer of a node: what a verifier computes again. The resource and
    /// the index are those of nothing.
    ///
    /// # Errors
    ///
    /// The first rule that refuses.
    pub fn admit_offer(
        &self,
        offer: &Offer,
        expected_pay_to: Address,
        spent: &Spent,
    ) -> Result<Admitted, Refusal> {
        let purchase = Purchase {
            payee: Payee::Node(expected_pay_to),
            request_url: None,
        };
        rules::check(self, offer, None, &purchase, spent)
    }

    /// Most that one payment channel may hold, base units.
    pub fn channel_cap(&self) -> Amount {
        self.per_channel.unwrap_or(self.per_day)
    }
}

impl Admitted {
    /// Whether this offer is preferred to an earlier one.
    fn beats(&self, best: &Self) -> bool {
        // `Scheme` is ordered `exact`, `upto`, `batch-settlement`.
        (self.amount, std::cmp::Reverse(self.scheme))
            < (best.amount, std::cmp::Reverse(best.scheme))
    }
}

#[cfg(test)]
mod tests;

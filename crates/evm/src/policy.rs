//! What a caller allows to be spent, and which offer is taken.

mod encode;
mod refusal;

use alloy_primitives::Address;
use seamline_core::Amount;
use serde_json::Value;

use crate::upto;
use crate::x402::{Offer, PaymentRequired, Resource};

pub use refusal::{NotAdmitted, Refusal};

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

/// Least lifetime of an authorization in seconds: facilitators refuse one that expires within six,
/// and paywalls keep ten of it for their settlement; the rest is for the answer itself.
pub const MIN_LIFETIME_S: u64 = 20;

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
        let terms = offer.terms();
        let said = |name: &str| terms.extra.get(name).and_then(Value::as_str);
        // 1. The scheme.
        if terms.scheme != upto::SCHEME {
            return Err(Refusal::Scheme {
                observed: terms.scheme.clone(),
            });
        }
        // 2. Authorize first, settle later.
        let flow = terms.extra.get("paymentFlow").filter(|it| !it.is_null());
        if let Some(flow) = flow.filter(|flow| flow.as_str() != Some("authorization")) {
            let text = flow.as_str().map(str::to_owned);
            return Err(Refusal::Flow {
                observed: text.unwrap_or_else(|| flow.to_string()),
            });
        }
        // 3. The token is moved by Permit2.
        let method = said("assetTransferMethod").unwrap_or("eip3009");
        if method != "permit2" {
            return Err(Refusal::Method {
                observed: method.to_owned(),
            });
        }
        // 4. The network.
        let network = || Refusal::Network {
            observed: terms.network.clone(),
        };
        let chain_id = terms.chain_id().ok_or_else(network)?;
        if !self.networks.contains(&terms.network) {
            return Err(network());
        }
        // 5. The asset.
        let refused_asset = || Refusal::Asset {
            observed: terms.asset.clone(),
        };
        let asset = terms.asset_address().ok_or_else(refused_asset)?;
        if !self.assets.contains(&asset) {
            return Err(refused_asset());
        }
        // 6. The money goes to the attested node.
        let pay_to = terms.pay_to_address().filter(|to| *to == expected);
        let pay_to = pay_to.ok_or_else(|| Refusal::PayTo {
            observed: terms.pay_to.clone(),
            bound: expected,
        })?;
        // 7. One facilitator alone can settle, and it is allowed.
        let facilitator = terms.facilitator().ok_or(Refusal::FacilitatorMissing)?;
        let allowed = self.facilitators.as_ref();
        if allowed.is_some_and(|allowed| !allowed.contains(&facilitator)) {
            return Err(Refusal::Facilitator {
                observed: facilitator,
            });
        }
        // 8. The lifetime: at most the policy's, at least what a settlement needs.
        let lifetime_s = terms.max_timeout_seconds.min(self.max_lifetime_s);
        if lifetime_s < MIN_LIFETIME_S {
            return Err(Refusal::Lifetime {
                observed: lifetime_s,
                bound: MIN_LIFETIME_S,
            });
        }
        // 9. The caps.
        let amount = terms.amount().ok_or_else(|| Refusal::Amount {
            observed: terms.amount.clone(),
        })?;
        self.check_caps(amount, spent)?;
        Ok(Admitted {
            offer: offer.clone(),
            resource: None,
            index: 0,
            amount,
            chain_id,
            asset,
            pay_to,
            facilitator,
            lifetime_s,
        })
    }

    fn check_caps(&self, amount: Amount, spent: &Spent) -> Result<(), Refusal> {
        if amount > self.per_call {
            return Err(Refusal::PerCall {
                observed: amount,
                bound: self.per_call,
            });
        }
        let used = spent.today.checked_add(spent.reserved);
        let left = used
            .and_then(|used| self.per_day.checked_sub(used))
            .unwrap_or(Amount::ZERO);
        if amount > left {
            return Err(Refusal::PerDay {
                observed: amount,
                left,
                bound: self.per_day,
            });
        }
        let Some(bound) = self.per_node_day else {
            return Ok(());
        };
        let left = bound.checked_sub(spent.node_today).unwrap_or(Amount::ZERO);
        if amount > left {
            return Err(Refusal::PerNodeDay {
                observed: amount,
                left,
                bound,
            });
        }
        Ok(())
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

#[cfg(test)]
mod tests;

//! The rules of admission, in the order of `spec/payment.md`.

use alloy_primitives::Address;
use seamline_core::Amount;
use serde_json::Value;

use super::{Admitted, ChannelTerms, MIN_LIFETIME_S, Payee, Purchase, Refusal, SpendPolicy, Spent};
use crate::scheme::{Method, Scheme};
use crate::typed::TokenDomain;
use crate::x402::{Offer, OfferTerms, Resource, address, is_test_network};

/// Longest name or version of a token's EIP-712 domain, in bytes: names of tokens are a few words.
const MAX_DOMAIN_TEXT: usize = 128;
/// Shortest and longest wait of a channel's withdrawal, in seconds, as the channel's contract says.
const WITHDRAW_DELAY_S: std::ops::RangeInclusive<u64> = 900..=2_592_000;

/// Applies every rule to one offer.
pub(super) fn check(
    policy: &SpendPolicy,
    offer: &Offer,
    sold: Option<&Resource>,
    purchase: &Purchase<'_>,
    spent: &Spent,
) -> Result<Admitted, Refusal> {
    let terms = offer.terms();
    // 1. The scheme.
    let scheme = Scheme::parse(&terms.scheme).filter(|it| policy.schemes.contains(it));
    let scheme = scheme.ok_or_else(|| Refusal::Scheme {
        observed: terms.scheme.clone(),
    })?;
    // 2. Authorize first, settle later.
    flow(terms)?;
    // 3. The token is moved by a method that the scheme has.
    let method = Method::of(scheme, terms).ok_or_else(|| method_refused(terms))?;
    // 4. The network.
    let chain_id = network(policy, terms)?;
    // 5. The asset.
    let asset = terms.asset_address();
    let asset = asset.filter(|asset| policy.assets.contains(asset));
    let asset = asset.ok_or_else(|| Refusal::Asset {
        observed: terms.asset.clone(),
    })?;
    // 6. The money goes to whom the caller means.
    let pay_to = recipient(terms, &purchase.payee)?;
    // 7. What is sold is what was asked for.
    resource(sold, purchase)?;
    // 8. What the scheme and the method need.
    let facilitator = facilitator(policy, scheme, terms)?;
    let token_domain = token_domain(scheme, method, terms, chain_id, asset)?;
    let channel = channel(policy, scheme, terms)?;
    // 9. The lifetime: at most the policy's, at least what a settlement needs.
    let lifetime_s = terms.max_timeout_seconds.min(policy.max_lifetime_s);
    if lifetime_s < MIN_LIFETIME_S {
        return Err(Refusal::Lifetime {
            observed: lifetime_s,
            bound: MIN_LIFETIME_S,
        });
    }
    // 10. The caps.
    let amount = terms.amount().ok_or_else(|| Refusal::Amount {
        observed: terms.amount.clone(),
    })?;
    caps(policy, amount, spent)?;
    Ok(Admitted {
        offer: offer.clone(),
        resource: sold.cloned(),
        index: 0,
        scheme,
        method,
        amount,
        chain_id,
        asset,
        pay_to,
        facilitator,
        token_domain,
        channel,
        lifetime_s,
    })
}

fn flow(terms: &OfferTerms) -> Result<(), Refusal> {
    match said(terms, "paymentFlow") {
        None => Ok(()),
        Some(flow) if flow.as_str() == Some("authorization") => Ok(()),
        Some(flow) => Err(Refusal::Flow {
            observed: printed(flow),
        }),
    }
}

fn method_refused(terms: &OfferTerms) -> Refusal {
    let observed = said(terms, "assetTransferMethod").map(printed);
    Refusal::Method {
        observed: observed.unwrap_or_else(|| Method::Eip3009.as_str().to_owned()),
    }
}

fn network(policy: &SpendPolicy, terms: &OfferTerms) -> Result<u64, Refusal> {
    let observed = || terms.network.clone();
    let listed = policy.networks.contains(&terms.network);
    let chain_id = terms.chain_id().filter(|_| listed);
    let chain_id = chain_id.ok_or_else(|| Refusal::Network {
        observed: observed(),
    })?;
    let testing = policy.networks.iter().any(|it| is_test_network(it));
    if testing && !is_test_network(&terms.network) {
        return Err(Refusal::NotTestNetwork {
            observed: observed(),
        });
    }
    Ok(chain_id)
}

fn recipient(terms: &OfferTerms, payee: &Payee<'_>) -> Result<Address, Refusal> {
    let observed = || terms.pay_to.clone();
    let pay_to = terms.pay_to_address();
    match *payee {
        Payee::Node(expected) => {
            pay_to
                .filter(|to| *to == expected)
                .ok_or_else(|| Refusal::PayTo {
                    observed: observed(),
                    bound: expected,
                })
        }
        Payee::Listed(listed) => {
            pay_to
                .filter(|to| listed.contains(to))
                .ok_or_else(|| Refusal::PayToNotListed {
                    observed: observed(),
                })
        }
        Payee::Anyone => pay_to
            .filter(|to| !to.is_zero())
            .ok_or_else(|| Refusal::PayToNotListed {
                observed: observed(),
            }),
    }
}

fn resource(sold: Option<&Resource>, purchase: &Purchase<'_>) -> Result<(), Refusal> {
    let Some(asked) = purchase.request_url else {
        return Ok(());
    };
    let observed = sold.map(Resource::url);
    if observed.is_some_and(|url| super::origin_matches(url, asked)) {
        return Ok(());
    }
    Err(Refusal::Resource {
        observed: observed.unwrap_or_default().to_owned(),
        bound: asked.to_owned(),
    })
}

/// One facilitator alone can settle an `upto` authorization, and it is allowed.
fn facilitator(
    policy: &SpendPolicy,
    scheme: Scheme,
    terms: &OfferTerms,
) -> Result<Option<Address>, Refusal> {
    match scheme {
        Scheme::Upto => {}
        Scheme::Exact | Scheme::BatchSettlement => return Ok(None),
    }
    let observed = terms.facilitator().ok_or(Refusal::FacilitatorMissing)?;
    let allowed = policy.facilitators.as_ref();
    if allowed.is_some_and(|allowed| !allowed.contains(&observed)) {
        return Err(Refusal::Facilitator { observed });
    }
    Ok(Some(observed))
}

/// The token's domain, without which an ERC-3009 authorization cannot be signed. Never looked up in a
/// table: a seller that does not say it is refused.
fn token_domain(
    scheme: Scheme,
    method: Method,
    terms: &OfferTerms,
    chain_id: u64,
    token: Address,
) -> Result<Option<TokenDomain>, Refusal> {
    let text = |name| {
        let text = said(terms, name).and_then(Value::as_str);
        text.filter(|text| (1..=MAX_DOMAIN_TEXT).contains(&text.len()))
    };
    let domain = text("name")
        .zip(text("version"))
        .map(|(name, version)| TokenDomain {
            name: name.to_owned(),
            version: version.to_owned(),
            chain_id,
            token,
        });
    let needed = match (scheme, method) {
        (Scheme::BatchSettlement, _) | (Scheme::Exact, Method::Eip3009) => true,
        (Scheme::Exact | Scheme::Upto, _) => false,
    };
    if needed && domain.is_none() {
        return Err(Refusal::TokenDomain);
    }
    Ok(domain)
}

fn channel(
    policy: &SpendPolicy,
    scheme: Scheme,
    terms: &OfferTerms,
) -> Result<Option<ChannelTerms>, Refusal> {
    match scheme {
        Scheme::BatchSettlement => {}
        Scheme::Exact | Scheme::Upto => return Ok(None),
    }
    let wrong = |member: &'static str| Refusal::Channel {
        member,
        observed: said(terms, member).map(printed).unwrap_or_default(),
    };
    let text = |member| said(terms, member).and_then(Value::as_str);
    let authorizer = text("receiverAuthorizer").and_then(address);
    let authorizer = authorizer.filter(|it| !it.is_zero());
    let delay = said(terms, "withdrawDelay").and_then(Value::as_u64);
    let delay = delay.filter(|delay| WITHDRAW_DELAY_S.contains(delay));
    let min_deposit = match said(terms, "minDeposit") {
        None => None,
        Some(value) => {
            let amount = value.as_str().and_then(|text| Amount::parse(text).ok());
            Some(amount.ok_or_else(|| wrong("minDeposit"))?)
        }
    };
    let max_deposit = policy.channel_cap();
    if let Some(observed) = min_deposit.filter(|least| *least > max_deposit) {
        return Err(Refusal::PerChannel {
            observed,
            bound: max_deposit,
        });
    }
    Ok(Some(ChannelTerms {
        receiver_authorizer: authorizer.ok_or_else(|| wrong("receiverAuthorizer"))?,
        withdraw_delay_s: delay.ok_or_else(|| wrong("withdrawDelay"))?,
        min_deposit,
        max_deposit,
        max_held: policy.per_day,
    }))
}

fn caps(policy: &SpendPolicy, observed: Amount, spent: &Spent) -> Result<(), Refusal> {
    if observed > policy.per_call {
        return Err(Refusal::PerCall {
            observed,
            bound: policy.per_call,
        });
    }
    let with_reserved = |used: Amount| used.checked_add(spent.reserved).unwrap_or(Amount::MAX);
    if let Some((left, bound)) = exceeded(observed, policy.per_hour, with_reserved(spent.hour)) {
        return Err(Refusal::PerHour {
            observed,
            left,
            bound,
        });
    }
    let day = exceeded(observed, Some(policy.per_day), with_reserved(spent.today));
    if let Some((left, bound)) = day {
        return Err(Refusal::PerDay {
            observed,
            left,
            bound,
        });
    }
    if let Some((left, bound)) = exceeded(observed, policy.per_node_day, spent.node_today) {
        return Err(Refusal::PerNodeDay {
            observed,
            left,
            bound,
        });
    }
    if let Some((left, bound)) = exceeded(observed, policy.per_model_day, spent.model_today) {
        return Err(Refusal::PerModelDay {
            observed,
            left,
            bound,
        });
    }
    Ok(())
}

/// What is left of a cap and the cap, where `amount` does not fit anymore.
fn exceeded(amount: Amount, cap: Option<Amount>, used: Amount) -> Option<(Amount, Amount)> {
    let bound = cap?;
    let left = bound.checked_sub(used).unwrap_or(Amount::ZERO);
    (amount > left).then_some((left, bound))
}

/// A member of `extra`; null is absent.
fn said<'a>(terms: &'a OfferTerms, name: &str) -> Option<&'a Value> {
    terms.extra.get(name).filter(|value| !value.is_null())
}

fn printed(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

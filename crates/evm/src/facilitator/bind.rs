//! The one place where a payment is held against what the seller requires.

use alloy_primitives::{Address, U256};
use seamline_core::Amount;
use serde_json::Value;

use super::{DEADLINE_BUFFER_S, Invalid, Rules};
use crate::bindings::{EXACT_PROXY, PERMIT2, UPTO_PROXY};
use crate::scheme::{Authorization, Eip2612, Method, Scheme};
use crate::x402::{Offer, OfferTerms, PaymentPayload, Reason};

/// Which of its two questions a facilitator is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Could this be settled?
    Verify,
    /// Settle this.
    Settle,
}

/// A payment that answers its requirement in every member.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What the payer promised.
    pub authorization: Authorization,
    /// The approval that is used first, where the payer sent one.
    pub sponsor: Option<Eip2612>,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// What is to be settled, base units.
    pub amount: Amount,
}

/// Holds a payment against its requirement: every rule that needs no chain, in the order of
/// `spec/payment.md`. Pure: the same arguments yield the same answer.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn bind(
    payload: &PaymentPayload,
    requirements: &Offer,
    phase: Phase,
    rules: &Rules<'_>,
) -> Result<Bound, Invalid> {
    let (accepted, required) = (payload.accepted().terms(), requirements.terms());
    let nameless = |reason| Invalid {
        reason,
        payer: None,
    };
    // 1. The scheme.
    let scheme = scheme(accepted, required).map_err(nameless)?;
    // 2. The network.
    let chain_id = match required.chain_id() {
        Some(chain_id) if accepted.network == required.network => chain_id,
        Some(_) | None => return Err(nameless(other_network(scheme))),
    };
    // 3. The payload and the requirement can be read, and speak of the same method.
    let method = Method::of(scheme, required);
    let method = method.ok_or_else(|| nameless(Reason::InvalidPaymentRequirements))?;
    if method == Method::Eip3009 && !names_domain(required) {
        return Err(nameless(Reason::MissingEip712Domain));
    }
    let authorization = Authorization::of(payload).map_err(nameless)?;
    let payer = authorization.payer();
    let refuse = |reason| Invalid {
        reason,
        payer: Some(payer),
    };
    if authorization.method() != method {
        return Err(refuse(Reason::InvalidPayload));
    }
    let unreadable = || refuse(Reason::InvalidPaymentRequirements);
    let terms = Required {
        pay_to: required.pay_to_address().ok_or_else(unreadable)?,
        asset: required.asset_address().ok_or_else(unreadable)?,
        amount: required.amount().ok_or_else(unreadable)?,
        facilitator: required.facilitator(),
    };
    // 4. to 12. What is promised is what is required.
    let rulebook = match &authorization {
        Authorization::Eip3009(_) => transfer_rules(&authorization, &terms, rules),
        Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
            permit_rules(&authorization, &terms, phase, rules)
        }
    };
    for (holds, reason) in rulebook {
        if !holds {
            return Err(refuse(reason));
        }
    }
    // 13. The payer accepted what the seller requires, member by member.
    let ceiling = authorization.amount();
    if let Some(reason) = echo_mismatch(accepted, required, &authorization, phase, ceiling) {
        return Err(refuse(reason));
    }
    // 14. The approval that is to be used first fits the authorization.
    let sponsor = match method {
        Method::Eip3009 => None,
        Method::Permit2 => Eip2612::of(payload).map_err(refuse)?,
    };
    if let Some(sponsor) = &sponsor {
        fits(sponsor, &authorization, rules).map_err(refuse)?;
    }
    Ok(Bound {
        authorization,
        sponsor,
        chain_id,
        amount: terms.amount,
    })
}

/// A requirement, read.
struct Required {
    pay_to: Address,
    asset: Address,
    amount: Amount,
    facilitator: Option<Address>,
}

type Rulebook = Vec<(bool, Reason)>;

fn transfer_rules(promise: &Authorization, terms: &Required, rules: &Rules<'_>) -> Rulebook {
    vec![
        (
            promise.pay_to() == terms.pay_to,
            Reason::InvalidExactEvmPayloadRecipientMismatch,
        ),
        (
            promise.amount() == U256::from(terms.amount.get()),
            Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        ),
        (
            expires_late_enough(promise.expiry(), rules),
            Reason::InvalidExactEvmPayloadAuthorizationValidBefore,
        ),
        (
            promise.valid_after() <= U256::from(rules.now.as_secs()),
            Reason::InvalidExactEvmPayloadAuthorizationValidAfter,
        ),
        (
            !promise.signature().is_empty(),
            Reason::InvalidExactEvmPayloadSignature,
        ),
        // The token stands in the echo; its equality is checked as a value too.
        (
            promise.asset() == terms.asset,
            Reason::InvalidPaymentRequirements,
        ),
        // Nothing is no price: settling it would cost gas for nothing.
        (!terms.amount.is_zero(), Reason::InvalidPaymentRequirements),
        // We do not pay ourselves: a facilitator's own funds are no payer's.
        (
            !rules.own_signers.contains(&promise.payer()),
            Reason::InvalidPayload,
        ),
    ]
}

fn permit_rules(
    promise: &Authorization,
    terms: &Required,
    phase: Phase,
    rules: &Rules<'_>,
) -> Rulebook {
    let (proxy, metered) = match promise {
        Authorization::Upto(_) => (UPTO_PROXY, phase == Phase::Settle),
        Authorization::Eip3009(_) | Authorization::ExactPermit2(_) => (EXACT_PROXY, false),
    };
    let amount = U256::from(terms.amount.get());
    vec![
        // Permit2 lets only the proxy spend.
        (
            promise.spender() == Some(proxy),
            Reason::InvalidPermit2Spender,
        ),
        // The money goes to the seller.
        (
            promise.pay_to() == terms.pay_to,
            Reason::InvalidPermit2RecipientMismatch,
        ),
        // We can settle, and are whom the seller named.
        (
            promise.facilitator().is_none_or(|bound| {
                rules.own_signers.contains(&bound)
                    && terms.facilitator.is_none_or(|named| named == bound)
            }),
            Reason::UptoFacilitatorMismatch,
        ),
        // There is time to settle, and it is valid already.
        (
            expires_late_enough(promise.expiry(), rules),
            Reason::Permit2DeadlineExpired,
        ),
        (
            promise.valid_after() <= U256::from(rules.now.as_secs()),
            Reason::Permit2NotYetValid,
        ),
        // The amount: exactly, but for what was metered at most.
        if metered {
            (
                amount <= promise.amount(),
                Reason::InvalidUptoEvmPayloadSettlementExceedsAmount,
            )
        } else {
            (promise.amount() == amount, Reason::Permit2AmountMismatch)
        },
        (promise.asset() == terms.asset, Reason::Permit2TokenMismatch),
        // Nothing is no price, more than any token has is none either.
        (
            !promise.amount().is_zero() && Amount::try_from(promise.amount()).is_ok(),
            Reason::Permit2InvalidAmount,
        ),
        (
            !promise.signature().is_empty(),
            Reason::InvalidPermit2Signature,
        ),
        // We do not pay ourselves: a facilitator's own funds are no payer's.
        (
            !rules.own_signers.contains(&promise.payer()),
            Reason::Permit2InvalidOwner,
        ),
    ]
}

fn expires_late_enough(expiry: U256, rules: &Rules<'_>) -> bool {
    let earliest = rules.now.as_secs().saturating_add(DEADLINE_BUFFER_S);
    expiry >= U256::from(earliest)
}

fn scheme(accepted: &OfferTerms, required: &OfferTerms) -> Result<Scheme, Reason> {
    let upto = Scheme::Upto.as_str();
    if accepted.scheme != required.scheme {
        let about_upto = accepted.scheme == upto || required.scheme == upto;
        return Err(if about_upto {
            Reason::InvalidUptoEvmScheme
        } else {
            Reason::UnsupportedScheme
        });
    }
    match Scheme::parse(&required.scheme) {
        Some(scheme @ (Scheme::Exact | Scheme::Upto)) => Ok(scheme),
        Some(Scheme::BatchSettlement) | None => Err(Reason::UnsupportedScheme),
    }
}

const fn other_network(scheme: Scheme) -> Reason {
    match scheme {
        Scheme::Upto => Reason::InvalidUptoEvmNetworkMismatch,
        Scheme::Exact | Scheme::BatchSettlement => Reason::NetworkMismatch,
    }
}

fn names_domain(terms: &OfferTerms) -> bool {
    let said = |name: &str| {
        let value = terms.extra.get(name).and_then(Value::as_str);
        value.is_some_and(|text| !text.is_empty())
    };
    said("name") && said("version")
}

fn echo_mismatch(
    accepted: &OfferTerms,
    required: &OfferTerms,
    promise: &Authorization,
    phase: Phase,
    ceiling: U256,
) -> Option<Reason> {
    let metered = phase == Phase::Settle && promise.scheme() == Scheme::Upto;
    let mismatch = if metered {
        // The requirement names the metered amount; the echo must still name the ceiling.
        let mut required = required.clone();
        required.amount = ceiling.to_string();
        required.mismatch(accepted)
    } else {
        required.mismatch(accepted)
    };
    mismatch.map(|member| match (promise.method(), member) {
        (Method::Permit2, "payTo") => Reason::InvalidPermit2RecipientMismatch,
        (Method::Permit2, "amount") => Reason::Permit2AmountMismatch,
        (Method::Permit2, "asset") => Reason::Permit2TokenMismatch,
        (Method::Eip3009, "payTo") => Reason::InvalidExactEvmPayloadRecipientMismatch,
        (Method::Eip3009, "amount") => Reason::InvalidExactEvmPayloadAuthorizationValueMismatch,
        (Method::Permit2 | Method::Eip3009, _) => Reason::InvalidPaymentRequirements,
    })
}

fn fits(sponsor: &Eip2612, promise: &Authorization, rules: &Rules<'_>) -> Result<(), Reason> {
    let checks = [
        (sponsor.from == promise.payer(), Reason::Eip2612FromMismatch),
        (
            sponsor.asset == promise.asset(),
            Reason::Eip2612AssetMismatch,
        ),
        (sponsor.spender == PERMIT2, Reason::Eip2612SpenderNotPermit2),
        (
            expires_late_enough(sponsor.deadline, rules),
            Reason::Eip2612DeadlineExpired,
        ),
        // The proxies demand it, although x402 suggests an unlimited approval.
        (
            sponsor.amount == promise.amount(),
            Reason::Permit2612AmountMismatch,
        ),
    ];
    let broken = checks.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, reason)| Err(reason))
}

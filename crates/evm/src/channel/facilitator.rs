//! What a facilitator refuses, what it asks the chain, what it sends and when it calls money moved.
//! Plain functions; the service performs the calls.
//!
//! A verification is [`plan_verify`] (everything that needs no chain), one batch of
//! [`VerifyPlan::calls`], and [`conclude_verify`]. A settlement is [`plan_settle`], one batch of
//! [`SettlePlan::calls`], [`SettlePlan::conclude`], the transaction that it returns, and
//! [`SettlePlan::check_settled`] over its transaction receipt. The order of the rules is that of
//! `spec/channel.md`.

mod asked;
mod claims;
mod deposits;
mod plans;
mod refunds;
mod settled;
mod settles;
mod vouchers;

use alloy_primitives::{Address, B256, Bytes};
use seamline_core::{Amount, Timestamp};
use serde_json::Value;

use self::asked::Asked;
pub use self::settled::Settled;
use super::{ChainState, ChannelConfig, Payload, SCHEME, Terms};
use crate::facilitator::{DEADLINE_BUFFER_S, Invalid};
use crate::x402::{Offer, PaymentPayload, Reason, VerifyResponse};
use crate::{RpcError, Signer, TransportError};

/// Gas that a deposit may use, and the bound of its simulation. Measured by the contract's authors:
/// 112,000 for an account's first one; the rest is for a contract payer's own check of its
/// signature.
pub const DEPOSIT_GAS: u64 = 350_000;
/// Gas that a claim may use besides its rows.
pub const CLAIM_GAS: u64 = 90_000;
/// Gas that one row of a claim may use: 17,000 measured, and a contract payer's own check.
pub const CLAIM_ROW_GAS: u64 = 70_000;
/// Gas that paying out may use: 31,000 measured, more for a receiver's first tokens.
pub const SETTLE_GAS: u64 = 120_000;
/// Gas that a refund may use: 54,000 measured.
pub const REFUND_GAS: u64 = 160_000;

/// What a facilitator judges by.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "may refer to a key")]
pub struct Rules<'a> {
    /// The facilitator's clock.
    pub now: Timestamp,
    /// The accounts that send its transactions: none of them is ever a payer.
    pub own_signers: &'a [Address],
    /// What it signs for sellers who made it their receiver authorizer.
    pub delegation: Delegation<'a>,
}

/// What a facilitator signs for sellers that left their `receiverAuthorizer` to it.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "may refer to a key")]
pub enum Delegation<'a> {
    /// Nothing: sellers sign their claims and refunds themselves.
    None,
    /// Claims: they can only move what a payer promised to the seller that it was promised to.
    Claims(&'a dyn Signer),
    /// Claims and refunds.
    ///
    /// # Security
    ///
    /// A refund gives back what is not yet claimed. Whoever may ask for one (a payer, for example)
    /// takes from the seller what it charged and did not claim, so a service that offers this must
    /// know that the request is the seller's.
    ClaimsAndRefunds(&'a dyn Signer),
}

/// A payment that passed everything that needs no chain, and what the chain must be asked.
#[derive(Clone, Debug)]
pub struct VerifyPlan {
    payload: Payload,
    terms: Terms,
    config: ChannelConfig,
    channel_id: B256,
    asked: Asked,
}

/// A settlement that passed everything that needs no chain. `Debug` leaves the input out: it holds
/// signatures.
#[derive(Clone)]
pub struct SettlePlan {
    work: Work,
    network: String,
    chain_id: u64,
    payer: Option<Address>,
    input: Bytes,
    gas: u64,
    asked: Asked,
}

/// What a settlement's transaction does.
#[derive(Clone, Debug)]
enum Work {
    Claim(claims::ClaimWork),
    Deposit(Box<VerifyPlan>),
    Refund(Box<refunds::RefundWork>),
    Settle(settles::SettleWork),
}

/// What [`SettlePlan::conclude`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Send a transaction with this.
    Send(SettleCall),
    /// The chain is as asked already: an earlier transaction did it. Answer success without one.
    Nothing,
}

/// The call of a settlement's transaction. `Debug` leaves the input out: it holds signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct SettleCall {
    /// The contract.
    pub to: Address,
    /// The input.
    pub input: Bytes,
    /// Most gas that it may use.
    pub gas_limit: u64,
    /// What the chain had recorded of the channel before, for the answer; of deposits and refunds.
    pub before: Option<ChainState>,
}

/// Applies, for `/verify`, every rule that needs no chain, in order. Deposits, vouchers and refunds
/// can be verified; claims and settlements are only ever settled.
///
/// The service has checked already that the requirement's network is its own chain and that it
/// settles the requirement's token.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_verify(
    payload: &PaymentPayload,
    requirements: &Offer,
    rules: &Rules<'_>,
) -> Result<VerifyPlan, Invalid> {
    let (parsed, _) = open(payload, requirements)?;
    // 4. The payer accepted what the seller requires, member by member.
    let payer = parsed.channel().map(|(config, _)| config.payer);
    let refuse = |reason| Invalid { reason, payer };
    if let Some(reason) = echo(payload, requirements, true) {
        return Err(refuse(reason));
    }
    if matches!(&parsed, Payload::Refund { order: Some(_), .. }) {
        return Err(refuse(Reason::InvalidBatchSettlementEvmPayloadType));
    }
    verifiable(parsed, payload, requirements, rules).map_err(refuse)
}

/// Reads the chain's answer to [`VerifyPlan::calls`].
///
/// Fails closed: whatever could not be asked makes the payment invalid, with `…_rpc_read_failed`.
pub fn conclude_verify(
    plan: &VerifyPlan,
    answer: &Result<Vec<Result<Value, RpcError>>, TransportError>,
) -> VerifyResponse {
    let results = answer.as_deref().unwrap_or_default();
    match plan.judge(results) {
        Ok(chain) => {
            let extra = Value::Object(chain.write(&plan.channel_id));
            VerifyResponse {
                extra: Some(extra),
                ..VerifyResponse::valid(plan.config.payer)
            }
        }
        Err(reason) => VerifyResponse::invalid(reason, Some(plan.config.payer)),
    }
}

/// Applies, for `/settle`, every rule that needs no chain, in order: of a deposit, of a seller's
/// claim, of paying out, or of a refund with the seller's order. A voucher alone settles nothing: a
/// seller charges it in its own books.
///
/// A missing signature of the receiver's side is made here, where [`Rules::delegation`] allows it:
/// call it from a blocking thread where that signer may block.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_settle(
    payload: &PaymentPayload,
    requirements: &Offer,
    rules: &Rules<'_>,
) -> Result<SettlePlan, Invalid> {
    let (parsed, chain_id) = open(payload, requirements)?;
    let payer = parsed.channel().map(|(config, _)| config.payer);
    let refuse = |reason| Invalid { reason, payer };
    if let Some(reason) = echo(payload, requirements, false) {
        return Err(refuse(reason));
    }
    let context = Context {
        chain_id,
        payload,
        requirements,
        rules,
    };
    let plan = match parsed {
        Payload::Deposit { .. } => deposits::plan(parsed, &context),
        Payload::Claim {
            claims,
            authorizer_signature,
        } => claims::plan(&claims, authorizer_signature, &context),
        Payload::Settle { receiver, token } => settles::plan(receiver, token, &context),
        Payload::Refund {
            config,
            voucher,
            amount: Some(amount),
            order: Some(order),
        } => refunds::plan(&config, &voucher, amount, order, &context),
        Payload::Refund { .. } => Err(Reason::InvalidBatchSettlementEvmRefundPayload),
        Payload::Voucher { .. } => Err(Reason::from(
            "invalid_batch_settlement_evm_unknown_settle_action",
        )),
    };
    plan.map_err(refuse)
}

/// What every plan looks at.
struct Context<'a> {
    chain_id: u64,
    payload: &'a PaymentPayload,
    requirements: &'a Offer,
    rules: &'a Rules<'a>,
}

impl Context<'_> {
    /// Who sends the simulation: any account of the facilitator.
    fn sender(&self) -> Address {
        let first = self.rules.own_signers.first();
        first.copied().unwrap_or(Address::ZERO)
    }

    fn network(&self) -> String {
        self.requirements.terms().network.clone()
    }

    /// Rules of what a seller sends: for the receiver and in the token that it names.
    fn for_seller(&self, receiver: Address, token: Address) -> Result<(), Reason> {
        let terms = self.requirements.terms();
        if terms.pay_to_address() != Some(receiver) {
            return Err(Reason::InvalidBatchSettlementEvmReceiverMismatch);
        }
        if terms.asset_address() != Some(token) {
            return Err(Reason::InvalidBatchSettlementEvmTokenMismatch);
        }
        Ok(())
    }
}

/// Rules 1 to 3, of everything: scheme, network, form.
fn open(payload: &PaymentPayload, requirements: &Offer) -> Result<(Payload, u64), Invalid> {
    let (accepted, required) = (payload.accepted().terms(), requirements.terms());
    let nameless = |reason| Invalid {
        reason,
        payer: None,
    };
    // 1. The scheme.
    if accepted.scheme != SCHEME || required.scheme != SCHEME {
        return Err(nameless(Reason::InvalidBatchSettlementEvmScheme));
    }
    // 2. The network.
    let chain_id = match required.chain_id() {
        Some(chain_id) if accepted.network == required.network => chain_id,
        Some(_) | None => {
            return Err(nameless(Reason::InvalidBatchSettlementEvmNetworkMismatch));
        }
    };
    // 3. It can be read.
    let parsed = Payload::parse(payload.payload()).map_err(nameless)?;
    Ok((parsed, chain_id))
}

/// The first member in which the echo differs from the requirement. On `/settle` the requirement's
/// amount is what was charged, and the echo keeps the price.
fn echo(payload: &PaymentPayload, requirements: &Offer, with_amount: bool) -> Option<Reason> {
    let accepted = payload.accepted().terms();
    let mut required = requirements.terms().clone();
    if !with_amount {
        required.amount.clone_from(&accepted.amount);
    }
    required.mismatch(accepted).map(|member| match member {
        "payTo" => Reason::InvalidBatchSettlementEvmReceiverMismatch,
        "asset" => Reason::InvalidBatchSettlementEvmTokenMismatch,
        _ => Reason::InvalidPaymentRequirements,
    })
}

/// Rules of everything that a payer sends.
fn verifiable(
    parsed: Payload,
    payload: &PaymentPayload,
    requirements: &Offer,
    rules: &Rules<'_>,
) -> Result<VerifyPlan, Reason> {
    // 5. The requirement says all that the scheme needs.
    let terms = Terms::of(requirements)?;
    let (config, voucher) = parsed
        .channel()
        .map(|(config, voucher)| (config.clone(), voucher.clone()))
        .ok_or(Reason::InvalidBatchSettlementEvmPayloadType)?;
    // 6. The channel is the one that it asks for.
    config.check(&voucher.channel_id, &terms)?;
    // 7. We do not pay ourselves: a facilitator's own funds are no payer's.
    if rules.own_signers.contains(&config.payer) {
        return Err(Reason::InvalidBatchSettlementEvmDepositPayload);
    }
    let channel_id = voucher.channel_id;
    let mut asked = Asked::default();
    asked.state(&channel_id);
    // 8. The deposit, where there is one.
    if let Payload::Deposit { deposit, .. } = &parsed {
        let context = Context {
            chain_id: terms.chain_id,
            payload,
            requirements,
            rules,
        };
        deposits::check(deposit, &config, &channel_id, &terms, &context, &mut asked)?;
    }
    // 9. The voucher is the payer's promise.
    vouchers::check(&voucher, &config, terms.chain_id, &mut asked)?;
    Ok(VerifyPlan {
        payload: parsed,
        terms,
        config,
        channel_id,
        asked,
    })
}

/// The least second at which an authorization may end: one that ends sooner could not be settled.
fn earliest_end(now: Timestamp) -> u64 {
    now.as_secs().saturating_add(DEADLINE_BUFFER_S)
}

/// What a promise must cover: more than what was claimed, at most what is there.
fn covered(
    max_claimable: Amount,
    balance: Amount,
    total_claimed: Amount,
    refund: bool,
) -> Result<(), Reason> {
    if max_claimable > balance {
        return Err(Reason::InvalidBatchSettlementEvmCumulativeExceedsBalance);
    }
    let above = if refund {
        max_claimable >= total_claimed
    } else {
        max_claimable > total_claimed
    };
    if above {
        Ok(())
    } else {
        Err(Reason::InvalidBatchSettlementEvmCumulativeBelowClaimed)
    }
}

#[cfg(test)]
mod tests;

//! The facilitator's rules for `exact` and `upto`: what it refuses, what it asks the chain, and when
//! it calls money moved. Plain functions; the service performs the calls.
//!
//! A verification is [`plan_verify`] (everything that needs no chain), one batch of
//! [`VerifyPlan::calls`], and [`conclude_verify`]. A settlement is [`plan_settle`], the same batch,
//! [`conclude_verify`], the call of [`SettlePlan::deployment`] where there is one, a transaction with
//! [`SettlePlan::transaction`], and [`check_settled`] over its transaction receipt. The order of the
//! rules is that of `spec/payment.md`.

mod ask;
mod bind;
mod conclude;
mod deployment;
mod revert;
mod settled;

use alloy_primitives::{Address, B256, Bytes};
use seamline_core::{Amount, Timestamp};

use crate::scheme::{APPROVAL_GAS, Authorization, Eip2612, Wrapped};
use crate::x402::{Offer, PaymentPayload, Reason};
use crate::{RpcCall, Signature};

pub use bind::{Bound, Phase, bind};
pub use conclude::conclude_verify;
pub use deployment::{DEPLOY_GAS, Deployment};
pub(crate) use settled::{Receipt, Transfer};
pub use settled::{Settled, check_settled};

/// An authorization that expires within this many seconds is refused: it could not be settled in
/// time. The buffer of all SDKs.
pub const DEADLINE_BUFFER_S: u64 = 6;

/// What a facilitator knows and allows, besides the payment.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The time.
    pub now: Timestamp,
    /// The accounts that settle. They are no payers, and for `upto` one of them is the facilitator
    /// that the payer named; the first one stands as the sender of a simulation that names none.
    pub own_signers: &'a [Address],
    /// Contracts that may deploy wallets at the facilitator's expense (ERC-6492). Empty allows none,
    /// which is the default to keep: a factory's code runs on the facilitator's gas.
    pub factories: &'a [Address],
    /// Tokens and proxies that were seen to have code lately: they are not asked for again.
    pub deployed: &'a [Address],
}

/// Why a payment is refused. An answer, not a failure: HTTP 200 with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payment is refused: {reason}")]
pub struct Invalid {
    /// The code that goes on the wire.
    pub reason: Reason,
    /// Who pays, as far as the payment could be read.
    pub payer: Option<Address>,
}

/// A payment that passed everything that needs no chain, and what the chain must be asked.
#[derive(Clone, Debug)]
pub struct VerifyPlan {
    authorization: Authorization,
    sponsor: Option<Eip2612>,
    digest: B256,
    chain_id: u64,
    now: Timestamp,
    simulated: Amount,
    /// Whether the payer's own key made the signature.
    is_of_key: bool,
    /// A wallet that is not deployed yet, whose factory is on the list.
    counterfactual: Option<Deployment>,
    /// Whether the signature is wrapped for such a wallet, listed or not.
    wrapped: bool,
    asked: Vec<ask::Ask>,
    calls: Vec<RpcCall>,
}

/// A settlement that passed everything that needs no chain.
#[derive(Clone, Debug)]
pub struct SettlePlan {
    verify: VerifyPlan,
    network: String,
}

/// The call that settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleCall {
    /// The contract to call.
    pub to: Address,
    /// The input.
    pub input: Bytes,
    /// Most gas that it may use.
    pub gas_limit: u64,
}

impl<'a> Rules<'a> {
    /// The rules of a facilitator that deploys no wallets and has seen no contract yet.
    pub const fn new(now: Timestamp, own_signers: &'a [Address]) -> Self {
        Self {
            now,
            own_signers,
            factories: &[],
            deployed: &[],
        }
    }
}

/// Applies, for `/verify`, every rule that needs no chain, in order.
///
/// The service has checked already that the requirement's network is its own chain and its asset one
/// that it settles: a token of the payer's own making emits whatever logs it likes.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_verify(
    payload: &PaymentPayload,
    requirements: &Offer,
    rules: &Rules<'_>,
) -> Result<VerifyPlan, Invalid> {
    plan(payload, requirements, Phase::Verify, rules)
}

/// Applies, for `/settle`, every rule that needs no chain, in order. For `upto` the requirement's
/// amount is what was metered, and the payer's echo keeps the ceiling.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_settle(
    payload: &PaymentPayload,
    requirements: &Offer,
    rules: &Rules<'_>,
) -> Result<SettlePlan, Invalid> {
    let verify = plan(payload, requirements, Phase::Settle, rules)?;
    Ok(SettlePlan {
        verify,
        network: requirements.terms().network.clone(),
    })
}

impl VerifyPlan {
    /// The batch to send; [`conclude_verify`] reads its answer.
    pub fn calls(&self) -> &[RpcCall] {
        &self.calls
    }

    /// What the payer promised.
    pub const fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    /// The approval that is used first, where the payer sent one.
    pub const fn sponsor(&self) -> Option<&Eip2612> {
        self.sponsor.as_ref()
    }

    /// Who pays.
    pub const fn payer(&self) -> Address {
        self.authorization.payer()
    }

    /// EIP-155 chain id of the requirement.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The digest that the payer signed.
    pub const fn digest(&self) -> B256 {
        self.digest
    }

    /// What identifies the payment on chain ([`Authorization::key`]).
    pub fn payment_key(&self) -> B256 {
        self.authorization.key(self.chain_id)
    }

    /// The call that settles what was verified.
    fn settle_call(&self) -> SettleCall {
        let sponsor = self.sponsor.as_ref();
        let promise = &self.authorization;
        let (to, input) = promise.call(self.is_of_key, self.simulated, sponsor);
        let gas_limit = self.authorization.gas_limit();
        let approval = sponsor.map_or(0, |_| APPROVAL_GAS);
        SettleCall {
            to,
            input,
            gas_limit: gas_limit.saturating_add(approval),
        }
    }
}

impl SettlePlan {
    /// The verification to run before the transaction: for the amount that is settled.
    pub const fn verify(&self) -> &VerifyPlan {
        &self.verify
    }

    /// What the payer promised.
    pub const fn authorization(&self) -> &Authorization {
        &self.verify.authorization
    }

    /// The amount to settle, base units. Zero (`upto` only) settles nothing: answer success without
    /// a transaction.
    pub const fn amount(&self) -> Amount {
        self.verify.simulated
    }

    /// The network as the requirement names it.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The one account that may send the transaction; `None` where any of ours may.
    pub const fn sender(&self) -> Option<Address> {
        self.verify.authorization.facilitator()
    }

    /// The transaction that settles: contract, input and gas limit.
    pub fn transaction(&self) -> SettleCall {
        self.verify.settle_call()
    }

    /// The contract that the transaction calls.
    pub const fn contract(&self) -> Address {
        self.verify.authorization.contract()
    }

    /// The input of the transaction.
    pub fn calldata(&self) -> Bytes {
        self.verify.settle_call().input
    }
}

fn plan(
    payload: &PaymentPayload,
    requirements: &Offer,
    phase: Phase,
    rules: &Rules<'_>,
) -> Result<VerifyPlan, Invalid> {
    let bound = bind(payload, requirements, phase, rules)?;
    let authorization = bound.authorization;
    let wrapped = authorization.wrapped();
    let listed = |wrapped: &Wrapped| rules.factories.contains(&wrapped.factory);
    let counterfactual = wrapped.as_ref().filter(|it| listed(it)).map(Deployment::of);
    let digest = authorization.digest(bound.chain_id);
    let signature = Signature::parse(authorization.signature());
    let signer = signature.and_then(|signature| signature.recover(&digest));
    let mut plan = VerifyPlan {
        digest,
        is_of_key: signer.is_ok_and(|signer| signer == authorization.payer()),
        authorization,
        sponsor: bound.sponsor,
        chain_id: bound.chain_id,
        now: rules.now,
        simulated: bound.amount,
        counterfactual,
        wrapped: wrapped.is_some(),
        asked: Vec::new(),
        calls: Vec::new(),
    };
    let signature = wrapped.map(|wrapped| wrapped.signature);
    (plan.asked, plan.calls) = ask::calls(&plan, signature, rules);
    Ok(plan)
}

#[cfg(test)]
mod tests;

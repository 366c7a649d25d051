//! The facilitator's rules for `upto`: what it refuses, what it asks the chain, and when it calls
//! money moved. Plain functions; the service performs the calls.
//!
//! A verification is [`plan_verify`] (everything that needs no chain), one batch of
//! [`VerifyPlan::calls`], and [`conclude_verify`]. A settlement is [`plan_settle`], the same batch,
//! [`conclude_verify`], a transaction with [`SettlePlan::calldata`], and [`check_settled`] over its
//! transaction receipt. The order of the rules is that of `spec/payment.md`.

mod conclude;
mod revert;
mod settled;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::{Amount, Timestamp};

use crate::RpcCall;
use crate::bindings::{IContractSigner, IPermit2, IToken, PERMIT2, UPTO_PROXY};
use crate::rpc::At;
use crate::upto::{Permit, SCHEME};
use crate::x402::{Offer, PaymentPayload, Reason};

pub use conclude::conclude_verify;
pub(crate) use settled::{Receipt, Transfer};
pub use settled::{Settled, check_settled};

/// Gas that a settlement may use, and the bound of its simulation, so that what passes the
/// simulation passes on chain. Measured: 93,000 for an account's signature; the rest is for a
/// contract payer's own check, bounded against one that burns gas.
pub const SETTLE_GAS: u64 = 300_000;
/// An authorization that expires within this many seconds is refused: it could not be settled in
/// time. The buffer of all SDKs.
pub const DEADLINE_BUFFER_S: u64 = 6;

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
    permit: Permit,
    chain_id: u64,
    simulated: Amount,
    calls: Vec<RpcCall>,
}

/// A settlement that passed everything that needs no chain.
#[derive(Clone, Debug)]
pub struct SettlePlan {
    verify: VerifyPlan,
    network: String,
}

/// Applies, for `/verify`, every rule that needs no chain, in order.
///
/// The service has checked already that the requirement's network is its own chain.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_verify(
    payload: &PaymentPayload,
    requirements: &Offer,
    now: Timestamp,
    own_signers: &[Address],
) -> Result<VerifyPlan, Invalid> {
    plan(payload, requirements, Phase::Verify, now, own_signers)
}

/// Applies, for `/settle`, every rule that needs no chain, in order. The requirement's amount is
/// what was metered; the payer's echo keeps the ceiling.
///
/// # Errors
///
/// [`Invalid`] with the reason of the first rule that failed.
pub fn plan_settle(
    payload: &PaymentPayload,
    requirements: &Offer,
    now: Timestamp,
    own_signers: &[Address],
) -> Result<SettlePlan, Invalid> {
    let verify = plan(payload, requirements, Phase::Settle, now, own_signers)?;
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
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Who pays.
    pub const fn payer(&self) -> Address {
        self.permit.from
    }

    /// EIP-155 chain id of the requirement.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// What identifies the payment on chain ([`Permit::key`]).
    pub fn payment_key(&self) -> alloy_primitives::B256 {
        self.permit.key(self.chain_id)
    }
}

impl SettlePlan {
    /// The verification to run before the transaction: for the amount that is settled.
    pub const fn verify(&self) -> &VerifyPlan {
        &self.verify
    }

    /// The amount to settle, base units. Zero settles nothing: answer success without a
    /// transaction.
    pub const fn amount(&self) -> Amount {
        self.verify.simulated
    }

    /// The network as the requirement names it.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The account that must send the transaction: the proxy accepts no other.
    pub const fn sender(&self) -> Address {
        self.verify.permit.authorization.facilitator
    }

    /// The contract that the transaction calls.
    pub const fn contract(&self) -> Address {
        UPTO_PROXY
    }

    /// The input of the transaction.
    pub fn calldata(&self) -> Bytes {
        settle_call(&self.verify.permit, self.amount())
    }
}

/// The input of a transaction that settles `amount` of `permit` through the proxy.
pub fn settle_call(permit: &Permit, amount: Amount) -> Bytes {
    permit.settle_call(amount).abi_encode().into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Verify,
    Settle,
}

fn plan(
    payload: &PaymentPayload,
    requirements: &Offer,
    phase: Phase,
    now: Timestamp,
    own_signers: &[Address],
) -> Result<VerifyPlan, Invalid> {
    let (accepted, required) = (payload.accepted().terms(), requirements.terms());
    let nameless = |reason| Invalid {
        reason,
        payer: None,
    };
    // 1. The scheme.
    if accepted.scheme != SCHEME || required.scheme != SCHEME {
        return Err(nameless(Reason::InvalidUptoEvmScheme));
    }
    // 2. The network.
    let chain_id = match required.chain_id() {
        Some(chain_id) if accepted.network == required.network => chain_id,
        Some(_) | None => return Err(nameless(Reason::InvalidUptoEvmNetworkMismatch)),
    };
    // 3. The payload and the requirement can be read.
    let permit = Permit::of(payload).map_err(|_| nameless(Reason::InvalidPermit2PayloadFormat))?;
    let refuse = |reason| Invalid {
        reason,
        payer: Some(permit.from),
    };
    let unreadable = || refuse(Reason::InvalidPaymentRequirements);
    let pay_to = required.pay_to_address().ok_or_else(unreadable)?;
    let asset = required.asset_address().ok_or_else(unreadable)?;
    let amount = required.amount().ok_or_else(unreadable)?;
    let terms = &permit.authorization;
    let now_s = U256::from(now.as_secs());
    let earliest_deadline = now_s.saturating_add(U256::from(DEADLINE_BUFFER_S));
    let named = required.facilitator();
    let rules = [
        // 4. Permit2 lets only the proxy spend.
        (terms.spender == UPTO_PROXY, Reason::InvalidPermit2Spender),
        // 5. The money goes to the seller.
        (terms.to == pay_to, Reason::InvalidPermit2RecipientMismatch),
        // 6. We can settle, and are whom the seller named.
        (
            own_signers.contains(&terms.facilitator)
                && named.is_none_or(|named| named == terms.facilitator),
            Reason::UptoFacilitatorMismatch,
        ),
        // 7. There is time to settle.
        (
            terms.deadline >= earliest_deadline,
            Reason::Permit2DeadlineExpired,
        ),
        // 8. It is valid already.
        (terms.valid_after <= now_s, Reason::Permit2NotYetValid),
        // 9. The amount: on verify the ceiling exactly, on settle at most the ceiling.
        match phase {
            Phase::Verify => (
                terms.amount == U256::from(amount.get()),
                Reason::Permit2AmountMismatch,
            ),
            Phase::Settle => (
                U256::from(amount.get()) <= terms.amount,
                Reason::InvalidUptoEvmPayloadSettlementExceedsAmount,
            ),
        },
        // 10. The token.
        (terms.token == asset, Reason::Permit2TokenMismatch),
        // 11. We do not pay ourselves: a facilitator's own funds are no payer's.
        (
            !own_signers.contains(&permit.from),
            Reason::Permit2InvalidOwner,
        ),
    ];
    for (holds, reason) in rules {
        if !holds {
            return Err(refuse(reason));
        }
    }
    // 12. The payer accepted what the seller requires, member by member.
    if let Some(reason) = echo_mismatch(payload, requirements, phase, terms.amount) {
        return Err(refuse(reason));
    }
    let calls = calls(&permit, chain_id, amount);
    Ok(VerifyPlan {
        permit,
        chain_id,
        simulated: amount,
        calls,
    })
}

fn echo_mismatch(
    payload: &PaymentPayload,
    requirements: &Offer,
    phase: Phase,
    permitted: U256,
) -> Option<Reason> {
    let accepted = payload.accepted().terms();
    let mut required = requirements.terms().clone();
    if phase == Phase::Settle {
        // The requirement names the metered amount; the echo must still name the ceiling.
        required.amount = permitted.to_string();
    }
    required.mismatch(accepted).map(|member| match member {
        "payTo" => Reason::InvalidPermit2RecipientMismatch,
        "amount" => Reason::Permit2AmountMismatch,
        "asset" => Reason::Permit2TokenMismatch,
        _ => Reason::InvalidPaymentRequirements,
    })
}

/// What the chain is asked, in the order that [`conclude`] reads.
fn calls(permit: &Permit, chain_id: u64, amount: Amount) -> Vec<RpcCall> {
    let terms = &permit.authorization;
    let at = At::Latest;
    let ask = |to: Address, input: Vec<u8>| RpcCall::call(to, &input, at);
    let facilitator = terms.facilitator;
    let [word, _] = crate::chain::nonce_position(terms.nonce);
    let contract_signature = IContractSigner::isValidSignatureCall {
        digest: permit.digest(chain_id),
        signature: permit.signature.clone().into(),
    };
    let allowance = IToken::allowanceCall {
        owner: permit.from,
        spender: PERMIT2,
    };
    let balance = IToken::balanceOfCall { owner: permit.from };
    let spent = IPermit2::nonceBitmapCall {
        owner: permit.from,
        word,
    };
    vec![
        RpcCall::code(permit.from, at),
        RpcCall::code(UPTO_PROXY, at),
        RpcCall::code(terms.token, at),
        RpcCall::call_from(
            PERMIT2,
            permit.from,
            &contract_signature.abi_encode(),
            SETTLE_GAS,
            at,
        ),
        RpcCall::call_from(
            facilitator,
            UPTO_PROXY,
            &settle_call(permit, amount),
            SETTLE_GAS,
            at,
        ),
        ask(terms.token, allowance.abi_encode()),
        ask(terms.token, balance.abi_encode()),
        ask(PERMIT2, spent.abi_encode()),
    ]
}

#[cfg(test)]
mod tests;

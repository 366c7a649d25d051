//! What the chain's answers mean for a payment.

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall as _;
use serde_json::Value;

use super::ask::Ask;
use super::{VerifyPlan, deployment, revert};
use crate::bindings::IToken;
use crate::chain::nonce_position;
use crate::rpc::bytes_of;
use crate::scheme::{Authorization, Method};
use crate::x402::{Reason, VerifyResponse};
use crate::{RpcError, TransportError};

type Answer = Result<Value, RpcError>;

/// Reads the chain's answer to [`VerifyPlan::calls`].
///
/// Fails closed: whatever could not be asked makes the payment invalid, with
/// `unexpected_verify_error`. That a contract halted is an answer, and a refusal: its author chose so.
pub fn conclude_verify(
    plan: &VerifyPlan,
    answer: &Result<Vec<Answer>, TransportError>,
) -> VerifyResponse {
    match judge(plan, answer.as_deref().unwrap_or_default()) {
        Ok(()) => VerifyResponse::valid(plan.payer()),
        Err(reason) => VerifyResponse::invalid(reason, Some(plan.payer())),
    }
}

impl VerifyPlan {
    /// The answer to one question of the batch.
    pub(super) fn answer<'a>(&self, results: &'a [Answer], ask: Ask) -> Option<&'a Answer> {
        let place = self.asked.iter().position(|asked| *asked == ask)?;
        results.get(place)
    }

    fn asks(&self, ask: Ask) -> bool {
        self.asked.contains(&ask)
    }
}

fn judge(plan: &VerifyPlan, results: &[Answer]) -> Result<(), Reason> {
    if results.len() != plan.calls.len() {
        return Err(Reason::UnexpectedVerifyError);
    }
    let answer = |ask| plan.answer(results, ask);
    // 15. The signature, as the chain itself will check it: by the code at the payer's address.
    let undeployed = known(answer(Ask::PayerCode))?.is_empty();
    if undeployed && plan.wrapped {
        if plan.counterfactual.is_none() {
            return Err(Reason::Eip6492FactoryNotAllowed);
        }
    } else if undeployed {
        account_signature(plan)?;
    } else {
        contract_signed(plan, answer(Ask::ContractSignature))?;
    }
    // 16. There are contracts to settle with: a call of an address without code succeeds.
    if plan.asks(Ask::ProxyCode) && known(answer(Ask::ProxyCode))?.is_empty() {
        return Err(Reason::Permit2ProxyNotDeployed);
    }
    if plan.asks(Ask::TokenCode) && known(answer(Ask::TokenCode))?.is_empty() {
        return Err(Reason::AssetNotDeployedContract);
    }
    // 17. The settlement, simulated; that of an undeployed wallet after its deployment.
    if undeployed && plan.wrapped {
        let simulation = answer(Ask::Counterfactual);
        // Each of its steps may fail, so that only a halt ends it: somebody burned the gas of all.
        if let Some(Err(error)) = simulation
            && error.halted()
        {
            return Err(revert::unnamed(plan));
        }
        return deployment::judge(plan, &known(simulation)?);
    }
    // Nothing settles at zero, so there is nothing to simulate.
    if plan.simulated.is_zero() {
        return Ok(());
    }
    let simulation = answer(Ask::Simulation);
    let Some(Err(error)) = simulation else {
        return known(simulation).map(|_| ());
    };
    let data = error.ended().ok_or(Reason::UnexpectedVerifyError)?;
    Err(revert::reason(plan, &data).unwrap_or_else(|| diagnose(plan, results)))
}

/// Why a settlement reverted that does not say why.
fn diagnose(plan: &VerifyPlan, results: &[Answer]) -> Reason {
    let answer = |ask| plan.answer(results, ask);
    let needed: U256 = plan.simulated.into();
    let below = |ask| word(answer(ask)).is_some_and(|has| has < needed);
    match &plan.authorization {
        Authorization::Eip3009(it) => {
            let says = |ask| known(answer(ask)).ok();
            let name = says(Ask::Name)
                .and_then(|text| IToken::nameCall::abi_decode_returns_validate(&text).ok());
            let version = says(Ask::Version)
                .and_then(|text| IToken::versionCall::abi_decode_returns_validate(&text).ok());
            if matches!(answer(Ask::Spent), Some(Err(error)) if error.ended().is_some()) {
                Reason::InvalidExactEvmEip3009NotSupported
            } else if word(answer(Ask::Spent)).is_some_and(|used| used != U256::ZERO) {
                Reason::InvalidExactEvmNonceAlreadyUsed
            } else if name.is_some_and(|name| name != it.name) {
                Reason::InvalidExactEvmTokenNameMismatch
            } else if version.is_some_and(|version| version != it.version) {
                Reason::InvalidExactEvmTokenVersionMismatch
            } else if below(Ask::Balance) {
                Reason::InvalidExactEvmInsufficientBalance
            } else {
                revert::unnamed(plan)
            }
        }
        Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
            let [_, bit] = nonce_position(plan.authorization.auth_nonce().into());
            if word(answer(Ask::Spent)).is_some_and(|bits| bits & bit != U256::ZERO) {
                Reason::Permit2InvalidNonce
            } else if below(Ask::Allowance) {
                Reason::Permit2AllowanceRequired
            } else if below(Ask::Balance) {
                Reason::Permit2InsufficientBalance
            } else {
                revert::unnamed(plan)
            }
        }
    }
}

fn account_signature(plan: &VerifyPlan) -> Result<(), Reason> {
    let promise = &plan.authorization;
    if plan.is_of_key {
        Ok(())
    } else if promise.signature().len() > 65 && promise.method() == Method::Eip3009 {
        Err(Reason::InvalidExactEvmPayloadUndeployedSmartWallet)
    } else {
        Err(bad_signature(plan))
    }
}

/// Strictly the contract's word, for an account with delegated code (EIP-7702) too: that its own key
/// signed does not help, because neither Permit2 nor a token would ask for it.
fn contract_signed(plan: &VerifyPlan, result: Option<&Answer>) -> Result<(), Reason> {
    if let Some(Err(error)) = result {
        return Err(match error.ended() {
            Some(_) => bad_signature(plan),
            None => Reason::UnexpectedVerifyError,
        });
    }
    if deployment::is_magic(&known(result)?) {
        Ok(())
    } else {
        Err(bad_signature(plan))
    }
}

pub(super) const fn bad_signature(plan: &VerifyPlan) -> Reason {
    match plan.authorization.method() {
        Method::Eip3009 => Reason::InvalidExactEvmPayloadSignature,
        Method::Permit2 => Reason::InvalidPermit2Signature,
    }
}

fn known(result: Option<&Answer>) -> Result<Bytes, Reason> {
    let value = result.and_then(|result| result.as_ref().ok());
    value
        .and_then(|value| bytes_of(value).ok())
        .ok_or(Reason::UnexpectedVerifyError)
}

fn word(result: Option<&Answer>) -> Option<U256> {
    let bytes = known(result).ok()?;
    let word: [u8; 32] = bytes.as_ref().try_into().ok()?;
    Some(U256::from_be_bytes(word))
}

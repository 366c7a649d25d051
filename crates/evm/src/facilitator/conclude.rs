use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall as _;
use serde_json::Value;

use super::{VerifyPlan, revert};
use crate::bindings::IContractSigner;
use crate::rpc::bytes_of;
use crate::x402::{Reason, VerifyResponse};
use crate::{RpcError, Signature, TransportError, chain};

/// Reads the chain's answer to [`VerifyPlan::calls`].
///
/// Fails closed: whatever could not be asked makes the payment invalid, with
/// `unexpected_verify_error`.
pub fn conclude_verify(
    plan: &VerifyPlan,
    answer: &Result<Vec<Result<Value, RpcError>>, TransportError>,
) -> VerifyResponse {
    match judge(plan, answer.as_deref().unwrap_or_default()) {
        Ok(()) => VerifyResponse::valid(plan.payer()),
        Err(reason) => VerifyResponse::invalid(reason, Some(plan.payer())),
    }
}

fn judge(plan: &VerifyPlan, results: &[Result<Value, RpcError>]) -> Result<(), Reason> {
    let [
        payer_code,
        proxy_code,
        token_code,
        contract_signature,
        simulation,
        allowance,
        balance,
        spent,
    ] = results
    else {
        return Err(Reason::UnexpectedVerifyError);
    };
    // 13. The signature, as Permit2 itself will check it: by the code at the payer's address.
    if known(payer_code)?.is_empty() {
        account_signature(plan)?;
    } else {
        contract_signed(contract_signature)?;
    }
    // 14. There are contracts to settle with: a call of an address without code succeeds.
    if known(proxy_code)?.is_empty() {
        return Err(Reason::Permit2ProxyNotDeployed);
    }
    if known(token_code)?.is_empty() {
        return Err(Reason::AssetNotDeployedContract);
    }
    // 15. The settlement, simulated. Nothing settles at zero, so there is nothing to simulate.
    if plan.simulated.is_zero() {
        return Ok(());
    }
    let Err(error) = simulation else {
        return known(simulation).map(|_| ());
    };
    let data = error.revert().ok_or(Reason::UnexpectedVerifyError)?;
    Err(revert::reason(&data).unwrap_or_else(|| diagnose(plan, allowance, balance, spent)))
}

/// Why a settlement reverted that does not say why.
fn diagnose(
    plan: &VerifyPlan,
    allowance: &Result<Value, RpcError>,
    balance: &Result<Value, RpcError>,
    spent: &Result<Value, RpcError>,
) -> Reason {
    let needed: U256 = plan.simulated.into();
    let [_, bit] = chain::nonce_position(plan.permit.authorization.nonce);
    let below = |result| word(result).is_some_and(|has| has < needed);
    if word(spent).is_some_and(|bits| bits & bit != U256::ZERO) {
        Reason::Permit2InvalidNonce
    } else if below(allowance) {
        Reason::Permit2AllowanceRequired
    } else if below(balance) {
        Reason::Permit2InsufficientBalance
    } else {
        Reason::Permit2SimulationFailed
    }
}

fn account_signature(plan: &VerifyPlan) -> Result<(), Reason> {
    let digest = plan.permit.digest(plan.chain_id);
    let signer = Signature::parse(&plan.permit.signature).and_then(|it| it.recover(&digest));
    if signer.is_ok_and(|signer| signer == plan.permit.from) {
        Ok(())
    } else {
        Err(Reason::InvalidPermit2Signature)
    }
}

fn contract_signed(result: &Result<Value, RpcError>) -> Result<(), Reason> {
    let answer = match result {
        Ok(_) => known(result)?,
        Err(error) => match error.revert() {
            Some(_) => return Err(Reason::InvalidPermit2Signature),
            None => return Err(Reason::UnexpectedVerifyError),
        },
    };
    let magic = IContractSigner::isValidSignatureCall::abi_decode_returns_validate(&answer);
    if magic.is_ok_and(|magic| magic == IContractSigner::isValidSignatureCall::SELECTOR) {
        Ok(())
    } else {
        Err(Reason::InvalidPermit2Signature)
    }
}

fn known(result: &Result<Value, RpcError>) -> Result<Bytes, Reason> {
    let value = result.as_ref().ok();
    value
        .and_then(|value| bytes_of(value).ok())
        .ok_or(Reason::UnexpectedVerifyError)
}

fn word(result: &Result<Value, RpcError>) -> Option<U256> {
    let bytes = known(result).ok()?;
    let word: [u8; 32] = bytes.as_ref().try_into().ok()?;
    Some(U256::from_be_bytes(word))
}

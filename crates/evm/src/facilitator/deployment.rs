//! Wallets that are not deployed yet (ERC-6492).

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall as _;
use serde_json::Value;

use super::{SettleCall, SettlePlan, VerifyPlan, ask::Ask, revert};
use crate::bindings::{IContractSigner, IMulticall3, IPermit2, IToken, MULTICALL3, PERMIT2};
use crate::chain::nonce_position;
use crate::rpc::{At, bytes_of};
use crate::scheme::{Authorization, Wrapped};
use crate::x402::Reason;
use crate::{RpcCall, RpcError};

/// Gas for the deployment of a wallet. Factories of common smart wallets use 150,000 to 400,000; a
/// factory is on the list because somebody looked at it, and more than this it shall not burn.
pub const DEPLOY_GAS: u64 = 1_000_000;

/// The call that deploys a payer's wallet, to be sent and confirmed before the settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The factory; one of [`super::Rules::factories`].
    pub factory: Address,
    /// The input, chosen by the payer.
    pub input: Bytes,
    /// Most gas that it may use.
    pub gas_limit: u64,
}

impl Deployment {
    pub(super) fn of(wrapped: &Wrapped) -> Self {
        Self {
            factory: wrapped.factory,
            input: wrapped.input.clone(),
            gas_limit: DEPLOY_GAS,
        }
    }
}

impl SettlePlan {
    /// The wallet that must be deployed before the settlement, by the batch's own answer: only where
    /// there is no code at the payer yet.
    pub fn deployment(&self, results: &[Result<Value, RpcError>]) -> Option<&Deployment> {
        let code = self.verify.answer(results, Ask::PayerCode)?;
        let code = bytes_of(code.as_ref().ok()?).ok()?;
        let wallet = self.verify.counterfactual.as_ref();
        wallet.filter(|_| code.is_empty())
    }
}

/// Deployment and settlement in one call of Multicall3. What `upto` settles accepts no caller but its
/// facilitator, so that its signature and its means are asked for instead.
pub(super) fn simulation(
    plan: &VerifyPlan,
    wallet: &Deployment,
    settlement: &SettleCall,
    question: Vec<u8>,
    sender: Address,
) -> RpcCall {
    let step = |target: Address, input: Bytes| IMulticall3::Call3 {
        target,
        allowFailure: true,
        callData: input,
    };
    let promise = &plan.authorization;
    let mut calls = vec![step(wallet.factory, wallet.input.clone())];
    match promise {
        Authorization::Eip3009(_) | Authorization::ExactPermit2(_) => {
            calls.push(step(settlement.to, settlement.input.clone()));
        }
        Authorization::Upto(it) => {
            let (payer, token) = (it.from, it.authorization.token);
            let allowance = IToken::allowanceCall {
                owner: payer,
                spender: PERMIT2,
            };
            let [word, _] = nonce_position(it.authorization.nonce);
            let spent = IPermit2::nonceBitmapCall { owner: payer, word };
            let balance = IToken::balanceOfCall { owner: payer };
            calls.push(step(payer, question.into()));
            calls.push(step(token, allowance.abi_encode().into()));
            calls.push(step(token, balance.abi_encode().into()));
            calls.push(step(PERMIT2, spent.abi_encode().into()));
        }
    }
    let input = IMulticall3::aggregate3Call { calls }.abi_encode();
    let gas = DEPLOY_GAS.saturating_add(settlement.gas_limit);
    RpcCall::call_from(sender, MULTICALL3, &input, gas, At::Latest)
}

/// Reads what [`simulation`] answered.
pub(super) fn judge(plan: &VerifyPlan, answer: &[u8]) -> Result<(), Reason> {
    let results = IMulticall3::aggregate3Call::abi_decode_returns_validate(answer)
        .map_err(|_| Reason::UnexpectedVerifyError)?;
    let Some((deployed, after)) = results.split_first() else {
        return Err(Reason::UnexpectedVerifyError);
    };
    if !deployed.success {
        return Err(Reason::SmartWalletDeploymentFailed);
    }
    match (&plan.authorization, after) {
        (Authorization::Eip3009(_) | Authorization::ExactPermit2(_), [settled]) => {
            if settled.success {
                return Ok(());
            }
            let named = revert::reason(plan, &settled.returnData);
            Err(named.unwrap_or_else(|| revert::unnamed(plan)))
        }
        (Authorization::Upto(_), [signature, allowance, balance, spent]) => {
            if !signature.success || !is_magic(&signature.returnData) {
                return Err(Reason::InvalidPermit2Signature);
            }
            let word = |result: &IMulticall3::Result| {
                let word = <[u8; 32]>::try_from(result.returnData.as_ref());
                let word = word.ok().filter(|_| result.success);
                word.map(U256::from_be_bytes)
                    .ok_or(Reason::UnexpectedVerifyError)
            };
            let needed: U256 = plan.simulated.into();
            let [_, bit] = nonce_position(plan.authorization.auth_nonce().into());
            if word(spent)? & bit != U256::ZERO {
                Err(Reason::Permit2InvalidNonce)
            } else if word(allowance)? < needed && plan.sponsor.is_none() {
                Err(Reason::Permit2AllowanceRequired)
            } else if word(balance)? < needed {
                Err(Reason::Permit2InsufficientBalance)
            } else {
                Ok(())
            }
        }
        _ => Err(Reason::UnexpectedVerifyError),
    }
}

/// Whether a contract said that a signature is its own.
pub(super) fn is_magic(answer: &[u8]) -> bool {
    let magic = IContractSigner::isValidSignatureCall::abi_decode_returns_validate(answer);
    magic.is_ok_and(|magic| magic == IContractSigner::isValidSignatureCall::SELECTOR)
}

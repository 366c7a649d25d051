//! What the chain is asked: one batch, and which answer stands where.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall as _;

use super::{Rules, VerifyPlan, deployment};
use crate::RpcCall;
use crate::bindings::{IContractSigner, IPermit2, IToken, PERMIT2};
use crate::chain::nonce_position;
use crate::rpc::At;
use crate::scheme::{Authorization, Method};

/// One question of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The code at the payer: it decides who judges the signature.
    PayerCode,
    /// The code of the proxy.
    ProxyCode,
    /// The code of the token.
    TokenCode,
    /// What the payer's code says about the signature.
    ContractSignature,
    /// The settlement, simulated.
    Simulation,
    /// Diagnosis: what Permit2 may move.
    Allowance,
    /// Diagnosis: what the payer has.
    Balance,
    /// Diagnosis: whether the nonce is spent.
    Spent,
    /// Diagnosis: the name of the token's domain.
    Name,
    /// Diagnosis: its version.
    Version,
    /// The wallet deployed and the settlement after it, simulated in one call.
    Counterfactual,
}

/// The batch of `plan`. `signature` is the inner one of a wrapped signature.
pub(super) fn calls(
    plan: &VerifyPlan,
    signature: Option<Bytes>,
    rules: &Rules<'_>,
) -> (Vec<Ask>, Vec<RpcCall>) {
    let promise = &plan.authorization;
    let (payer, token, method) = (promise.payer(), promise.asset(), promise.method());
    let at = At::Latest;
    let ask = |to: Address, input: Vec<u8>| RpcCall::call(to, &input, at);
    let settlement = plan.settle_call();
    let mut batch = Vec::with_capacity(9);
    batch.push((Ask::PayerCode, RpcCall::code(payer, at)));
    let fresh = |contract: &Address| !rules.deployed.contains(contract);
    if method == Method::Permit2 && fresh(&settlement.to) {
        batch.push((Ask::ProxyCode, RpcCall::code(settlement.to, at)));
    }
    if fresh(&token) {
        batch.push((Ask::TokenCode, RpcCall::code(token, at)));
    }
    // As the contract that verifies the signature on chain would ask it.
    let verifier = match method {
        Method::Eip3009 => token,
        Method::Permit2 => PERMIT2,
    };
    let signature = signature.unwrap_or_else(|| Bytes::copy_from_slice(promise.signature()));
    let question = IContractSigner::isValidSignatureCall {
        digest: plan.digest,
        signature,
    }
    .abi_encode();
    batch.push((
        Ask::ContractSignature,
        RpcCall::call_from(verifier, payer, &question, settlement.gas_limit, at),
    ));
    let sender = promise.facilitator();
    let sender = sender.or_else(|| rules.own_signers.first().copied());
    let sender = sender.unwrap_or_else(|| promise.pay_to());
    batch.push((
        Ask::Simulation,
        RpcCall::call_from(
            sender,
            settlement.to,
            &settlement.input,
            settlement.gas_limit,
            at,
        ),
    ));
    let balance = IToken::balanceOfCall { owner: payer };
    match promise {
        Authorization::Eip3009(it) => {
            let used = IToken::authorizationStateCall {
                authorizer: payer,
                nonce: it.authorization.nonce,
            };
            batch.push((Ask::Balance, ask(token, balance.abi_encode())));
            batch.push((Ask::Spent, ask(token, used.abi_encode())));
            batch.push((Ask::Name, ask(token, IToken::nameCall {}.abi_encode())));
            batch.push((
                Ask::Version,
                ask(token, IToken::versionCall {}.abi_encode()),
            ));
        }
        Authorization::ExactPermit2(_) | Authorization::Upto(_) => {
            let allowance = IToken::allowanceCall {
                owner: payer,
                spender: PERMIT2,
            };
            let [word, _] = nonce_position(promise.auth_nonce().into());
            let spent = IPermit2::nonceBitmapCall { owner: payer, word };
            batch.push((Ask::Allowance, ask(token, allowance.abi_encode())));
            batch.push((Ask::Balance, ask(token, balance.abi_encode())));
            batch.push((Ask::Spent, ask(PERMIT2, spent.abi_encode())));
        }
    }
    if let Some(wallet) = &plan.counterfactual {
        let call = deployment::simulation(plan, wallet, &settlement, question, sender);
        batch.push((Ask::Counterfactual, call));
    }
    batch.into_iter().unzip()
}

//! Whether a settlement can be signed: the rules, the chain, the budgets.

use seamline_core::Address;
use seamline_evm::facilitator::{Deployment, Rules, SettlePlan, conclude_verify, plan_settle};
use seamline_evm::rpc::At;
use seamline_evm::scheme::{APPROVAL_GAS, Eip2612};
use seamline_evm::tx::Fees;
use seamline_evm::x402::{FacilitatorRequest, Reason};
use seamline_evm::{RpcCall, RpcError};
use serde_json::Value;

use crate::facilitator::Unavailable;
use crate::facilitator::budget::Full;
use crate::facilitator::settlement::Call;
use crate::facilitator::shared::{Core, quantity};
use crate::facilitator::store::{Spent, StoreError};
use crate::facilitator::subject::Subject;

/// What the rules and the chain say to a settlement, before anything is signed.
pub(in crate::facilitator) enum Verified {
    /// It can be signed.
    Ready {
        call: Call,
        /// To be sent before it: it makes the payer's wallet.
        deployment: Option<Call>,
        fees: Fees,
    },
    /// It cannot be settled.
    Invalid { reason: Reason },
    /// Not now.
    Full(Full),
    /// There is no verdict now.
    Unknown(Unavailable),
    /// The budgets could not be read.
    Failed(StoreError),
}

/// Applies every rule, asks the chain once, and looks at the budgets.
pub(in crate::facilitator) async fn verified(
    core: &Core,
    subject: &Subject,
    request: &FacilitatorRequest,
) -> Verified {
    let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
    let signers = [core.address()];
    let deployed = core.deployed();
    let rules = Rules {
        now: (core.clock)(),
        own_signers: &signers,
        factories: &core.factories,
        deployed: &deployed,
    };
    let plan = match plan_settle(payload, offer, &rules) {
        Ok(plan) => plan,
        Err(invalid) => {
            return Verified::Invalid {
                reason: invalid.reason,
            };
        }
    };
    if plan.verify().sponsor().is_some() && !core.sponsor_approvals {
        return Verified::Invalid {
            reason: Reason::Permit2AllowanceRequired,
        };
    }
    let mut calls = plan.verify().calls().to_vec();
    let judged = calls.len();
    calls.extend(market_calls(core));
    let Ok(mut results) = core.rpc.batch(&calls).await else {
        return Verified::Unknown(Unavailable::Chain);
    };
    if results.len() != calls.len() {
        return Verified::Unknown(Unavailable::Chain);
    }
    let market = results.split_off(judged);
    let is_contract = has_code(plan.verify().calls(), &results, plan.verify().payer());
    let deployment = plan.deployment(&results).cloned();
    let answer = Ok(results);
    let verdict = conclude_verify(plan.verify(), &answer);
    if !verdict.is_valid {
        let known = |reason: &Reason| *reason != Reason::UnexpectedVerifyError;
        return match verdict.invalid_reason.filter(known) {
            Some(reason) => Verified::Invalid { reason },
            None => Verified::Unknown(Unavailable::Chain),
        };
    }
    core.saw_code(subject.authorization.asset(), plan.contract());
    let fees = match market_fees(core, &market) {
        Ok(fees) => fees,
        Err(why) => return Verified::Unknown(why),
    };
    let others = match core.others_spent(plan.verify().payer()).await {
        Ok(others) => others,
        Err(error) => return Verified::Failed(error),
    };
    ready(core, subject, &plan, deployment, is_contract, fees, others)
}

fn ready(
    core: &Core,
    subject: &Subject,
    plan: &SettlePlan,
    deployment: Option<Deployment>,
    is_contract: bool,
    fees: Fees,
    others: Spent,
) -> Verified {
    let settlement = plan.transaction();
    let deployment = deployment.map(|it| Call {
        to: it.factory,
        input: it.input.to_vec(),
        gas_limit: it.gas_limit,
    });
    let extra = deployment.as_ref().map_or(0, |it| it.gas_limit);
    let gas = settlement.gas_limit.saturating_add(extra);
    let is_contract = is_contract || deployment.is_some();
    if let Err(full) = core.admit(subject, is_contract, gas, Some(fees), others) {
        return Verified::Full(full);
    }
    Verified::Ready {
        call: Call {
            to: settlement.to,
            input: settlement.input.to_vec(),
            gas_limit: settlement.gas_limit,
        },
        deployment,
        fees,
    }
}

/// What is asked besides: fees, and where the account stands.
pub(in crate::facilitator) fn market_calls(core: &Core) -> [RpcCall; 3] {
    [
        RpcCall::fee_history(),
        RpcCall::account_nonce(core.address(), At::Pending),
        RpcCall::account_nonce(core.address(), At::Latest),
    ]
}

/// Reads fees and the account's standing from the answers to [`market_calls`].
pub(in crate::facilitator) fn market_fees(
    core: &Core,
    market: &[Result<Value, RpcError>],
) -> Result<Fees, Unavailable> {
    let [Ok(history), pending, mined] = market else {
        return Err(Unavailable::Chain);
    };
    // A replica that carries nothing does not look at the chain otherwise.
    if let Some(mined) = mined.as_ref().ok().and_then(quantity) {
        core.learn_mined(mined);
    }
    if let Some(pending) = pending.as_ref().ok().and_then(quantity) {
        core.set_floor(pending);
    }
    match core.account.learn(history, core.elapsed()) {
        Ok(fees) => Ok(fees),
        Err(error) => {
            let over = matches!(error, seamline_evm::Error::FeeOverCeiling { .. });
            let error = seamline_core::chain(&error);
            tracing::error!(error, "a settlement could not be prepared");
            Err(if over {
                Unavailable::Fees
            } else {
                Unavailable::Chain
            })
        }
    }
}

/// Whether a batch shows code at `account`.
pub(crate) fn has_code(
    calls: &[RpcCall],
    results: &[Result<Value, RpcError>],
    account: Address,
) -> bool {
    let of_account = RpcCall::code(account, At::Latest);
    let mut pairs = calls.iter().zip(results);
    let code = pairs.find(|(call, _)| **call == of_account);
    let code = code.and_then(|(_, result)| result.as_ref().ok()?.as_str());
    code.is_some_and(|code| code.len() > 2)
}

/// The call that settles a request, without its rules.
pub(in crate::facilitator) fn call_of(subject: &Subject, request: &FacilitatorRequest) -> Call {
    let sponsor = Eip2612::of(&request.payment_payload).ok().flatten();
    let authorization = &subject.authorization;
    let (to, input) = authorization.settle_call(subject.amount, sponsor.as_ref());
    let approval = sponsor.map_or(0, |_| APPROVAL_GAS);
    Call {
        to,
        input: input.to_vec(),
        gas_limit: authorization.gas_limit().saturating_add(approval),
    }
}

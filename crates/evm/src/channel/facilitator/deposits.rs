use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue as _;
use serde_json::Value;

use super::super::{
    ChainState, ChannelConfig, Deposit, DepositAuthorization, PERMIT2_COLLECTOR, Payload,
    Permit2Deposit, Terms,
};
use super::asked::{Ask, Asked, unread};
use super::{Context, DEPOSIT_GAS, SettlePlan, VerifyPlan, Work, covered, earliest_end, vouchers};
use crate::bindings::PERMIT2;
use crate::scheme::Method;
use crate::x402::Reason;
use crate::x402::extensions::eip2612;
use crate::{RpcError, Signature};

/// Plans the transaction of a deposit.
pub(super) fn plan(parsed: Payload, context: &Context<'_>) -> Result<SettlePlan, Reason> {
    let plan = super::verifiable(parsed, context.payload, context.requirements, context.rules)?;
    let Payload::Deposit { deposit, .. } = &plan.payload else {
        return Err(Reason::InvalidBatchSettlementEvmPayloadType);
    };
    let sponsored = sponsored(deposit, &plan.config, &plan.terms, context)?;
    let input = deposit.call(&plan.config, &sponsored);
    let input = input.ok_or(Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange)?;
    Ok(SettlePlan {
        network: context.network(),
        chain_id: context.chain_id,
        payer: Some(plan.config.payer),
        input,
        gas: DEPOSIT_GAS,
        asked: plan.asked.clone(),
        work: Work::Deposit(Box::new(plan)),
    })
}

/// Rules of a deposit that need no chain, in order; asks for those that do.
pub(super) fn check(
    deposit: &Deposit,
    config: &ChannelConfig,
    channel_id: &B256,
    terms: &Terms,
    context: &Context<'_>,
    asked: &mut Asked,
) -> Result<(), Reason> {
    // 8.1 It moves the token as the requirement says.
    if deposit.method() != terms.method {
        return Err(match terms.method {
            Method::Eip3009 => Reason::InvalidBatchSettlementEvmErc3009AuthorizationRequired,
            Method::Permit2 => Reason::InvalidBatchSettlementEvmPermit2AuthorizationRequired,
        });
    }
    // 8.2 It is something.
    if deposit.amount.is_zero() {
        return Err(Reason::InvalidBatchSettlementEvmDepositPayload);
    }
    // 8.3 It is authorized for this channel and this amount, and there is time.
    let now_s = context.rules.now.as_secs();
    let end = U256::from(earliest_end(context.rules.now));
    match &deposit.authorization {
        DepositAuthorization::Erc3009(it) => {
            if terms.domain.is_none() {
                return Err(Reason::InvalidBatchSettlementEvmMissingEip712Domain);
            }
            if it.valid_before < end {
                return Err(Reason::InvalidBatchSettlementEvmPayloadAuthorizationValidBefore);
            }
            if it.valid_after > U256::from(now_s) {
                return Err(Reason::InvalidBatchSettlementEvmPayloadAuthorizationValidAfter);
            }
        }
        DepositAuthorization::Permit2(it) => {
            permit2(it, deposit, config, channel_id, terms, end)?;
        }
    }
    // 8.4 An approval that comes with it approves exactly it.
    let sponsored = sponsored(deposit, config, terms, context)?;
    if sponsored.is_empty() && deposit.method() == Method::Permit2 {
        asked.allowance(terms.asset, config.payer, PERMIT2);
    }
    // 8.5 No wallet is deployed on the way: a factory's code would run at our expense.
    if deposit.signature().ends_with(&ERC6492_MAGIC) {
        return Err(Reason::from(
            "invalid_batch_settlement_evm_eip6492_factory_not_allowed",
        ));
    }
    asked.payer_code(config.payer);
    asked.token_code(terms.asset);
    asked.balance(terms.asset, config.payer);
    let input = deposit.call(config, &sponsored);
    let input = input.ok_or(Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange)?;
    asked.simulate(context.sender(), &input, DEPOSIT_GAS);
    Ok(())
}

/// The approval of Permit2 that a payer signed with its deposit (EIP-2612), as the collector takes
/// it; empty where there is none.
fn sponsored(
    deposit: &Deposit,
    config: &ChannelConfig,
    terms: &Terms,
    context: &Context<'_>,
) -> Result<Vec<u8>, Reason> {
    if deposit.method() != Method::Permit2 {
        return Ok(Vec::new());
    }
    let sponsor = eip2612::of(context.payload.extensions());
    let sponsor = sponsor.map_err(|_| Reason::InvalidBatchSettlementEvmEip2612InvalidFormat)?;
    let Some(sponsor) = sponsor else {
        return Ok(Vec::new());
    };
    let rules = [
        (
            sponsor.from == config.payer,
            Reason::InvalidBatchSettlementEvmEip2612OwnerMismatch,
        ),
        (
            sponsor.asset == terms.asset,
            Reason::InvalidBatchSettlementEvmEip2612AssetMismatch,
        ),
        (
            sponsor.spender == PERMIT2,
            Reason::InvalidBatchSettlementEvmEip2612SpenderMismatch,
        ),
        (
            sponsor.amount == U256::from(deposit.amount.get()),
            Reason::InvalidBatchSettlementEvmEip2612AmountMismatch,
        ),
        (
            sponsor.deadline >= U256::from(earliest_end(context.rules.now)),
            Reason::InvalidBatchSettlementEvmEip2612DeadlineExpired,
        ),
    ];
    if let Some((_, reason)) = rules.into_iter().find(|(holds, _)| !holds) {
        return Err(reason);
    }
    let signature = Signature::parse(&sponsor.signature);
    let signature =
        signature.map_err(|_| Reason::InvalidBatchSettlementEvmEip2612InvalidSignature)?;
    let v = if signature.odd_y() { 28u8 } else { 27u8 };
    let (r, s) = (B256::from(signature.r()), B256::from(signature.s()));
    Ok((sponsor.amount, sponsor.deadline, U256::from(v), r, s).abi_encode_params())
}

fn permit2(
    permit: &Permit2Deposit,
    deposit: &Deposit,
    config: &ChannelConfig,
    channel_id: &B256,
    terms: &Terms,
    end: U256,
) -> Result<(), Reason> {
    let rules = [
        (
            permit.from == config.payer,
            Reason::InvalidBatchSettlementEvmPermit2InvalidSignature,
        ),
        (
            permit.spender == PERMIT2_COLLECTOR,
            Reason::InvalidBatchSettlementEvmPermit2InvalidSpender,
        ),
        (
            permit.token == terms.asset,
            Reason::InvalidBatchSettlementEvmTokenMismatch,
        ),
        (
            permit.amount == U256::from(deposit.amount.get()),
            Reason::InvalidBatchSettlementEvmPermit2AmountMismatch,
        ),
        (
            permit.channel_id == *channel_id,
            Reason::InvalidBatchSettlementEvmChannelIdMismatch,
        ),
        (
            permit.deadline >= end,
            Reason::InvalidBatchSettlementEvmPermit2DeadlineExpired,
        ),
    ];
    let failed = rules.into_iter().find(|(holds, _)| !holds);
    failed.map_or(Ok(()), |(_, reason)| Err(reason))
}

/// Rules of a deposit that need the chain. Returns the state before it.
pub(super) fn judge(
    plan: &VerifyPlan,
    deposit: &Deposit,
    results: &[Result<Value, RpcError>],
) -> Result<ChainState, Reason> {
    let (_, voucher) = plan.payload.channel().ok_or_else(unread)?;
    let asked = &plan.asked;
    // 10. The payer authorized it: its key, or its code, which the simulation asks.
    if asked.bytes(Ask::PayerCode, results)?.is_empty() {
        account_signed(plan, deposit)?;
    }
    vouchers::signed(voucher, &plan.config, plan.chain_id(), asked, results)?;
    // 11. There is a token.
    if asked.bytes(Ask::TokenCode, results)?.is_empty() {
        return Err(Reason::AssetNotDeployedContract);
    }
    let chain = asked.chain_state(&plan.channel_id, results)?;
    // 12. The payer has the money, and lets Permit2 move it.
    if asked.amount(Ask::Balance, results)? < deposit.amount {
        return Err(Reason::InvalidBatchSettlementEvmInsufficientBalance);
    }
    if asked.has(Ask::Allowance) && asked.amount(Ask::Allowance, results)? < deposit.amount {
        return Err(Reason::InvalidBatchSettlementEvmPermit2AllowanceRequired);
    }
    // 13. With it, the channel covers the promise.
    let balance = chain.balance.checked_add(deposit.amount);
    let balance = balance.ok_or(Reason::InvalidBatchSettlementEvmDepositPayload)?;
    covered(voucher.max_claimable, balance, chain.total_claimed, false)?;
    // 14. The deposit, simulated.
    let reverted = Reason::InvalidBatchSettlementEvmDepositSimulationFailed;
    asked.simulated(results, reverted)?;
    Ok(chain)
}

/// What the chain spends once, whoever sends it.
pub(super) fn key(plan: &VerifyPlan) -> B256 {
    let Payload::Deposit { deposit, .. } = &plan.payload else {
        return plan.channel_id;
    };
    let spends = match deposit.method() {
        Method::Eip3009 => plan.terms.asset,
        Method::Permit2 => PERMIT2,
    };
    keccak256(
        [
            b"seamline/v1/channel-deposit".as_slice(),
            &plan.chain_id().to_be_bytes(),
            spends.as_slice(),
            plan.config.payer.as_slice(),
            deposit.auth_nonce(&plan.channel_id).as_slice(),
        ]
        .concat(),
    )
}

fn account_signed(plan: &VerifyPlan, deposit: &Deposit) -> Result<(), Reason> {
    let domain = plan.terms.token_domain();
    let digest = deposit.digest(&plan.channel_id, plan.config.payer, &domain);
    let signer = Signature::parse(deposit.signature()).and_then(|it| it.recover(&digest));
    if signer.is_ok_and(|signer| signer == plan.config.payer) {
        return Ok(());
    }
    Err(match deposit.method() {
        Method::Eip3009 => Reason::InvalidBatchSettlementEvmReceiveAuthorizationSignature,
        Method::Permit2 => Reason::InvalidBatchSettlementEvmPermit2InvalidSignature,
    })
}

/// The end of a signature of a wallet that is not deployed yet (ERC-6492).
const ERC6492_MAGIC: [u8; 32] = [
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
    0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92, 0x64, 0x92,
];

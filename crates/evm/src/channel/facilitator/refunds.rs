use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;
use serde_json::Value;

use super::super::{
    ChainState, ChannelConfig, IBatchSettlement, RefundOrder, Voucher, VoucherCheck, typed,
};
use super::asked::Asked;
use super::{Context, Delegation, REFUND_GAS, SettlePlan, Work, claims};
use crate::RpcError;
use crate::signer::sign_checked;
use crate::x402::Reason;

/// What a refund's transaction gives back.
#[derive(Clone, Debug)]
pub(super) struct RefundWork {
    pub(super) channel_id: B256,
    pub(super) amount: Amount,
    pub(super) nonce: U256,
    /// What is claimed of the channel first, in total.
    pub(super) claimed: Amount,
}

/// Plans the transaction of a refund: the claims first, then what is left, in one.
pub(super) fn plan(
    config: &ChannelConfig,
    voucher: &Voucher,
    amount: Amount,
    order: RefundOrder,
    context: &Context<'_>,
) -> Result<SettlePlan, Reason> {
    let malformed = || Reason::InvalidBatchSettlementEvmRefundPayload;
    // 5. The channel is the one of the voucher, the receiver and the token of the requirement.
    let channel_id = config.id(context.chain_id);
    if channel_id != voucher.channel_id {
        return Err(Reason::InvalidBatchSettlementEvmChannelIdMismatch);
    }
    context.for_seller(config.receiver, config.token)?;
    if voucher.check(config, context.chain_id) == VoucherCheck::Invalid {
        return Err(Reason::InvalidBatchSettlementEvmVoucherSignature);
    }
    // 6. What is claimed with it is claimed of the same channel.
    if order.claims.iter().any(|claim| claim.config != *config) {
        return Err(malformed());
    }
    // 7. The receiver's side signed it.
    let refund_signature = match order.refund_signature {
        Some(signature) => signature,
        None => sign(config, &channel_id, amount, order.nonce, context)?,
    };
    let refund = IBatchSettlement::refundWithSignatureCall {
        config: config
            .to_sol()
            .ok_or(Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange)?,
        amount: amount.get(),
        nonce: order.nonce,
        receiverAuthorizerSignature: refund_signature.into(),
    };
    let refund: Bytes = refund.abi_encode().into();
    let (input, gas) = if order.claims.is_empty() {
        (refund, REFUND_GAS)
    } else {
        let authorizer = claims::check(&order.claims, context)?;
        let signature = match order.claim_signature {
            Some(signature) => signature,
            None => claims::sign(&order.claims, authorizer, context)?,
        };
        let claim = claims::call(&order.claims, signature)?;
        let both = IBatchSettlement::multicallCall {
            data: vec![claim, refund],
        };
        let gas = claims::gas(order.claims.len()).saturating_add(REFUND_GAS);
        (both.abi_encode().into(), gas)
    };
    let claimed = order.claims.iter().map(|claim| claim.total_claimed);
    let mut asked = Asked::default();
    asked.state(&channel_id);
    asked.simulate(context.sender(), &input, gas);
    Ok(SettlePlan {
        work: Work::Refund(Box::new(RefundWork {
            channel_id,
            amount,
            nonce: order.nonce,
            claimed: claimed.max().unwrap_or(Amount::ZERO),
        })),
        network: context.network(),
        chain_id: context.chain_id,
        payer: Some(config.payer),
        input,
        gas,
        asked,
    })
}

impl RefundWork {
    /// Whether anything is left to give back at this counter. Returns the state before it.
    pub(super) fn judge(
        &self,
        asked: &Asked,
        results: &[Result<Value, RpcError>],
    ) -> Result<ChainState, Reason> {
        let chain = asked.chain_state(&self.channel_id, results)?;
        let claimed = chain.total_claimed.max(self.claimed);
        if chain.balance <= claimed {
            return Err(Reason::InvalidBatchSettlementEvmRefundNoBalance);
        }
        let reverted = || Reason::InvalidBatchSettlementEvmRefundSimulationFailed;
        if chain.refund_nonce != self.nonce {
            return Err(reverted());
        }
        asked.simulated(results, reverted())?;
        Ok(chain)
    }
}

/// Signs for a seller that left it to the facilitator.
fn sign(
    config: &ChannelConfig,
    channel_id: &B256,
    amount: Amount,
    nonce: U256,
    context: &Context<'_>,
) -> Result<Vec<u8>, Reason> {
    let Delegation::ClaimsAndRefunds(signer) = context.rules.delegation else {
        return Err(claims::unconfigured());
    };
    if signer.address() != config.receiver_authorizer {
        return Err(Reason::InvalidBatchSettlementEvmAuthorizerAddressMismatch);
    }
    let digest = typed::refund_digest(channel_id, nonce, amount, context.chain_id);
    let signature = sign_checked(signer, &digest).map_err(|_| Reason::UnexpectedSettleError)?;
    Ok(signature.as_bytes().to_vec())
}

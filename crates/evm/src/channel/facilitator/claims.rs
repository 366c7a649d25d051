use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall as _;
use seamline_core::Amount;
use serde_json::Value;

use super::super::payload::MAX_CLAIMS;
use super::super::{Claim, IBatchSettlement, Voucher, VoucherCheck, typed};
use super::asked::{Asked, unread};
use super::{CLAIM_GAS, CLAIM_ROW_GAS, Context, Delegation, SettlePlan, Work};
use crate::RpcError;
use crate::signer::sign_checked;
use crate::x402::Reason;

/// What a claim's transaction records: totals of channels.
#[derive(Clone, Debug)]
pub(super) struct ClaimWork {
    pub(super) rows: Vec<(B256, Amount)>,
}

/// Plans the transaction of a claim.
pub(super) fn plan(
    claims: &[Claim],
    signature: Option<Vec<u8>>,
    context: &Context<'_>,
) -> Result<SettlePlan, Reason> {
    // 5. There is something to claim, for the receiver and in the token of the requirement.
    let authorizer = check(claims, context)?;
    // 6. The receiver's side signed it.
    let signature = match signature {
        Some(signature) => signature,
        None => sign(claims, authorizer, context)?,
    };
    let input = call(claims, signature)?;
    let rows: Vec<(B256, Amount)> = claims
        .iter()
        .map(|claim| (claim.config.id(context.chain_id), claim.total_claimed))
        .collect();
    let gas = gas(rows.len());
    let mut asked = Asked::default();
    for (channel_id, _) in &rows {
        asked.state(channel_id);
    }
    asked.simulate(context.sender(), &input, gas);
    Ok(SettlePlan {
        work: Work::Claim(ClaimWork { rows }),
        network: context.network(),
        chain_id: context.chain_id,
        payer: None,
        input,
        gas,
        asked,
    })
}

/// Rules of claims that need no chain. Returns the one receiver authorizer of all of them.
pub(super) fn check(claims: &[Claim], context: &Context<'_>) -> Result<Address, Reason> {
    let malformed = || Reason::from("invalid_batch_settlement_evm_claim_payload");
    let first = claims.first().ok_or_else(malformed)?;
    if claims.len() > MAX_CLAIMS {
        return Err(malformed());
    }
    let authorizer = first.config.receiver_authorizer;
    for claim in claims {
        context.for_seller(claim.config.receiver, claim.config.token)?;
        if claim.config.receiver_authorizer != authorizer {
            return Err(Reason::InvalidBatchSettlementEvmAuthorizerAddressMismatch);
        }
        if claim.total_claimed > claim.max_claimable {
            return Err(malformed());
        }
        let voucher = Voucher {
            channel_id: claim.config.id(context.chain_id),
            max_claimable: claim.max_claimable,
            signature: claim.signature.clone(),
        };
        if voucher.check(&claim.config, context.chain_id) == VoucherCheck::Invalid {
            return Err(Reason::InvalidBatchSettlementEvmVoucherSignature);
        }
    }
    Ok(authorizer)
}

/// Signs for a seller that left it to the facilitator.
pub(super) fn sign(
    claims: &[Claim],
    authorizer: Address,
    context: &Context<'_>,
) -> Result<Vec<u8>, Reason> {
    let (Delegation::Claims(signer) | Delegation::ClaimsAndRefunds(signer)) =
        context.rules.delegation
    else {
        return Err(unconfigured());
    };
    if signer.address() != authorizer {
        return Err(Reason::InvalidBatchSettlementEvmAuthorizerAddressMismatch);
    }
    let digest = typed::claim_batch_digest(claims, context.chain_id);
    let signature = sign_checked(signer, &digest).map_err(|_| Reason::UnexpectedSettleError)?;
    Ok(signature.as_bytes().to_vec())
}

/// The call of the contract.
pub(super) fn call(claims: &[Claim], signature: Vec<u8>) -> Result<Bytes, Reason> {
    let rows: Option<Vec<_>> = claims.iter().map(Claim::to_sol).collect();
    let rows = rows.ok_or(Reason::InvalidBatchSettlementEvmWithdrawDelayOutOfRange)?;
    let call = IBatchSettlement::claimWithSignatureCall {
        voucherClaims: rows,
        authorizerSignature: signature.into(),
    };
    Ok(call.abi_encode().into())
}

/// Most gas of a claim with this many rows.
pub(super) fn gas(rows: usize) -> u64 {
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    CLAIM_GAS.saturating_add(CLAIM_ROW_GAS.saturating_mul(rows))
}

pub(super) fn unconfigured() -> Reason {
    Reason::from("invalid_batch_settlement_evm_authorizer_not_configured")
}

impl ClaimWork {
    /// Whether there is anything to do: a total that the chain has already is not sent again.
    pub(super) fn judge(
        &self,
        asked: &Asked,
        results: &[Result<Value, RpcError>],
    ) -> Result<bool, Reason> {
        let mut news = false;
        for (channel_id, total) in &self.rows {
            let chain = asked.chain_state(channel_id, results)?;
            news |= *total > chain.total_claimed;
        }
        if news {
            let reverted = Reason::InvalidBatchSettlementEvmClaimSimulationFailed;
            asked.simulated(results, reverted)?;
        }
        Ok(news)
    }

    /// The total of the row of `channel_id`.
    pub(super) fn total(&self, channel_id: &B256) -> Result<Amount, Reason> {
        let row = self.rows.iter().find(|(id, _)| id == channel_id);
        row.map(|(_, total)| *total).ok_or_else(unread)
    }
}

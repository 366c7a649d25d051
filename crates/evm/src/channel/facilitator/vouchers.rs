use alloy_sol_types::SolCall as _;
use serde_json::Value;

use super::super::{ChainState, ChannelConfig, Voucher, VoucherCheck};
use super::asked::{Ask, Asked, unread};
use super::{VerifyPlan, covered};
use crate::bindings::IContractSigner;
use crate::rpc::bytes_of;
use crate::x402::Reason;
use crate::{RpcError, Signature};

/// Checks a voucher's signature as far as no chain is needed, and asks for the rest.
pub(super) fn check(
    voucher: &Voucher,
    config: &ChannelConfig,
    chain_id: u64,
    asked: &mut Asked,
) -> Result<(), Reason> {
    match voucher.check(config, chain_id) {
        VoucherCheck::Valid => Ok(()),
        VoucherCheck::Invalid => Err(Reason::InvalidBatchSettlementEvmVoucherSignature),
        VoucherCheck::AskPayer(digest) => {
            asked.payer_code(config.payer);
            asked.voucher_signature(config.payer, digest, &voucher.signature);
            Ok(())
        }
    }
}

/// Rules of a voucher alone, or of a refund, that need the chain.
pub(super) fn judge(
    plan: &VerifyPlan,
    refund: bool,
    results: &[Result<Value, RpcError>],
) -> Result<ChainState, Reason> {
    let (_, voucher) = plan.payload.channel().ok_or_else(unread)?;
    // 10. The payer's own code, where it signs itself.
    signed(voucher, &plan.config, plan.chain_id(), &plan.asked, results)?;
    // 11. There is a channel.
    let chain = plan.asked.chain_state(&plan.channel_id, results)?;
    if chain.balance.is_zero() {
        return Err(Reason::InvalidBatchSettlementEvmChannelNotFound);
    }
    // 12. It covers the promise.
    covered(
        voucher.max_claimable,
        chain.balance,
        chain.total_claimed,
        refund,
    )?;
    Ok(chain)
}

/// Judges a signature of the payer itself by the code at its address, as the contract will: without
/// code its key, with code nothing but what that code says.
pub(super) fn signed(
    voucher: &Voucher,
    config: &ChannelConfig,
    chain_id: u64,
    asked: &Asked,
    results: &[Result<Value, RpcError>],
) -> Result<(), Reason> {
    if !asked.has(Ask::VoucherSignature) {
        return Ok(());
    }
    let refused = || Reason::InvalidBatchSettlementEvmVoucherSignature;
    if asked.bytes(Ask::PayerCode, results)?.is_empty() {
        let digest = voucher.digest(chain_id);
        let signer = Signature::parse(&voucher.signature).and_then(|it| it.recover(&digest));
        let own = signer.is_ok_and(|signer| signer == config.payer);
        return if own { Ok(()) } else { Err(refused()) };
    }
    contract_signed(asked.answer(Ask::VoucherSignature, results)?, &refused)
}

fn contract_signed(
    answer: &Result<Value, RpcError>,
    refused: &dyn Fn() -> Reason,
) -> Result<(), Reason> {
    let bytes = match answer {
        Ok(value) => bytes_of(value).map_err(|_| unread())?,
        Err(error) if error.ended().is_some() => return Err(refused()),
        Err(_) => return Err(unread()),
    };
    let magic = IContractSigner::isValidSignatureCall::abi_decode_returns_validate(&bytes);
    if magic.is_ok_and(|magic| magic == IContractSigner::isValidSignatureCall::SELECTOR) {
        Ok(())
    } else {
        Err(refused())
    }
}

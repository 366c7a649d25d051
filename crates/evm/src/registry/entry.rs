//! Everything that the registry holds of one node, at one block.

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall;
use seamline_core::NodeId;
use serde_json::Value;

use super::admin::IRegistryAdmin;
use super::raw::Raw;
use super::{NodeRecord, SkipReason, without_ohttp};
use crate::bindings::{IRegistry, TEEInfoWithOHTTP};
use crate::rpc::{At, bytes_of, send};
use crate::{Error, Rpc, RpcCall, chain};

/// A node as the registry holds it, whether or not it is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The block that all of this was read at.
    pub block: chain::Block,
    /// The record, or why clients leave it out.
    pub record: Result<NodeRecord, SkipReason>,
    /// Whether the registry counts the node as active at this block.
    pub active: bool,
    /// Whether its measurement is approved.
    pub approved: bool,
    /// When its measurement was approved last, Unix seconds; 0 for never.
    pub approved_at: u64,
    /// What the approver called the measurement.
    pub version: String,
}

/// Reads one node; `None` where the registry does not know it.
///
/// # Errors
///
/// [`Error::Transport`], [`Error::Call`], [`Error::Answer`].
pub async fn entry(rpc: &dyn Rpc, registry: Address, node: NodeId) -> Result<Option<Entry>, Error> {
    let (_, block) = chain::head(rpc).await?;
    let at = At::Number(block.number);
    let tee_id = *node.as_b256();
    let call = |input: Vec<u8>| RpcCall::call(registry, &input, at);
    // 1. The record; the contract reverts for a node that it does not know.
    let calls = [
        call(IRegistry::getTEECall { teeId: tee_id }.abi_encode()),
        call(IRegistry::isTEEActiveCall { teeId: tee_id }.abi_encode()),
    ];
    let answers = rpc.batch(&calls).await?;
    let [record, active] =
        <[_; 2]>::try_from(answers).map_err(|_| Error::Answer("two answers of the registry"))?;
    let record = match record {
        Ok(record) => bytes_of(&record)?,
        Err(refused) if refused.revert().is_some() => return Ok(None),
        Err(refused) => return Err(Error::Call(refused)),
    };
    let active = word::<IRegistry::isTEEActiveCall>(&active.map_err(Error::Call)?)?;
    let with_ohttp = Raw::elevenCall::abi_decode_returns_validate(&record)
        .ok()
        .filter(|it| Raw::elevenCall::abi_encode_returns(it) == record);
    let record: TEEInfoWithOHTTP = match with_ohttp {
        Some(record) => record.into(),
        None => Raw::tenCall::abi_decode_returns_validate(&record)
            .map(|record| without_ohttp(record.into()))
            .map_err(|_| Error::Answer("a node's record"))?,
    };
    // 2. What it says of the measurement.
    let approval = IRegistryAdmin::pcrRecordsCall {
        teeType: record.teeType,
        pcrHash: record.pcrHash,
    };
    let [approval] = chain::exactly(send(rpc, &[call(approval.abi_encode())]).await?)?;
    let approval = word::<IRegistryAdmin::pcrRecordsCall>(&approval)?;
    Ok(Some(Entry {
        block,
        record: NodeRecord::check(node, record),
        active,
        approved: approval.approved,
        approved_at: u64::try_from(approval.approvedAt).unwrap_or(u64::MAX),
        version: approval.version,
    }))
}

/// The ids of every node of a type that was ever registered.
///
/// # Errors
///
/// As [`entry`].
pub async fn ids(rpc: &dyn Rpc, registry: Address, tee_type: u8) -> Result<Vec<NodeId>, Error> {
    let input = IRegistry::getTEEsByTypeCall { teeType: tee_type }.abi_encode();
    let call = RpcCall::call(registry, &input, At::Latest);
    let [answer] = chain::exactly(send(rpc, &[call]).await?)?;
    let ids: Vec<B256> = word::<IRegistry::getTEEsByTypeCall>(&answer)?;
    Ok(ids.into_iter().map(NodeId::new).collect())
}

/// Whether a node is active at the newest block: enabled, its measurement approved, its heartbeat recent.
/// One call.
///
/// # Errors
///
/// As [`entry`].
pub async fn is_active(rpc: &dyn Rpc, registry: Address, node: NodeId) -> Result<bool, Error> {
    let tee_id = *node.as_b256();
    let input = IRegistry::isTEEActiveCall { teeId: tee_id }.abi_encode();
    let call = RpcCall::call(registry, &input, At::Latest);
    let [answer] = chain::exactly(send(rpc, &[call]).await?)?;
    word::<IRegistry::isTEEActiveCall>(&answer)
}

/// Whether a measurement is approved for a type.
///
/// # Errors
///
/// As [`entry`].
pub async fn is_approved(
    rpc: &dyn Rpc,
    registry: Address,
    tee_type: u8,
    measurement: B256,
) -> Result<bool, Error> {
    let call = IRegistry::isPCRApprovedCall {
        teeType: tee_type,
        pcrHash: measurement,
    };
    let call = RpcCall::call(registry, &call.abi_encode(), At::Latest);
    let [answer] = chain::exactly(send(rpc, &[call]).await?)?;
    word::<IRegistry::isPCRApprovedCall>(&answer)
}

fn word<C: SolCall>(answer: &Value) -> Result<C::Return, Error> {
    C::abi_decode_returns_validate(&bytes_of(answer)?)
        .map_err(|_| Error::Answer("a word of the registry"))
}

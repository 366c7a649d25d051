//! What gas costs.

use alloy_consensus::Transaction as _;
use alloy_eips::eip1559::BaseFeeParams;
use serde_json::{Value, json};

use super::super::record::Block;
use super::super::{BLOCK_GAS_LIMIT, Chain, MIN_BASE_FEE};
use super::params::{BlockId, Params};
use super::{RpcError, internal, invalid_params, wire};

/// The tip that the chain suggests, in wei per gas. Blocks are never full for long, so any does.
pub(in super::super) const PRIORITY_FEE: u128 = 1_000_000;

/// Blocks that one `eth_feeHistory` covers at most, as in go-ethereum.
const MAX_HISTORY: u64 = 1_024;

/// Percentiles that one `eth_feeHistory` asks for at most, as in go-ethereum.
const MAX_PERCENTILES: usize = 100;

impl Chain {
    pub(super) fn gas_price(&self) -> Result<Value, RpcError> {
        let head = self
            .inner
            .store
            .reader()
            .and_then(|reader| reader.head())
            .map_err(internal)?;
        let next = self.next_header(&self.core(), &head);
        let base_fee = u128::from(next.base_fee_per_gas.unwrap_or_default());
        Ok(wire::quantity(base_fee.saturating_add(PRIORITY_FEE)))
    }

    pub(super) fn fee_history(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (count, newest, percentiles) =
            (params.number(0)?, params.block(1)?, percentiles(params)?);
        let reader = self.inner.store.reader().map_err(internal)?;
        let head = reader.head().map_err(internal)?.header.number;
        let newest = match newest {
            BlockId::Latest | BlockId::Pending => head,
            BlockId::Earliest => 0,
            BlockId::Number(number) if number <= head => number,
            BlockId::Number(_) => return Err(super::server("request beyond head block")),
            BlockId::Hash(_) => {
                return Err(invalid_params(
                    "invalid argument 1: want a block number or tag",
                ));
            }
        };
        let count = count.min(MAX_HISTORY).min(newest.saturating_add(1));
        let oldest = newest.saturating_add(1).saturating_sub(count);
        let (mut base_fees, mut ratios, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = MIN_BASE_FEE;
        for number in oldest..oldest.saturating_add(count) {
            let Some(block) = reader.block(number).map_err(internal)? else {
                break;
            };
            base_fees.push(wire::quantity(
                block.header.base_fee_per_gas.unwrap_or_default(),
            ));
            ratios.push(fullness(block.header.gas_used));
            if let Some(percentiles) = &percentiles {
                rewards.push(reward(&block, percentiles).map_err(internal)?);
            }
            next = block
                .header
                .next_block_base_fee(BaseFeeParams::ethereum())
                .unwrap_or_default();
        }
        base_fees.push(wire::quantity(next.max(MIN_BASE_FEE)));
        let mut history = json!({
            "oldestBlock": wire::quantity(oldest),
            "baseFeePerGas": base_fees,
            "gasUsedRatio": ratios,
            "baseFeePerBlobGas": vec!["0x1"; ratios.len().saturating_add(1)],
            "blobGasUsedRatio": vec![0.0; ratios.len()],
        });
        if let (Some(_), Value::Object(fields)) = (percentiles, &mut history) {
            fields.insert("reward".to_owned(), Value::Array(rewards));
        }
        Ok(history)
    }
}

fn percentiles(params: &Params<'_>) -> Result<Option<Vec<f64>>, RpcError> {
    let Some(value) = params.get(2) else {
        return Ok(None);
    };
    let values = value
        .as_array()
        .and_then(|values| values.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
    let values = values.filter(|values| values.len() <= MAX_PERCENTILES);
    let rising = |values: &Vec<f64>| {
        values.is_sorted() && values.iter().all(|value| (0.0..=100.0).contains(value))
    };
    values
        .filter(rising)
        .map(Some)
        .ok_or_else(|| invalid_params("invalid argument 2: want at most 100 rising percentiles"))
}

#[expect(
    clippy::float_arithmetic,
    reason = "the execution API defines this as a ratio"
)]
fn fullness(gas_used: u64) -> f64 {
    // Both fit 32 bits: the limit is 30 million.
    let parts = |gas: u64| u32::try_from(gas).map_or(f64::MAX, f64::from);
    parts(gas_used) / parts(BLOCK_GAS_LIMIT)
}

/// Returns the tips at the percentiles of the gas used.
#[expect(
    clippy::float_arithmetic,
    reason = "the execution API takes percentiles as numbers"
)]
fn reward(block: &Block, percentiles: &[f64]) -> Result<Value, super::super::Error> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let placed = wire::placed(block)?;
    let tip = |tx: &wire::Placed<'_>| {
        tx.envelope
            .effective_tip_per_gas(base_fee)
            .unwrap_or_default()
    };
    let mut tips: Vec<(u128, u64)> = placed
        .iter()
        .map(|tx| (tip(tx), tx.record.gas_used))
        .collect();
    tips.sort_unstable();
    let rewards = percentiles.iter().map(|percentile| {
        let threshold = fullness(block.header.gas_used) * percentile / 100.0;
        let mut gas = 0_u64;
        let reached = tips.iter().find(|(_, used)| {
            gas = gas.saturating_add(*used);
            fullness(gas) >= threshold
        });
        wire::quantity(reached.or_else(|| tips.last()).map_or(0, |(tip, _)| *tip))
    });
    Ok(rewards.collect())
}

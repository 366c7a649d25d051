//! Reading state and executing on it.

use serde_json::{Value, json};

use super::super::Chain;
use super::super::HISTORY_BLOCKS;
use super::super::call::{At, CallError};
use super::super::state::StateView;
use super::params::{BlockId, Params};
use super::{RpcError, call_error, internal, invalid_params, server, wire};

impl Chain {
    pub(super) fn balance(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (address, at) = (params.address(0)?, self.at(params.block(1)?)?);
        Ok(wire::quantity(
            at.view.account(address).map_err(internal)?.balance,
        ))
    }

    pub(super) fn code(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (address, at) = (params.address(0)?, self.at(params.block(1)?)?);
        Ok(json!(at.view.code(address).map_err(internal)?))
    }

    pub(super) fn storage_at(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (address, slot, at) = (
            params.address(0)?,
            params.slot(1)?,
            self.at(params.block(2)?)?,
        );
        Ok(wire::word(at.view.slot(address, slot).map_err(internal)?))
    }

    pub(super) fn account_nonce(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (address, block) = (params.address(0)?, params.block(1)?);
        let account = self.at(block)?.view.account(address).map_err(internal)?;
        let next = match block {
            BlockId::Pending => self.core().pool.next_nonce(address, account.account_nonce),
            BlockId::Earliest | BlockId::Hash(_) | BlockId::Latest | BlockId::Number(_) => {
                account.account_nonce
            }
        };
        Ok(wire::quantity(next))
    }

    pub(super) fn eth_call(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        refuse_overrides(params)?;
        let (call, at) = (params.call(0)?, self.at(params.block(1)?)?);
        let result = self.call(&call, &at).map_err(call_error)?;
        if !result.is_success() {
            return Err(call_error(CallError::Failed(result)));
        }
        Ok(json!(result.into_output().unwrap_or_default()))
    }

    pub(super) fn estimate_gas(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        refuse_overrides(params)?;
        let (call, at) = (params.call(0)?, self.at(params.block(1)?)?);
        Ok(wire::quantity(
            self.estimate(&call, &at).map_err(call_error)?,
        ))
    }

    /// Returns the state after a block with the block's environment. For `pending`: the newest state, in
    /// the block that would be made now; waiting transactions are not executed.
    pub(super) fn at(&self, block: BlockId) -> Result<At, RpcError> {
        let reader = self.inner.store.reader().map_err(internal)?;
        let head = reader.head().map_err(internal)?;
        let newest = head.header.number;
        let number = match block {
            BlockId::Latest => newest,
            BlockId::Pending => {
                let header = self.next_header(&self.core(), &head);
                return Ok(At {
                    view: StateView::latest(reader),
                    header,
                });
            }
            BlockId::Earliest => 0,
            BlockId::Number(number) => number,
            BlockId::Hash(hash) => reader
                .number_of(hash)
                .map_err(internal)?
                .ok_or_else(|| server("header not found"))?,
        };
        let header = reader
            .header(number)
            .map_err(internal)?
            .ok_or_else(|| server("header not found"))?
            .header;
        if newest.saturating_sub(number) > HISTORY_BLOCKS {
            return Err(too_old(number));
        }
        let mut undone = Vec::new();
        for above in (number.saturating_add(1)..=newest).rev() {
            undone.push(
                reader
                    .undo(above)
                    .map_err(internal)?
                    .ok_or_else(|| too_old(number))?,
            );
        }
        let mut view = StateView::latest(reader);
        for undo in undone {
            view.undo(undo);
        }
        Ok(At { view, header })
    }
}

fn too_old(number: u64) -> RpcError {
    server(format!(
        "state of block {number} is not kept: the last {HISTORY_BLOCKS} blocks are"
    ))
}

fn refuse_overrides(params: &Params<'_>) -> Result<(), RpcError> {
    let empty = |index: usize| {
        params
            .get(index)
            .is_none_or(|value| value.as_object().is_some_and(serde_json::Map::is_empty))
    };
    if empty(2) && empty(3) {
        Ok(())
    } else {
        Err(invalid_params(
            "state and block overrides are not supported",
        ))
    }
}

//! Methods for tests and demonstrations: they move time and rewind the chain.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Chain, Core, Error, Orphans};
use super::params::Params;
use super::{RpcError, internal, invalid_params, server, unknown_method, wire};

/// Snapshots that are kept at most.
const MAX_SNAPSHOTS: usize = 1_024;

impl Chain {
    pub(super) fn dev_method(&self, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
        // It locks for itself.
        if method == "anvil_reorg" {
            return self.reorganise(params);
        }
        let mut core = self.core();
        match method {
            "anvil_dropTransaction" => {
                let hash = params.hash(0)?;
                let dropped = core.pool.drop_hash(hash);
                Ok(dropped
                    .then_some(hash)
                    .map_or(Value::Null, |hash| json!(hash)))
            }
            "anvil_setNextBlockBaseFeePerGas" => {
                core.next_base_fee = Some(params.number(0)?);
                Ok(Value::Null)
            }
            "evm_mine" => {
                self.mine_locked(&mut core).map_err(internal)?;
                Ok(json!("0x0"))
            }
            "evm_increaseTime" => {
                let seconds = Duration::from_secs(params.number(0)?);
                core.time_offset = core.time_offset.saturating_add(seconds);
                Ok(json!(core.time_offset.as_secs()))
            }
            "evm_setAutomine" => self.set_automine(&mut core, params),
            "evm_snapshot" => self.snapshot(&mut core),
            "evm_revert" => self.revert(&mut core, params),
            _ => Err(unknown_method(method)),
        }
    }

    /// `[depth]`, `[depth, []]` or `[depth, [], requeue]`. As anvil does it, the transactions of the replaced blocks are gone;
    /// with `requeue` they wait again. Transactions for the new blocks are not supported.
    fn reorganise(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let depth = params.number(0)?;
        let given = params.get(1).and_then(Value::as_array);
        if given.is_some_and(|pairs| !pairs.is_empty()) {
            return Err(invalid_params(
                "transactions for the new blocks are not supported",
            ));
        }
        let orphans = if params.flag(2)? {
            Orphans::Requeue
        } else {
            Orphans::Forget
        };
        match self.reorg(depth, orphans) {
            Ok(_) => Ok(Value::Null),
            Err(Error::TooOld(_)) => Err(server("reorganisation is too deep")),
            Err(err) => Err(internal(err)),
        }
    }

    fn set_automine(&self, core: &mut Core, params: &Params<'_>) -> Result<Value, RpcError> {
        if params.get(0).is_none() {
            return Err(invalid_params("missing value for required argument 0"));
        }
        core.automine = params.flag(0)?;
        while core.automine && self.has_ready(core).map_err(internal)? {
            self.mine_locked(core).map_err(internal)?;
        }
        Ok(Value::Bool(true))
    }

    fn snapshot(&self, core: &mut Core) -> Result<Value, RpcError> {
        if core.snapshots.len() >= MAX_SNAPSHOTS {
            return Err(server("too many snapshots"));
        }
        core.snapshots.push(self.head().map_err(internal)?.number);
        Ok(wire::quantity(core.snapshots.len()))
    }

    /// Rewinds to a snapshot, forgets it and all later ones, and empties the pool. False for an unknown
    /// snapshot and for one that is too old.
    fn revert(&self, core: &mut Core, params: &Params<'_>) -> Result<Value, RpcError> {
        let index = usize::try_from(params.number(0)?)
            .ok()
            .and_then(|id| id.checked_sub(1));
        let Some((index, number)) =
            index.and_then(|index| Some((index, *core.snapshots.get(index)?)))
        else {
            return Ok(Value::Bool(false));
        };
        match self.inner.store.rewind(number) {
            Ok(()) => {}
            Err(Error::TooOld(_)) => return Ok(Value::Bool(false)),
            Err(err) => return Err(internal(err)),
        }
        core.snapshots.truncate(index);
        core.pool = super::super::Pool::default();
        Ok(Value::Bool(true))
    }
}

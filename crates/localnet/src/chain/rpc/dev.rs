//! Methods for tests and demonstrations: they move time and rewind the chain.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Chain, Core};
use super::params::Params;
use super::{RpcError, internal, invalid_params, server, unknown_method, wire};

/// Snapshots that are kept at most.
const MAX_SNAPSHOTS: usize = 1_024;

impl Chain {
    pub(super) fn dev_method(&self, method: &str, params: &Params<'_>) -> Result<Value, RpcError> {
        let mut core = self.core();
        match method {
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
            Err(super::super::Error::TooOld(_)) => return Ok(Value::Bool(false)),
            Err(err) => return Err(internal(err)),
        }
        core.snapshots.truncate(index);
        core.pool = super::super::Pool::default();
        Ok(Value::Bool(true))
    }
}

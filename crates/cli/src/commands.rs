//! One file for each command; each has one `run`.

pub(crate) mod chat;
pub(crate) mod doctor;
pub(crate) mod facilitator;
pub(crate) mod fetch;
pub(crate) mod infer;
pub(crate) mod model;
pub(crate) mod model_add;
pub(crate) mod model_list;
pub(crate) mod model_show;
pub(crate) mod node_register;
pub(crate) mod paywall;
pub(crate) mod receipt_explain;
pub(crate) mod receipt_list;
pub(crate) mod receipt_show;
pub(crate) mod receipt_verify;
pub(crate) mod registry_approve;
pub(crate) mod registry_list;
pub(crate) mod registry_revoke;
pub(crate) mod registry_show;
pub(crate) mod registry_watch;
pub(crate) mod relay;
pub(crate) mod request_hash;
pub(crate) mod settlement;
pub(crate) mod settlement_list;
pub(crate) mod settlement_prove;
pub(crate) mod settlement_verify;
pub(crate) mod up;
pub(crate) mod wallet_approve;
pub(crate) mod wallet_budget;
pub(crate) mod wallet_channels;
pub(crate) mod wallet_create;
pub(crate) mod wallet_history;
pub(crate) mod wallet_import;
pub(crate) mod wallet_show;

use std::future::Future;

use crate::failure::{Exit, Failure};

/// Runs the asynchronous part of a command.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| Failure::new(Exit::Bug, "runtime", format!("cannot start: {err}")))?;
    runtime.block_on(work)
}

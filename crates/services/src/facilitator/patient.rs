//! An endpoint that is not waited for longer than it is worth.

use core::time::Duration;
use std::sync::Arc;

use seamline_evm::rpc::{BatchFuture, TransportKind};
use seamline_evm::{Rpc, RpcCall, TransportError};
use tokio::time::timeout;

/// Longest wait for one batch: authorizations live for tens of seconds, and a look that hangs keeps all
/// settlements from being sent again. Endpoints answer in well below a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives every batch up after five seconds. What was asked for may have been done.
pub(super) struct Patient(pub(super) Arc<dyn Rpc>);

impl Rpc for Patient {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        Box::pin(async move {
            match timeout(PATIENCE, self.0.batch(calls)).await {
                Ok(answer) => answer,
                Err(_) => Err(TransportError {
                    kind: TransportKind::Timeout,
                    detail: "it took longer than five seconds".to_owned(),
                }),
            }
        })
    }
}

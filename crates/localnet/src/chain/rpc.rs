//! The methods that clients call, in process and over HTTP.

mod blocks;
mod dev;
mod fees;
mod logs;
mod params;
mod state;
mod wire;

use seamline_evm::rpc::{BatchFuture, Rpc, RpcCall, TransportError, TransportKind};
use serde_json::{Value, json};

pub use seamline_evm::RpcError;

use super::call::CallError;
use super::error::Error;
use super::evm;
use super::send::SendError;
use super::{Chain, Rejection};
use params::Params;

pub(super) use fees::PRIORITY_FEE;
#[cfg(test)]
pub(super) use params::quantity;

/// Calls in one batch at most: what viem puts into one by default.
pub const MAX_BATCH: usize = 1_000;

/// JSON-RPC 2.0 §5.1.
pub(super) const PARSE_ERROR: i64 = -32_700;
pub(super) const INVALID_REQUEST: i64 = -32_600;
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;
const INTERNAL: i64 = -32_603;
/// go-ethereum's code for all that its clients must read the message of.
const SERVER: i64 = -32_000;
/// go-ethereum's code for a revert; `data` holds the revert bytes.
const REVERT: i64 = 3;
/// EIP-1474: a limit is exceeded.
const LIMIT: i64 = -32_005;

impl Chain {
    /// Answers one JSON-RPC call. `params` is the array of positional parameters; null means none.
    ///
    /// Blocks the thread: for the length of an execution, and of a durable write where a block is made.
    ///
    /// # Errors
    /// The JSON-RPC error; `docs/reference/json-rpc.md` lists codes and methods.
    pub fn handle(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let params = Params::new(params)?;
        match method {
            // The endpoint
            "eth_chainId" => Ok(wire::quantity(self.inner.chain_id)),
            "net_version" => Ok(Value::String(self.inner.chain_id.to_string())),
            "net_listening" => Ok(Value::Bool(true)),
            "web3_clientVersion" => Ok(json!(concat!(
                "seamline-localnet/",
                env!("CARGO_PKG_VERSION")
            ))),
            "eth_accounts" => Ok(json!([])),
            "eth_syncing" => Ok(Value::Bool(false)),
            // Blocks and transactions
            "eth_blockNumber" => Ok(wire::quantity(self.head().map_err(internal)?.number)),
            "eth_getBlockByNumber" => self.block_by_number(&params),
            "eth_getBlockByHash" => self.block_by_hash(&params),
            "eth_getBlockTransactionCountByNumber" => self.transaction_count_by_number(&params),
            "eth_getBlockTransactionCountByHash" => self.transaction_count_by_hash(&params),
            "eth_getBlockReceipts" => self.block_receipts(&params),
            "eth_getTransactionByHash" => self.transaction_by_hash(&params),
            "eth_getTransactionReceipt" => self.transaction_receipt(&params),
            "eth_getLogs" => self.logs(&params),
            // State
            "eth_getBalance" => self.balance(&params),
            "eth_getCode" => self.code(&params),
            "eth_getStorageAt" => self.storage_at(&params),
            "eth_getTransactionCount" => self.account_nonce(&params),
            "eth_call" => self.eth_call(&params),
            "eth_estimateGas" => self.estimate_gas(&params),
            // Fees and sending
            "eth_gasPrice" => self.gas_price(),
            "eth_maxPriorityFeePerGas" => Ok(wire::quantity(PRIORITY_FEE)),
            "eth_feeHistory" => self.fee_history(&params),
            "eth_sendRawTransaction" => self.send_raw_transaction(&params),
            // Development
            _ if self.inner.dev_methods => self.dev_method(method, &params),
            _ => Err(unknown_method(method)),
        }
    }

    fn send_raw_transaction(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let raw = params.bytes(0)?;
        match self.send_raw(&raw) {
            Ok(hash) => Ok(json!(hash)),
            Err(SendError::Rejected(rejection)) => Err(rejected(&rejection)),
            Err(SendError::Chain(err)) => Err(internal(err)),
            Err(err @ (SendError::Reverted(_) | SendError::Waiting(_))) => {
                Err(server(err.to_string()))
            }
        }
    }
}

impl Rpc for Chain {
    fn batch<'a>(&'a self, calls: &'a [RpcCall]) -> BatchFuture<'a> {
        let chain = self.clone();
        let calls = calls.to_vec();
        Box::pin(async move {
            let work = move || {
                calls
                    .iter()
                    .map(|call| chain.handle(&call.method, &call.params))
                    .collect()
            };
            // Executions and fsyncs would hold up a runtime thread.
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|err| TransportError {
                    kind: TransportKind::Unreachable,
                    detail: err.to_string(),
                })
        })
    }
}

fn unknown_method(method: &str) -> RpcError {
    // A method name is the client's text: cut, so that an answer is never much longer than its question.
    let shown: String = method.chars().take(64).collect();
    error(
        METHOD_NOT_FOUND,
        format!("the method {shown} does not exist/is not available"),
    )
}

fn invalid_params(message: impl Into<String>) -> RpcError {
    error(INVALID_PARAMS, message)
}

fn server(message: impl Into<String>) -> RpcError {
    error(SERVER, message)
}

fn limit(message: impl Into<String>) -> RpcError {
    error(LIMIT, message)
}

fn rejected(rejection: &Rejection) -> RpcError {
    server(rejection.to_string())
}

/// Logs what went wrong inside and tells the client only that it did.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the end of the error's way"
)]
fn internal(err: Error) -> RpcError {
    tracing::error!(error = %seamline_core::chain(&err), "json-rpc call failed");
    error(INTERNAL, "internal error")
}

fn call_error(err: CallError) -> RpcError {
    match err {
        CallError::Invalid(message) => server(message),
        CallError::Chain(err) => internal(err),
        CallError::Failed(result) => {
            let message = evm::failure(&result).unwrap_or_default();
            match result {
                revm::context::result::ExecutionResult::Revert { output, .. } => RpcError {
                    code: REVERT,
                    message,
                    data: Some(json!(output)),
                },
                revm::context::result::ExecutionResult::Success { .. }
                | revm::context::result::ExecutionResult::Halt { .. } => server(message),
            }
        }
    }
}

pub(super) fn error(code: i64, message: impl Into<String>) -> RpcError {
    RpcError {
        code,
        message: message.into(),
        data: None,
    }
}

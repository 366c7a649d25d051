//! The embedded chain alone: `chain CHAIN_ID OPERATOR [FUNDED..]`.
//!
//! Serves JSON-RPC on a free port of loopback, with the contracts of the network in its genesis, gas
//! money for the named accounts, and the operator holding the network's tokens. Prints the endpoint as
//! one line of JSON and ends when its standard input does, so it never outlives what started it.

use std::error::Error;
use std::sync::Arc;

use alloy_primitives::Address;
use seamline_attest::TrustRoots;
use seamline_localnet::chain::{Chain, ChainConfig, Clock, Mining};
use seamline_localnet::contracts;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, stdin, stdout};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: chain CHAIN_ID OPERATOR [FUNDED..]";
    let chain_id: u64 = arguments.next().ok_or(usage)?.parse()?;
    let operator: Address = arguments.next().ok_or(usage)?.parse()?;
    let funded: Vec<Address> = arguments
        .map(|account| account.parse())
        .collect::<Result<_, _>>()?;

    let clock: Clock = Arc::new(|| seamline::Env::system().now());
    let chain = Chain::open(ChainConfig {
        path: None,
        chain_id,
        genesis: contracts::genesis(clock(), operator, &funded)?,
        mining: Mining::Instant,
        roots: TrustRoots::aws(),
        clock: Arc::clone(&clock),
        dev_methods: true,
        only_from: None,
        models: None,
    })?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let line = format!("{{\"rpc_url\":\"http://{}\"}}\n", listener.local_addr()?);
    stdout().write_all(line.as_bytes()).await?;
    stdout().flush().await?;
    chain.serve(listener, abandoned()).await?;
    Ok(())
}

/// Completes when standard input ends.
async fn abandoned() {
    let mut ignored = [0; 64];
    while matches!(stdin().read(&mut ignored).await, Ok(read) if read > 0) {}
}

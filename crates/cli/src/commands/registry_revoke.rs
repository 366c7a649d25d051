//! `seamline registry revoke`: withdraws a measurement, and every node that runs it.

use alloy_sol_types::SolCall as _;
use seamline_evm::bindings::IRegistry;
use seamline_evm::registry;
use serde_json::json;

use crate::args::RegistryRevoke;
use crate::chain_desk::{Desk, unreachable};
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &RegistryRevoke) -> Result<Exit, Failure> {
    block_on(async {
        let desk = Desk::open(context).await?;
        let registry = desk.network.registry;
        let snapshot = registry::read(&*desk.rpc, registry, args.tee_type).await;
        let snapshot = snapshot.map_err(|err| unreachable(&err))?;
        let nodes: Vec<_> = snapshot
            .nodes
            .iter()
            .filter(|record| record.pcr_hash == args.measurement)
            .map(|record| record.node.to_string())
            .collect();
        let signer = desk.administrator(context)?;
        let call = IRegistry::revokePCRCall {
            pcrHash: args.measurement,
            teeType: args.tee_type,
        };
        let sent = desk
            .change(&signer, call.abi_encode(), &args.max_fee)
            .await?;
        if args.output.json {
            output::json(&json!({
                "version": 1, "measurement": args.measurement, "type": args.tee_type,
                "transaction": sent.transaction, "block": sent.block, "nodes": nodes,
            }))?;
        } else {
            output::line(&format!(
                "revoked      {} for type {}, transaction {}",
                args.measurement, args.tee_type, sent.transaction
            ))?;
            for node in &nodes {
                output::line(&format!("disabled     node {node}"))?;
            }
        }
        Ok(Exit::Ok)
    })
}

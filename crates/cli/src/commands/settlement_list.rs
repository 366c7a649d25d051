//! `seamline settlement list`: the batches that a chain has on record.

use seamline_evm::settlement::FoundRoot;
use serde_json::json;

use super::settlement::Place;
use crate::args::SettlementList;
use crate::commands::block_on;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) fn run(context: &Context, args: &SettlementList) -> Result<Exit, Failure> {
    block_on(async {
        let place = Place::find(context, &args.place).await?;
        let batches = place.batches(None, args.place.from_block).await?;
        if args.output.json {
            let values: Vec<_> = batches.iter().map(FoundRoot::to_value).collect();
            output::json(&json!({
                "version": 1,
                "chain_id": place.chain_id,
                "contract": place.contract,
                "batches": values,
            }))?;
            return Ok(Exit::Ok);
        }
        output::line(&format!(
            "{} batches of contract {} on chain {}",
            batches.len(),
            place.contract,
            place.chain_id
        ))?;
        for batch in &batches {
            // The identifier is somebody else's text.
            let blob: String = batch
                .blob_text()
                .chars()
                .filter(|it| !it.is_control())
                .take(96)
                .collect();
            output::line(&format!(
                "{}  {} answers, block {}, transaction {}, blob {blob}",
                batch.root, batch.size, batch.block_number, batch.transaction
            ))?;
        }
        Ok(Exit::Ok)
    })
}

//! Data settlement, where the command line asks for it.

use std::sync::Arc;
use std::time::Duration;

use seamline_core::{Address, chain};
use seamline_evm::Rpc;
use seamline_evm::settlement::BatchRule;
use seamline_services::data::blob::{BlobStore, Directory, ObjectStore, Walrus};
use seamline_services::data::{DataConfig, DataDesk, open_table};
use seamline_services::facilitator::{FINALITY_DEPTH, Facilitator, StoreLocation};

use crate::args;
use crate::failure::{Exit, Failure};
use crate::service::{check_url, web_client};
use crate::session::now;

/// Pause between two looks at records that are on their way: half the time of a fast block.
const POLL: Duration = Duration::from_secs(1);
/// Least time between two heartbeats of a node: nodes send one every quarter of an hour.
const HEARTBEAT_PAUSE: Duration = Duration::from_secs(60);
/// Longest blob that is read back.
const MAX_BLOB: u64 = 64 * 1024 * 1024;

/// Starts the desk; `None` where no contract is named.
pub(super) async fn start(
    args: &args::Facilitator,
    rpc: Arc<dyn Rpc>,
    store: &StoreLocation,
    settling: &Facilitator,
) -> Result<Option<DataDesk>, Failure> {
    let (Some(contract), Some(registry)) = (args.settlement, args.registry) else {
        return Ok(None);
    };
    let blobs = blobs(args, store)?;
    let table = open(store, args.chain_id, contract).await?;
    Ok(Some(DataDesk::start(DataConfig {
        rpc,
        chain_id: args.chain_id,
        registry,
        contract,
        table,
        blobs,
        sender: Arc::new(settling.lane()),
        payments: Some(Arc::new(settling.clone())),
        verify: |spki, message, signature| {
            seamline_attest::verify_rsa_pss(spki, message, signature).is_ok()
        },
        clock: Arc::new(now),
        rule: BatchRule::default(),
        poll: POLL,
        finality_depth: FINALITY_DEPTH,
        heartbeat_pause: HEARTBEAT_PAUSE,
    })))
}

/// Beside the settlements: another file, or another table of the same database.
async fn open(
    store: &StoreLocation,
    chain_id: u64,
    contract: Address,
) -> Result<Arc<dyn seamline_services::data::Table>, Failure> {
    let location = match store {
        StoreLocation::File(path) => StoreLocation::File(path.with_extension("data.redb")),
        StoreLocation::Memory => StoreLocation::Memory,
        StoreLocation::Postgres(url) => StoreLocation::Postgres(url.clone()),
    };
    open_table(location, chain_id, contract)
        .await
        .map_err(|err| {
            Failure::new(Exit::Unknown, "database.failed", chain(&err)).hint(
                "nothing was settled: see to the database; one process holds a file at a time",
            )
        })
}

fn blobs(args: &args::Facilitator, store: &StoreLocation) -> Result<Arc<dyn BlobStore>, Failure> {
    let missing = || {
        Failure::usage(
            "blobs.missing",
            "it is not said where replicas keep the trees of their batches",
        )
        .hint("name a directory or a URL that all replicas reach with --blobs")
    };
    let Some(place) = &args.blobs else {
        let StoreLocation::File(path) = store else {
            return Err(missing());
        };
        return Ok(Arc::new(Directory::new(path.with_extension("blobs"))));
    };
    if let Some(aggregator) = &args.walrus_aggregator {
        check_url("Walrus publisher", place)?;
        check_url("Walrus aggregator", aggregator)?;
        let client = web_client(MAX_BLOB)?;
        return Ok(Arc::new(Walrus::new(
            client,
            place,
            aggregator,
            Walrus::EPOCHS,
        )));
    }
    if place.contains("://") {
        check_url("blob store", place)?;
        let client = web_client(MAX_BLOB)?;
        return Ok(Arc::new(ObjectStore::new(client, place, None)));
    }
    Ok(Arc::new(Directory::new(place)))
}

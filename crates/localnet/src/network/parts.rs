//! What a network is put together from.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use alloy_primitives::Address;
use seamline_attest::TrustRoots;
use seamline_core::{Timestamp, sha256};
use seamline_evm::Wallet;
use seamline_evm::settlement::BatchRule;
use seamline_net::{Clock, Tasks};
use seamline_services::channels::{ChannelDeskConfig, WithChannels};
use seamline_services::data::blob::{BlobStore, Directory, MemoryBlobs};
use seamline_services::data::{DataConfig, DataDesk, open_table};
use seamline_services::facilitator::{
    FINALITY_DEPTH, Facilitator, FacilitatorConfig, GasBudget, SETTLE_WAIT, Sellers, StoreLocation,
};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{CHAIN_POLL, Config, FEE_CEILING, HEARTBEAT};
use crate::Error;
use crate::authority::{DevAuthority, NoHardware};
use crate::chain::{Chain, ChainConfig};
use crate::files::Files;
use crate::layout::Layout;
use crate::setup::Operator;

/// When the network was started for the first time: its genesis is dated so, and the chain checks at each
/// start that it was made from this genesis.
pub(super) fn first_start(files: &Files, now: Timestamp) -> Result<Timestamp, Error> {
    let read = |bytes: &[u8]| {
        Some(Timestamp::from_secs(
            core::str::from_utf8(bytes).ok()?.trim().parse().ok()?,
        ))
    };
    let started = files.keep("genesis.time", read, || {
        let time = Timestamp::from_secs(now.as_secs());
        Ok((time, time.as_secs().to_string().into_bytes()))
    })?;
    not_behind(now, started).map(|()| started)
}

/// Nothing that an earlier start made may lie in the future.
pub(super) fn not_behind(now: Timestamp, seen: Timestamp) -> Result<(), Error> {
    if now < seen {
        return Err(Error::Clock { now, seen });
    }
    Ok(())
}

/// A block is dated after its parent, so a clock behind the head makes blocks that no evidence fits.
/// Instant blocks run ahead of the clock by a second each, hence the patience.
pub(super) fn check_head(chain: &Chain, now: Timestamp) -> Result<(), Error> {
    let head = chain.head().map_err(Error::Chain)?;
    let seen = Timestamp::from_secs(head.timestamp);
    if now.saturating_add(HEARTBEAT) < seen {
        return Err(Error::Clock { now, seen });
    }
    Ok(())
}

/// The kept root, or a new one where there is none or it has expired.
pub(super) fn authority(files: &Files, now: Timestamp) -> Result<DevAuthority, Error> {
    let proof = NoHardware::probe(|path| path.exists()).map_err(Error::Authority)?;
    let fresh = || {
        let authority = DevAuthority::generate(&proof, now).map_err(Error::Authority)?;
        let bytes = authority.to_bytes().map_err(Error::Authority)?.to_vec();
        Ok((authority, bytes))
    };
    const FILE: &str = "authority.key";
    let kept = files.keep(
        FILE,
        |bytes| DevAuthority::from_bytes(&proof, bytes).ok(),
        fresh,
    )?;
    if kept.is_valid_at(now) {
        return Ok(kept);
    }
    // A root is replaced when it has expired, not when the clock is wrong: receipts depend on it.
    let made = kept.not_after().saturating_sub(DevAuthority::LIFETIME);
    not_behind(now, made)?;
    let (renewed, bytes) = fresh()?;
    files.put(FILE, &bytes)?;
    Ok(renewed)
}

pub(super) fn open_chain(
    config: &Config,
    files: &Files,
    authority: &DevAuthority,
    operator: &Wallet,
    settler: &Wallet,
    own: &BTreeSet<Address>,
    time: Timestamp,
) -> Result<Chain, Error> {
    let genesis = config
        .layout
        .genesis(time, operator.address(), &[settler.address()])
        .map_err(Error::Artifact)?;
    let roots = TrustRoots::none()
        .danger_accept_dev(authority.root_der())
        .map_err(|_| unmarked_root())?;
    Chain::open(ChainConfig {
        path: files.database("chain.redb")?,
        chain_id: config.layout.chain_id,
        genesis,
        mining: config.mining,
        roots,
        clock: Arc::clone(&config.clock),
        dev_methods: config.dev_methods,
        only_from: config.layout.is_real().then(|| own.clone()),
        models: config.models.clone(),
    })
    .map_err(Error::Chain)
}

/// Opens the facilitator's store and takes up what an earlier process left open.
pub(super) async fn start_facilitator(
    files: &Files,
    chain: &Chain,
    wallet: Arc<Wallet>,
    layout: Layout,
    clock: &Clock,
    seller_token: &str,
) -> Result<Facilitator, Error> {
    let store = files
        .database("facilitator.redb")?
        .map_or(StoreLocation::Memory, StoreLocation::File);
    let (rpc, clock) = (Arc::new(chain.clone()), Arc::clone(clock));
    let config = FacilitatorConfig::new(
        wallet,
        rpc,
        layout.chain_id,
        vec![layout.token],
        store,
        clock,
        FEE_CEILING,
    );
    Facilitator::start(FacilitatorConfig {
        poll: CHAIN_POLL,
        // Gas costs nothing here.
        gas: GasBudget::UNLIMITED,
        // Payers reach it: a payment is settled for whoever holds the network's token only.
        sellers: Sellers::listed([(None, sha256(&[seller_token.as_bytes()]).0)]),
        ..config
    })
    .await
    .map_err(|err| Error::Facilitator(Box::new(err)))
}

/// Settles what the enclaves sign, through the facilitator's account.
pub(super) async fn start_data(
    files: &Files,
    chain: &Chain,
    settling: &Facilitator,
    hands: &Operator<'_>,
    clock: &Clock,
) -> Result<DataDesk, Error> {
    hands.allow_settling(settling.address())?;
    let store = files
        .database("data.redb")?
        .map_or(StoreLocation::Memory, StoreLocation::File);
    let table = open_table(store, hands.layout.chain_id, hands.layout.settlement).await;
    let table = table.map_err(|err| Error::Facilitator(Box::new(err)))?;
    let blobs: Arc<dyn BlobStore> = match files.path("blobs") {
        Some(path) => Arc::new(Directory::new(path)),
        None => Arc::new(MemoryBlobs::default()),
    };
    Ok(DataDesk::start(DataConfig {
        rpc: Arc::new(chain.clone()),
        chain_id: hands.layout.chain_id,
        registry: hands.layout.registry,
        contract: hands.layout.settlement,
        table,
        blobs,
        sender: Arc::new(settling.lane()),
        payments: Some(Arc::new(settling.clone())),
        verify: |spki, message, signature| {
            seamline_attest::verify_rsa_pss(spki, message, signature).is_ok()
        },
        clock: Arc::clone(clock),
        rule: BATCH_RULE,
        poll: DATA_POLL,
        finality_depth: FINALITY_DEPTH,
        heartbeat_pause: HEARTBEAT_PAUSE,
    }))
}

/// Somebody who tries the network out does not wait a quarter of an hour for a proof.
const BATCH_RULE: BatchRule = BatchRule {
    max_items: 20,
    idle_s: 5,
    longest_s: 15,
};
/// Pause between two looks at records that are on their way.
const DATA_POLL: Duration = Duration::from_millis(100);
/// Least time between two heartbeats of a node.
const HEARTBEAT_PAUSE: Duration = Duration::from_secs(10);

/// Puts payment channels beside the facilitator: its account settles them too, and signs claims for
/// sellers who leave that to it.
pub(super) fn with_channels(
    settling: &Facilitator,
    settler: Arc<Wallet>,
    layout: Layout,
) -> WithChannels {
    let desk = ChannelDeskConfig {
        authorizer: Some(settler),
        assets: vec![layout.token],
        settle_wait: SETTLE_WAIT,
    };
    WithChannels::new(Arc::new(settling.clone()), settling.lane(), desk)
}

pub(super) async fn serve_chain(
    chain: &Chain,
    port: u16,
    tasks: &Tasks,
    stopped: &watch::Receiver<bool>,
) -> Result<String, Error> {
    let listener = listen(port).await?;
    let rpc_url = url("http", &listener);
    let (server, stop) = (chain.clone(), stopping(stopped));
    tasks.spawn(async move {
        if let Err(error) = server.serve(listener, stop).await {
            tracing::warn!(%error, "the chain's server stopped");
        }
    });
    tasks.spawn(chain.clone().run(stopping(stopped)));
    Ok(rpc_url)
}

pub(super) async fn listen(port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| Error::Listen { port, source })
}

pub(super) fn url(scheme: &str, listener: &TcpListener) -> String {
    let port = listener.local_addr().map_or(0, |address| address.port());
    format!("{scheme}://127.0.0.1:{port}")
}

/// Resolves when the network is told to stop.
pub(super) fn stopping(
    stopped: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let mut stopped = stopped.clone();
    async move {
        // An error means that the network was dropped, which is a stop too.
        let _ = stopped.wait_for(|stop| *stop).await;
    }
}

/// The authority's certificate is not a development root: only a damaged file can be the cause.
pub(super) const fn unmarked_root() -> Error {
    Error::Authority(crate::authority::Error::Unreadable {
        reason: "no marked root",
    })
}

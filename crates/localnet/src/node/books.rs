//! What a node writes down: its channels, and what it still has to settle.

use std::sync::Arc;

use alloy_primitives::Address;
use seamline_evm::Rpc;
use seamline_net::{
    ChannelConfig, ChannelFile, ChannelMemory, ChannelStore, Channels, FileStore, PaywallStore,
    StoreError,
};

use super::Shared;
use crate::spec::NodeSpec;
use crate::{Error, keys};

/// The node's channels: their books, and the key that signs claims and refunds for it.
pub(super) async fn channels(
    shared: &Shared<'_>,
    spec: &NodeSpec,
    pay_to: Address,
) -> Result<Channels, Error> {
    let key = format!("node-{}-authorizer.key", spec.name);
    let authorizer = keys::wallet(shared.files, &key)?;
    let store: Arc<dyn ChannelStore> = match shared
        .files
        .database(&format!("node-{}-channels.redb", spec.name))?
    {
        Some(path) => Arc::new(ChannelFile::open(path).await.map_err(failed)?),
        None => Arc::new(ChannelMemory::new()),
    };
    let config = ChannelConfig::new(
        shared.network,
        shared.layout.chain_id,
        pay_to,
        shared.layout.token,
        Arc::new(authorizer),
        Arc::clone(shared.clock),
    );
    let rpc: Arc<dyn Rpc> = Arc::new(shared.operator.chain.clone());
    let facilitator = Arc::clone(shared.facilitator);
    let opened = Channels::open(config, facilitator, Some(rpc), store).await;
    opened.map_err(failed)
}

/// Where the node writes what it still has to settle; in memory where the network has no folder.
pub(super) async fn paywall(
    shared: &Shared<'_>,
    spec: &NodeSpec,
) -> Result<Option<Arc<dyn PaywallStore>>, Error> {
    let name = format!("node-{}-paywall.redb", spec.name);
    let Some(path) = shared.files.database(&name)? else {
        return Ok(None);
    };
    let store = FileStore::open(path).await.map_err(failed)?;
    Ok(Some(Arc::new(store)))
}

pub(super) fn failed(source: StoreError) -> Error {
    Error::Facilitator(Box::new(source))
}

use core::future::ready;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seamline_core::B256;
use seamline_evm::channel::seller::Channel;

use super::ChannelStore;
use crate::paywall::{StoreError, StoreFuture};

/// Books in memory: nothing survives the process, and what was not claimed is forgone. For tests.
/// Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ChannelMemory(Arc<Mutex<HashMap<B256, Vec<u8>>>>);

impl ChannelMemory {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChannelStore for ChannelMemory {
    fn load(&self) -> StoreFuture<'_, Vec<Channel>> {
        let books = self.lock();
        let channels = books.values().map(|bytes| Channel::decode(bytes));
        let channels: Result<Vec<Channel>, _> = channels.collect();
        Box::pin(ready(channels.map_err(|_| StoreError::Corrupt)))
    }

    fn save<'a>(&'a self, channel: &'a Channel) -> StoreFuture<'a, ()> {
        self.lock().insert(channel.id(), channel.encode());
        Box::pin(ready(Ok(())))
    }

    fn forget(&self, channel_id: B256) -> StoreFuture<'_, ()> {
        self.lock().remove(&channel_id);
        Box::pin(ready(Ok(())))
    }
}

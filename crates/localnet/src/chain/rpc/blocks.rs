//! Reading blocks, transactions and receipts.

use serde_json::Value;

use super::super::Chain;
use super::super::error::Error;
use super::super::record::Block;
use super::params::{BlockId, Params};
use super::{RpcError, internal, wire};

impl Chain {
    pub(super) fn block_by_number(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let (id, whole) = (params.block(0)?, params.flag(1)?);
        if id == BlockId::Pending {
            let head = self
                .inner
                .store
                .reader()
                .and_then(|reader| reader.head())
                .map_err(internal)?;
            let core = self.core();
            let waiting: Vec<_> = core.pool.iter().collect();
            return Ok(wire::pending_block(
                &self.next_header(&core, &head),
                &waiting,
                whole,
            ));
        }
        self.shown_block(id, whole)
    }

    pub(super) fn block_by_hash(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        self.shown_block(BlockId::Hash(params.hash(0)?), params.flag(1)?)
    }

    pub(super) fn transaction_count_by_number(
        &self,
        params: &Params<'_>,
    ) -> Result<Value, RpcError> {
        let id = params.block(0)?;
        if id == BlockId::Pending {
            return Ok(wire::quantity(self.core().pool.iter().count()));
        }
        self.counted(id)
    }

    pub(super) fn transaction_count_by_hash(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        self.counted(BlockId::Hash(params.hash(0)?))
    }

    pub(super) fn block_receipts(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let Some(block) = self.stored_block(params.block(0)?).map_err(internal)? else {
            return Ok(Value::Null);
        };
        let placed = wire::placed(&block).map_err(internal)?;
        Ok(placed.iter().map(wire::Placed::receipt).collect())
    }

    pub(super) fn transaction_by_hash(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let hash = params.hash(0)?;
        if let Some(stored) = self.stored(hash, |placed| placed.transaction())? {
            return Ok(stored);
        }
        Ok(self
            .core()
            .pool
            .get(hash)
            .map_or(Value::Null, wire::waiting_transaction))
    }

    pub(super) fn transaction_receipt(&self, params: &Params<'_>) -> Result<Value, RpcError> {
        let found = self.stored(params.hash(0)?, |placed| placed.receipt())?;
        Ok(found.unwrap_or(Value::Null))
    }

    /// Returns a block; `None` where there is none, and for `pending`.
    pub(super) fn stored_block(&self, id: BlockId) -> Result<Option<Block>, Error> {
        let reader = self.inner.store.reader()?;
        let number = match id {
            BlockId::Earliest => Some(0),
            BlockId::Hash(hash) => reader.number_of(hash)?,
            BlockId::Latest => Some(reader.head()?.header.number),
            BlockId::Number(number) => Some(number),
            BlockId::Pending => None,
        };
        number.map_or(Ok(None), |number| reader.block(number))
    }

    fn shown_block(&self, id: BlockId, whole: bool) -> Result<Value, RpcError> {
        match self.stored_block(id).map_err(internal)? {
            Some(block) => wire::block(&block, whole).map_err(internal),
            None => Ok(Value::Null),
        }
    }

    fn counted(&self, id: BlockId) -> Result<Value, RpcError> {
        let block = self.stored_block(id).map_err(internal)?;
        Ok(block.map_or(Value::Null, |block| {
            wire::quantity(block.transactions.len())
        }))
    }

    fn stored(
        &self,
        hash: alloy_primitives::B256,
        show: impl Fn(&wire::Placed<'_>) -> Value,
    ) -> Result<Option<Value>, RpcError> {
        let reader = self.inner.store.reader().map_err(internal)?;
        let Some((number, index)) = reader.place_of(hash).map_err(internal)? else {
            return Ok(None);
        };
        let block = reader
            .block(number)
            .map_err(internal)?
            .ok_or_else(|| internal(Error::Corrupt("block")))?;
        let placed = wire::placed(&block).map_err(internal)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let found = placed
            .get(index)
            .ok_or_else(|| internal(Error::Corrupt("block body")))?;
        Ok(Some(show(found)))
    }
}

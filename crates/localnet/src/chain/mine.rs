//! Making a block: choose, execute, seal, write.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxEnvelope,
};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, B256, Bloom};
use revm::context::result::EVMError;
use revm::database::CacheDB;
use revm::database_interface::DatabaseCommit as _;

use super::error::Error;
use super::evm::{self, Rules};
use super::genesis::empty_header;
use super::record::{Head, TxRecord};
use super::state::{Diff, StateView};
use super::store::Sealed;
use super::transaction::Transaction;
use super::{BLOCK_GAS_LIMIT, BlockRef, Chain, Core, MIN_BASE_FEE};

/// What a block under construction has gathered.
#[derive(Default)]
struct Draft {
    transactions: Vec<TxEnvelope>,
    hashes: Vec<B256>,
    records: Vec<TxRecord>,
    receipts: Vec<ReceiptEnvelope>,
    bloom: Bloom,
    gas_used: u64,
    diff: Diff,
}

impl Chain {
    /// Makes one block of the transactions that can be executed now, empty or not. When this returns
    /// the block is on disk.
    ///
    /// # Errors
    /// [`Error`]: the chain is then as it was, and so are the waiting transactions.
    pub fn mine(&self) -> Result<BlockRef, Error> {
        self.mine_locked(&mut self.core())
    }

    pub(super) fn mine_locked(&self, core: &mut Core) -> Result<BlockRef, Error> {
        // 1. The block continues the newest one.
        let reader = self.inner.store.reader()?;
        let parent = reader.head()?;
        let mut header = self.next_header(core, &parent);
        // 2. Transactions, best first, each over the state that the one before it left.
        let draft = self.fill(core, &header, StateView::latest(reader))?;
        // 3. What the header says about them.
        header.state_root = draft.diff.root(parent.header.state_root);
        header.transactions_root = calculate_transaction_root(&draft.transactions);
        header.receipts_root = calculate_receipt_root(&draft.receipts);
        header.logs_bloom = draft.bloom;
        header.gas_used = draft.gas_used;
        let hash = header.hash_slow();
        // 4. Durable first, visible by the same act.
        self.inner.store.append(&Sealed {
            header: &header,
            hash,
            transactions: &draft.records,
            transaction_hashes: &draft.hashes,
            diff: &draft.diff,
        })?;
        for (transaction, record) in draft.transactions.iter().zip(&draft.records) {
            core.pool
                .settle(record.sender, transaction.nonce().saturating_add(1));
        }
        core.next_base_fee = None;
        Ok(Head { header, hash }.reference())
    }

    /// Returns the header of the block after `parent` as far as it is known before its transactions.
    ///
    /// Its time is the clock's, but never before its parent's. Blocks made within one second share it:
    /// Ethereum demands a later second, which would let a busy chain run ahead of the clock.
    pub(super) fn next_header(&self, core: &Core, parent: &Head) -> Header {
        let base_fee = parent
            .header
            .next_block_base_fee(BaseFeeParams::ethereum())
            .unwrap_or_default();
        let base_fee = core.next_base_fee.unwrap_or(base_fee);
        Header {
            parent_hash: parent.hash,
            number: parent.header.number.saturating_add(1),
            timestamp: self.now(core).as_secs().max(parent.header.timestamp),
            mix_hash: evm::prevrandao(parent.hash),
            base_fee_per_gas: Some(base_fee.max(MIN_BASE_FEE)),
            ..empty_header()
        }
    }

    fn fill(&self, core: &mut Core, header: &Header, view: StateView) -> Result<Draft, Error> {
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let mut nonces = BTreeMap::new();
        for sender in core.pool.senders() {
            let account_nonce = view.account(sender)?.account_nonce;
            core.pool.settle(sender, account_nonce);
            nonces.insert(sender, account_nonce);
        }
        let rules = Rules {
            chain_id: self.inner.chain_id,
            roots: Arc::clone(&self.inner.roots),
            models: self.inner.models.clone(),
            block: evm::block_env(header),
            call: false,
        };
        let mut state = CacheDB::new(view);
        let mut draft = Draft::default();
        while let Some(transaction) = core.pool.best(&nonces, base_fee).cloned() {
            let (sender, account_nonce) = (transaction.sender, transaction.account_nonce());
            let left = BLOCK_GAS_LIMIT.saturating_sub(draft.gas_used);
            if transaction.envelope.gas_limit() > left {
                nonces.remove(&sender);
                continue;
            }
            match evm::execute(&rules, &mut state, transaction.env()) {
                Ok(done) => {
                    draft.diff.absorb(&done.state);
                    state.commit(done.state);
                    draft.push(transaction, &done.result);
                    nonces.insert(sender, account_nonce.saturating_add(1));
                }
                // It was valid when it was admitted: its sender has spent the balance since.
                Err(EVMError::Transaction(reason)) => {
                    tracing::debug!(hash = %transaction.hash(), %reason, "transaction dropped");
                    core.pool.remove(sender, account_nonce);
                    nonces.remove(&sender);
                }
                Err(err) => return Err(evm::engine(err)),
            }
        }
        Ok(draft)
    }

    /// Tells whether a block made now would hold a transaction.
    pub(super) fn has_ready(&self, core: &Core) -> Result<bool, Error> {
        let reader = self.inner.store.reader()?;
        let base_fee = self
            .next_header(core, &reader.head()?)
            .base_fee_per_gas
            .unwrap_or_default();
        let mut nonces: BTreeMap<Address, u64> = BTreeMap::new();
        for sender in core.pool.senders() {
            nonces.insert(
                sender,
                reader
                    .account(sender)?
                    .map_or(0, |account| account.account_nonce),
            );
        }
        Ok(core.pool.best(&nonces, base_fee).is_some())
    }
}

impl Draft {
    fn push(&mut self, transaction: Transaction, result: &revm::context::result::ExecutionResult) {
        let gas_used = result.tx_gas_used();
        self.gas_used = self.gas_used.saturating_add(gas_used);
        // A failed transaction has no logs, whatever it emitted before it failed.
        let logs = if result.is_success() {
            result.logs().to_vec()
        } else {
            Vec::new()
        };
        let receipt = ReceiptWithBloom::from(Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: self.gas_used,
            logs: logs.clone(),
        });
        self.bloom.accrue_bloom(&receipt.logs_bloom);
        self.receipts.push(ReceiptEnvelope::from_typed(
            transaction.envelope.tx_type(),
            receipt,
        ));
        self.hashes.push(transaction.hash());
        self.records.push(TxRecord {
            raw: transaction.raw,
            sender: transaction.sender,
            success: result.is_success(),
            gas_used,
            logs,
        });
        self.transactions.push(transaction.envelope);
    }
}

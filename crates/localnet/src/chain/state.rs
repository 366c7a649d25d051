//! State as execution sees it, and the changes that a block makes to it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Keccak256, U256};
use revm::bytecode::Bytecode;
use revm::database_interface::DatabaseRef;
use revm::state::{AccountInfo, EvmState};

use super::error::Error;
use super::record::{AccountRecord, Undo};
use super::store::Reader;

/// Net changes of one block, in the order that the state root commits to.
#[derive(Clone, Debug, Default)]
pub(super) struct Diff {
    pub(super) accounts: BTreeMap<Address, Option<AccountRecord>>,
    pub(super) slots: BTreeMap<(Address, U256), U256>,
    pub(super) codes: BTreeMap<B256, Bytes>,
}

impl Diff {
    /// Adds what one transaction changed; later values win.
    pub(super) fn absorb(&mut self, changes: &EvmState) {
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            // Since EIP-6780 only a contract made in the same transaction disappears, so there is
            // never stored storage to clear.
            if account.is_selfdestructed() || account.is_empty() {
                self.accounts.insert(*address, None);
                continue;
            }
            self.accounts
                .insert(*address, Some(AccountRecord::from(&account.info)));
            for (slot, value) in account.changed_storage_slots() {
                self.slots.insert((*address, *slot), value.present_value());
            }
            // Only a new contract and a delegation (EIP-7702) bring code that is not stored yet.
            if let Some(code) = account.info.code.as_ref()
                && (account.is_created() || code.is_eip7702())
                && account.info.code_hash != KECCAK256_EMPTY
            {
                self.codes
                    .insert(account.info.code_hash, code.original_bytes());
            }
        }
    }

    /// Commits to all changes and, through `parent`, to all earlier ones. This is not Ethereum's state
    /// trie: it costs as much as the block changed, not as much as the state holds.
    pub(super) fn root(&self, parent: B256) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(parent);
        for (address, account) in &self.accounts {
            let (present, record) = match account {
                Some(record) => (1, *record),
                None => (0, AccountRecord::EMPTY),
            };
            hasher.update([0, present]);
            hasher.update(address);
            hasher.update(record.account_nonce.to_be_bytes());
            hasher.update(record.balance.to_be_bytes::<32>());
            hasher.update(record.code_hash);
        }
        for ((address, slot), value) in &self.slots {
            hasher.update([1]);
            hasher.update(address);
            hasher.update(slot.to_be_bytes::<32>());
            hasher.update(value.to_be_bytes::<32>());
        }
        hasher.finalize()
    }
}

/// The state after one block: a snapshot of the database, and over it what younger blocks replaced.
pub(super) struct StateView {
    reader: Reader,
    accounts: BTreeMap<Address, Option<AccountRecord>>,
    slots: BTreeMap<(Address, U256), U256>,
}

impl StateView {
    /// Reads the newest state.
    pub(super) fn latest(reader: Reader) -> Self {
        Self {
            reader,
            accounts: BTreeMap::new(),
            slots: BTreeMap::new(),
        }
    }

    /// Steps one block back; blocks must come newest first.
    pub(super) fn undo(&mut self, undo: Undo) {
        for entry in undo.accounts {
            self.accounts
                .insert(entry.address, entry.existed.then_some(entry.record));
        }
        for entry in undo.slots {
            self.slots.insert((entry.address, entry.slot), entry.value);
        }
    }

    /// Returns an account; [`AccountRecord::EMPTY`] where there is none.
    pub(super) fn account(&self, address: Address) -> Result<AccountRecord, Error> {
        Ok(self.find(address)?.unwrap_or(AccountRecord::EMPTY))
    }

    /// Returns the code of an account.
    pub(super) fn code(&self, address: Address) -> Result<Bytes, Error> {
        self.reader.code(self.account(address)?.code_hash)
    }

    /// Returns one storage slot.
    pub(super) fn slot(&self, address: Address, slot: U256) -> Result<U256, Error> {
        match self.slots.get(&(address, slot)) {
            Some(value) => Ok(*value),
            None => self.reader.slot(address, slot),
        }
    }

    fn find(&self, address: Address) -> Result<Option<AccountRecord>, Error> {
        match self.accounts.get(&address) {
            Some(found) => Ok(*found),
            None => self.reader.account(address),
        }
    }
}

impl DatabaseRef for StateView {
    type Error = Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Error> {
        Ok(self.find(address)?.map(AccountInfo::from))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Error> {
        Bytecode::new_raw_checked(self.reader.code(code_hash)?)
            .map_err(|_| Error::Corrupt("account code"))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Error> {
        self.slot(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Error> {
        Ok(self
            .reader
            .header(number)?
            .map_or(B256::ZERO, |head| head.hash))
    }
}

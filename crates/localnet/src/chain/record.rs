//! What the database holds, as RLP.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Log, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::state::AccountInfo;

use super::BlockRef;

/// One account, without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct AccountRecord {
    pub(super) account_nonce: u64,
    pub(super) balance: U256,
    pub(super) code_hash: B256,
}

impl AccountRecord {
    pub(super) const EMPTY: Self = Self {
        account_nonce: 0,
        balance: U256::ZERO,
        code_hash: KECCAK256_EMPTY,
    };
}

impl From<AccountRecord> for AccountInfo {
    fn from(record: AccountRecord) -> Self {
        Self {
            balance: record.balance,
            nonce: record.account_nonce,
            code_hash: record.code_hash,
            account_id: None,
            code: None,
        }
    }
}

impl From<&AccountInfo> for AccountRecord {
    fn from(info: &AccountInfo) -> Self {
        Self {
            account_nonce: info.nonce,
            balance: info.balance,
            code_hash: info.code_hash,
        }
    }
}

/// One executed transaction with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct TxRecord {
    pub(super) raw: Bytes,
    pub(super) sender: Address,
    pub(super) success: bool,
    pub(super) gas_used: u64,
    pub(super) logs: Vec<Log>,
}

/// A block as it is read back.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: B256,
    pub(super) transactions: Vec<TxRecord>,
}

impl Block {
    pub(super) fn reference(&self) -> BlockRef {
        BlockRef {
            number: self.header.number,
            hash: self.hash,
            timestamp: self.header.timestamp,
        }
    }
}

/// A header with its hash.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) hash: B256,
}

impl Head {
    pub(super) fn reference(&self) -> BlockRef {
        BlockRef {
            number: self.header.number,
            hash: self.hash,
            timestamp: self.header.timestamp,
        }
    }
}

/// Values that a block replaced: applying it to the state after the block gives the state before.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct Undo {
    pub(super) accounts: Vec<UndoAccount>,
    pub(super) slots: Vec<UndoSlot>,
}

/// An account before a block; `existed` false means that it was absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct UndoAccount {
    pub(super) address: Address,
    pub(super) existed: bool,
    pub(super) record: AccountRecord,
}

/// A storage slot before a block; zero means absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(super) struct UndoSlot {
    pub(super) address: Address,
    pub(super) slot: U256,
    pub(super) value: U256,
}

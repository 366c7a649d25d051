//! The writes of one block, inside its transaction.

use alloy_primitives::{U256, keccak256};
use alloy_rlp::{Decodable as _, Encodable as _};
use redb::WriteTransaction;

use super::super::HISTORY_BLOCKS;
use super::super::error::Error;
use super::super::record::{AccountRecord, Block, Undo, UndoAccount, UndoSlot};
use super::super::state::Diff;
use super::{
    ACCOUNTS, BODIES, CODES, HEADERS, NUMBERS, PLACES, SLOTS, Sealed, UNDO, slot_key, writing,
};

pub(super) fn write_block(tx: &WriteTransaction, block: &Sealed<'_>) -> Result<(), Error> {
    let number = block.header.number;
    let undo = write_state(tx, block.diff)?;
    tx.open_table(HEADERS)
        .map_err(writing)?
        .insert(number, alloy_rlp::encode(block.header).as_slice())
        .map_err(writing)?;
    let mut body = Vec::new();
    alloy_rlp::encode_list(block.transactions, &mut body);
    tx.open_table(BODIES)
        .map_err(writing)?
        .insert(number, body.as_slice())
        .map_err(writing)?;
    tx.open_table(NUMBERS)
        .map_err(writing)?
        .insert(&block.hash.0, number)
        .map_err(writing)?;
    let mut places = tx.open_table(PLACES).map_err(writing)?;
    for (index, hash) in (0_u64..).zip(block.transaction_hashes) {
        places.insert(&hash.0, (number, index)).map_err(writing)?;
    }
    let mut undos = tx.open_table(UNDO).map_err(writing)?;
    if number > 0 {
        let mut bytes = Vec::new();
        undo.encode(&mut bytes);
        undos.insert(number, bytes.as_slice()).map_err(writing)?;
    }
    if let Some(old) = number.checked_sub(HISTORY_BLOCKS) {
        undos.remove(old).map_err(writing)?;
    }
    Ok(())
}

/// Writes the new state and returns what it replaced.
fn write_state(tx: &WriteTransaction, diff: &Diff) -> Result<Undo, Error> {
    let mut undo = Undo::default();
    let mut accounts = tx.open_table(ACCOUNTS).map_err(writing)?;
    for (address, record) in &diff.accounts {
        let key = &*address.0;
        let old = match record {
            Some(record) => accounts.insert(key, alloy_rlp::encode(record).as_slice()),
            None => accounts.remove(key),
        };
        let old = match old.map_err(writing)? {
            Some(bytes) => Some(
                AccountRecord::decode(&mut bytes.value()).map_err(|_| Error::Corrupt("account"))?,
            ),
            None => None,
        };
        undo.accounts.push(UndoAccount {
            address: *address,
            existed: old.is_some(),
            record: old.unwrap_or(AccountRecord::EMPTY),
        });
    }
    let mut slots = tx.open_table(SLOTS).map_err(writing)?;
    for ((address, slot), value) in &diff.slots {
        let key = slot_key(*address, *slot);
        let old = if value.is_zero() {
            slots.remove(&key)
        } else {
            slots.insert(&key, &value.to_be_bytes::<32>())
        };
        let value = old
            .map_err(writing)?
            .map_or(U256::ZERO, |old| U256::from_be_bytes(*old.value()));
        undo.slots.push(UndoSlot {
            address: *address,
            slot: *slot,
            value,
        });
    }
    let mut codes = tx.open_table(CODES).map_err(writing)?;
    for (hash, code) in &diff.codes {
        codes.insert(&hash.0, code.as_ref()).map_err(writing)?;
    }
    Ok(undo)
}

pub(super) fn unwrite_block(
    tx: &WriteTransaction,
    block: &Block,
    undo: &Undo,
) -> Result<(), Error> {
    let mut before = Diff::default();
    for entry in &undo.accounts {
        before
            .accounts
            .insert(entry.address, entry.existed.then_some(entry.record));
    }
    for entry in &undo.slots {
        before
            .slots
            .insert((entry.address, entry.slot), entry.value);
    }
    write_state(tx, &before)?;
    let number = block.header.number;
    tx.open_table(HEADERS)
        .map_err(writing)?
        .remove(number)
        .map_err(writing)?;
    tx.open_table(BODIES)
        .map_err(writing)?
        .remove(number)
        .map_err(writing)?;
    tx.open_table(UNDO)
        .map_err(writing)?
        .remove(number)
        .map_err(writing)?;
    tx.open_table(NUMBERS)
        .map_err(writing)?
        .remove(&block.hash.0)
        .map_err(writing)?;
    let mut places = tx.open_table(PLACES).map_err(writing)?;
    for record in &block.transactions {
        places.remove(&keccak256(&record.raw).0).map_err(writing)?;
    }
    Ok(())
}

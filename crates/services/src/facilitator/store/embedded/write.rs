//! The one thread that writes to the file: what waits is committed together.

use std::io;
use std::sync::mpsc;

use redb::{Database, ReadableTable as _, WriteTransaction};
use seamline_core::{Address, B256};
use tokio::sync::oneshot;

use super::{GAS, LANES, SETTLEMENTS, UNFINISHED, failed};
use crate::facilitator::settlement::Settlement;
use crate::facilitator::store::ledger::{Entry, entries};
use crate::facilitator::store::{Change, Page, StoreError};

/// A change and whom to tell.
pub(super) struct Write {
    pub(super) key: B256,
    pub(super) signer: Option<Address>,
    pub(super) change: Change,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Writes that are committed together: a bound of the wait of the first.
const MAX_TOGETHER: usize = 64;

/// Commits what waits, until nobody can send any more.
pub(super) fn write_all(database: &Database, queue: &mpsc::Receiver<Write>) {
    while let Ok(first) = queue.recv() {
        let waiting = std::iter::once(first).chain(queue.try_iter());
        let waiting: Vec<Write> = waiting.take(MAX_TOGETHER).collect();
        let mut told = Vec::new();
        let committed = together(database, waiting, &mut told);
        for (done, outcome) in told {
            let outcome = match (&committed, outcome) {
                (Ok(()), outcome) => outcome,
                (Err(error), _) => Err(failed(io::Error::other(error.to_string()))),
            };
            // The one who asked may be gone; the change is done all the same.
            drop(done.send(outcome));
        }
    }
}

type Told = Vec<(
    oneshot::Sender<Result<(), StoreError>>,
    Result<(), StoreError>,
)>;

fn together(database: &Database, waiting: Vec<Write>, told: &mut Told) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    for write in waiting {
        let Write {
            key,
            signer,
            change,
            done,
        } = write;
        match apply(&transaction, key, signer, change) {
            Ok(()) => told.push((done, Ok(()))),
            // Nothing of this one was written; the others go on.
            Err(error @ StoreError::AccountNonce) => told.push((done, Err(error))),
            Err(error) => return Err(error),
        }
    }
    transaction.commit().map_err(failed)
}

fn apply(
    write: &WriteTransaction,
    key: B256,
    signer: Option<Address>,
    change: Change,
) -> Result<(), StoreError> {
    let mut page = Page {
        settlement: {
            let table = write.open_table(SETTLEMENTS).map_err(failed)?;
            let bytes = table.get(key.0).map_err(failed)?;
            let settlement = bytes.map(|bytes| Settlement::decode(key, bytes.value()));
            settlement.transpose()?
        },
        next: match signer {
            Some(signer) => {
                let table = write.open_table(LANES).map_err(failed)?;
                let next = table.get(signer.into_array()).map_err(failed)?;
                next.map_or(0, |next| next.value())
            }
            None => 0,
        },
    };
    let before = page.settlement.as_ref();
    let (of, before) = (
        before.map(Settlement::signer),
        before.and_then(Settlement::gas),
    );
    change(&mut page);
    let after = page.settlement.as_ref();
    if let Some(settlement) = &page.settlement {
        put(write, settlement)?;
    } else {
        let mut table = write.open_table(SETTLEMENTS).map_err(failed)?;
        table.remove(key.0).map_err(failed)?;
        let mut list = write.open_table(UNFINISHED).map_err(failed)?;
        list.remove(key.0).map_err(failed)?;
    }
    if let Some(signer) = signer {
        let mut table = write.open_table(LANES).map_err(failed)?;
        let signer = signer.into_array();
        table.insert(signer, page.next).map_err(failed)?;
    }
    // Last: a change that is refused has written nothing.
    count(
        write,
        of.or_else(|| after.map(Settlement::signer))
            .unwrap_or_default(),
        &entries(before, after.and_then(Settlement::gas)),
    )
}

/// Writes a record and its place among the unfinished.
pub(super) fn put(write: &WriteTransaction, settlement: &Settlement) -> Result<(), StoreError> {
    let key = settlement.key().0;
    let mut list = write.open_table(UNFINISHED).map_err(failed)?;
    let place = (settlement.signer().into_array(), settlement.held_nonce());
    if place.1.is_some() {
        for entry in list.iter().map_err(failed)? {
            let (other, taken) = entry.map_err(failed)?;
            if taken.value() == place && other.value() != key {
                return Err(StoreError::AccountNonce);
            }
        }
    }
    if settlement.is_unfinished() {
        list.insert(key, place).map_err(failed)?;
    } else {
        list.remove(key).map_err(failed)?;
    }
    let bytes = settlement.encode()?;
    let mut table = write.open_table(SETTLEMENTS).map_err(failed)?;
    table.insert(key, bytes.as_slice()).map_err(failed)?;
    Ok(())
}

fn count(write: &WriteTransaction, signer: Address, entries: &[Entry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut table = write.open_table(GAS).map_err(failed)?;
    for entry in entries {
        let place = (
            signer.into_array(),
            entry.payer.into_array(),
            entry.minute,
            entry.owner,
        );
        let before = table
            .get(place)
            .map_err(failed)?
            .map_or(0, |gas| gas.value());
        table.insert(place, entry.apply(before)).map_err(failed)?;
    }
    Ok(())
}

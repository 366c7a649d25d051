//! The books of a relay on disk.

use std::path::Path;

use redb::{Database, Durability, ReadableTable as _, TableDefinition};
use seamline_core::Amount;

use super::books::add;

/// Account (hash of its token) and minute, to what it spent in that minute.
const SPENT: TableDefinition<'_, ([u8; 32], u64), u128> = TableDefinition::new("relay-spent-v1");
/// Requests under way: account, minute of the reservation, its amount.
const OPEN: TableDefinition<'_, u64, ([u8; 32], u64, u128)> = TableDefinition::new("relay-open-v1");
/// Minutes that are kept: two days, so that a clock that is set back finds them.
const KEPT: u64 = 2 * 24 * 60;

/// Why the books of a relay cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BooksError {
    /// Two accounts have the same token: it would be unclear who pays.
    #[error("two accounts have the same token")]
    Twice,
    /// The file cannot be opened.
    #[error("cannot open the books of the relay")]
    Open(#[source] std::io::Error),
    /// The file is another process's, is damaged, or cannot be written.
    #[error("the books of the relay cannot be read or written")]
    Database(#[source] Box<redb::Error>),
}

/// What a file holds.
#[derive(Default)]
pub(super) struct Kept {
    /// By account and minute, in the order of minutes within an account.
    pub(super) spent: Vec<([u8; 32], u64, Amount)>,
    pub(super) next: u64,
}

/// The file. One process holds it.
pub(super) struct BookFile(Database);

impl BookFile {
    /// Opens the file, or makes it, readable by its owner only.
    pub(super) fn open(path: &Path) -> Result<Self, BooksError> {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(BooksError::Open)?;
        let database = Database::builder().create_file(file).map_err(failed)?;
        Ok(Self(database))
    }

    /// Reads what was spent. Reservations of a process that died are charged in full: what became of
    /// their requests is not known here.
    pub(super) fn load(&self) -> Result<Kept, BooksError> {
        let write = self.0.begin_write().map_err(failed)?;
        let mut kept = Kept::default();
        {
            let mut spent = write.open_table(SPENT).map_err(failed)?;
            let mut open = write.open_table(OPEN).map_err(failed)?;
            let mut dead = Vec::new();
            for entry in open.iter().map_err(failed)? {
                let (id, value) = entry.map_err(failed)?;
                dead.push((id.value(), value.value()));
            }
            for (id, (token, minute, most)) in dead {
                let before = spent.get((token, minute)).map_err(failed)?;
                let before = before.map_or(0, |before| before.value());
                let sum = add(Amount::new(before), Amount::new(most)).get();
                spent.insert((token, minute), sum).map_err(failed)?;
                open.remove(id).map_err(failed)?;
                kept.next = kept.next.max(id.saturating_add(1));
            }
            for entry in spent.iter().map_err(failed)? {
                let (key, value) = entry.map_err(failed)?;
                let (token, minute) = key.value();
                kept.spent.push((token, minute, Amount::new(value.value())));
            }
        }
        write.commit().map_err(failed)?;
        Ok(kept)
    }

    /// Writes a reservation down. It is on disk when this returns.
    pub(super) fn reserve(
        &self,
        id: u64,
        token: &[u8; 32],
        minute: u64,
        most: Amount,
    ) -> Result<(), BooksError> {
        let write = self.begin()?;
        {
            let mut open = write.open_table(OPEN).map_err(failed)?;
            let value = (*token, minute, most.get());
            open.insert(id, value).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// Turns a reservation into what it cost, in one step.
    pub(super) fn charge(
        &self,
        id: u64,
        token: &[u8; 32],
        minute: u64,
        cost: Amount,
    ) -> Result<(), BooksError> {
        let write = self.begin()?;
        {
            let mut open = write.open_table(OPEN).map_err(failed)?;
            open.remove(id).map_err(failed)?;
            let mut spent = write.open_table(SPENT).map_err(failed)?;
            if !cost.is_zero() {
                let before = spent.get((*token, minute)).map_err(failed)?;
                let before = before.map_or(0, |before| before.value());
                let sum = add(Amount::new(before), cost).get();
                spent.insert((*token, minute), sum).map_err(failed)?;
            }
            let oldest = minute.saturating_sub(KEPT);
            let old = (*token, 0)..(*token, oldest);
            spent.retain_in(old, |_, _| false).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    fn begin(&self) -> Result<redb::WriteTransaction, BooksError> {
        let mut write = self.0.begin_write().map_err(failed)?;
        write
            .set_durability(Durability::Immediate)
            .map_err(failed)?;
        Ok(write)
    }
}

fn failed(err: impl Into<redb::Error>) -> BooksError {
    BooksError::Database(Box::new(err.into()))
}

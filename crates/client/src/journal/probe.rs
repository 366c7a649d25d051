//! Looks at a journal without touching it.
//!
//! A database repairs its file as it opens it, and may give up with a panic over one that was
//! changed by other hands. So an existing file is first opened through a layer that keeps every
//! write in memory, and read from end to end; only a file that survives this is opened in earnest.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use redb::{Database, StorageBackend};

use super::error::opening;
use super::{Journal, JournalError, State};
use crate::client::lock;

/// Writes are kept in pieces of this size: the page size of the database, so that few are split.
const PIECE: u64 = 4096;

/// Checks that the file is a journal in good order, and returns where it stands. The file stays locked
/// for whoever holds `file`.
pub(super) fn check(path: &Path, file: &File) -> Result<State, JournalError> {
    let file = file.try_clone().map_err(|err| opening(path, err.into()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::InUse {
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(err)) => return Err(opening(path, err.into())),
    }
    let length = file.metadata().map_err(|err| opening(path, err.into()))?;
    let length = length.len();
    // An empty file is what a process leaves that died before it wrote its first page.
    if length == 0 {
        return Ok(State::default());
    }
    let damaged = || JournalError::Damaged {
        path: path.to_owned(),
        source: None,
    };
    let overlay = Overlay {
        file: Mutex::new(file),
        state: Mutex::new(Memory {
            length,
            file_length: length,
            pieces: BTreeMap::new(),
        }),
    };
    let examined = catch_unwind(AssertUnwindSafe(|| {
        let db = Database::builder().create_with_backend(overlay);
        let mut db = db.map_err(|err| opening(path, err.into()))?;
        // Every page against its checksum, and the map of free pages against those in use. A file
        // that only lost its process was repaired by the opening and passes.
        let sound = db.check_integrity();
        if !sound.map_err(|err| opening(path, err.into()))? {
            return Err(damaged());
        }
        Journal::read_through(path, db)
    }));
    examined.unwrap_or_else(|_| Err(damaged()))
}

/// A file below, and everything written since above it.
#[derive(Debug)]
struct Overlay {
    file: Mutex<File>,
    state: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    length: u64,
    /// How much of the file still shows: less than its length once it was cut.
    file_length: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Reads one piece, from memory or from the file; zeros beyond its end.
    fn piece(&self, memory: &Memory, at: u64) -> io::Result<Vec<u8>> {
        if let Some(piece) = memory.pieces.get(&at) {
            return Ok(piece.clone());
        }
        let start = at.saturating_mul(PIECE);
        let there = memory.file_length.saturating_sub(start).min(PIECE);
        let mut piece = Vec::new();
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(there).read_to_end(&mut piece)?;
        piece.resize(size(PIECE)?, 0);
        Ok(piece)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let memory = lock(&self.state);
        let end = offset.checked_add(u64::try_from(out.len()).map_err(io::Error::other)?);
        if end.is_none_or(|end| end > memory.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        each_piece(offset, out.len(), |at, within, part| {
            let piece = self.piece(&memory, at)?;
            copy(out, part, &piece, within)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut memory = lock(&self.state);
        // What is cut off reads as zeros if the file grows again.
        memory.file_length = memory.file_length.min(length);
        let whole = length.div_ceil(PIECE);
        memory.pieces.retain(|at, _| *at < whole);
        if let Some(last) = memory.pieces.get_mut(&(length / PIECE)) {
            let kept = size(length % PIECE)?;
            last.iter_mut().skip(kept).for_each(|byte| *byte = 0);
        }
        memory.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut memory = lock(&self.state);
        each_piece(offset, data.len(), |at, within, part| {
            let mut piece = self.piece(&memory, at)?;
            let len = part.len();
            copy(
                &mut piece,
                within..within.saturating_add(len),
                data,
                part.start,
            )?;
            memory.pieces.insert(at, piece);
            Ok(())
        })
    }

    fn try_lock_range(
        &self,
        _start: std::ops::Bound<u64>,
        _end: std::ops::Bound<u64>,
    ) -> Result<bool, redb::BackendError> {
        // The file itself is locked while it is looked at.
        Ok(true)
    }

    fn unlock_range(
        &self,
        _start: std::ops::Bound<u64>,
        _end: std::ops::Bound<u64>,
    ) -> Result<(), redb::BackendError> {
        Ok(())
    }
}

/// Cuts `len` bytes from `offset` on into pieces: number of the piece, where in it, which bytes.
fn each_piece(
    offset: u64,
    len: usize,
    mut work: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let at = offset.saturating_add(u64::try_from(done).map_err(io::Error::other)?);
        let within = size(at % PIECE)?;
        let room = size(PIECE)?.saturating_sub(within);
        let end = done.saturating_add(room).min(len);
        work(at / PIECE, within, done..end)?;
        done = end;
    }
    Ok(())
}

/// Copies into `to[range]` what `from` has from `start` on.
fn copy(to: &mut [u8], range: std::ops::Range<usize>, from: &[u8], start: usize) -> io::Result<()> {
    let end = start.saturating_add(range.len());
    let (Some(to), Some(from)) = (to.get_mut(range), from.get(start..end)) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    to.copy_from_slice(from);
    Ok(())
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

//! Sealing a receipt: signed, written, closed in the log, in this order.

use std::path::{Path, PathBuf};

use seamline_core::CallId;
use seamline_core::receipt::{self, Outcome, Recorder, Sealed, SealingKey};

use crate::books::Books;
use crate::client::lock;
use crate::journal::{CallRecord, CallState, JournalError};

/// Why a receipt was not sealed. The journal still holds the open call.
#[derive(Debug)]
pub(crate) enum SealFault {
    Seal(receipt::Error),
    Write(PathBuf, std::io::Error),
    Journal(JournalError),
}

/// Makes the folder of receipts, and proves that a file can be written there: what is found out after
/// the payment costs the answer.
pub(crate) fn ready(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // Named after the process: two may open one folder at the same moment.
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

/// Signs the receipt, writes its file, then closes the call in the log: a crash in between leaves
/// an open call and a receipt that nobody claims, never a closed call without its receipt.
pub(crate) fn seal(
    books: &Books,
    key: &SealingKey,
    folder: &Path,
    id: CallId,
    recorder: Recorder,
    record: &mut CallRecord,
    outcome: Outcome,
    now_ms: u64,
) -> Result<(Sealed, PathBuf), SealFault> {
    let _in_turn = lock(&books.sealing);
    let sealed = recorder.seal(books.journal.last_receipt(), key);
    let sealed = sealed.map_err(SealFault::Seal)?;
    let path = folder.join(format!("{id}.seam"));
    write_whole(&path, &sealed.bytes()).map_err(|source| SealFault::Write(path.clone(), source))?;
    record.receipt = Some(sealed.receipt_hash);
    record.state = if outcome == Outcome::Answered {
        CallState::Answered
    } else {
        CallState::Failed
    };
    let closed = books
        .journal
        .close_call(record, now_ms, sealed.receipt_hash, outcome);
    closed.map_err(SealFault::Journal)?;
    Ok((sealed, path))
}

/// Writes a file for its owner only, whole or not at all.
pub(crate) fn write_whole(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let partial = path.with_extension("partial");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    // The name as well must be on disk before the log says that the call is closed.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

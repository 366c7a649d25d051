//! Amendments as files: what the log says about sealed calls, signed, beside their receipts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seamline_core::receipt::log::Entry;
use seamline_core::receipt::{Amendment, SealingKey};

use crate::books::Books;
use crate::error::ErrorKind;
use crate::sealing::write_whole;

/// Writes the file of every amendment in the log that has none, named `CALL_ID.INDEX.seama`. A file is whole or
/// not there; one that is there is left as it is. Returns the new ones, oldest first.
pub(crate) fn export(
    books: &Books,
    key: &SealingKey,
    folder: &Path,
) -> Result<Vec<PathBuf>, ErrorKind> {
    let entries = books.journal.amendments().map_err(ErrorKind::Journal)?;
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut written = Vec::new();
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| ErrorKind::Write { path, source }
    };
    let listed = std::fs::read_dir(folder).map_err(unwritable(folder))?;
    let names = listed.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
    let names: BTreeSet<String> = names.collect();
    for entry in entries {
        let call = books.journal.call(entry.body.seq());
        let Some(call) = call.map_err(ErrorKind::Journal)? else {
            continue;
        };
        let name = name(&call.call_id, &entry);
        if names.contains(&name) {
            continue;
        }
        let sealed = Amendment::seal(entry, key).map_err(ErrorKind::Seal)?;
        let path = folder.join(name);
        write_whole(&path, &sealed.encode()).map_err(unwritable(&path))?;
        written.push(path);
    }
    Ok(written)
}

fn name(call_id: &str, entry: &Entry) -> String {
    format!("{call_id}.{}.seama", entry.index)
}

/// The amendments that lie beside a receipt's file, oldest first. Nothing is checked here: the verifier sets
/// aside what is not of this receipt.
///
/// # Errors
///
/// The folder or a file cannot be read.
pub fn beside(receipt: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    use std::io::Read as _;
    /// A byte more than an amendment may have, to see that there is more.
    const MAX_FILE: u64 = 4_097;
    let (Some(folder), Some(stem)) = (receipt.parent(), receipt.file_stem()) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let prefix = format!("{}.", stem.to_string_lossy());
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned());
        let index = name.as_deref().and_then(|name| {
            let rest = name.strip_prefix(&prefix)?;
            rest.strip_suffix(".seama")?.parse().ok()
        });
        found.extend(index.map(|index: u64| (index, path)));
    }
    found.sort_unstable();
    let read = found.into_iter().map(|(_, path)| {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.collect()
}

//! Fixed clock, vector loader and evidence locator for tests; never a normal dependency.

use std::path::{Path, PathBuf};

use seamline_core::Timestamp;

/// A point in time for tests that need one and do not care which: 2026-06-01T00:00:00Z, the base
/// of the synthetic Nitro vectors.
pub const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);

/// The root of the project, found from this crate's own manifest.
pub fn project_root() -> PathBuf {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root
        .ancestors()
        .nth(2)
        .unwrap_or(crate_root)
        .to_path_buf()
}

/// Reads a test vector of `spec/vectors/`, such as `canonical-request/chat.json`.
///
/// # Panics
///
/// If the file cannot be read: a vector that is missing is a failed test.
#[track_caller]
pub fn vector(name: &str) -> Vec<u8> {
    let path = project_root().join("spec/vectors").join(name);
    #[expect(clippy::panic, reason = "a missing vector is a failed test")]
    std::fs::read(&path)
        .unwrap_or_else(|err| panic!("cannot read vector {}: {err}", path.display()))
}

/// Reads and parses a JSON test vector of `spec/vectors/`.
///
/// # Panics
///
/// If the file cannot be read or is not JSON.
#[track_caller]
pub fn json_vector(name: &str) -> serde_json::Value {
    #[expect(clippy::panic, reason = "a broken vector is a failed test")]
    serde_json::from_slice(&vector(name)).unwrap_or_else(|err| panic!("vector {name}: {err}"))
}

/// The folder of real attestation evidence, or `None` where it is absent, after saying that the
/// calling test skips. The evidence is not ours to redistribute, so the project does not hold it.
///
/// `SEAMLINE_EVIDENCE_DIR` names the folder; the default is `../shared/vectors/evidence` beside
/// the project.
pub fn evidence_dir() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment where evidence is"
    )]
    let named = std::env::var_os("SEAMLINE_EVIDENCE_DIR").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| project_root().join("../shared/vectors/evidence"));
    if folder.is_dir() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!(
            "skipped: no real evidence at {}; set SEAMLINE_EVIDENCE_DIR",
            folder.display()
        );
    }
    None
}

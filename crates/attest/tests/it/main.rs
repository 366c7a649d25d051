//! Real documents, which the project does not hold: see `seamline_testkit::evidence_dir`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a document that cannot be read is a failed test"
)]

mod intermediates;
mod real;

use seamline_core::Timestamp;
use seamline_testkit::evidence_dir;

/// Reads a real document; `None` where the evidence is absent.
fn evidence(name: &str) -> Option<Vec<u8>> {
    let path = evidence_dir()?.join("nitro").join(name);
    Some(std::fs::read(&path).expect("a document of the evidence folder"))
}

/// 2026-11-20T00:00:00Z: long after every leaf has expired.
const LATER: Timestamp = Timestamp::from_secs(1_795_132_800);

const NITRIDING: &str = "og-nitriding-2026-02-12.cose";
const DSTACK: &str = "dstack-prod-2025-12-25.cose";
const DSTACK_TRAILING: &str = "dstack-prod-2025-12-25.trailing151.cose";
const PROD_2022: &str = "evervault-prod-2022-10-13.cose";
const DEBUG_2022: &str = "evervault-debug-2022-10-12.cose";
const DEBUG_2023: &str = "evervault-debug-2023-09-18.cose";

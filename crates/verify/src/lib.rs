//! The offline verifier: ordered checks over a receipt, findings, levels, verdict and the story.
//!
//! [`verify`] takes the bytes of a receipt file, what the reader trusts, and the time. It opens no
//! socket, reads no clock and believes nothing that it can compute again: the decision is replayed
//! with the function that took it, hesitations and costs are derived from the events, signatures
//! are checked up to keys that the reader's [`Trust`] names, evidence up to a pinned root.
//!
//! The [`Verdict`] is a list of findings. Each says what was claimed, where the statement comes
//! from, and what came of checking it; what could not be checked is never a success, and what a
//! receipt cannot prove is listed in [`Verdict::not_proven`].
//!
//! ```
//! use seamline_core::Timestamp;
//! use seamline_verify::{Level, Status, Trust, verify};
//!
//! let verdict = verify(b"not a receipt", &Trust::nobody(), Timestamp::from_secs(1_780_272_000));
//! assert_eq!(verdict.status, Status::Refuted);
//! assert_eq!(verdict.level, Level::L0);
//! assert_eq!(verdict.first_failure().map(|finding| finding.claim.id()), Some("format.version"));
//! ```
//!
//! The checks and their order are specified in `spec/receipt.md`.

mod case;
mod checks;
mod claim;
mod sessions;
mod story;
mod text;
mod token;
mod trust;
mod verdict;
pub mod view;

pub use claim::{Claim, Finding, Outcome};
pub use seamline_core::receipt::Bundle;
pub use sessions::verify_sessions;
pub use story::story;
pub use text::findings_text;
pub use token::Token;
pub use trust::{Network, Trust, TrustError, TrustFile};
pub use verdict::{Ceiling, Level, Status, Verdict};

use seamline_core::Timestamp;

/// Verifies a receipt file offline.
///
/// `now` is the reader's clock; it only serves to refuse receipts from the future. Evidence is
/// checked as of the time that the receipt records.
///
/// # Cost
///
/// Below a millisecond without evidence; about 1.5 ms more per attested node.
pub fn verify(bytes: &[u8], trust: &Trust, now: Timestamp) -> Verdict {
    checks::run(bytes, &[], trust, now)
}

/// Verifies a receipt file offline, together with what became known after it was sealed: `amendments` are
/// whole files ([`seamline_core::receipt::Amendment`]). One that is not of this receipt and its recorder is set
/// aside, and a finding says so.
///
/// # Cost
///
/// As [`verify`], and 0.1 ms per amendment; of more than 64, the rest is set aside.
pub fn verify_amended(
    bytes: &[u8],
    amendments: &[Vec<u8>],
    trust: &Trust,
    now: Timestamp,
) -> Verdict {
    checks::run(bytes, amendments, trust, now)
}

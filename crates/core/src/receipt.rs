//! Receipts: the signed record of one call (`spec/receipt.md`).
//!
//! A [`Recorder`] takes [`Event`]s while a call runs and seals them afterwards: every event is a
//! salted leaf of an RFC 6962 tree, the root and a [`Summary`] of the events form the [`Core`], and
//! a COSE_Sign1 over the core's deterministic CBOR is the receipt. A [`Bundle`] is the file: the
//! receipt, the events that it discloses, and the evidence that they refer to, as received.
//!
//! Nothing here decides whether a receipt is true. [`Bundle::decode`] accepts exactly the format,
//! the `check_*` methods answer one question each, and the verifier puts the answers together.

mod amendment;
mod body;
mod bundle;
mod checks;
mod error;
mod event;
mod field;
pub mod log;
mod recorder;
mod sign;
mod summary;
#[cfg(test)]
mod tests;
pub mod tree;

pub use amendment::Amendment;
pub use body::{Core, EvidenceEntry, EvidenceType};
pub use bundle::{Bundle, Leaf, Slot, events_of};
pub use error::{Error, Part};
pub use event::*;
pub use field::{MAX_WORD, Outcome, RecordMode, RecordStage, SettlementState, Value, Word};
pub use recorder::{Recorder, Sealed};
pub use sign::{PublicKey, SealingKey};
pub use summary::{Compared, Cost, DecisionSummary, Summary, SummaryPart};

/// Version of the format, the first field of the core.
pub const VERSION: u64 = 1;

/// The first bytes of a receipt file.
pub const MAGIC: &[u8; 5] = b"SEAM1";

/// The first bytes of an amendment's file.
pub const AMENDMENT_MAGIC: &[u8; 5] = b"SEAA1";

/// The most bytes of an amendment's file: one event and a signature.
pub const MAX_AMENDMENT: usize = 4_096;

/// The most bytes of a core: an entry of a C2SP tlog-tiles log has a length of 16 bits.
pub const MAX_CORE: usize = 65_535;

/// The most bytes of a file. A call with two attested nodes carries about 20 KiB.
pub const MAX_BUNDLE: usize = 4 << 20;

/// The most events of a call. Pauses are the only kind whose number a peer influences.
pub const MAX_EVENTS: usize = 4_096;

/// The most events of one kind, pauses excepted. A verifier's dear steps (evidence, signatures,
/// replay) are one per event, so this bounds what a hostile receipt can cost it; a call asks a
/// handful of nodes.
pub const MAX_OF_KIND: usize = 64;

/// The most entries of the evidence table.
pub const MAX_EVIDENCE: usize = 64;

/// The most decisions of a call: one per node that was asked.
pub const MAX_DECISIONS: usize = 64;

/// The most hesitations of a call.
pub const MAX_HESITATIONS: usize = 512;

//! Why bytes are not a receipt, or events cannot become one.

use alloy_primitives::B256;

use crate::cbor;

/// A part of a receipt file, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The whole file.
    Bundle,
    /// The COSE_Sign1 structure.
    Envelope,
    /// The signed core.
    Core,
    /// One event.
    Event,
    /// One blob of evidence.
    Evidence,
    /// One entry of the local log.
    LogEntry,
    /// The file of an amendment.
    Amendment,
}

impl Part {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Envelope => "envelope",
            Self::Core => "core",
            Self::Event => "event",
            Self::Evidence => "evidence",
            Self::LogEntry => "log entry",
            Self::Amendment => "amendment",
        }
    }
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are not a receipt, why one of its checks fails, or why events cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A part is larger than the format allows.
    #[error("{part} of {len} is larger than the {max} that the format allows")]
    TooLarge {
        /// Which part.
        part: Part,
        /// Its size: bytes, or items where the part is a list.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The file does not begin with [`MAGIC`](super::MAGIC).
    #[error("not a receipt file")]
    BadMagic,
    /// The core is of a version that this build does not read.
    #[error("receipt version {found} is not supported")]
    UnsupportedVersion {
        /// The version.
        found: u64,
    },
    /// A part is not the deterministic CBOR that the format asks for.
    #[error("{part} is malformed")]
    Malformed {
        /// Which part.
        part: Part,
        /// The fault and its offset within the part.
        source: cbor::Error,
    },
    /// Encoding what was read does not give the bytes that were read.
    #[error("{part} is not in its one encoding")]
    NotCanonical {
        /// Which part.
        part: Part,
    },
    /// The protected header is not the fixed one of this format.
    #[error("the signature's protected header is not that of a receipt")]
    ProtectedHeader,
    /// The unprotected header holds something.
    #[error("the signature's unprotected header is not empty")]
    UnprotectedHeader,
    /// The bytes are no Ed25519 public key, or a weak one.
    #[error("not a usable Ed25519 public key")]
    BadKey,
    /// The signature does not verify under the recorder's key.
    #[error("the signature does not verify")]
    BadSignature,
    /// The list of kinds has another length than the signed number of events.
    #[error("the receipt lists {kinds} kinds for {events} events")]
    KindCount {
        /// Length of the list.
        kinds: usize,
        /// Signed number.
        events: u64,
    },
    /// The file has another number of leaves than events were signed.
    #[error("{leaves} leaves for {events} events")]
    LeafCount {
        /// Leaves in the file.
        leaves: usize,
        /// Events that were signed.
        events: usize,
    },
    /// A disclosed event is not of the signed kind.
    #[error("event {index} is not of the kind that was signed")]
    KindMismatch {
        /// Its index.
        index: usize,
    },
    /// The leaves do not hash to the signed root.
    #[error("the events do not hash to the signed root")]
    EventRoot,
    /// The first leaf is not the signed open leaf.
    #[error("the first event is not the one that was written when the call was opened")]
    OpenLeaf,
    /// The first event is not `open`, the last is not `close`, or either stands elsewhere.
    #[error("event {index} stands where its kind may not")]
    Order {
        /// Its index.
        index: usize,
    },
    /// An event is earlier than the one before it.
    #[error("event {index} is earlier than the one before it")]
    TimeOrder {
        /// Its index.
        index: usize,
    },
    /// An event refers to one that is not before it, or not of the right kind.
    #[error("event {index} refers to an event that cannot have caused it")]
    Causality {
        /// Its index.
        index: usize,
    },
    /// The evidence table is not sorted by hash, or has a hash twice.
    #[error("the evidence table is not sorted by hash")]
    EvidenceOrder,
    /// A blob does not have the hash and length under which it is filed.
    #[error("evidence {hash} does not have the hash or length that was signed")]
    EvidenceHash {
        /// The hash.
        hash: B256,
    },
    /// A blob, or an event, names evidence that is not in the signed table.
    #[error("evidence {hash} is not in the signed table")]
    EvidenceUnlisted {
        /// The hash.
        hash: B256,
    },
    /// An event's decision, policy or catalogue cannot be decoded.
    #[error("event {index} holds a {what} that cannot be read")]
    Unreadable {
        /// Its index.
        index: usize,
        /// What it holds.
        what: &'static str,
    },
    /// A redaction names an event that the receipt does not have, or the open event.
    #[error("event {index} cannot be hidden")]
    NotHideable {
        /// Its index.
        index: usize,
    },
    /// The call was not closed before sealing.
    #[error("the call has no close event")]
    NotClosed,
    /// The sealing key is not the one that the open event names.
    #[error("the sealing key is not the one that opened the call")]
    OtherKey,
    /// A log entry says nothing that can become known about a sealed call.
    #[error("the log entry amends no receipt")]
    NotAmendable,
    /// An amendment is of another call or receipt.
    #[error("the amendment is of another receipt")]
    OtherReceipt,
}

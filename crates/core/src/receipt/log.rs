//! The local log of an installation: a hash chain in which every call is opened before it acts
//! (`spec/receipt.md`, section "Log").
//!
//! The chain makes omission visible: calls are numbered without gaps, an open entry is durable
//! before any network traffic, and an open call without a close entry is itself evidence. Facts
//! that become known after a receipt was sealed are amendments; a receipt is never edited.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::event::{Event, Recorded};
use super::field::{Field, Outcome};
use super::{Error, Part};
use crate::cbor::{self, Reader, Writer};
use crate::{CallId, sha256};

/// The most bytes of an entry: that of a C2SP tlog-tiles log.
pub const MAX_ENTRY: usize = 65_535;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log, without gaps, from 0.
    pub index: u64,
    /// Hash of the entry before; zero for the first.
    pub prev: B256,
    /// The wall clock when it was written, Unix milliseconds.
    pub wall_ms: u64,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A call begins. Durable before any of its network traffic.
    Open {
        /// Number of the call, without gaps, from 0.
        seq: u64,
        /// Id of the call.
        call_id: CallId,
        /// The salted leaf of the open event, which commits to request, policies and draw.
        open_leaf: B256,
    },
    /// A call ended and its receipt is sealed.
    Close {
        /// Number of the call.
        seq: u64,
        /// The receipt; zero if none could be sealed, as after a crash.
        receipt_hash: B256,
        /// How it ended.
        outcome: Outcome,
    },
    /// Something became known about a closed call.
    Amend {
        /// Number of the call.
        seq: u64,
        /// The receipt that it amends.
        receipt_hash: B256,
        /// What became known: an event, in the encoding of events. Its time counts from the
        /// call's open event, as all do.
        event: Box<Recorded>,
    },
}

/// Why entries are not a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// An entry is not at the next position.
    #[error("entry {found} stands where entry {expected} should")]
    Index {
        /// The position after the last entry.
        expected: u64,
        /// The entry's own.
        found: u64,
    },
    /// An entry does not name the hash of the one before.
    #[error("entry {index} does not continue the entry before it")]
    Prev {
        /// The entry.
        index: u64,
    },
    /// A call does not have the next number.
    #[error("entry {index} opens call {found}, expected {expected}")]
    Seq {
        /// The entry.
        index: u64,
        /// The next number.
        expected: u64,
        /// The call's own.
        found: u64,
    },
    /// A call is closed that is not open.
    #[error("entry {index} closes call {seq}, which is not open")]
    NotOpen {
        /// The entry.
        index: u64,
        /// The call.
        seq: u64,
    },
    /// A call is amended that has no receipt, or another one.
    #[error("entry {index} amends another receipt than that of call {seq}")]
    NotClosed {
        /// The entry.
        index: u64,
        /// The call.
        seq: u64,
    },
}

impl Entry {
    /// The entry's hash, which the next entry names:
    /// `SHA-256(0x00 || encoding)`, so that it is also the entry's leaf in an RFC 6962 tree.
    pub fn hash(&self) -> B256 {
        sha256(&[&[0], &self.encode()])
    }

    /// The entry's deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            index,
            prev,
            wall_ms,
            body,
        } = self;
        let mut w = Writer::with_capacity(192);
        w.array(8).text("seamline/v1/log").uint(body.number());
        w.uint(*index).hash(prev).uint(*wall_ms);
        match body {
            Body::Open {
                seq,
                call_id,
                open_leaf,
            } => w.uint(*seq).bytes(call_id.as_bytes()).hash(open_leaf),
            Body::Close {
                seq,
                receipt_hash,
                outcome,
            } => {
                w.uint(*seq).hash(receipt_hash);
                outcome.write(&mut w);
                &mut w
            }
            Body::Amend {
                seq,
                receipt_hash,
                event,
            } => w.uint(*seq).hash(receipt_hash).bytes(&event.encode()),
        };
        w.finish()
    }

    /// Reads what [`Entry::encode`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::Malformed`] or [`Error::NotCanonical`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let part = Part::LogEntry;
        super::body::within(part, bytes.len(), MAX_ENTRY)?;
        let entry = Self::read(bytes).map_err(|source| Error::Malformed { part, source })?;
        if entry.encode() != bytes {
            return Err(Error::NotCanonical { part });
        }
        Ok(entry)
    }

    fn read(bytes: &[u8]) -> Result<Self, cbor::Error> {
        let mut r = Reader::new(bytes)?;
        r.array_of(8)?;
        let (at, expected) = (r.at(), "the tag of a log entry");
        if r.text()? != "seamline/v1/log" {
            return Err(cbor::Error::Unexpected { expected, at });
        }
        let (at, field) = (r.at(), "the kind of a log entry");
        let kind = r.uint()?;
        let index = r.uint()?;
        let prev = r.hash("the previous entry")?;
        let wall_ms = r.uint()?;
        let seq = r.uint()?;
        let body = match kind {
            0 => Body::Open {
                seq,
                call_id: CallId::new(r.fixed("the call id")?),
                open_leaf: r.hash("the open leaf")?,
            },
            1 => Body::Close {
                seq,
                receipt_hash: r.hash("the receipt")?,
                outcome: Field::read(&mut r, "the outcome")?,
            },
            2 => Body::Amend {
                seq,
                receipt_hash: r.hash("the receipt")?,
                event: Box::new(Recorded::decode(r.bytes()?)?),
            },
            _ => return Err(cbor::Error::OutOfRange { field, at }),
        };
        r.finish()?;
        Ok(Self {
            index,
            prev,
            wall_ms,
            body,
        })
    }
}

impl Body {
    /// The number of the call.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Open { seq, .. } | Self::Close { seq, .. } | Self::Amend { seq, .. } => *seq,
        }
    }

    const fn number(&self) -> u64 {
        match self {
            Self::Open { .. } => 0,
            Self::Close { .. } => 1,
            Self::Amend { .. } => 2,
        }
    }
}

/// Where a log stands after the entries that it was given: what the next entry must continue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    next_index: u64,
    next_seq: u64,
    head: B256,
    open: BTreeMap<u64, (CallId, B256)>,
    receipts: BTreeMap<u64, B256>,
    last_receipt: B256,
}

impl Chain {
    /// Starts an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a whole log.
    ///
    /// # Errors
    ///
    /// [`ChainError`] for the first entry that does not continue the one before it.
    pub fn check<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, ChainError> {
        let mut chain = Self::new();
        for entry in entries {
            chain.append(entry)?;
        }
        Ok(chain)
    }

    /// Makes the next entry. It counts only after [`Chain::append`], which the caller calls once
    /// the entry is durable.
    pub const fn next(&self, wall_ms: u64, body: Body) -> Entry {
        Entry {
            index: self.next_index,
            prev: self.head,
            wall_ms,
            body,
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    ///
    /// [`ChainError`] if it does not continue the log; the chain is then unchanged.
    pub fn append(&mut self, entry: &Entry) -> Result<(), ChainError> {
        let (index, expected) = (entry.index, self.next_index);
        if index != expected {
            let found = index;
            return Err(ChainError::Index { expected, found });
        }
        if entry.prev != self.head {
            return Err(ChainError::Prev { index });
        }
        let seq = entry.body.seq();
        match &entry.body {
            Body::Open {
                call_id, open_leaf, ..
            } => {
                let expected = self.next_seq;
                if seq != expected {
                    let found = seq;
                    return Err(ChainError::Seq {
                        index,
                        expected,
                        found,
                    });
                }
                self.open.insert(seq, (*call_id, *open_leaf));
                self.next_seq = seq.saturating_add(1);
            }
            Body::Close { receipt_hash, .. } => {
                let closed = self.open.remove(&seq);
                closed.ok_or(ChainError::NotOpen { index, seq })?;
                if !receipt_hash.is_zero() {
                    self.receipts.insert(seq, *receipt_hash);
                    self.last_receipt = *receipt_hash;
                }
            }
            Body::Amend { receipt_hash, .. } => {
                if self.receipts.get(&seq) != Some(receipt_hash) {
                    return Err(ChainError::NotClosed { index, seq });
                }
            }
        }
        self.next_index = index.saturating_add(1);
        self.head = entry.hash();
        Ok(())
    }

    /// The number that the next call gets.
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The position of the next entry.
    pub const fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The hash of the last entry.
    pub const fn head(&self) -> B256 {
        self.head
    }

    /// The last receipt that was sealed: the `prev` of the next one.
    pub const fn last_receipt(&self) -> B256 {
        self.last_receipt
    }

    /// Calls that were opened and not closed, by number, with id and open leaf.
    pub fn open_calls(&self) -> impl Iterator<Item = (u64, CallId, B256)> {
        let open = self.open.iter();
        open.map(|(&seq, &(call_id, open_leaf))| (seq, call_id, open_leaf))
    }
}

/// What amendments say: the event, if it is one that can become known later.
///
/// Only what settles later can: money, and the answer's record on a chain. An amendment of another kind
/// says nothing.
pub const fn is_amendable(event: &Event) -> bool {
    matches!(event, Event::SettlementSeen(_) | Event::RecordSeen(_))
}

#[cfg(test)]
mod tests;

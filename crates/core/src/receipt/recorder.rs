//! Takes events while a call runs and seals them afterwards.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use zeroize::Zeroize as _;

use super::body::{Core, EvidenceEntry, EvidenceType, within};
use super::bundle::{Bundle, Leaf, Slot};
use super::event::{Closed, Event, EventKind, Opened, Recorded};
use super::sign::{SealingKey, Signed, receipt_hash};
use super::summary::{Summary, count};
use super::{Error, MAX_BUNDLE, MAX_CORE, MAX_EVENTS, MAX_EVIDENCE, Part, tree};
use crate::{binding, sha256};

/// Records one call.
///
/// Recording is cheap, because it happens while the caller waits: an event is moved into a list,
/// and only new evidence is hashed. Everything else happens in [`Recorder::seal`], after the last
/// byte has reached the caller. Recording cannot fail either: the record must never be why a call
/// failed. Events beyond [`MAX_EVENTS`] or [`MAX_OF_KIND`](super::MAX_OF_KIND) are counted instead of kept, and the receipt says so.
///
/// # Security
///
/// `call_key` is the secret behind the salts. With it, everything hidden can be checked by trying;
/// without it, nothing can. It must be random for each call, and erasing it is final.
pub struct Recorder {
    call_key: [u8; 32],
    opened_us: u64,
    opened: Opened,
    open_leaf: B256,
    events: Vec<Recorded>,
    counts: BTreeMap<EventKind, usize>,
    dropped: u64,
    evidence: BTreeMap<B256, (EvidenceType, Vec<u8>)>,
}

impl core::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recorder")
            .field("call_id", &self.opened.call_id)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.call_key.zeroize();
    }
}

/// A sealed receipt.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The file, with all events disclosed and all evidence attached.
    pub bundle: Bundle,
    /// The hash that names the receipt; the next receipt's `prev`.
    pub receipt_hash: B256,
}

impl Sealed {
    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.bundle.encode()
    }
}

impl Recorder {
    /// Opens the record of a call. `at_us` is a reading of a monotonic clock in microseconds;
    /// every later reading must be of the same clock.
    ///
    /// Write [`Recorder::open_leaf`] to the local log, durably, before any network traffic.
    pub fn new(call_key: [u8; 32], at_us: u64, opened: Opened) -> Self {
        let first = Recorded {
            dt_us: 0,
            event: Event::Opened(opened.clone()),
        };
        let open_leaf = tree::salted_leaf(&tree::salt(&call_key, 0), &first.encode());
        let mut events = Vec::with_capacity(32);
        events.push(first);
        Self {
            call_key,
            opened_us: at_us,
            opened,
            open_leaf,
            events,
            counts: BTreeMap::from([(EventKind::Opened, 1)]),
            dropped: 0,
            evidence: BTreeMap::new(),
        }
    }

    /// The leaf of the open event, for the local log.
    pub const fn open_leaf(&self) -> B256 {
        self.open_leaf
    }

    /// The open event.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The `h_bind` of the call.
    pub fn h_bind(&self) -> B256 {
        let Opened {
            call_id,
            req_commitment,
            policy_hash,
            ..
        } = &self.opened;
        binding::h_bind(call_id, req_commitment, policy_hash)
    }

    /// Records an event that happened at `at_us` and returns its index, for events that refer to
    /// it. A reading earlier than the last one counts as the last one.
    pub fn record(&mut self, at_us: u64, event: impl Into<Event>) -> u32 {
        let latest = self.events.last().map_or(0, |recorded| recorded.dt_us);
        let dt_us = at_us.saturating_sub(self.opened_us).max(latest);
        let event = event.into();
        // The last place is kept for the close event.
        let room = MAX_EVENTS.saturating_sub(usize::from(!matches!(event, Event::Closed(_))));
        let kind = event.kind();
        let of_kind = self.counts.entry(kind).or_default();
        if self.events.len() < room && *of_kind < kind.most() {
            *of_kind = of_kind.saturating_add(1);
            self.events.push(Recorded { dt_us, event });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        count(self.events.len().saturating_sub(1))
    }

    /// Attaches a blob of evidence and returns the hash by which events refer to it. Hashes the
    /// blob; for one that is attached to many calls, use [`Recorder::attach_known`].
    pub fn attach(&mut self, kind: EvidenceType, blob: Vec<u8>) -> B256 {
        let hash = sha256(&[&blob]);
        self.attach_known(kind, hash, blob);
        hash
    }

    /// Attaches a blob whose SHA-256 the caller has at hand.
    pub fn attach_known(&mut self, kind: EvidenceType, hash: B256, blob: Vec<u8>) {
        self.evidence.entry(hash).or_insert((kind, blob));
    }

    /// The events so far.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }

    /// Whether the close event has been recorded.
    pub fn is_closed(&self) -> bool {
        let last = self.events.last().map(|recorded| &recorded.event);
        matches!(last, Some(Event::Closed(Closed { .. })))
    }

    /// Builds the tree, adds up the events and signs. `prev` is the hash of the installation's
    /// previous receipt, zero for its first.
    ///
    /// # Cost
    ///
    /// About 100 µs, most of it the signature. Call it after the answer has been delivered.
    ///
    /// # Errors
    ///
    /// [`Error::NotClosed`] without a close event at the end, [`Error::OtherKey`] if the open event
    /// names another key, [`Error::Unreadable`] if a decision event holds no decision,
    /// [`Error::EvidenceUnlisted`] if an event refers to evidence that was not attached,
    /// [`Error::TooLarge`] beyond the format's limits.
    pub fn seal(mut self, prev: B256, key: &SealingKey) -> Result<Sealed, Error> {
        if !self.is_closed() {
            return Err(Error::NotClosed);
        }
        if key.public_key().as_bytes() != &self.opened.recorder {
            return Err(Error::OtherKey);
        }
        within(Part::Evidence, self.evidence.len(), MAX_EVIDENCE)?;
        let h_bind = self.h_bind();
        let slots: Vec<Slot<'_>> = self.events.iter().map(Slot::Shown).collect();
        let summary = Summary::of(&slots)?;
        let kinds = slots.iter().map(Slot::kind).collect();
        let leaves: Vec<Leaf> = (0..)
            .zip(core::mem::take(&mut self.events))
            .map(|(index, recorded)| Leaf::Shown {
                salt: tree::salt(&self.call_key, index),
                bytes: recorded.encode(),
                recorded: Box::new(recorded),
            })
            .collect();
        let hashes: Vec<B256> = leaves.iter().map(Leaf::hash).collect();
        let mut table = Vec::with_capacity(self.evidence.len());
        let mut evidence = BTreeMap::new();
        for (hash, (kind, blob)) in core::mem::take(&mut self.evidence) {
            let len = u64::try_from(blob.len()).unwrap_or(u64::MAX);
            table.push(EvidenceEntry { kind, hash, len });
            evidence.insert(hash, blob);
        }
        let core = Core {
            call_id: self.opened.call_id,
            seq: self.opened.seq,
            prev,
            open_leaf: self.open_leaf,
            event_root: tree::root(&hashes),
            kinds,
            dropped: self.dropped,
            summary,
            evidence: table,
            policy_hash: self.opened.policy_hash,
            h_bind,
            recorder: self.opened.recorder,
        };
        let payload = core.encode();
        within(Part::Core, payload.len(), MAX_CORE)?;
        let receipt_hash = receipt_hash(&payload);
        let bundle = Bundle {
            sign1: key.sign(Signed::Receipt, payload),
            core,
            leaves,
            evidence,
        };
        bundle.check_evidence()?;
        within(Part::Bundle, bundle.encode().len(), MAX_BUNDLE)?;
        Ok(Sealed {
            bundle,
            receipt_hash,
        })
    }
}

//! The file: a receipt, the events that it discloses, and evidence.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::body::{Core, within};
use super::event::{Event, EventBody, EventKind, Recorded};
use super::sign::{Sign1, receipt_hash};
use super::tree::{self, SALT};
use super::{Error, MAGIC, MAX_BUNDLE, MAX_EVENTS, MAX_EVIDENCE, Part};
use crate::cbor::{self, Reader, Writer};

/// A decoded receipt file. Decoding establishes the form and nothing more.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    pub(super) sign1: Sign1,
    pub(super) core: Core,
    pub(super) leaves: Vec<Leaf>,
    pub(super) evidence: BTreeMap<B256, Vec<u8>>,
}

/// Blobs hold authorizations and possibly prompts, so only sizes are printed.
impl core::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bundle")
            .field("receipt_hash", &self.receipt_hash())
            .field("leaves", &self.leaves.len())
            .field("evidence", &self.evidence.len())
            .finish_non_exhaustive()
    }
}

/// One leaf of the event tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Disclosed: salt, encoded event, and what it says.
    Shown {
        /// The salt.
        salt: [u8; SALT],
        /// The event's encoding, as hashed.
        bytes: Vec<u8>,
        /// The event.
        recorded: Box<Recorded>,
    },
    /// Hidden: only its hash.
    Hidden(B256),
}

/// One event as a reader of the receipt has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot<'a> {
    /// Disclosed.
    Shown(&'a Recorded),
    /// Hidden; its kind is signed all the same.
    Hidden(EventKind),
}

impl<'a> Slot<'a> {
    /// The kind of the event.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Shown(recorded) => recorded.event.kind(),
            Self::Hidden(kind) => *kind,
        }
    }

    /// The event, where it is shown.
    pub const fn event(&self) -> Option<&'a Event> {
        match self {
            Self::Shown(recorded) => Some(&recorded.event),
            Self::Hidden(_) => None,
        }
    }

    /// The event with its time, where it is shown.
    pub const fn recorded(&self) -> Option<&'a Recorded> {
        match self {
            Self::Shown(recorded) => Some(recorded),
            Self::Hidden(_) => None,
        }
    }

    /// Whether the event is shown.
    pub const fn is_shown(&self) -> bool {
        matches!(self, Self::Shown(_))
    }
}

/// The shown events of the kind `T`, in order: index, microseconds since the call was opened, and
/// the event.
pub fn events_of<'a, T: EventBody + 'a>(
    slots: &[Slot<'a>],
) -> impl DoubleEndedIterator<Item = (usize, u64, &'a T)> {
    slots.iter().enumerate().filter_map(|(index, slot)| {
        let recorded = slot.recorded()?;
        Some((index, recorded.dt_us, recorded.event.get()?))
    })
}

impl Bundle {
    /// Reads a receipt file.
    ///
    /// # Errors
    ///
    /// [`Error`] for everything that is not exactly the format: sizes, magic, version, every form
    /// of CBOR that is not the deterministic one, unknown kinds, fields out of range. Hashes and
    /// signatures are not looked at; the `check_*` methods do that.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let part = Part::Bundle;
        within(part, bytes.len(), MAX_BUNDLE)?;
        let body = bytes.strip_prefix(MAGIC).ok_or(Error::BadMagic)?;
        let malformed = |source| Error::Malformed { part, source };
        let mut reader = Reader::new(body).map_err(malformed)?;
        reader.map_of(3).map_err(malformed)?;
        reader.key(0).map_err(malformed)?;
        let sign1 = Sign1::decode(reader.bytes().map_err(malformed)?)?;
        let core = Core::decode(&sign1.payload)?;
        reader.key(1).map_err(malformed)?;
        let count = reader.array().map_err(malformed)?;
        within(Part::Event, count, MAX_EVENTS)?;
        let leaves = (0..count)
            .map(|_| Leaf::read(&mut reader))
            .collect::<Result<Vec<_>, _>>()?;
        reader.key(2).map_err(malformed)?;
        let evidence = read_blobs(&mut reader)?;
        reader.finish().map_err(malformed)?;
        let bundle = Self {
            sign1,
            core,
            leaves,
            evidence,
        };
        if bundle.encode() != bytes {
            return Err(Error::NotCanonical { part });
        }
        Ok(bundle)
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(4_096);
        writer.map(3).uint(0).bytes(&self.sign1.encode());
        writer.uint(1).array(self.leaves.len());
        for leaf in &self.leaves {
            match leaf {
                Leaf::Shown { salt, bytes, .. } => writer.array(2).bytes(salt).bytes(bytes),
                Leaf::Hidden(hash) => writer.hash(hash),
            };
        }
        writer.uint(2).map(self.evidence.len());
        for (hash, blob) in &self.evidence {
            writer.hash(hash).bytes(blob);
        }
        [MAGIC.as_slice(), writer.as_bytes()].concat()
    }

    /// The signed core, not yet checked against anything.
    pub const fn core(&self) -> &Core {
        &self.core
    }

    /// The leaves of the event tree.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The events as this file shows them. A leaf beyond the signed kinds has none and is left
    /// out; [`Bundle::check_kinds`] refuses such a file.
    pub fn slots(&self) -> Vec<Slot<'_>> {
        let pairs = self.leaves.iter().zip(&self.core.kinds);
        pairs
            .map(|(leaf, kind)| match leaf {
                Leaf::Shown { recorded, .. } => Slot::Shown(recorded),
                Leaf::Hidden(_) => Slot::Hidden(*kind),
            })
            .collect()
    }

    /// The blob with this hash, if the file carries it.
    pub fn evidence(&self, hash: &B256) -> Option<&[u8]> {
        self.evidence.get(hash).map(Vec::as_slice)
    }

    /// The hashes of all blobs that the file carries.
    pub fn evidence_hashes(&self) -> impl Iterator<Item = &B256> {
        self.evidence.keys()
    }

    /// The hash that names the receipt, over the signed payload.
    pub fn receipt_hash(&self) -> B256 {
        receipt_hash(&self.sign1.payload)
    }

    /// Indexes of shown events of the private group, which are to be hidden before sharing.
    pub fn private_events(&self) -> Vec<usize> {
        let private = |(index, slot): (usize, &Slot<'_>)| {
            (slot.is_shown() && slot.kind().is_private()).then_some(index)
        };
        self.slots()
            .iter()
            .enumerate()
            .filter_map(private)
            .collect()
    }

    /// Hides events by index, and drops blobs to which no shown event refers any more. The receipt
    /// still verifies, and says which events are hidden.
    ///
    /// # Errors
    ///
    /// [`Error::NotHideable`] for an index that does not exist, and for the open and the close
    /// event: without them nothing can be checked and nothing is gained.
    pub fn redact(&self, hide: &[usize]) -> Result<Self, Error> {
        let mut redacted = self.clone();
        let last = self.leaves.len().saturating_sub(1);
        for &index in hide {
            if index == 0 || index >= last {
                return Err(Error::NotHideable { index });
            }
            if let Some(leaf) = redacted.leaves.get_mut(index) {
                *leaf = Leaf::Hidden(leaf.hash());
            }
        }
        let before = self.referenced();
        let after = redacted.referenced();
        redacted
            .evidence
            .retain(|hash, _| after.contains(hash) || !before.contains(hash));
        Ok(redacted)
    }

    /// Drops blobs; the signed table still names them, and a verifier says that they are withheld.
    #[must_use]
    pub fn without_evidence(&self, drop: &[B256]) -> Self {
        let mut bundle = self.clone();
        bundle.evidence.retain(|hash, _| !drop.contains(hash));
        bundle
    }

    pub(super) fn referenced(&self) -> Vec<B256> {
        let slots = self.slots();
        slots
            .iter()
            .filter_map(|slot| slot.event()?.evidence())
            .collect()
    }
}

impl Leaf {
    /// The leaf's hash.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Shown { salt, bytes, .. } => tree::salted_leaf(salt, bytes),
            Self::Hidden(hash) => *hash,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let part = Part::Bundle;
        let malformed = |source| Error::Malformed { part, source };
        if reader.peek().map_err(malformed)? == cbor::Kind::Bytes {
            let hash = reader.hash("the hash of a hidden event");
            return hash.map(Self::Hidden).map_err(malformed);
        }
        reader.array_of(2).map_err(malformed)?;
        let salt = reader.fixed("the salt of an event").map_err(malformed)?;
        let bytes = reader.bytes().map_err(malformed)?.to_vec();
        let part = Part::Event;
        let recorded = Recorded::decode(&bytes);
        let recorded = recorded.map_err(|source| Error::Malformed { part, source })?;
        if recorded.encode() != bytes {
            return Err(Error::NotCanonical { part });
        }
        Ok(Self::Shown {
            salt,
            bytes,
            recorded: Box::new(recorded),
        })
    }
}

fn read_blobs(reader: &mut Reader<'_>) -> Result<BTreeMap<B256, Vec<u8>>, Error> {
    let part = Part::Bundle;
    let malformed = |source| Error::Malformed { part, source };
    let count = reader.map().map_err(malformed)?;
    within(Part::Evidence, count, MAX_EVIDENCE)?;
    let mut blobs = BTreeMap::new();
    for _ in 0..count {
        let hash = reader.hash("the hash of evidence").map_err(malformed)?;
        let blob = reader.bytes().map_err(malformed)?;
        blobs.insert(hash, blob.to_vec());
    }
    Ok(blobs)
}

//! The core: what is signed.

use alloy_primitives::B256;

use super::event::EventKind;
use super::field::Field;
use super::summary::{Cost, DecisionSummary, Summary};
use super::{
    Error, MAX_CORE, MAX_DECISIONS, MAX_EVENTS, MAX_EVIDENCE, MAX_HESITATIONS, Part, VERSION,
};
use crate::CallId;
use crate::cbor::{self, Reader, Writer};
use crate::hesitation::Hesitation;

/// What a blob of evidence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceType {
    /// An attestation document.
    Attestation,
    /// The raw JSON of a `PAYMENT-REQUIRED` message.
    Offer,
    /// The raw JSON of a `PAYMENT-SIGNATURE` message.
    Authorization,
    /// A response signing key (SPKI DER).
    SigningKey,
    /// The raw JSON of a `PAYMENT-RESPONSE` message.
    SettleResponse,
    /// A TLS certificate (DER).
    TlsCertificate,
    /// Salt of 16 bytes and the request body: only at the caller's explicit wish.
    Request,
    /// Salt of 16 bytes and the answer's text: only at the caller's explicit wish.
    Output,
}

impl EvidenceType {
    /// Every type, by number.
    pub const ALL: &'static [Self] = &[
        Self::Attestation,
        Self::Offer,
        Self::Authorization,
        Self::SigningKey,
        Self::SettleResponse,
        Self::TlsCertificate,
        Self::Request,
        Self::Output,
    ];

    /// The number in the format.
    pub const fn number(self) -> u8 {
        match self {
            Self::Attestation => 1,
            Self::Offer => 2,
            Self::Authorization => 3,
            Self::SigningKey => 4,
            Self::SettleResponse => 5,
            Self::TlsCertificate => 6,
            Self::Request => 7,
            Self::Output => 8,
        }
    }

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attestation => "attestation",
            Self::Offer => "offer",
            Self::Authorization => "authorization",
            Self::SigningKey => "signing-key",
            Self::SettleResponse => "settle-response",
            Self::TlsCertificate => "tls-certificate",
            Self::Request => "request",
            Self::Output => "output",
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.number() == number)
    }
}

/// One entry of the signed evidence table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceEntry {
    /// What it is.
    pub kind: EvidenceType,
    /// SHA-256 of the bytes.
    pub hash: B256,
    /// Length in bytes.
    pub len: u64,
}

/// The signed core of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Identifies the call.
    pub call_id: CallId,
    /// Number of the call at its installation.
    pub seq: u64,
    /// Hash of the installation's previous receipt; zero for the first.
    pub prev: B256,
    /// Leaf of the open event, which was in the local log before any network traffic.
    pub open_leaf: B256,
    /// Root of the tree over all events.
    pub event_root: B256,
    /// The kinds of all events, shown or hidden, in order.
    pub kinds: Vec<EventKind>,
    /// Events that were not recorded because there were too many.
    pub dropped: u64,
    /// What the events add up to. A verifier computes it again.
    pub summary: Summary,
    /// All evidence that events refer to, sorted by hash.
    pub evidence: Vec<EvidenceEntry>,
    /// [`policy_hash`](crate::binding::policy_hash) of the call.
    pub policy_hash: B256,
    /// [`h_bind`](crate::binding::h_bind) of the call.
    pub h_bind: B256,
    /// The Ed25519 key under which the receipt verifies. Being in the receipt, it shows integrity;
    /// whose key it is, only a reader's own list says.
    pub recorder: [u8; 32],
}

/// Keys of the core's map.
const KEYS: usize = 21;

impl Core {
    /// The core's deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            call_id,
            seq,
            prev,
            open_leaf,
            event_root,
            kinds,
            dropped,
            summary,
            evidence,
            policy_hash,
            h_bind,
            recorder,
        } = self;
        let Summary {
            decisions,
            hesitations,
            outcome,
            error_code,
            charged,
            cost,
            engine,
            catalogue_root,
            dev,
        } = summary;
        let mut w = Writer::with_capacity(1_024);
        w.map(KEYS).uint(0).uint(VERSION);
        w.uint(1).bytes(call_id.as_bytes()).uint(2).uint(*seq);
        w.uint(3).hash(prev).uint(4).hash(open_leaf);
        w.uint(5).hash(event_root);
        let kinds: Vec<u8> = kinds.iter().map(|kind| kind.number()).collect();
        w.uint(6).uint(len(kinds.len())).uint(7).bytes(&kinds);
        w.uint(8).array(decisions.len());
        decisions.iter().for_each(|decision| decision.write(&mut w));
        w.uint(9).array(hesitations.len());
        hesitations.iter().for_each(|it| it.write(&mut w));
        outcome.write(w.uint(10));
        error_code.write(w.uint(11));
        charged.write(w.uint(12));
        cost.write(w.uint(13));
        w.uint(14).array(evidence.len());
        for EvidenceEntry { kind, hash, len } in evidence {
            w.array(3).uint(u64::from(kind.number()));
            w.hash(hash).uint(*len);
        }
        engine.write(w.uint(15));
        catalogue_root.write(w.uint(16));
        w.uint(17).hash(policy_hash).uint(18).hash(h_bind);
        w.uint(19).bytes(recorder);
        // The marker and the count of dropped events close the map: they are what a reader must
        // not overlook.
        w.uint(20).array(2).bool(*dev).uint(*dropped);
        w.finish()
    }

    /// Reads what [`Core::encode`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::UnsupportedVersion`], [`Error::Malformed`],
    /// [`Error::KindCount`], [`Error::EvidenceOrder`] or [`Error::NotCanonical`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let part = Part::Core;
        within(part, bytes.len(), MAX_CORE)?;
        let malformed = |source| Error::Malformed { part, source };
        let mut reader = Reader::new(bytes).map_err(malformed)?;
        let keys = reader.map().map_err(malformed)?;
        reader.key(0).map_err(malformed)?;
        let found = reader.uint().map_err(malformed)?;
        if found != VERSION {
            return Err(Error::UnsupportedVersion { found });
        }
        if keys != KEYS {
            let (field, at) = ("the number of keys", 0);
            return Err(malformed(cbor::Error::OutOfRange { field, at }));
        }
        let (core, events) = Self::read(&mut reader).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        let kinds = core.kinds.len();
        if u64::try_from(kinds) != Ok(events) {
            return Err(Error::KindCount { kinds, events });
        }
        for &kind in EventKind::ALL {
            let of_kind = core.kinds.iter().filter(|it| **it == kind).count();
            within(Part::Event, of_kind, kind.most())?;
        }
        if !core.evidence.is_sorted_by(|a, b| a.hash < b.hash) {
            return Err(Error::EvidenceOrder);
        }
        if core.encode() != bytes {
            return Err(Error::NotCanonical { part });
        }
        Ok(core)
    }

    /// Reads keys 1 to 20; also returns the signed number of events.
    fn read(r: &mut Reader<'_>) -> Result<(Self, u64), cbor::Error> {
        r.key(1)?;
        let call_id = CallId::new(r.fixed("the call id")?);
        r.key(2)?;
        let seq = r.uint()?;
        r.key(3)?;
        let prev = r.hash("the previous receipt")?;
        r.key(4)?;
        let open_leaf = r.hash("the open leaf")?;
        r.key(5)?;
        let event_root = r.hash("the event root")?;
        r.key(6)?;
        let events = r.uint()?;
        r.key(7)?;
        let kinds = read_kinds(r)?;
        r.key(8)?;
        let decisions = list(r, MAX_DECISIONS, "decisions", DecisionSummary::read)?;
        r.key(9)?;
        let hesitations = list(r, MAX_HESITATIONS, "hesitations", Hesitation::read)?;
        r.key(10)?;
        let outcome = Field::read(r, "the outcome")?;
        r.key(11)?;
        let error_code = Field::read(r, "the error code")?;
        r.key(12)?;
        let charged = Field::read(r, "charged")?;
        r.key(13)?;
        let cost = Cost::read(r)?;
        r.key(14)?;
        let evidence = list(r, MAX_EVIDENCE, "evidence", read_evidence)?;
        r.key(15)?;
        let engine = Field::read(r, "the engine")?;
        r.key(16)?;
        let catalogue_root = Field::read(r, "the catalogue root")?;
        r.key(17)?;
        let policy_hash = r.hash("the policy hash")?;
        r.key(18)?;
        let h_bind = r.hash("the binding")?;
        r.key(19)?;
        let recorder = r.fixed("the recorder's key")?;
        r.key(20)?;
        r.array_of(2)?;
        let dev = r.bool()?;
        let dropped = r.uint()?;
        let summary = Summary {
            decisions,
            hesitations,
            outcome,
            error_code,
            charged,
            cost,
            engine,
            catalogue_root,
            dev,
        };
        let core = Self {
            call_id,
            seq,
            prev,
            open_leaf,
            event_root,
            kinds,
            dropped,
            summary,
            evidence,
            policy_hash,
            h_bind,
            recorder,
        };
        Ok((core, events))
    }
}

fn read_kinds(r: &mut Reader<'_>) -> Result<Vec<EventKind>, cbor::Error> {
    let (at, field) = (r.at(), "the kinds of events");
    let kinds = r.bytes()?;
    let kind = |&number: &u8| EventKind::from_number(number);
    let known = kinds.iter().map(kind).collect::<Option<Vec<_>>>();
    known
        .filter(|kinds| kinds.len() <= MAX_EVENTS)
        .ok_or(cbor::Error::OutOfRange { field, at })
}

fn read_evidence(r: &mut Reader<'_>) -> Result<EvidenceEntry, cbor::Error> {
    r.array_of(3)?;
    let (at, field) = (r.at(), "the type of evidence");
    let kind = EvidenceType::from_number(r.uint_in(field)?);
    Ok(EvidenceEntry {
        kind: kind.ok_or(cbor::Error::OutOfRange { field, at })?,
        hash: r.hash("the hash of evidence")?,
        len: r.uint()?,
    })
}

/// Reads an array of at most `max` items.
fn list<T>(
    r: &mut Reader<'_>,
    max: usize,
    field: &'static str,
    read: impl Fn(&mut Reader<'_>) -> Result<T, cbor::Error>,
) -> Result<Vec<T>, cbor::Error> {
    let at = r.at();
    let items = r.array()?;
    if items > max {
        return Err(cbor::Error::OutOfRange { field, at });
    }
    (0..items).map(|_| read(r)).collect()
}

pub(super) const fn within(part: Part, len: usize, max: usize) -> Result<(), Error> {
    if len > max {
        return Err(Error::TooLarge { part, len, max });
    }
    Ok(())
}

fn len(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

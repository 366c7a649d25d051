use seamline_core::{B256, Timestamp, sha256};

use super::reader::Reader;
use crate::claims::Pcr;
use crate::dev;
use crate::error::{Check, Error, Part, PcrFault, Problem, TimestampFault};

/// 32 KiB: seven times the largest document seen, checked before anything is read.
pub const MAX_EVIDENCE: usize = 32 * 1024;

/// Certificates above the leaf: hardware sends four; the limit bounds the signatures to check.
pub const MAX_CERTIFICATES: usize = 8;

// Limits of the NSM documentation ("Attestation process"), in bytes. Its two lists of limits for
// the optional fields disagree (512 and 1024): the larger one is read, policy decides the rest.
const MAX_PAYLOAD: usize = 16 * 1024;
const MAX_CERTIFICATE: usize = 1024;
const MAX_OPTIONAL: usize = 1024;
/// Ours: hardware writes 39 characters.
const MAX_MODULE_ID: usize = 128;

const PCR_COUNT: usize = 32;

/// `{1: -35}`: the algorithm is ES384 and nothing else is in the protected header.
const PROTECTED: &[u8] = b"\xa1\x01\x38\x22";

/// A document that has the right form. Nothing in it has been verified: its fields are whatever
/// the sender wrote.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    payload: &'a [u8],
    signature: &'a [u8],
    fields: Fields<'a>,
}

/// The registers of a document by index.
pub type Pcrs<'a> = [Option<&'a Pcr>; PCR_COUNT];

/// The certificates above the leaf, the root first.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaBundle<'a> {
    certificates: [&'a [u8]; MAX_CERTIFICATES],
    count: usize,
}

impl<'a> CaBundle<'a> {
    /// The certificates, DER, the root first; between one and [`MAX_CERTIFICATES`].
    pub fn as_slice(&self) -> &[&'a [u8]] {
        self.certificates.get(..self.count).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
struct Fields<'a> {
    module_id: &'a str,
    timestamp: Timestamp,
    pcrs: Pcrs<'a>,
    certificate: &'a [u8],
    ca_bundle: CaBundle<'a>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    evidence_type: Option<&'a str>,
}

impl<'a> Document<'a> {
    /// Reads a document. `spec/evidence.md` lists the rules; the numbers are its steps.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], or [`Error::Reject`] with [`Check::Algorithm`], [`Check::Pcr`],
    /// [`Check::Timestamp`] or [`Check::WrongType`] where the form already decides the check.
    pub fn parse(evidence: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(evidence, Part::Envelope);
        // 1. Size, before anything is read.
        if evidence.len() > MAX_EVIDENCE {
            return Err(reader.error(Problem::Length));
        }
        // 2. The envelope: an untagged COSE_Sign1 (RFC 9052 §4.2). Its framing and unprotected
        //    header are not signed, so exactly one form of them is accepted.
        if reader.array()? != 4 {
            return Err(reader.error(Problem::Length));
        }
        if reader.bytes()? != PROTECTED {
            return Err(Check::Algorithm.into());
        }
        if reader.map()? != 0 {
            return Err(reader.error(Problem::UnknownKey));
        }
        let payload = reader.bytes()?;
        if !(1..=MAX_PAYLOAD).contains(&payload.len()) {
            return Err(reader.error(Problem::Length));
        }
        let signature = reader.bytes()?;
        reader.finish()?;
        // 3. The payload.
        let fields = Fields::parse(payload)?;
        Ok(Self {
            payload,
            signature,
            fields,
        })
    }

    /// The signed payload, as received.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature as received: r and s, big-endian, 48 bytes each, if it is one of ES384.
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// What the signature covers (RFC 9052 §4.4, `Sig_structure`), built from the received bytes.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = b"\x84\x6aSignature1\x44".to_vec();
        out.extend_from_slice(PROTECTED);
        // No external data; then the head of a byte string, shortest form as it was received.
        out.push(0x40);
        match u16::try_from(self.payload.len()) {
            Ok(short @ 0..24) => out.push(0x40 | short.to_be_bytes()[1]),
            Ok(byte @ 24..0x100) => out.extend([0x58, byte.to_be_bytes()[1]]),
            Ok(word) => out.extend([&[0x59][..], &word.to_be_bytes()].concat()),
            // Not reachable: MAX_PAYLOAD fits. No signature covers an empty payload.
            Err(_) => return Vec::new(),
        }
        out.extend_from_slice(self.payload);
        out
    }

    /// The identity of the document for replay checks: SHA-256 over protected header and payload.
    /// It does not depend on the framing or on which of its two forms the signature has.
    pub fn id(&self) -> B256 {
        sha256(&[PROTECTED, self.payload])
    }

    /// `module_id`: 1 to 128 characters of printable ASCII.
    pub const fn module_id(&self) -> &'a str {
        self.fields.module_id
    }

    /// `timestamp`; not zero.
    pub const fn timestamp(&self) -> Timestamp {
        self.fields.timestamp
    }

    /// `pcrs`; 0, 1 and 2 are there.
    pub const fn pcrs(&self) -> &Pcrs<'a> {
        &self.fields.pcrs
    }

    /// `certificate`: the leaf, DER.
    pub const fn certificate(&self) -> &'a [u8] {
        self.fields.certificate
    }

    /// `cabundle`.
    pub const fn ca_bundle(&self) -> &CaBundle<'a> {
        &self.fields.ca_bundle
    }

    /// `public_key`; null counts as absent.
    pub const fn public_key(&self) -> Option<&'a [u8]> {
        self.fields.public_key
    }

    /// `user_data`; null counts as absent.
    pub const fn user_data(&self) -> Option<&'a [u8]> {
        self.fields.user_data
    }

    /// `nonce`; null counts as absent, an empty one does not.
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.fields.nonce
    }

    /// `evidence_type`, which only software evidence has.
    pub const fn evidence_type(&self) -> Option<&'a str> {
        self.fields.evidence_type
    }
}

/// The fields while they are read; `None` until their key was seen.
#[derive(Default)]
struct Seen<'a> {
    module_id: Option<&'a str>,
    digest: Option<()>,
    timestamp: Option<Timestamp>,
    pcrs: Option<Pcrs<'a>>,
    certificate: Option<&'a [u8]>,
    ca_bundle: Option<CaBundle<'a>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
    evidence_type: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Part::Payload);
        let declared = reader.map_of_any_length()?;
        let mut seen = Seen::default();
        let mut count = 0_u64;
        loop {
            reader.part = Part::Payload;
            let ended = match declared {
                Some(pairs) => count == pairs,
                None => reader.skip_break(),
            };
            if ended {
                break;
            }
            seen.read_pair(&mut reader)?;
            // Every key is read at most once, so there are at most ten.
            count = count.saturating_add(1);
        }
        reader.finish()?;
        seen.complete(&reader)
    }
}

impl<'a> Seen<'a> {
    fn read_pair(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        match reader.text()? {
            "module_id" => once(reader, Part::ModuleId, &mut self.module_id, module_id),
            "digest" => once(reader, Part::Digest, &mut self.digest, digest),
            "timestamp" => once(reader, Part::Timestamp, &mut self.timestamp, timestamp),
            "pcrs" => once(reader, Part::Pcrs, &mut self.pcrs, pcrs),
            "certificate" => once(
                reader,
                Part::Certificate,
                &mut self.certificate,
                certificate,
            ),
            "cabundle" => once(reader, Part::CaBundle, &mut self.ca_bundle, ca_bundle),
            "public_key" => once(reader, Part::PublicKey, &mut self.public_key, optional),
            "user_data" => once(reader, Part::UserData, &mut self.user_data, optional),
            "nonce" => once(reader, Part::Nonce, &mut self.nonce, optional),
            dev::EVIDENCE_TYPE_KEY => once(
                reader,
                Part::EvidenceType,
                &mut self.evidence_type,
                Reader::text,
            ),
            // NitroTPM documents chain to the same root and mean something else.
            "nitrotpm_pcrs" => Err(Check::WrongType.into()),
            _ => Err(reader.error(Problem::UnknownKey)),
        }
    }

    fn complete(self, reader: &Reader<'_>) -> Result<Fields<'a>, Error> {
        let missing = |part| Error::Malformed {
            part,
            problem: Problem::Missing,
            offset: reader.offset(),
        };
        self.digest.ok_or_else(|| missing(Part::Digest))?;
        Ok(Fields {
            module_id: self.module_id.ok_or_else(|| missing(Part::ModuleId))?,
            timestamp: self.timestamp.ok_or_else(|| missing(Part::Timestamp))?,
            pcrs: self.pcrs.ok_or_else(|| missing(Part::Pcrs))?,
            certificate: self.certificate.ok_or_else(|| missing(Part::Certificate))?,
            ca_bundle: self.ca_bundle.ok_or_else(|| missing(Part::CaBundle))?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
            evidence_type: self.evidence_type,
        })
    }
}

/// Reads a value into its slot; a key that comes twice is refused.
fn once<'a, T>(
    reader: &mut Reader<'a>,
    part: Part,
    slot: &mut Option<T>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<(), Error> {
    reader.part = part;
    if slot.is_some() {
        return Err(reader.error(Problem::Duplicate));
    }
    *slot = Some(read(reader)?);
    Ok(())
}

fn module_id<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
    let text = reader.text()?;
    if !(1..=MAX_MODULE_ID).contains(&text.len()) {
        return Err(reader.error(Problem::Length));
    }
    Ok(text)
}

fn digest(reader: &mut Reader<'_>) -> Result<(), Error> {
    if reader.text()? != "SHA384" {
        return Err(reader.error(Problem::Value));
    }
    Ok(())
}

fn timestamp(reader: &mut Reader<'_>) -> Result<Timestamp, Error> {
    match reader.uint()? {
        0 => Err(Check::Timestamp(TimestampFault::Zero).into()),
        millis => Ok(Timestamp::from_millis(millis)),
    }
}

fn pcrs<'a>(reader: &mut Reader<'a>) -> Result<Pcrs<'a>, Error> {
    let mut pcrs = Pcrs::default();
    for _ in 0..reader.map()? {
        let index = reader.uint()?;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| pcrs.get_mut(index))
            .ok_or(Check::Pcr(PcrFault::Index))?;
        if slot.is_some() {
            return Err(reader.error(Problem::Duplicate));
        }
        let value = reader.bytes()?.try_into();
        *slot = Some(value.map_err(|_| Check::Pcr(PcrFault::Length))?);
    }
    match pcrs {
        [Some(_), Some(_), Some(_), ..] => Ok(pcrs),
        _ => Err(Check::Pcr(PcrFault::Missing).into()),
    }
}

fn certificate<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let der = reader.bytes()?;
    if !(1..=MAX_CERTIFICATE).contains(&der.len()) {
        return Err(reader.error(Problem::Length));
    }
    Ok(der)
}

fn ca_bundle<'a>(reader: &mut Reader<'a>) -> Result<CaBundle<'a>, Error> {
    let mut bundle = CaBundle::default();
    let count = reader.array()?;
    bundle.count = usize::try_from(count).unwrap_or(usize::MAX);
    if !(1..=MAX_CERTIFICATES).contains(&bundle.count) {
        return Err(reader.error(Problem::Length));
    }
    for slot in bundle.certificates.iter_mut().take(bundle.count) {
        *slot = certificate(reader)?;
    }
    Ok(bundle)
}

fn optional<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    let value = reader.bytes_or_null()?;
    if value.is_some_and(|bytes| bytes.len() > MAX_OPTIONAL) {
        return Err(reader.error(Problem::Length));
    }
    Ok(value)
}

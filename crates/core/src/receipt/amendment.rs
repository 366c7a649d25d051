//! The file of an amendment: what became known about a sealed call, signed by the recorder of its receipt.

use alloy_primitives::B256;

use super::body::within;
use super::event::{Event, EventBody, Recorded};
use super::log::{self, Body, Entry};
use super::sign::{PublicKey, SealingKey, Sign1, Signed};
use super::{AMENDMENT_MAGIC, Error, MAX_AMENDMENT, Part};

/// A log entry that amends a receipt, under its recorder's signature (`spec/receipt.md`, "Amendment").
///
/// Decoding establishes the form and nothing more: see [`Amendment::check`].
#[derive(Clone, PartialEq, Eq)]
pub struct Amendment {
    sign1: Sign1,
    entry: Entry,
}

impl Amendment {
    /// Signs an entry of the recorder's own log.
    ///
    /// # Errors
    ///
    /// [`Error::NotAmendable`] for an entry that says nothing that can become known later.
    pub fn seal(entry: Entry, key: &SealingKey) -> Result<Self, Error> {
        said(&entry)?;
        let sign1 = key.sign(Signed::Amendment, entry.encode());
        Ok(Self { sign1, entry })
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = AMENDMENT_MAGIC.to_vec();
        bytes.extend(self.sign1.encode());
        bytes
    }

    /// Reads what [`Amendment::encode`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::BadMagic`], [`Error::Malformed`], [`Error::UnprotectedHeader`],
    /// [`Error::NotCanonical`], [`Error::NotAmendable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let part = Part::Amendment;
        within(part, bytes.len(), MAX_AMENDMENT)?;
        let envelope = bytes.strip_prefix(AMENDMENT_MAGIC).ok_or(Error::BadMagic)?;
        let sign1 = Sign1::decode(envelope)?;
        if sign1.encode() != envelope {
            return Err(Error::NotCanonical { part });
        }
        let entry = Entry::decode(&sign1.payload)?;
        said(&entry)?;
        Ok(Self { sign1, entry })
    }

    /// Checks that the recorder `key` signed it for call `seq` and the receipt of this hash.
    ///
    /// # Errors
    ///
    /// [`Error::ProtectedHeader`], [`Error::BadSignature`]; [`Error::OtherReceipt`] where it amends another one.
    pub fn check(&self, key: &PublicKey, seq: u64, receipt: &B256) -> Result<(), Error> {
        self.sign1.verify(Signed::Amendment, key)?;
        match &self.entry.body {
            Body::Amend {
                seq: amended,
                receipt_hash,
                ..
            } if *amended == seq && receipt_hash == receipt => Ok(()),
            Body::Amend { .. } | Body::Open { .. } | Body::Close { .. } => Err(Error::OtherReceipt),
        }
    }

    /// The receipt that it amends.
    pub const fn receipt_hash(&self) -> B256 {
        match &self.entry.body {
            Body::Amend { receipt_hash, .. } => *receipt_hash,
            Body::Open { .. } | Body::Close { .. } => B256::ZERO,
        }
    }

    /// Its place in the recorder's log.
    pub const fn index(&self) -> u64 {
        self.entry.index
    }

    /// What became known, and when: microseconds since the call's open event.
    pub fn recorded(&self) -> Option<&Recorded> {
        said(&self.entry).ok()
    }

    /// What became known, where it is of the kind `T`. Its time counts from the call's open event.
    pub fn get<T: EventBody>(&self) -> Option<(u64, &T)> {
        let recorded = said(&self.entry).ok()?;
        let event: &Event = &recorded.event;
        event.get::<T>().map(|event| (recorded.dt_us, event))
    }
}

fn said(entry: &Entry) -> Result<&Recorded, Error> {
    match &entry.body {
        Body::Amend { event, .. } if log::is_amendable(&event.event) => Ok(event),
        Body::Amend { .. } | Body::Open { .. } | Body::Close { .. } => Err(Error::NotAmendable),
    }
}

impl core::fmt::Debug for Amendment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Amendment")
            .field("receipt_hash", &self.receipt_hash())
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

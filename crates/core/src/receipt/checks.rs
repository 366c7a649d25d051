//! What can be checked about a file with nothing but the file: one question per method.

use alloy_primitives::B256;

use super::bundle::{Bundle, Leaf, events_of};
use super::event::{Admitted, EventKind};
use super::sign::{PublicKey, Signed};
use super::{Error, tree};
use crate::sha256;

impl Bundle {
    /// Checks that each leaf has a signed kind, and that what is shown is of that kind.
    ///
    /// # Errors
    ///
    /// [`Error::LeafCount`] or [`Error::KindMismatch`].
    pub fn check_kinds(&self) -> Result<(), Error> {
        let (leaves, events) = (self.leaves.len(), self.core.kinds.len());
        if leaves != events {
            return Err(Error::LeafCount { leaves, events });
        }
        for (index, (leaf, kind)) in self.leaves.iter().zip(&self.core.kinds).enumerate() {
            match leaf {
                Leaf::Shown { recorded, .. } if recorded.event.kind() != *kind => {
                    return Err(Error::KindMismatch { index });
                }
                Leaf::Shown { .. } | Leaf::Hidden(_) => {}
            }
        }
        Ok(())
    }

    /// Checks that the leaves hash to the signed root.
    ///
    /// # Errors
    ///
    /// [`Error::EventRoot`].
    pub fn check_root(&self) -> Result<(), Error> {
        let hashes: Vec<B256> = self.leaves.iter().map(Leaf::hash).collect();
        if tree::root(&hashes) == self.core.event_root {
            return Ok(());
        }
        Err(Error::EventRoot)
    }

    /// Checks that the first leaf is the signed open leaf.
    ///
    /// # Errors
    ///
    /// [`Error::OpenLeaf`].
    pub fn check_open_leaf(&self) -> Result<(), Error> {
        match self.leaves.first() {
            Some(leaf) if leaf.hash() == self.core.open_leaf => Ok(()),
            _ => Err(Error::OpenLeaf),
        }
    }

    /// Checks order: `open` first and only first, `close` last and only last, times never falling.
    ///
    /// # Errors
    ///
    /// [`Error::Order`] or [`Error::TimeOrder`].
    pub fn check_order(&self) -> Result<(), Error> {
        let last = self.core.kinds.len().saturating_sub(1);
        for (index, kind) in self.core.kinds.iter().enumerate() {
            let open = *kind == EventKind::Opened;
            let close = *kind == EventKind::Closed;
            if open != (index == 0) || close != (index == last) {
                return Err(Error::Order { index });
            }
        }
        if last == 0 {
            return Err(Error::Order { index: 0 });
        }
        let mut latest = 0;
        for (index, slot) in self.slots().iter().enumerate() {
            if let Some(recorded) = slot.recorded() {
                if recorded.dt_us < latest {
                    return Err(Error::TimeOrder { index });
                }
                latest = recorded.dt_us;
            }
        }
        Ok(())
    }

    /// Checks that an admitted offer is one that was made before.
    ///
    /// # Errors
    ///
    /// [`Error::Causality`].
    pub fn check_causality(&self) -> Result<(), Error> {
        for (index, _, admitted) in events_of::<Admitted>(&self.slots()) {
            let cause = usize::try_from(admitted.offer_event).ok();
            let kind = cause
                .filter(|&cause| cause < index)
                .and_then(|cause| self.core.kinds.get(cause));
            if kind != Some(&EventKind::Offered) {
                return Err(Error::Causality { index });
            }
        }
        Ok(())
    }

    /// Checks that every blob is in the signed table with its hash and length, and that every
    /// shown event refers only to the table.
    ///
    /// # Errors
    ///
    /// [`Error::EvidenceHash`] or [`Error::EvidenceUnlisted`].
    pub fn check_evidence(&self) -> Result<(), Error> {
        let entry = |hash: &B256| {
            let table = &self.core.evidence;
            let found = table.binary_search_by(|entry| entry.hash.cmp(hash));
            found.ok().and_then(|index| table.get(index))
        };
        for (hash, blob) in &self.evidence {
            let hash = *hash;
            let listed = entry(&hash).ok_or(Error::EvidenceUnlisted { hash })?;
            let len = u64::try_from(blob.len()).ok();
            if len != Some(listed.len) || sha256(&[blob]) != hash {
                return Err(Error::EvidenceHash { hash });
            }
        }
        for hash in self.referenced() {
            entry(&hash).ok_or(Error::EvidenceUnlisted { hash })?;
        }
        Ok(())
    }

    /// Checks the signature under the key that the core names. That shows that nothing was changed
    /// since; it does not show whose key it is.
    ///
    /// # Errors
    ///
    /// [`Error::BadKey`], [`Error::ProtectedHeader`] or [`Error::BadSignature`].
    pub fn check_signature(&self) -> Result<PublicKey, Error> {
        let key = PublicKey::from_bytes(&self.core.recorder)?;
        self.sign1.verify(Signed::Receipt, &key)?;
        Ok(key)
    }
}

//! Evidence of software: documents in the format of AWS Nitro, signed under a [`DevAuthority`].

mod chain;
mod document;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA384, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use seamline_attest::dev;
use seamline_core::{B256, keccak256};
use seamline_enclave::{AttestError, Attester, AttesterKind};
use seamline_net::Clock;

use crate::authority::{DevAuthority, Error};
use chain::Chain;
use document::Payload;

/// What a development node says that it runs: three values in the places of PCR0, PCR1 and PCR2.
///
/// They are hashes of what the caller describes, so two nodes with the same description measure the
/// same and a changed description is a changed measurement. Nothing measured the running code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevMeasurement {
    pcrs: [[u8; 48]; 3],
}

impl DevMeasurement {
    /// Measures a description of the node: version, upstream, configuration.
    ///
    /// PCR*i* = SHA-384("seamline/v1/dev-pcr" || *i* || description), *i* one byte.
    pub fn of(description: &[u8]) -> Self {
        Self {
            pcrs: [0, 1, 2].map(|index| sha384(&[b"seamline/v1/dev-pcr", &[index], description])),
        }
    }

    /// PCR0, PCR1 and PCR2, for the registry's `approvePCR`.
    pub const fn pcrs(&self) -> &[[u8; 48]; 3] {
        &self.pcrs
    }

    /// The measurement as registries and policies name it: Keccak-256 over the three values.
    pub fn pcr_hash(&self) -> B256 {
        keccak256(self.pcrs.concat())
    }
}

/// Issues evidence for one development node.
///
/// It keeps a chain of four certificates under the root and renews it before the leaf, which lives
/// three hours, runs out. Documents are AWS Nitro's in every respect but the marks of
/// [`seamline_attest::dev`].
pub struct DevAttester {
    authority: Arc<DevAuthority>,
    module_id: String,
    measurement: DevMeasurement,
    clock: Clock,
    chain: Mutex<Option<Arc<Chain>>>,
}

impl DevAttester {
    /// Prepares an attester for the node `instance`; certificates are made with the first document.
    ///
    /// # Errors
    ///
    /// [`Error::InstanceName`] for a name that cannot stand in a module id, [`Error::GenerateKey`]
    /// if the platform has no randomness.
    pub fn new(
        authority: Arc<DevAuthority>,
        instance: &str,
        measurement: DevMeasurement,
        clock: Clock,
    ) -> Result<Self, Error> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !matches!(instance.len(), 1..=32)
            || !instance.bytes().all(allowed)
            || instance.contains("-enc")
        {
            return Err(Error::InstanceName);
        }
        let mut enclave = [0; 8];
        SystemRandom::new()
            .fill(&mut enclave)
            .map_err(|_| Error::GenerateKey)?;
        Ok(Self {
            authority,
            module_id: format!(
                "{}{instance}-enc{}",
                dev::MODULE_PREFIX,
                hex::encode(enclave)
            ),
            measurement,
            clock,
            chain: Mutex::new(None),
        })
    }

    /// The `module_id` of every document: `dev-<instance>-enc<16 random hex digits>`.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// What this node's documents report.
    pub const fn measurement(&self) -> &DevMeasurement {
        &self.measurement
    }

    fn issue(&self, nonce: &[u8], user_data: &[u8], public_key: &[u8]) -> Result<Vec<u8>, Error> {
        let now = (self.clock)();
        let chain = {
            let mut current = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
            match current.as_ref().filter(|chain| chain.is_fresh_at(now)) {
                Some(chain) => Arc::clone(chain),
                None => Arc::clone(current.insert(Arc::new(Chain::issue(
                    &self.authority,
                    &self.module_id,
                    now,
                )?))),
            }
        };
        let payload = Payload {
            module_id: &self.module_id,
            timestamp: now,
            measurement: &self.measurement,
            chain: &chain,
            public_key,
            user_data,
            nonce,
        };
        document::sign(&payload.encode()?, chain.leaf_key())
    }
}

impl Attester for DevAttester {
    fn document(
        &self,
        nonce: &[u8],
        user_data: &[u8],
        public_key: &[u8],
    ) -> Result<Vec<u8>, AttestError> {
        self.issue(nonce, user_data, public_key)
            .map_err(AttestError::new)
    }

    fn kind(&self) -> AttesterKind {
        AttesterKind::Software
    }
}

impl fmt::Debug for DevAttester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevAttester")
            .field("module_id", &self.module_id)
            .finish_non_exhaustive()
    }
}

fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut value = [0; 48];
    for (slot, byte) in value
        .iter_mut()
        .zip(digest(&SHA384, &parts.concat()).as_ref())
    {
        *slot = *byte;
    }
    value
}

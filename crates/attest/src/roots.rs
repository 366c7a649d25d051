use seamline_core::SourceClass;

use crate::chain::{self, Certificate};
use crate::error::{Check, Error};

/// The DER bytes of `CN=aws.nitro-enclaves`, the G1 root of the commercial partition, valid
/// 2019-10-28 to 2049-10-28, SHA-256
/// `641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b`. AWS publishes it at
/// <https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip>. The China and
/// GovCloud partitions have other roots, which nobody here has asked for.
const AWS_NITRO_G1: &[u8] = include_bytes!("roots/aws-nitro-g1.der");

/// The roots that a chain may start at. Each is a whole certificate, compared byte by byte; a
/// certificate that evidence brings along is never trusted for being there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoots {
    roots: Vec<Root>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    der: Vec<u8>,
    source: SourceClass,
}

impl TrustRoots {
    /// The AWS Nitro root G1 and nothing else.
    pub fn aws() -> Self {
        Self::none().with(AWS_NITRO_G1, SourceClass::Hardware)
    }

    /// No root: every chain is refused.
    pub const fn none() -> Self {
        Self { roots: Vec::new() }
    }

    /// Adds the root of one installation's software attester, DER.
    ///
    /// # Security
    ///
    /// Whoever holds the root's key can make evidence that says anything. It yields
    /// [`SourceClass::Dev`], never hardware; only a development network may call this.
    ///
    /// # Errors
    ///
    /// What is wrong with the root: it must be self-signed, P-384, a certificate authority, and
    /// carry the marks of [`dev`](crate::dev), else [`Check::DevUnmarked`].
    pub fn danger_accept_dev(self, root_der: &[u8]) -> Result<Self, Error> {
        let root = Certificate::parse(root_der)?;
        chain::check_self_signed(&root)?;
        if !root.is_dev_marked() {
            return Err(Check::DevUnmarked.into());
        }
        Ok(self.with(root_der, SourceClass::Dev))
    }

    /// The class of the root that is `der`, if it is one of these.
    pub(crate) fn class_of(&self, der: &[u8]) -> Option<SourceClass> {
        let root = self.roots.iter().find(|root| root.der == der)?;
        Some(root.source)
    }

    /// The same root alone; `None` if it is not one of these.
    pub(crate) fn only(&self, der: &[u8]) -> Option<Self> {
        let source = self.class_of(der)?;
        Some(Self::none().with(der, source))
    }

    /// A root that is trusted as hardware: for the synthetic vectors, which were made under a
    /// test root without the marks of a development root.
    #[cfg(test)]
    pub(crate) fn test_hardware(der: &[u8]) -> Self {
        Self::none().with(der, SourceClass::Hardware)
    }

    fn with(mut self, der: &[u8], source: SourceClass) -> Self {
        let der = der.to_vec();
        self.roots.push(Root { der, source });
        self
    }
}

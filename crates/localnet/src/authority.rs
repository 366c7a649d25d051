//! The root of a local network's evidence: one certificate authority per installation, of software.
//!
//! It imitates the chain of AWS Nitro so that every check of a verifier is exercised, and says in
//! its name and in a critical extension that no hardware stands behind it (`spec/evidence.md`).
//! Nobody trusts it but who passes its certificate to `TrustRoots::danger_accept_dev`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use seamline_attest::dev;
use seamline_core::Timestamp;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Proof that the machine has no security module that software evidence could mask.
#[derive(Debug)]
pub struct NoHardware(());

impl NoHardware {
    /// The devices through which the three kinds of enclave make real evidence.
    pub const DEVICES: [&str; 3] = ["/dev/nsm", "/dev/tdx_guest", "/dev/sev-guest"];

    /// Asks `exists` about each of [`NoHardware::DEVICES`]; binaries pass `Path::exists`.
    ///
    /// # Errors
    ///
    /// [`Error::HardwarePresent`] names the first device that exists: evidence there must come
    /// from the device.
    pub fn probe(exists: impl Fn(&Path) -> bool) -> Result<Self, Error> {
        Self::DEVICES
            .into_iter()
            .find(|device| exists(Path::new(device)))
            .map_or(Ok(Self(())), |device| {
                Err(Error::HardwarePresent { device })
            })
    }
}

/// A root certificate and its P-384 key, made on this machine for its own networks.
///
/// Evidence under it proves nothing about hardware: whoever holds the key can claim anything.
pub struct DevAuthority {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl DevAuthority {
    /// How long a root is valid. An installation that lives longer makes a new one.
    pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Makes a key and a root certificate, valid from `now` for [`DevAuthority::LIFETIME`].
    ///
    /// # Errors
    ///
    /// [`Error::GenerateKey`] or [`Error::Certificate`], which the platform's randomness can cause.
    pub fn generate(_: &NoHardware, now: Timestamp) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| Error::GenerateKey)?;
        let not_before = Timestamp::from_secs(now.as_secs()).saturating_sub(CLOCK_MARGIN);
        let not_after = not_before.saturating_add(Self::LIFETIME);
        let certificate = root_params(not_before, not_after)
            .self_signed(&key)
            .map_err(Error::Certificate)?;
        Ok(Self {
            certificate: certificate.der().to_vec(),
            key: Zeroizing::new(key.serialize_der()),
            not_before,
            not_after,
        })
    }

    /// Reads what [`DevAuthority::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] for anything else, also for a key that is not the certificate's.
    pub fn from_bytes(_: &NoHardware, bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |reason| Error::Unreadable { reason };
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| unreadable("wrong magic"))?;
        let cut_off = || unreadable("cut off");
        let (not_before, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let (not_after, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let (certificate, key) = usize::try_from(u32::from_be_bytes(*length))
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(cut_off)?;
        let authority = Self {
            certificate: certificate.to_vec(),
            key: Zeroizing::new(key.to_vec()),
            not_before: Timestamp::from_secs(u64::from_be_bytes(*not_before)),
            not_after: Timestamp::from_secs(u64::from_be_bytes(*not_after)),
        };
        let key = authority.key_pair()?;
        // The certificate holds its public key as one run of bytes, and 97 of them do not recur.
        let public_key = key.public_key_raw();
        if !certificate
            .windows(public_key.len())
            .any(|window| window == public_key)
        {
            return Err(unreadable("the key is not the certificate's"));
        }
        Ok(authority)
    }

    /// Writes the certificate and the key, unencrypted.
    ///
    /// # Security
    ///
    /// Whoever reads these bytes can make evidence that this installation accepts: the file that
    /// holds them must be readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`] if the certificate is longer than its length field can say.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let length = u32::try_from(self.certificate.len()).map_err(|_| Error::Unreadable {
            reason: "the certificate is too long",
        })?;
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        bytes.extend_from_slice(&self.not_before.as_secs().to_be_bytes());
        bytes.extend_from_slice(&self.not_after.as_secs().to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.certificate);
        bytes.extend_from_slice(&self.key);
        Ok(bytes)
    }

    /// The root certificate, DER: what a trust file names and `danger_accept_dev` takes.
    pub fn root_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The root certificate, PEM: what the registry's `setAWSRootCertificate` takes.
    pub fn root_pem(&self) -> String {
        let body = STANDARD.encode(&self.certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        // 64 characters a line: RFC 7468 §2.
        for line in body.as_bytes().chunks(64) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// The first moment after the root's validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether evidence under this root can be valid at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// The root as an issuer of further certificates.
    pub(crate) fn issuer(&self) -> Result<Issuer<'static, KeyPair>, Error> {
        let params = root_params(self.not_before, self.not_after);
        Ok(Issuer::new(params, self.key_pair()?))
    }

    fn key_pair(&self) -> Result<KeyPair, Error> {
        let key = PrivatePkcs8KeyDer::from(self.key.as_slice());
        KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P384_SHA384).map_err(|_| {
            Error::Unreadable {
                reason: "broken key",
            }
        })
    }
}

impl fmt::Debug for DevAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevAuthority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why the authority or an attester under it cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine has a security module; software evidence would mask it.
    #[error("refusing to make software evidence: {device} exists")]
    HardwarePresent {
        /// The device that was found.
        device: &'static str,
    },
    /// The platform gave no randomness for a key.
    #[error("cannot generate a P-384 key")]
    GenerateKey,
    /// A certificate cannot be encoded or signed.
    #[error("cannot issue a certificate")]
    Certificate(#[source] rcgen::Error),
    /// Stored bytes are not an authority.
    #[error("cannot read the development authority: {reason}")]
    Unreadable {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The root is not valid at the time of the request.
    #[error("the development root is not valid now; make a new one")]
    Expired,
    /// A node's name cannot be part of a module id.
    #[error("an instance name has 1 to 32 of a-z, 0-9 and -, and no \"-enc\"")]
    InstanceName,
    /// A field of the request is longer than a document may carry.
    #[error("{field} is longer than {limit} bytes")]
    FieldTooLong {
        /// The field's name in the document.
        field: &'static str,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// The leaf key did not sign.
    #[error("cannot sign the document")]
    Sign,
}

/// The marks that the root and the leaf carry: the name and the critical extension.
pub(crate) fn mark(params: &mut CertificateParams) {
    params
        .distinguished_name
        .push(DnType::CommonName, dev::COMMON_NAME);
    let mut extension =
        CustomExtension::from_oid_content(&dev::EXTENSION_OID, dev::EXTENSION_VALUE.to_vec());
    extension.set_criticality(true);
    params.custom_extensions = vec![extension];
}

/// Parameters with nothing but a validity.
pub(crate) fn valid_between(not_before: Timestamp, not_after: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "both spans are bounded so that the sums stay below the year 9999"
    )]
    {
        params.not_before = epoch + Duration::from_secs(not_before.as_secs().min(LATEST_SECS));
        params.not_after = epoch + Duration::from_secs(not_after.as_secs().min(LATEST_SECS));
    }
    params
}

fn root_params(not_before: Timestamp, not_after: Timestamp) -> CertificateParams {
    let mut params = valid_between(not_before, not_after);
    mark(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Certificates begin this long before they are made, as AWS's do: clocks differ a little.
pub(crate) const CLOCK_MARGIN: Duration = Duration::from_secs(3);

const MAGIC: &[u8] = b"seamline/dev-authority/1\n";
// 9998-01-01: X.509 and the time crate end with the year 9999.
const LATEST_SECS: u64 = 253_339_228_800;

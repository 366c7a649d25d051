//! The certificate chain of a document: from the pinned root down to the leaf, in the order given.
//!
//! This is not a web PKI path builder. There is one chain, its order is fixed, one algorithm is
//! allowed, and the constraints that matter (key usage, a critical extension of our own, the
//! leaf's key and validity) are those that a TLS library hides. So the fields are read with a
//! general X.509 parser and each rule is a line below.

use seamline_core::{SourceClass, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version};

use crate::crypto::{self, Point};
use crate::dev;
use crate::error::{ChainFault, Check, Error};
use crate::nitro::Document;
use crate::roots::TrustRoots;

/// What a valid chain says about the leaf.
pub(crate) struct Leaf {
    pub(crate) source: SourceClass,
    pub(crate) key: Point,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) chain_not_after: Timestamp,
    pub(crate) marks: Marks,
}

/// Whether the certificates of the chain say that they are a development network's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// None carries a mark.
    None,
    /// Root and leaf carry all of them.
    Complete,
    /// Some are there, some are not.
    Partial,
}

/// Checks the chain of `document` at time `at`.
pub(crate) fn verify(
    document: &Document<'_>,
    roots: &TrustRoots,
    at: Timestamp,
) -> Result<Leaf, Error> {
    // 4.1 The first certificate is a pinned root, byte for byte.
    let bundle = document.ca_bundle().as_slice();
    let source = bundle
        .first()
        .and_then(|der| roots.class_of(der))
        .ok_or(Check::UntrustedRoot)?;
    // 4.2 Every certificate is strict X.509 v3, P-384 signed with SHA-384.
    let chain = bundle
        .iter()
        .copied()
        .chain([document.certificate()])
        .map(Certificate::parse)
        .collect::<Result<Vec<_>, _>>()?;
    let [root, below @ .., leaf] = chain.as_slice() else {
        return Err(Check::UntrustedRoot.into());
    };
    // 4.3 No certificate below the root signs itself: that would be another root.
    if below.iter().chain([leaf]).any(Certificate::is_self_issued) {
        return Err(Check::UntrustedRoot.into());
    }
    // 4.4 Each certificate names the one before it, which is an authority and may issue it.
    let issuers = || [root].into_iter().chain(below);
    let subjects = || below.iter().chain([leaf]);
    for (depth, (issuer, subject)) in issuers().zip(subjects()).enumerate() {
        // Authorities between this issuer and the leaf.
        let between = below.len().saturating_sub(depth);
        check_issuer(issuer, between)?;
        if subject.issuer != issuer.subject {
            return Err(Check::Chain(ChainFault::Order).into());
        }
    }
    check_leaf(leaf)?;
    // 4.5 Each signature is the issuer's.
    for (issuer, subject) in issuers().zip(subjects()) {
        check_signature(issuer, subject)?;
    }
    // 4.6 Each certificate is valid at the time asked for.
    for certificate in &chain {
        check_validity(certificate, at)?;
    }
    let not_after = |certificate: &Certificate| certificate.not_after;
    Ok(Leaf {
        source,
        key: leaf.key,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        chain_not_after: chain.iter().map(not_after).min().unwrap_or_default(),
        marks: marks(&chain, root, leaf),
    })
}

/// Checks that a certificate that is offered as a root is one.
pub(crate) fn check_self_signed(root: &Certificate) -> Result<(), Error> {
    check_issuer(root, 0)?;
    if !root.is_self_issued() {
        return Err(Check::UntrustedRoot.into());
    }
    check_signature(root, root)
}

/// The fields of a certificate that the rules use.
pub(crate) struct Certificate {
    signed: Vec<u8>,
    signature: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    key: Point,
    not_before: Timestamp,
    not_after: Timestamp,
    /// `Some` for an authority, with its path length constraint.
    authority: Option<Option<u32>>,
    may_sign: bool,
    may_certify: bool,
    dev_extension: Option<DevExtension>,
    dev_name: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DevExtension {
    Exact,
    Wrong,
}

impl Certificate {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Error> {
        let encoding = Error::Reject(Check::Chain(ChainFault::Encoding));
        let Ok((&[], x509)) = X509Certificate::from_der(der) else {
            return Err(encoding);
        };
        if x509.version() != X509Version::V3 || x509.signature_value.unused_bits != 0 {
            return Err(encoding);
        }
        if !is_ecdsa_sha384(&x509.signature_algorithm) || !is_ecdsa_sha384(&x509.signature) {
            return Err(Check::Algorithm.into());
        }
        let mut names = x509.subject().iter_common_name();
        let dev_name = names
            .next()
            .is_some_and(|name| name.as_str() == Ok(dev::COMMON_NAME));
        let mut certificate = Self {
            signed: x509.tbs_certificate.as_ref().to_vec(),
            signature: x509.signature_value.data.to_vec(),
            issuer: x509.issuer().as_raw().to_vec(),
            subject: x509.subject().as_raw().to_vec(),
            key: p384_point(x509.public_key()).ok_or(Check::Algorithm)?,
            not_before: seconds(x509.validity().not_before).ok_or_else(|| encoding.clone())?,
            not_after: seconds(x509.validity().not_after).ok_or_else(|| encoding.clone())?,
            authority: None,
            may_sign: false,
            may_certify: false,
            dev_extension: None,
            dev_name: dev_name && names.next().is_none(),
        };
        certificate.read_extensions(&x509)?;
        Ok(certificate)
    }

    fn read_extensions(&mut self, x509: &X509Certificate<'_>) -> Result<(), Error> {
        let fault = |fault| Err(Error::Reject(Check::Chain(fault)));
        // Refuses an extension that occurs twice (RFC 5280 §4.2).
        if x509.extensions_map().is_err() {
            return fault(ChainFault::Encoding);
        }
        for extension in x509.extensions() {
            if extension.oid.to_id_string() == dev::EXTENSION_OID_TEXT {
                let exact = extension.critical && extension.value == dev::EXTENSION_VALUE;
                let exact = exact.then_some(DevExtension::Exact);
                self.dev_extension = Some(exact.unwrap_or(DevExtension::Wrong));
                continue;
            }
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "a foreign enum; whatever else is critical is refused"
            )]
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(basic) => {
                    self.authority = basic.ca.then_some(basic.path_len_constraint);
                }
                ParsedExtension::KeyUsage(usage) => {
                    self.may_sign = usage.digital_signature();
                    self.may_certify = usage.key_cert_sign();
                }
                ParsedExtension::ParseError { .. } => return fault(ChainFault::Encoding),
                _ if extension.critical => return fault(ChainFault::CriticalExtension),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the certificate carries every mark of a development root or leaf.
    pub(crate) fn is_dev_marked(&self) -> bool {
        self.dev_name && self.dev_extension == Some(DevExtension::Exact)
    }

    fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

fn check_issuer(issuer: &Certificate, between: usize) -> Result<(), Error> {
    let Some(path_length) = issuer.authority else {
        return Err(Check::Chain(ChainFault::NotAnAuthority).into());
    };
    let allowed = path_length.and_then(|length| usize::try_from(length).ok());
    if allowed.is_some_and(|allowed| between > allowed) {
        return Err(Check::Chain(ChainFault::PathLength).into());
    }
    if !issuer.may_certify {
        return Err(Check::Chain(ChainFault::KeyUsage).into());
    }
    Ok(())
}

fn check_leaf(leaf: &Certificate) -> Result<(), Error> {
    if leaf.authority.is_some() {
        return Err(Check::Chain(ChainFault::LeafIsAuthority).into());
    }
    if !leaf.may_sign || leaf.may_certify {
        return Err(Check::Chain(ChainFault::KeyUsage).into());
    }
    Ok(())
}

fn check_signature(issuer: &Certificate, subject: &Certificate) -> Result<(), Error> {
    if crypto::is_ecdsa_sha384(&issuer.key, &subject.signed, &subject.signature) {
        return Ok(());
    }
    Err(Check::Chain(ChainFault::Signature).into())
}

/// Both ends of a validity are inclusive, to the second (RFC 5280 §4.1.2.5).
fn check_validity(certificate: &Certificate, at: Timestamp) -> Result<(), Error> {
    if at.as_secs() > certificate.not_after.as_secs() {
        return Err(Check::Expired.into());
    }
    if at < certificate.not_before {
        return Err(Check::NotYetValid.into());
    }
    Ok(())
}

fn marks(chain: &[Certificate], root: &Certificate, leaf: &Certificate) -> Marks {
    let wrong = |cert: &Certificate| cert.dev_extension == Some(DevExtension::Wrong);
    let any = |cert: &Certificate| cert.dev_extension.is_some() || cert.dev_name;
    if root.is_dev_marked() && leaf.is_dev_marked() && !chain.iter().any(wrong) {
        Marks::Complete
    } else if chain.iter().any(any) {
        Marks::Partial
    } else {
        Marks::None
    }
}

fn is_ecdsa_sha384(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA384 && algorithm.parameters.is_none()
}

fn p384_point(info: &SubjectPublicKeyInfo<'_>) -> Option<Point> {
    let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
    if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != OID_NIST_EC_P384 {
        return None;
    }
    let point: Point = info.subject_public_key.data.as_ref().try_into().ok()?;
    // 04 marks the uncompressed form (SEC 1 §2.3.3).
    point.starts_with(&[4]).then_some(point)
}

fn seconds(time: ASN1Time) -> Option<Timestamp> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    Some(Timestamp::from_secs(seconds))
}

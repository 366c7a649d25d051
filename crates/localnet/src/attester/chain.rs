use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use seamline_core::Timestamp;

use crate::authority::{self, CLOCK_MARGIN, DevAuthority, Error};

/// Four certificates under the root, as AWS issues them, and the key of the last.
pub(super) struct Chain {
    /// The root, then regional, zonal and instance authority: a document's `cabundle`.
    bundle: Vec<Vec<u8>>,
    leaf: Vec<u8>,
    leaf_key: EcdsaKeyPair,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Chain {
    /// Makes all four certificates new. A few milliseconds.
    pub(super) fn issue(
        authority: &DevAuthority,
        module_id: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        if !authority.is_valid_at(now) {
            return Err(Error::Expired);
        }
        let not_before = Timestamp::from_secs(now.as_secs()).saturating_sub(CLOCK_MARGIN);
        let validity = |lifetime| (not_before, cap(not_before, lifetime, authority.not_after()));

        let mut bundle = vec![authority.root_der().to_vec()];
        let mut issuer = authority.issuer()?;
        for tier in &TIERS {
            let (not_before, not_after) = validity(tier.lifetime);
            let mut params = authority::valid_between(not_before, not_after);
            params
                .distinguished_name
                .push(DnType::CommonName, format!("{}.{module_id}", tier.name));
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Seamline");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(tier.authorities_below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let (certificate, key) = certify(&mut params, &issuer)?;
            bundle.push(certificate);
            issuer = Issuer::new(params, key);
        }

        let (not_before, not_after) = validity(LEAF_LIFETIME);
        let mut params = authority::valid_between(not_before, not_after);
        authority::mark(&mut params);
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, module_id);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (leaf, key) = certify(&mut params, &issuer)?;
        let leaf_key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.serialized_der())
                .map_err(|_| Error::GenerateKey)?;
        Ok(Self {
            bundle,
            leaf,
            leaf_key,
            not_before,
            not_after,
        })
    }

    /// Whether a document made at `now` stays verifiable for a while. At the end of the root's own
    /// life nothing fresher can be had, so there the leaf serves to its last moment.
    pub(super) fn is_fresh_at(&self, now: Timestamp) -> bool {
        let issued_late = self.not_after < self.not_before.saturating_add(LEAF_LIFETIME);
        let margin = if issued_late {
            Duration::ZERO
        } else {
            RENEW_BEFORE
        };
        self.not_before <= now && now.saturating_add(margin) < self.not_after
    }

    pub(super) fn bundle(&self) -> &[Vec<u8>] {
        &self.bundle
    }

    pub(super) fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    pub(super) const fn leaf_key(&self) -> &EcdsaKeyPair {
        &self.leaf_key
    }
}

struct Tier {
    name: &'static str,
    lifetime: Duration,
    authorities_below: u8,
}

// The lifetimes are those seen in AWS's certificates.
const TIERS: [Tier; 3] = [
    Tier {
        name: "regional",
        lifetime: Duration::from_secs(20 * 24 * 60 * 60 + 60 * 60),
        authorities_below: 2,
    },
    Tier {
        name: "zonal",
        lifetime: Duration::from_secs(6 * 24 * 60 * 60),
        authorities_below: 1,
    },
    Tier {
        name: "instance",
        lifetime: Duration::from_secs(24 * 60 * 60),
        authorities_below: 0,
    },
];

/// Three hours and the margin before them, as AWS's leaves live.
const LEAF_LIFETIME: Duration = Duration::from_secs(3 * 60 * 60 + 3);

/// A leaf with less than this left is replaced: whoever caches evidence wants some time with it.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 60);

fn certify(
    params: &mut CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Vec<u8>, KeyPair), Error> {
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| Error::GenerateKey)?;
    let certificate = params.signed_by(&key, issuer).map_err(Error::Certificate)?;
    Ok((certificate.der().to_vec(), key))
}

/// No certificate outlives the root.
fn cap(not_before: Timestamp, lifetime: Duration, root_not_after: Timestamp) -> Timestamp {
    not_before.saturating_add(lifetime).min(root_not_after)
}

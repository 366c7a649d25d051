//! Builds certificate chains and documents for tests. Every part can be changed before it is
//! signed, so a test can break one rule and leave the rest valid.

use core::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm,
};
use seamline_core::{B256, Timestamp, keccak256};
use seamline_testkit::NOW;

use crate::dev;
use crate::{Measurements, NonceRule, Policy, TrustRoots, nitro};

pub(super) const NONCE: [u8; 20] = [0x5a; 20];
pub(super) const TLS_CERT: &[u8] = b"any bytes: only their digest is bound";
pub(super) const MODULE_ID: &str = "i-0340e0cb833504eb6-enc019c12d31f78864d";

/// The place of the certificates in [`Pki::certs`].
pub(super) const ROOT: usize = 0;
pub(super) const REGIONAL: usize = 1;
pub(super) const ZONAL: usize = 2;
pub(super) const LEAF: usize = 4;

/// A certificate before it is issued.
pub(super) struct Cert {
    pub(super) common_name: String,
    pub(super) unit: String,
    pub(super) authority: Option<BasicConstraints>,
    pub(super) usages: Vec<KeyUsagePurpose>,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) algorithm: &'static SignatureAlgorithm,
    pub(super) extensions: Vec<CustomExtension>,
    /// Signs with a key that is not the issuer's.
    pub(super) forged: bool,
}

impl Cert {
    fn authority(name: &str, path_length: Option<u8>, lifetime: u64) -> Self {
        let limit = path_length.map_or(BasicConstraints::Unconstrained, |length| {
            BasicConstraints::Constrained(length)
        });
        Self {
            common_name: format!("{name}.test.nitro-enclaves"),
            unit: name.to_owned(),
            authority: Some(limit),
            usages: vec![KeyUsagePurpose::KeyCertSign],
            not_before: NOW.as_secs() - 3600,
            not_after: NOW.as_secs() + lifetime,
            algorithm: &PKCS_ECDSA_P384_SHA384,
            extensions: vec![],
            forged: false,
        }
    }

    fn leaf() -> Self {
        Self {
            authority: None,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            not_before: NOW.as_secs() - 3,
            ..Self::authority("leaf", None, 3 * 3600)
        }
    }

    fn params(&self) -> CertificateParams {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, &self.common_name);
        name.push(DnType::OrganizationalUnitName, &self.unit);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.is_ca = self.authority.map_or(IsCa::ExplicitNoCa, IsCa::Ca);
        params.key_usages.clone_from(&self.usages);
        params.not_before = epoch + Duration::from_secs(self.not_before);
        params.not_after = epoch + Duration::from_secs(self.not_after);
        params.custom_extensions.clone_from(&self.extensions);
        params
    }
}

/// A chain before it is issued: root, regional, zonal, instance, leaf, as hardware has it.
pub(super) struct Pki {
    pub(super) certs: Vec<Cert>,
}

/// An issued chain and the leaf's key.
pub(super) struct Issued {
    /// DER, the root first.
    pub(super) certs: Vec<Vec<u8>>,
    pub(super) key: KeyPair,
}

impl Pki {
    /// A chain as hardware has it.
    pub(super) fn hardware() -> Self {
        let certs = vec![
            Cert::authority("root", None, 30 * 365 * 86_400),
            Cert::authority("regional", Some(2), 20 * 86_400),
            Cert::authority("zonal", Some(1), 6 * 86_400),
            Cert::authority("instance", Some(0), 86_400),
            Cert::leaf(),
        ];
        Self { certs }
    }

    /// A chain as a development attester has it.
    pub(super) fn dev() -> Self {
        let mut pki = Self::hardware();
        for place in [ROOT, LEAF] {
            pki.certs[place].common_name = dev::COMMON_NAME.to_owned();
            pki.certs[place].extensions = vec![dev_extension(true, dev::EXTENSION_VALUE)];
        }
        pki
    }

    pub(super) fn issue(&self) -> Issued {
        let mut issuer: Option<(CertificateParams, KeyPair)> = None;
        let mut certs = vec![];
        for cert in &self.certs {
            let key = KeyPair::generate_for(cert.algorithm).expect("a key");
            let params = cert.params();
            let (issuer_params, issuer_key) = match &issuer {
                Some((params, key)) => (params, key),
                None => (&params, &key),
            };
            let other = KeyPair::generate_for(issuer_key.algorithm()).expect("a key");
            let signer = if cert.forged { &other } else { issuer_key };
            let issued = params
                .signed_by(&key, &Issuer::from_params(issuer_params, signer))
                .expect("a certificate");
            certs.push(issued.der().to_vec());
            issuer = Some((params, key));
        }
        let (_, key) = issuer.expect("at least one certificate");
        Issued { certs, key }
    }
}

pub(super) fn dev_extension(critical: bool, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&dev::EXTENSION_OID, value.to_vec());
    extension.set_criticality(critical);
    extension
}

/// A document before it is signed.
pub(super) struct Draft {
    pub(super) issued: Issued,
    /// The payload's pairs, values encoded.
    pub(super) pairs: Vec<(String, Vec<u8>)>,
    pub(super) pcrs: Vec<(u64, Vec<u8>)>,
    pub(super) protected: Vec<u8>,
    pub(super) indefinite: bool,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
}

impl Draft {
    /// A document that hardware could have signed, and a policy that accepts it.
    pub(super) fn hardware() -> Self {
        Self::of(&Pki::hardware(), MODULE_ID)
    }

    /// A document of a development attester.
    pub(super) fn dev() -> Self {
        let mut draft = Self::of(&Pki::dev(), "dev-localhost-enc01");
        draft.set(dev::EVIDENCE_TYPE_KEY, text(dev::EVIDENCE_TYPE));
        draft
    }

    pub(super) fn of(pki: &Pki, module_id: &str) -> Self {
        let issued = pki.issue();
        let user_data = user_data(TLS_CERT, &[1; 32]);
        let mut pcrs: Vec<_> = (0..16).map(|index| (index, vec![0; 48])).collect();
        for (index, byte) in [(0, 0xa0), (1, 0xa1), (2, 0xa2), (3, 0xa3)] {
            pcrs[index].1 = vec![byte; 48];
        }
        pcrs[4].1 = nitro::pcr4(module_id).expect("an enclave's id").to_vec();
        let mut draft = Self {
            pairs: vec![],
            pcrs,
            protected: b"\xa1\x01\x38\x22".to_vec(),
            indefinite: true,
            policy: Policy::live(
                NonceRule::Expect(NONCE.to_vec()),
                Measurements::Allow(vec![]),
            ),
            now: NOW,
            issued,
        };
        let leaf = draft.issued.certs.last().expect("a leaf").clone();
        draft.set("module_id", text(module_id));
        draft.set("digest", text("SHA384"));
        draft.set("timestamp", uint(NOW.as_millis() - 500));
        draft.set("certificate", bytes(&leaf));
        draft.set_bundle(pki.certs.len() - 1);
        draft.set("public_key", bytes(b"dummy"));
        draft.set("user_data", bytes(&user_data));
        draft.set("nonce", bytes(&NONCE));
        draft.policy.measurements = Measurements::Allow(vec![draft.pcr_hash()]);
        draft
    }

    /// Writes the first `count` certificates as `cabundle`.
    pub(super) fn set_bundle(&mut self, count: usize) {
        let certs: Vec<_> = self.issued.certs[..count]
            .iter()
            .map(Vec::as_slice)
            .collect();
        let certs = array(&certs);
        self.set("cabundle", certs);
    }

    pub(super) fn set(&mut self, key: &str, value: Vec<u8>) {
        match self.pairs.iter_mut().find(|(name, _)| name == key) {
            Some((_, slot)) => *slot = value,
            None => self.pairs.push((key.to_owned(), value)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.pairs.retain(|(name, _)| name != key);
    }

    pub(super) fn rename(&mut self, key: &str, to: &str) {
        let pair = self.pairs.iter_mut().find(|(name, _)| name == key);
        to.clone_into(&mut pair.expect("a pair of that name").0);
    }

    pub(super) fn pcr_hash(&self) -> B256 {
        let pcrs: Vec<_> = self.pcrs[..3].iter().map(|(_, pcr)| pcr.clone()).collect();
        keccak256(pcrs.concat())
    }

    pub(super) fn root(&self) -> &[u8] {
        &self.issued.certs[ROOT]
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        let mut pairs = self.pairs.clone();
        if !pairs.iter().any(|(name, _)| name.contains("pcrs")) {
            pairs.insert(3.min(pairs.len()), ("pcrs".to_owned(), pcr_map(&self.pcrs)));
        }
        let mut out = if self.indefinite {
            vec![0xbf]
        } else {
            head(5, pairs.len() as u64)
        };
        for (key, value) in pairs {
            out.extend(text(&key));
            out.extend(value);
        }
        if self.indefinite {
            out.push(0xff);
        }
        out
    }

    /// The signed document.
    pub(super) fn sign(&self) -> Vec<u8> {
        self.sign_payload(&self.payload())
    }

    pub(super) fn sign_payload(&self, payload: &[u8]) -> Vec<u8> {
        let protected = bytes(&self.protected);
        let signed = [
            b"\x84\x6aSignature1".as_slice(),
            &protected,
            &[0x40],
            &bytes(payload),
        ]
        .concat();
        envelope(&protected, payload, &es384(&self.issued.key, &signed))
    }

    pub(super) fn verify(&self) -> Result<crate::Verified<crate::Claims>, crate::Error> {
        self.verify_bytes(&self.sign())
    }

    /// Verifies under the draft's own root: as a development root if it is marked as one, else
    /// as if it were hardware's.
    pub(super) fn verify_bytes(
        &self,
        evidence: &[u8],
    ) -> Result<crate::Verified<crate::Claims>, crate::Error> {
        let roots = TrustRoots::none()
            .danger_accept_dev(self.root())
            .unwrap_or_else(|_| TrustRoots::test_hardware(self.root()));
        crate::verify(evidence, &roots, &self.policy, self.now)
    }
}

pub(super) fn envelope(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    [
        &[0x84],
        protected,
        &[0xa0],
        &bytes(payload),
        &bytes(signature),
    ]
    .concat()
}

fn es384(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.serialized_der())
    else {
        // A leaf on another curve: no signature gets that far.
        return vec![1; 96];
    };
    let signature = key
        .sign(&SystemRandom::new(), message)
        .expect("a signature");
    signature.as_ref().to_vec()
}

/// nitriding's user data for a TLS certificate and the digest that the application registered.
pub(super) fn user_data(tls_cert: &[u8], app: &[u8; 32]) -> Vec<u8> {
    let tls = seamline_core::sha256(&[tls_cert]);
    [b"\x12\x20".as_slice(), tls.as_slice(), b"\x12\x20", app].concat()
}

pub(super) fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub(super) fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

pub(super) fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

pub(super) fn array(items: &[&[u8]]) -> Vec<u8> {
    let mut out = head(4, items.len() as u64);
    for item in items {
        out.extend(bytes(item));
    }
    out
}

pub(super) fn pcr_map(pcrs: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = head(5, pcrs.len() as u64);
    for (index, pcr) in pcrs {
        out.extend(uint(*index));
        out.extend(bytes(pcr));
    }
    out
}

/// The shortest head of an item.
pub(super) fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    let wide = argument.to_be_bytes();
    match argument {
        0..24 => vec![major | wide[7]],
        24..0x100 => vec![major | 24, wide[7]],
        0x100..0x1_0000 => [&[major | 25], &wide[6..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26], &wide[4..]].concat(),
        _ => [&[major | 27], wide.as_slice()].concat(),
    }
}

/// A key whose modulus has `size` bytes. Nobody has its private half: making one is slow.
pub(super) fn spki_of_size(size: usize) -> Vec<u8> {
    let tlv = |tag: u8, value: &[u8]| {
        let length = u16::try_from(value.len()).expect("small").to_be_bytes();
        let head = match length {
            [0, low] if low >= 0x80 => vec![tag, 0x81, low],
            [high, low] => vec![tag, 0x82, high, low],
        };
        [head, value.to_vec()].concat()
    };
    let modulus = tlv(2, &[&[0], vec![0xc5; size].as_slice()].concat());
    let key = tlv(
        0x30,
        &[modulus.as_slice(), b"\x02\x03\x01\x00\x01"].concat(),
    );
    let bits = tlv(3, &[[0].as_slice(), &key].concat());
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    tlv(0x30, &[algorithm.as_slice(), &bits].concat())
}

//! A minimal attester of a development network: one root, one leaf, documents in Nitro's format.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};
use seamline_attest::dev;
use seamline_core::cbor::Writer;
use seamline_core::{B256, Timestamp, canonical};

const MODULE: &str = "dev-test-enc01";
const LEAF_SECS: u64 = 3 * 60 * 60;

pub(crate) struct Attester {
    pub(crate) root: Vec<u8>,
    leaf: Vec<u8>,
    leaf_key: EcdsaKeyPair,
    pub(crate) leaf_not_after: Timestamp,
}

/// What a document says.
pub(crate) struct Document {
    pub(crate) timestamp: Timestamp,
    pub(crate) nonce: Vec<u8>,
    pub(crate) pcrs: [[u8; 48]; 3],
    pub(crate) tls_cert_sha256: B256,
    pub(crate) app_sha256: B256,
}

impl Document {
    pub(crate) fn measurement(&self) -> B256 {
        let [pcr0, pcr1, pcr2] = &self.pcrs;
        canonical::pcr_hash(pcr0, pcr1, pcr2)
    }
}

impl Attester {
    /// Certificates that are valid around `now`.
    pub(crate) fn new(now: Timestamp) -> Self {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut root_params = params(now, 30 * 24 * 3600);
        root_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = root_params.self_signed(&root_key).unwrap().der().to_vec();
        let issuer = Issuer::new(root_params, root_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut leaf_params = params(now, LEAF_SECS);
        let name = &mut leaf_params.distinguished_name;
        name.push(DnType::OrganizationalUnitName, MODULE);
        leaf_params.is_ca = IsCa::ExplicitNoCa;
        leaf_params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf_params.use_authority_key_identifier_extension = true;
        let leaf = leaf_params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        Self {
            root,
            leaf,
            leaf_key: EcdsaKeyPair::from_pkcs8(algorithm, key.serialized_der()).unwrap(),
            leaf_not_after: Timestamp::from_secs(now.as_secs() - 60 + LEAF_SECS),
        }
    }

    pub(crate) fn sign(&self, document: &Document) -> Vec<u8> {
        let payload = self.payload(document);
        let protected = [0xa1, 0x01, 0x38, 0x22];
        let mut message = Writer::new();
        message.array(4).text("Signature1").bytes(&protected);
        message.bytes(&[]).bytes(&payload);
        let signature = self.leaf_key.sign(&SystemRandom::new(), message.as_bytes());
        let mut out = Writer::new();
        out.array(4).bytes(&protected).map(0).bytes(&payload);
        out.bytes(signature.unwrap().as_ref());
        out.finish()
    }

    fn payload(&self, document: &Document) -> Vec<u8> {
        let user_data =
            canonical::nitriding_user_data(document.tls_cert_sha256, document.app_sha256);
        let mut out = Writer::new();
        out.map(10).text("module_id").text(MODULE);
        out.text("digest").text("SHA384");
        out.text("timestamp").uint(document.timestamp.as_millis());
        out.text("pcrs").map(16);
        let [pcr0, pcr1, pcr2] = document.pcrs;
        let pcr4 = dev::pcr4(MODULE).unwrap();
        let known = [pcr0, pcr1, pcr2, [0; 48], pcr4];
        for index in 0..16 {
            let value = known.get(index).copied().unwrap_or([0; 48]);
            out.uint(u64::try_from(index).unwrap()).bytes(&value);
        }
        out.text("certificate").bytes(&self.leaf);
        out.text("cabundle").array(1).bytes(&self.root);
        out.text("public_key").null();
        out.text("user_data").bytes(&user_data);
        out.text("nonce").bytes(&document.nonce);
        out.text(dev::EVIDENCE_TYPE_KEY).text(dev::EVIDENCE_TYPE);
        out.finish()
    }
}

fn params(now: Timestamp, lifetime_s: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, dev::COMMON_NAME);
    params.distinguished_name = name;
    let value = dev::EXTENSION_VALUE.to_vec();
    let mut mark = CustomExtension::from_oid_content(&dev::EXTENSION_OID, value);
    mark.set_criticality(true);
    params.custom_extensions = vec![mark];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = std::time::Duration::from_secs(now.as_secs() - 60);
    params.not_before = epoch + start;
    params.not_after = epoch + start + std::time::Duration::from_secs(lifetime_s);
    params
}

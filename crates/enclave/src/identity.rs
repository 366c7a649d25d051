use std::fmt;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _};
use seamline_core::canonical::nitriding_user_data;
use seamline_core::{B256, NodeId, Timestamp, sha256};
use zeroize::Zeroizing;

use crate::error::Error;

/// The two keys of an enclave and what follows from them: the P-256 key of its self-signed TLS
/// certificate and the RSA-2048 key that signs answers and heartbeats.
///
/// In a real enclave both are made at boot and never leave its memory, so a restart is a new node.
/// [`EnclaveIdentity::to_bytes`] exists for the local network, whose nodes outlive its process.
pub struct EnclaveIdentity {
    tls_cert: Vec<u8>,
    tls_key: Zeroizing<Vec<u8>>,
    signing_key: RsaKeyPair,
    spki: Vec<u8>,
    node_id: NodeId,
}

impl EnclaveIdentity {
    /// Generates both keys and the certificate, valid from `now` for 356 days.
    ///
    /// The certificate is the one that nitriding makes: organization and DNS name `localhost`,
    /// server authentication, not a CA.
    ///
    /// # Cost
    ///
    /// RSA key generation: 50 to 500 milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::GenerateKey`] or [`Error::Certificate`], which the platform's randomness can cause.
    pub fn generate(now: Timestamp) -> Result<Self, Error> {
        let tls_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| Error::GenerateKey { key: "TLS key" })?;
        let tls_cert = certificate_params(now)
            .and_then(|params| params.self_signed(&tls_key))
            .map_err(Error::Certificate)?;
        let signing_key = RsaKeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| Error::GenerateKey { key: "signing key" })?;
        Self::assemble(
            tls_cert.der().to_vec(),
            Zeroizing::new(tls_key.serialize_der()),
            signing_key,
        )
    }

    /// Reads what [`EnclaveIdentity::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |reason| Error::Identity { reason };
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| unreadable("wrong magic"))?;
        let (tls_cert, rest) = take_field(rest)?;
        let (tls_key, rest) = take_field(rest)?;
        let (signing_key, rest) = take_field(rest)?;
        if !rest.is_empty() {
            return Err(unreadable("trailing bytes"));
        }
        // The key pair is parsed so that a broken TLS key is found here and not at the first
        // handshake.
        let key_der = rustls_pki_types::PrivatePkcs8KeyDer::from(tls_key);
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key_der, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| unreadable("broken TLS key"))?;
        let signing_key =
            RsaKeyPair::from_pkcs8(signing_key).map_err(|_| unreadable("broken signing key"))?;
        if signing_key.public_modulus_len() != 256 {
            return Err(unreadable("the signing key is not RSA-2048"));
        }
        Self::assemble(
            tls_cert.to_vec(),
            Zeroizing::new(tls_key.to_vec()),
            signing_key,
        )
    }

    /// Writes both keys and the certificate, unencrypted, for the local network's home.
    ///
    /// # Security
    ///
    /// Whoever reads these bytes can sign as this node. An enclave with hardware behind it has no
    /// reason to call this.
    ///
    /// # Errors
    ///
    /// [`Error::Identity`] if a key cannot be encoded.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let signing_key: Pkcs8V1Der<'_> =
            self.signing_key.as_der().map_err(|_| Error::Identity {
                reason: "the signing key cannot be encoded",
            })?;
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        for field in [&self.tls_cert, &*self.tls_key, signing_key.as_ref()] {
            let len = u32::try_from(field.len()).map_err(|_| Error::Identity {
                reason: "a field is too long",
            })?;
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Ok(bytes)
    }

    /// Signs a 32-byte message hash: RSASSA-PSS, SHA-256, 32 bytes of salt, as OpenGradient's
    /// registry and clients verify it.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`] if the platform's randomness fails.
    pub fn sign(&self, message_hash: &B256) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.signing_key.public_modulus_len()];
        // aws-lc-rs uses a salt as long as the digest, which is the 32 bytes that are asked for.
        self.signing_key
            .sign(
                &signature::RSA_PSS_SHA256,
                &SystemRandom::new(),
                message_hash.as_slice(),
                &mut bytes,
            )
            .map_err(|_| Error::Sign)?;
        Ok(bytes)
    }

    /// The id of the node that this key makes: OpenGradient's `tee_id`.
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The public signing key as SubjectPublicKeyInfo, DER.
    pub fn signing_key_spki(&self) -> &[u8] {
        &self.spki
    }

    /// The TLS certificate, DER.
    pub fn tls_certificate(&self) -> &[u8] {
        &self.tls_cert
    }

    /// The private key of the TLS certificate, PKCS #8 DER, for the listener.
    pub fn tls_private_key(&self) -> &[u8] {
        &self.tls_key
    }

    /// The 68 bytes that evidence carries as `user_data`: nitriding's two SHA-256 multihashes, of
    /// the TLS certificate and of the public signing key.
    pub fn user_data(&self) -> [u8; 68] {
        user_data(&self.tls_cert, &self.spki)
    }

    fn assemble(
        tls_cert: Vec<u8>,
        tls_key: Zeroizing<Vec<u8>>,
        signing_key: RsaKeyPair,
    ) -> Result<Self, Error> {
        let spki: PublicKeyX509Der<'_> =
            signing_key
                .public_key()
                .as_der()
                .map_err(|_| Error::Identity {
                    reason: "the signing key cannot be encoded",
                })?;
        let spki = spki.as_ref().to_vec();
        let node_id = NodeId::of_signing_key(&spki);
        Ok(Self {
            tls_cert,
            tls_key,
            signing_key,
            spki,
            node_id,
        })
    }
}

impl fmt::Debug for EnclaveIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnclaveIdentity")
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

pub(crate) fn user_data(tls_cert: &[u8], spki: &[u8]) -> [u8; 68] {
    nitriding_user_data(sha256(&[tls_cert]), sha256(&[spki]))
}

fn certificate_params(now: Timestamp) -> Result<rcgen::CertificateParams, rcgen::Error> {
    // nitriding's `certificateValidity`, which is not a year.
    const VALIDITY: Duration = Duration::from_secs(356 * 24 * 60 * 60);
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::OrganizationName, "localhost");
    params.distinguished_name = name;
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the first span is bounded so that the sum stays in the year 9999"
    )]
    {
        let secs = now.as_secs().min(LATEST_SECS);
        params.not_before = epoch + Duration::from_secs(secs);
        params.not_after = params.not_before + VALIDITY;
    }
    Ok(params)
}

fn take_field(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let cut_off = Error::Identity { reason: "cut off" };
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(cut_off);
    };
    usize::try_from(u32::from_be_bytes(*len))
        .ok()
        .and_then(|len| rest.split_at_checked(len))
        .ok_or(cut_off)
}

const MAGIC: &[u8] = b"seamline/enclave-identity/1\n";
// 9998-01-01: X.509 and the time crate end with the year 9999.
const LATEST_SECS: u64 = 253_339_228_800;

//! The signatures and digests that evidence needs; the one file that names the backend.

use aws_lc_rs::digest::{SHA384, digest};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey,
};
use seamline_core::B256;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

/// A point on P-384, uncompressed: `04`, x, y.
pub(crate) type Point = [u8; 97];

/// Computes SHA-384.
pub(crate) fn sha384(message: &[u8]) -> [u8; 48] {
    let mut out = [0; 48];
    for (to, from) in out.iter_mut().zip(digest(&SHA384, message).as_ref()) {
        *to = *from;
    }
    out
}

/// Whether `signature`, r and s in exactly 48 bytes each, is ES384 over `message`.
pub(crate) fn is_es384(key: &Point, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key)
        .verify(message, signature)
        .is_ok()
}

/// Whether `signature`, an ASN.1 sequence of r and s, is ecdsa-with-SHA384 over `message`.
pub(crate) fn is_ecdsa_sha384(key: &Point, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key)
        .verify(message, signature)
        .is_ok()
}

/// An RSA public key for RSA-PSS-SHA256.
#[derive(Clone, Debug)]
pub(crate) struct RsaKey(ParsedPublicKey);

impl RsaKey {
    /// Reads a SubjectPublicKeyInfo in canonical DER of RSA-2048..4096 with exponent 65537.
    pub(crate) fn parse(spki_der: &[u8]) -> Option<Self> {
        let (_, info) = SubjectPublicKeyInfo::from_der(spki_der).ok()?;
        let modulus = rsa_components(&info)?.modulus.strip_prefix(&[0])?;
        let in_range = (256..=512).contains(&modulus.len());
        // Whole bytes: the zero that was stripped was needed, and the size is a multiple of 8.
        let top_bit = modulus.first().is_some_and(|byte| byte & 0x80 != 0);
        // One key has one encoding, else it has several node ids. The encoding has the exponent.
        if !in_range || !top_bit || canonical_spki(modulus)? != spki_der {
            return None;
        }
        Self::for_pss(spki_der)
    }

    /// Reads any SubjectPublicKeyInfo of RSA-2048..8192: what the published precompile accepts.
    pub(crate) fn parse_any(spki_der: &[u8]) -> Option<Self> {
        let (rest, info) = SubjectPublicKeyInfo::from_der(spki_der).ok()?;
        rsa_components(&info).filter(|_| rest.is_empty())?;
        Self::for_pss(spki_der)
    }

    /// Whether `signature` is RSA-PSS-SHA256 with a salt as long as the digest over `message`.
    pub(crate) fn verify(&self, message: &B256, signature: &[u8]) -> bool {
        self.0.verify_sig(message.as_slice(), signature).is_ok()
    }

    fn for_pss(spki_der: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki_der)
            .ok()
            .map(Self)
    }
}

fn rsa_components<'a>(info: &'a SubjectPublicKeyInfo<'_>) -> Option<RSAPublicKey<'a>> {
    if info.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
        return None;
    }
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some(key),
        PublicKey::EC(_)
        | PublicKey::DSA(_)
        | PublicKey::GostR3410(_)
        | PublicKey::GostR3410_2012(_)
        | PublicKey::Unknown(_) => None,
    }
}

/// The DER encoding of the SubjectPublicKeyInfo with this modulus and exponent 65537 (RFC 8017
/// A.1, RFC 3279 2.3.1). The modulus has its top bit set.
fn canonical_spki(modulus: &[u8]) -> Option<Vec<u8>> {
    const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let modulus = tlv(0x02, &[&[0], modulus])?;
    let key = tlv(0x30, &[&modulus, b"\x02\x03\x01\x00\x01"])?;
    let bits = tlv(0x03, &[&[0], &key])?;
    tlv(0x30, &[RSA_ENCRYPTION, &bits])
}

/// One DER item of up to 65,535 bytes.
fn tlv(tag: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, ..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(value);
    Some(out)
}

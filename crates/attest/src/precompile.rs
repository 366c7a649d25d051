//! The verifier that OpenGradient's chain has at address `0x…0900`, as the embedded chain runs
//! it: pure functions over the call's arguments and the block's time that never fail, only say no.
//!
//! It accepts less than the published one, never more: [`verify`] also refuses other
//! algorithms in the header, duplicate or unknown keys, debug mode, registers of another length
//! than 48 bytes, `user_data` without multihash prefixes and signing keys other than
//! RSA-2048..4096. The evidence nonce is not checked, since a contract cannot challenge.

use seamline_core::{B256, Timestamp};
use x509_parser::pem::parse_x509_pem;

use crate::crypto;
use crate::error::Error;
use crate::policy::{Measurements, NonceRule, Policy};
use crate::roots::TrustRoots;
use crate::verify::verify;

/// Gas of `verifyAttestation`, as the published precompile charges.
pub const VERIFY_ATTESTATION_GAS: u64 = 500_000;
/// Gas of `verifyRSAPSS`, as the published precompile charges.
pub const VERIFY_RSA_PSS_GAS: u64 = 20_000;

// The published precompile's limits, in bytes.
const MAX_DOCUMENT: usize = 16 * 1024;
const MAX_ARGUMENT: usize = 8 * 1024;
const MAX_SIGNATURE: usize = 1024;

/// 2025-01-31T00:00:00Z: the published precompile calls older documents implausible.
const EARLIEST: Timestamp = Timestamp::from_millis(1_738_281_600_000);

/// Verifies a document and that it binds `tls_certificate` and `signing_public_key` (both DER), at
/// `block_time`: not older than 300 s, not more than 60 s ahead. Returns whether it does, and the
/// measurement; `(false, 0)` for any refusal.
///
/// `root_certificate` is PEM text. Empty means the AWS root; a PEM certificate that equals one of
/// `roots` means that root with its own rules; anything else is refused, so a caller cannot bring
/// a root of its own.
pub fn verify_attestation(
    document: &[u8],
    signing_public_key: &[u8],
    tls_certificate: &[u8],
    root_certificate: &[u8],
    roots: &TrustRoots,
    block_time: Timestamp,
) -> (bool, B256) {
    let arguments = [signing_public_key, tls_certificate, root_certificate];
    if document.len() > MAX_DOCUMENT || arguments.iter().any(|bytes| bytes.len() > MAX_ARGUMENT) {
        return (false, B256::ZERO);
    }
    let Some(root) = select_root(root_certificate, roots) else {
        return (false, B256::ZERO);
    };
    match attested(
        document,
        signing_public_key,
        tls_certificate,
        &root,
        block_time,
    ) {
        Ok(Some(pcr_hash)) => (true, pcr_hash),
        Ok(None) | Err(_) => (false, B256::ZERO),
    }
}

/// Verifies an RSA-PSS-SHA256 signature with a salt of exactly 32 bytes over SHA-256 of
/// `message_hash`, under a SubjectPublicKeyInfo of 2048 to 8192 bits in DER.
pub fn verify_rsa_pss(public_key_der: &[u8], message_hash: &B256, signature: &[u8]) -> bool {
    public_key_der.len() <= MAX_ARGUMENT
        && signature.len() <= MAX_SIGNATURE
        && crypto::RsaKey::parse_any(public_key_der)
            .is_some_and(|key| key.verify(message_hash, signature))
}

fn select_root(pem: &[u8], roots: &TrustRoots) -> Option<TrustRoots> {
    if pem.is_empty() {
        return Some(TrustRoots::aws());
    }
    let (rest, pem) = parse_x509_pem(pem).ok()?;
    if pem.label != "CERTIFICATE" || !rest.trim_ascii().is_empty() {
        return None;
    }
    TrustRoots::aws()
        .only(&pem.contents)
        .or_else(|| roots.only(&pem.contents))
}

fn attested(
    document: &[u8],
    signing_public_key: &[u8],
    tls_certificate: &[u8],
    root: &TrustRoots,
    block_time: Timestamp,
) -> Result<Option<B256>, Error> {
    let policy = Policy::live(NonceRule::Any, Measurements::AnyReported);
    let claims = verify(document, root, &policy, block_time)?;
    claims.bind_tls(tls_certificate)?;
    claims.bind_signing_key(signing_public_key)?;
    Ok((claims.timestamp >= EARLIEST).then_some(claims.pcr_hash))
}

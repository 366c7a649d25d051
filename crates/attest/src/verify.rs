use std::collections::BTreeMap;

use seamline_core::canonical::pcr_hash;
use seamline_core::{B256, SourceClass, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::chain::{self, Leaf, Marks};
use crate::claims::{Claims, KIND_NITRO, NitridingBinding, Pcr, Verified};
use crate::crypto;
use crate::dev;
use crate::error::{BindingFault, Check, Error, PcrFault, TimestampFault};
use crate::nitro::{self, Document, Pcrs};
use crate::policy::{At, BindingRule, Measurements, NonceRule, Policy};
use crate::roots::TrustRoots;

/// Verifies a Nitro document, hardware's or a development network's by the root that it chains
/// to. The steps and their order are those of `spec/evidence.md`; the first that fails decides.
///
/// `now` is the time of the evaluation: the clock for a call, the recorded time for a receipt.
///
/// # Cost
///
/// One ECDSA P-384 verification per certificate below the root and one for the document: five for
/// hardware, about 1.1 ms.
///
/// # Errors
///
/// [`Error::Malformed`] for the form, [`Error::Reject`] with the check that refused.
pub fn verify(
    evidence: &[u8],
    roots: &TrustRoots,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified<Claims>, Error> {
    // 0. A policy that cannot mean anything accepts nothing.
    policy.check()?;
    // 1-3. Size, envelope, payload.
    let document = Document::parse(evidence)?;
    // 4. The chain, from a pinned root, at the time that the policy asks for.
    let at = match policy.time {
        At::Live => now,
        At::Historical => document.timestamp(),
    };
    let leaf = chain::verify(&document, roots, at)?;
    // 5. The signature, over the bytes received.
    if !crypto::is_es384(&leaf.key, &document.signed_bytes(), document.signature()) {
        return Err(Check::Signature.into());
    }
    // 6. The kind: software evidence is marked, hardware evidence is not; both are enclaves.
    let kind = check_kind(&document, &leaf)?;
    // 7. The document's time.
    check_time(document.timestamp(), &leaf, policy, now)?;
    // 8. Debug mode, before any allow list is read.
    let [Some(pcr0), Some(pcr1), Some(pcr2), ..] = *document.pcrs() else {
        return Err(Check::Pcr(PcrFault::Missing).into());
    };
    if [pcr0, pcr1, pcr2].contains(&&[0; 48]) {
        return Err(Check::Debug.into());
    }
    // 9. PCR4 against the module id.
    check_instance(&document)?;
    // 10. The nonce.
    check_nonce(&policy.nonce, document.nonce())?;
    // 11. The measurement: all three registers, never a subset.
    let pcr_hash = pcr_hash(pcr0, pcr1, pcr2);
    check_measurement(policy, &pcr_hash)?;
    // 12. The keys that the enclave binds.
    let binding = match policy.binding {
        BindingRule::Nitriding => Some(nitriding(document.user_data())?),
        BindingRule::Any => None,
    };
    Ok(Verified::new(Claims {
        source: leaf.source,
        kind,
        at: policy.time,
        module_id: document.module_id().to_owned(),
        timestamp: document.timestamp(),
        pcrs: owned(document.pcrs()),
        pcr_hash,
        nonce: document.nonce().map(<[u8]>::to_vec),
        user_data: document.user_data().map(<[u8]>::to_vec),
        public_key: document.public_key().map(<[u8]>::to_vec),
        leaf_not_after: leaf.not_after,
        chain_not_after: leaf.chain_not_after,
        binding,
        document_id: document.id(),
    }))
}

fn check_kind(document: &Document<'_>, leaf: &Leaf) -> Result<&'static str, Error> {
    let dev_id = document.module_id().starts_with(dev::MODULE_PREFIX);
    let kind = if leaf.source == SourceClass::Dev {
        let dev_type = document.evidence_type() == Some(dev::EVIDENCE_TYPE);
        if leaf.marks != Marks::Complete || !dev_type || !dev_id {
            return Err(Check::DevUnmarked.into());
        }
        dev::KIND
    } else {
        if leaf.marks != Marks::None || document.evidence_type().is_some() || dev_id {
            return Err(Check::DevEvidence.into());
        }
        KIND_NITRO
    };
    if nitro::instance_id(document.module_id()).is_none() {
        return Err(Check::WrongType.into());
    }
    Ok(kind)
}

fn check_time(
    timestamp: Timestamp,
    leaf: &Leaf,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Error> {
    if timestamp < leaf.not_before || timestamp.as_secs() > leaf.not_after.as_secs() {
        return Err(Check::Timestamp(TimestampFault::OutsideLeaf).into());
    }
    if timestamp.saturating_since(now) > policy.max_future_skew {
        return Err(Check::Timestamp(TimestampFault::Future).into());
    }
    match policy.time {
        At::Live if now.saturating_since(timestamp) > policy.max_age => Err(Check::Stale.into()),
        At::Live | At::Historical => Ok(()),
    }
}

fn check_instance(document: &Document<'_>) -> Result<(), Error> {
    let [_, _, _, _, pcr4, ..] = document.pcrs();
    match (pcr4, nitro::pcr4(document.module_id())) {
        (Some(pcr4), Some(expected)) if **pcr4 != expected => Err(Check::Inconsistent.into()),
        _ => Ok(()),
    }
}

fn check_nonce(rule: &NonceRule, nonce: Option<&[u8]>) -> Result<(), Error> {
    match rule {
        NonceRule::Any => Ok(()),
        NonceRule::Expect(expected) => {
            let same = nonce.is_some_and(|nonce| nonce.ct_eq(expected).into());
            if same {
                Ok(())
            } else {
                Err(Check::Nonce.into())
            }
        }
    }
}

fn check_measurement(policy: &Policy, pcr_hash: &B256) -> Result<(), Error> {
    if policy.revoked.contains(pcr_hash) {
        return Err(Check::Revoked.into());
    }
    match &policy.measurements {
        Measurements::AnyReported => Ok(()),
        Measurements::Allow(allowed) if allowed.contains(pcr_hash) => Ok(()),
        Measurements::Allow(_) => Err(Check::UnknownMeasurement.into()),
    }
}

/// Reads nitriding's 68 bytes: `1220`, SHA-256 of the TLS certificate, `1220`, SHA-256 that the
/// application registered (zero until it does).
fn nitriding(user_data: Option<&[u8]>) -> Result<NitridingBinding, Error> {
    let fault = |fault| Error::Reject(Check::Binding(fault));
    let user_data = user_data.ok_or_else(|| fault(BindingFault::Absent))?;
    let data: &[u8; 68] = user_data
        .try_into()
        .map_err(|_| fault(BindingFault::Length))?;
    let (tls, app) = data.split_at(34);
    let digest = |half: &[u8]| {
        let digest = half.strip_prefix(b"\x12\x20").map(B256::try_from);
        digest
            .and_then(Result::ok)
            .ok_or_else(|| fault(BindingFault::Prefix))
    };
    let binding = NitridingBinding {
        tls_cert_sha256: digest(tls)?,
        app_sha256: digest(app)?,
    };
    if binding.app_sha256.is_zero() {
        return Err(fault(BindingFault::AppUnset));
    }
    Ok(binding)
}

fn owned(pcrs: &Pcrs<'_>) -> BTreeMap<u8, Pcr> {
    let indexed = (0_u8..).zip(pcrs);
    let present = indexed.filter_map(|(index, pcr)| pcr.map(|pcr| (index, *pcr)));
    present.collect()
}

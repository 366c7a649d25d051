//! One mutation per check: each document is valid except for the step that is named.

use core::time::Duration;

use rcgen::{BasicConstraints, CustomExtension, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use seamline_core::{SourceClass, Timestamp, keccak256};
use seamline_testkit::NOW;

use super::builder::{
    Draft, LEAF, MODULE_ID, NONCE, Pki, REGIONAL, ROOT, TLS_CERT, ZONAL, array, bytes,
    dev_extension, text, uint, user_data,
};
use crate::error::{BindingFault, ChainFault, Check, Error, PcrFault, TimestampFault};
use crate::{At, BindingRule, Measurements, NonceRule, TrustRoots, dev, verify};

#[track_caller]
fn refused(draft: &Draft, check: Check) {
    assert_eq!(draft.verify().map(|_| ()), Err(Error::Reject(check)));
}

/// A document over a chain that differs from hardware's in one thing.
fn over(change: impl FnOnce(&mut Pki)) -> Draft {
    let mut pki = Pki::hardware();
    change(&mut pki);
    Draft::of(&pki, MODULE_ID)
}

/// A document that differs from hardware's in one thing.
fn with(change: impl FnOnce(&mut Draft)) -> Draft {
    let mut draft = Draft::hardware();
    change(&mut draft);
    draft
}

#[test]
fn an_unchanged_document_is_accepted() {
    let draft = Draft::hardware();
    let claims = draft.verify().expect("claims");
    assert_eq!(claims.source, SourceClass::Hardware);
    assert_eq!(claims.kind, crate::KIND_NITRO);
    assert_eq!(claims.at, At::Live);
    assert_eq!(claims.module_id, MODULE_ID);
    assert_eq!(claims.timestamp.as_millis(), NOW.as_millis() - 500);
    assert_eq!(claims.nonce.as_deref(), Some(NONCE.as_slice()));
    assert_eq!(claims.pcrs.len(), 16);
    assert_eq!(claims.pcr_hash, draft.pcr_hash());
    assert_eq!(claims.leaf_not_after.as_secs(), NOW.as_secs() + 3 * 3600);
    assert_eq!(claims.chain_not_after, claims.leaf_not_after);
    let binding = claims.binding.expect("nitriding");
    assert_eq!(binding.tls_cert_sha256, seamline_core::sha256(&[TLS_CERT]));
    let definite = with(|draft| draft.indefinite = false);
    assert_eq!(definite.verify().map(|_| ()), Ok(()));
}

#[test]
fn step_0_policies_that_mean_nothing() {
    let empty_nonce = with(|draft| draft.policy.nonce = NonceRule::Expect(vec![]));
    refused(&empty_nonce, Check::PolicyInvalid);
    let debug_allowed = with(|draft| {
        draft.policy.measurements = Measurements::Allow(vec![keccak256([0; 144])]);
    });
    refused(&debug_allowed, Check::PolicyInvalid);
}

#[test]
fn step_4_1_the_root_is_pinned() {
    let draft = Draft::hardware();
    let untrusted = Err(Error::Reject(Check::UntrustedRoot));
    for roots in [TrustRoots::none(), TrustRoots::aws()] {
        let outcome = verify(&draft.sign(), &roots, &draft.policy, draft.now);
        assert_eq!(outcome.map(|_| ()), untrusted);
    }
}

#[test]
fn step_4_2_other_algorithms_and_encodings() {
    let p256_leaf = over(|pki| pki.certs[LEAF].algorithm = &PKCS_ECDSA_P256_SHA256);
    refused(&p256_leaf, Check::Algorithm);
    let p256_authority = over(|pki| pki.certs[ZONAL].algorithm = &PKCS_ECDSA_P256_SHA256);
    refused(&p256_authority, Check::Algorithm);
    // ecdsa-with-SHA512 in place of SHA384, in the signed part and beside the signature.
    for place in [0, 1] {
        let sha512 = with(|draft| {
            let mut leaf = draft.issued.certs[LEAF].clone();
            let oid = b"\x2a\x86\x48\xce\x3d\x04\x03\x03";
            let mut found = leaf.windows(oid.len()).enumerate();
            let at = found
                .by_ref()
                .filter(|(_, window)| window == oid)
                .nth(place);
            let (at, _) = at.expect("two algorithm identifiers");
            leaf[at + oid.len() - 1] = 4;
            draft.set("certificate", bytes(&leaf));
        });
        refused(&sha512, Check::Algorithm);
    }
    let trailing = with(|draft| {
        let leaf = [draft.issued.certs[LEAF].as_slice(), &[0]].concat();
        draft.set("certificate", bytes(&leaf));
    });
    refused(&trailing, Check::Chain(ChainFault::Encoding));
    let repeated = over(|pki| {
        let extension = CustomExtension::from_oid_content(&[2, 999, 1], vec![5, 0]);
        pki.certs[ZONAL].extensions = vec![extension.clone(), extension];
    });
    refused(&repeated, Check::Chain(ChainFault::Encoding));
    let garbage = with(|draft| draft.set("certificate", bytes(b"not a certificate")));
    refused(&garbage, Check::Chain(ChainFault::Encoding));
}

#[test]
fn step_4_3_no_second_root() {
    // An attacker's own root behind the real one, which a store-based verifier would trust.
    let attacker = Draft::hardware();
    let mut draft = Draft::hardware();
    let real = draft.root().to_vec();
    let mut bundle = vec![real.as_slice()];
    bundle.extend(attacker.issued.certs[..LEAF].iter().map(Vec::as_slice));
    draft.set("cabundle", array(&bundle));
    draft.set("certificate", bytes(&attacker.issued.certs[LEAF]));
    draft.issued.key = attacker.issued.key;
    refused(&draft, Check::UntrustedRoot);
}

#[test]
fn step_4_4_order_authority_and_usage() {
    let permuted = with(|draft| {
        let certs = draft.issued.certs.clone();
        let order = [&certs[0], &certs[2], &certs[1], &certs[3]].map(Vec::as_slice);
        draft.set("cabundle", array(&order));
    });
    refused(&permuted, Check::Chain(ChainFault::Order));
    let shortened = with(|draft| draft.set_bundle(3));
    refused(&shortened, Check::Chain(ChainFault::Order));
    let root_only = with(|draft| draft.set_bundle(1));
    refused(&root_only, Check::Chain(ChainFault::Order));

    let no_authority = over(|pki| pki.certs[ZONAL].authority = None);
    refused(&no_authority, Check::Chain(ChainFault::NotAnAuthority));
    let too_long = over(|pki| {
        pki.certs[REGIONAL].authority = Some(BasicConstraints::Constrained(1));
    });
    refused(&too_long, Check::Chain(ChainFault::PathLength));
    let cannot_certify = over(|pki| {
        pki.certs[ZONAL].usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    refused(&cannot_certify, Check::Chain(ChainFault::KeyUsage));
    let no_usage = over(|pki| pki.certs[ZONAL].usages = vec![]);
    refused(&no_usage, Check::Chain(ChainFault::KeyUsage));

    let leaf_authority = over(|pki| {
        pki.certs[LEAF].authority = Some(BasicConstraints::Constrained(0));
    });
    refused(&leaf_authority, Check::Chain(ChainFault::LeafIsAuthority));
    let leaf_cannot_sign = over(|pki| {
        pki.certs[LEAF].usages = vec![KeyUsagePurpose::KeyAgreement];
    });
    refused(&leaf_cannot_sign, Check::Chain(ChainFault::KeyUsage));
    let leaf_certifies = over(|pki| {
        let both = [
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        pki.certs[LEAF].usages = both.to_vec();
    });
    refused(&leaf_certifies, Check::Chain(ChainFault::KeyUsage));
}

#[test]
fn step_4_4_unknown_critical_extensions() {
    let unknown = |critical| {
        over(|pki| {
            let mut extension = CustomExtension::from_oid_content(&[2, 999, 1], vec![5, 0]);
            extension.set_criticality(critical);
            pki.certs[ZONAL].extensions = vec![extension];
        })
    };
    refused(&unknown(true), Check::Chain(ChainFault::CriticalExtension));
    assert_eq!(unknown(false).verify().map(|_| ()), Ok(()));
}

#[test]
fn step_4_5_signatures_of_certificates() {
    for place in [REGIONAL, ZONAL, LEAF] {
        let forged = over(|pki| pki.certs[place].forged = true);
        refused(&forged, Check::Chain(ChainFault::Signature));
    }
}

#[test]
fn step_4_6_validity() {
    for place in [ROOT, REGIONAL, LEAF] {
        let expired = over(|pki| pki.certs[place].not_after = NOW.as_secs() - 1);
        refused(&expired, Check::Expired);
        let early = over(|pki| pki.certs[place].not_before = NOW.as_secs() + 1);
        refused(&early, Check::NotYetValid);
    }
    // Both ends are inclusive.
    let last_second = over(|pki| pki.certs[LEAF].not_after = NOW.as_secs());
    assert_eq!(last_second.verify().map(|_| ()), Ok(()));
}

#[test]
fn step_5_the_signature_of_the_document() {
    let draft = Draft::hardware();
    let mut evidence = draft.sign();
    // The signature is the last 96 bytes.
    let last = evidence.len() - 1;
    evidence[last] ^= 1;
    let refused = draft.verify_bytes(&evidence).map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::Signature)));

    // The same payload in the other form of map is another payload.
    let mut definite = Draft::hardware();
    let signature = definite.sign();
    let signature = &signature[signature.len() - 96..];
    definite.indefinite = false;
    let reencoded =
        super::builder::envelope(&bytes(&definite.protected), &definite.payload(), signature);
    let refused = definite.verify_bytes(&reencoded).map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::Signature)));
}

#[test]
fn step_6_software_evidence_under_a_hardware_root() {
    let typed = with(|draft| draft.set(dev::EVIDENCE_TYPE_KEY, text(dev::EVIDENCE_TYPE)));
    refused(&typed, Check::DevEvidence);
    let named = Draft::of(&Pki::hardware(), "dev-localhost-enc01");
    refused(&named, Check::DevEvidence);
    let leaf_extension = over(|pki| {
        pki.certs[LEAF].extensions = vec![dev_extension(true, dev::EXTENSION_VALUE)];
    });
    refused(&leaf_extension, Check::DevEvidence);
    let other_extension = over(|pki| {
        pki.certs[ZONAL].extensions = vec![dev_extension(false, b"")];
    });
    refused(&other_extension, Check::DevEvidence);
    let leaf_name = over(|pki| dev::COMMON_NAME.clone_into(&mut pki.certs[LEAF].common_name));
    refused(&leaf_name, Check::DevEvidence);
}

#[test]
fn step_6_other_types() {
    let no_enclave = with(|draft| draft.set("module_id", text("i-0340e0cb833504eb6")));
    refused(&no_enclave, Check::WrongType);
    let tpm = with(|draft| {
        let pcrs = super::builder::pcr_map(&draft.pcrs);
        draft.pairs.push(("nitrotpm_pcrs".to_owned(), pcrs));
    });
    refused(&tpm, Check::WrongType);
}

#[test]
fn step_7_the_time_of_the_document() {
    let zero = with(|draft| draft.set("timestamp", uint(0)));
    refused(&zero, Check::Timestamp(TimestampFault::Zero));
    // The leaf is valid from three seconds before NOW.
    let before_leaf = with(|draft| draft.set("timestamp", uint(NOW.as_millis() - 3001)));
    refused(&before_leaf, Check::Timestamp(TimestampFault::OutsideLeaf));
    let at_leaf = with(|draft| draft.set("timestamp", uint(NOW.as_millis() - 3000)));
    assert_eq!(at_leaf.verify().map(|_| ()), Ok(()));
    let after_leaf = with(|draft| {
        draft.set("timestamp", uint(NOW.as_millis() + 3 * 3_600_000 + 1000));
    });
    refused(&after_leaf, Check::Timestamp(TimestampFault::OutsideLeaf));
    let future = |ahead| with(|draft| draft.set("timestamp", uint(NOW.as_millis() + ahead)));
    refused(&future(60_001), Check::Timestamp(TimestampFault::Future));
    assert_eq!(future(60_000).verify().map(|_| ()), Ok(()));

    let made = NOW.as_millis() - 500;
    let stale = with(|draft| draft.now = Timestamp::from_millis(made + 300_001));
    refused(&stale, Check::Stale);
    let fresh = with(|draft| draft.now = Timestamp::from_millis(made + 300_000));
    assert_eq!(fresh.verify().map(|_| ()), Ok(()));
    let strict = with(|draft| draft.policy.max_age = Duration::from_millis(499));
    refused(&strict, Check::Stale);
}

#[test]
fn step_7_historical_claims_admit_no_connection() {
    let years_later = Timestamp::from_secs(NOW.as_secs() + 5 * 365 * 86_400);
    let mut draft = with(|draft| draft.now = years_later);
    refused(&draft, Check::Expired);
    draft.policy.time = At::Historical;
    let claims = draft.verify().expect("claims of the past");
    assert_eq!(claims.at, At::Historical);
    let refused = claims.bind_tls(TLS_CERT).map(|_| ());
    assert_eq!(refused, Err(Error::Reject(Check::Historical)));

    // The past must be past.
    draft.now = Timestamp::from_millis(NOW.as_millis() - 500 - 60_001);
    let future = Check::Timestamp(TimestampFault::Future);
    assert_eq!(draft.verify().map(|_| ()), Err(Error::Reject(future)));
}

#[test]
fn step_8_debug_mode() {
    for index in 0..3 {
        let mut draft = with(|draft| draft.pcrs[index].1 = vec![0; 48]);
        refused(&draft, Check::Debug);
        // Debug mode is refused before the allow list is read.
        draft.policy.measurements = Measurements::Allow(vec![draft.pcr_hash()]);
        refused(&draft, Check::Debug);
        draft.policy.measurements = Measurements::AnyReported;
        refused(&draft, Check::Debug);
    }
}

#[test]
fn step_9_the_instance() {
    let other_instance = with(|draft| draft.pcrs[4].1[0] ^= 1);
    refused(&other_instance, Check::Inconsistent);
    let unset = with(|draft| draft.pcrs[4].1 = vec![0; 48]);
    refused(&unset, Check::Inconsistent);
    let absent = with(|draft| {
        draft.pcrs.remove(4);
    });
    assert_eq!(absent.verify().map(|_| ()), Ok(()));
}

#[test]
fn step_10_the_nonce() {
    let other = with(|draft| draft.set("nonce", bytes(&[0x5b; 20])));
    refused(&other, Check::Nonce);
    let prefix = with(|draft| draft.set("nonce", bytes(&NONCE[..19])));
    refused(&prefix, Check::Nonce);
    let longer = with(|draft| draft.set("nonce", bytes(&[0x5a; 21])));
    refused(&longer, Check::Nonce);
    let empty = with(|draft| draft.set("nonce", bytes(b"")));
    refused(&empty, Check::Nonce);
    let mut null = with(|draft| draft.set("nonce", vec![0xf6]));
    refused(&null, Check::Nonce);
    let absent = with(|draft| draft.remove("nonce"));
    refused(&absent, Check::Nonce);
    null.policy.nonce = NonceRule::Any;
    assert_eq!(null.verify().expect("claims").nonce, None);
}

#[test]
fn step_11_the_measurement() {
    let unknown = with(|draft| draft.pcrs[2].1[0] ^= 1);
    refused(&unknown, Check::UnknownMeasurement);
    let none_allowed = with(|draft| draft.policy.measurements = Measurements::Allow(vec![]));
    refused(&none_allowed, Check::UnknownMeasurement);
    let revoked = with(|draft| draft.policy.revoked = vec![draft.pcr_hash()]);
    refused(&revoked, Check::Revoked);
}

#[test]
fn step_12_user_data() {
    let bound = user_data(TLS_CERT, &[1; 32]);
    let of = |data: Vec<u8>| with(|draft| draft.set("user_data", bytes(&data)));
    let changed = |at: usize| {
        let mut data = bound.clone();
        data[at] ^= 1;
        of(data)
    };
    let binding = Check::Binding;
    refused(&of(bound[..67].to_vec()), binding(BindingFault::Length));
    refused(
        &of([bound.as_slice(), &[0]].concat()),
        binding(BindingFault::Length),
    );
    refused(&of(vec![]), binding(BindingFault::Length));
    for prefix in [0, 1, 34, 35] {
        refused(&changed(prefix), binding(BindingFault::Prefix));
    }
    refused(
        &of(user_data(TLS_CERT, &[0; 32])),
        binding(BindingFault::AppUnset),
    );
    let mut null = with(|draft| draft.set("user_data", vec![0xf6]));
    refused(&null, binding(BindingFault::Absent));
    null.policy.binding = BindingRule::Any;
    let unbound = null.verify().expect("claims");
    let absent = Err(Error::Reject(binding(BindingFault::Absent)));
    assert_eq!(unbound.bind_tls(TLS_CERT).map(|_| ()), absent);
    assert_eq!(unbound.bind_signing_key(b"").map(|_| ()), absent);
}

#[test]
fn registers_of_another_shape() {
    for index in 0..3 {
        let missing = with(|draft| {
            draft.pcrs.remove(index);
        });
        refused(&missing, Check::Pcr(PcrFault::Missing));
    }
    let none = with(|draft| draft.pcrs.clear());
    refused(&none, Check::Pcr(PcrFault::Missing));
    for length in [0, 32, 47, 49, 64] {
        let odd = with(|draft| draft.pcrs[7].1 = vec![1; length]);
        refused(&odd, Check::Pcr(PcrFault::Length));
    }
    for index in [32, 40, u64::MAX] {
        let far = with(|draft| draft.pcrs.push((index, vec![1; 48])));
        refused(&far, Check::Pcr(PcrFault::Index));
    }
}

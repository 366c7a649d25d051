use core::time::Duration;

use seamline_attest::nitro::Document;
use seamline_attest::{
    At, BindingFault, BindingRule, Check, Claims, Error, Measurements, NonceRule, Policy,
    TimestampFault, TrustRoots, Verified, verify,
};
use seamline_core::{B256, SourceClass, Timestamp, keccak256};

use crate::{
    DEBUG_2022, DEBUG_2023, DSTACK, DSTACK_TRAILING, LATER, NITRIDING, PROD_2022, evidence,
};

/// 2026-02-12T18:00:00Z, four minutes after the nitriding document was made.
const THEN: Timestamp = Timestamp::from_secs(1_770_919_200);
const NONCE: &str = "0123456789abcdef0123456789abcdef01234567";

fn any() -> Policy {
    let mut policy = Policy::live(NonceRule::Any, Measurements::AnyReported);
    policy.binding = BindingRule::Any;
    policy
}

fn made(evidence: &[u8]) -> Timestamp {
    Document::parse(evidence).expect("a document").timestamp()
}

fn check(evidence: &[u8], policy: &Policy, now: Timestamp) -> Result<Verified<Claims>, Error> {
    verify(evidence, &TrustRoots::aws(), policy, now)
}

#[track_caller]
fn refused(outcome: Result<Verified<Claims>, Error>, check: Check) {
    assert_eq!(outcome.map(|_| ()), Err(Error::Reject(check)));
}

/// The policy that the nitriding document satisfies.
fn nitriding(evidence: &[u8]) -> Policy {
    let document = Document::parse(evidence).expect("a document");
    let [Some(pcr0), Some(pcr1), Some(pcr2), ..] = *document.pcrs() else {
        panic!("three registers");
    };
    let measurement = keccak256([pcr0.as_slice(), pcr1, pcr2].concat());
    let nonce = hex::decode(NONCE).expect("hex");
    Policy::live(
        NonceRule::Expect(nonce),
        Measurements::Allow(vec![measurement]),
    )
}

#[test]
fn production_documents_are_accepted_at_their_time_and_expired_now() {
    for name in [NITRIDING, DSTACK, PROD_2022] {
        let Some(evidence) = evidence(name) else {
            return;
        };
        let claims = check(&evidence, &any(), made(&evidence)).expect(name);
        assert_eq!(claims.source, SourceClass::Hardware);
        assert_eq!(claims.kind, "aws-nitro");
        assert!(claims.chain_not_after <= claims.leaf_not_after);
        refused(check(&evidence, &any(), LATER), Check::Expired);

        let mut historical = any();
        historical.time = At::Historical;
        let claims = check(&evidence, &historical, LATER).expect(name);
        assert_eq!(claims.at, At::Historical);
        let future = Check::Timestamp(TimestampFault::Future);
        let before = Timestamp::from_millis(made(&evidence).as_millis() - 60_001);
        refused(check(&evidence, &historical, before), future);
    }
}

#[test]
fn debug_documents_are_refused_whatever_is_allowed() {
    for name in [DEBUG_2022, DEBUG_2023] {
        let Some(evidence) = evidence(name) else {
            return;
        };
        refused(check(&evidence, &any(), made(&evidence)), Check::Debug);
        refused(check(&evidence, &any(), LATER), Check::Expired);
        let mut zeros = any();
        zeros.measurements = Measurements::Allow(vec![keccak256([0; 144])]);
        refused(
            check(&evidence, &zeros, made(&evidence)),
            Check::PolicyInvalid,
        );
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let Some(evidence) = evidence(DSTACK_TRAILING) else {
        return;
    };
    let outcome = check(&evidence, &any(), THEN).map(|_| ());
    assert_eq!(outcome.map_err(|err| err.code()), Err("TRAILING"));
}

#[test]
fn the_nitriding_document_satisfies_its_policy_and_no_other() {
    let Some(evidence) = evidence(NITRIDING) else {
        return;
    };
    let policy = nitriding(&evidence);
    let claims = check(&evidence, &policy, THEN).expect("claims");
    let binding = claims.binding.expect("nitriding");
    assert_eq!(
        hex::encode(binding.tls_cert_sha256),
        "b735546536e78ee12beea2d384fcda35f7491446c6858f79fa7ad5e4ae89b49f"
    );
    assert_eq!(
        hex::encode(binding.app_sha256),
        "abf9d7453422eb419fc1391604b070a81bd6a61f4d9ae0ee71ab24d77670c154"
    );
    assert_eq!(claims.public_key.as_deref(), Some(b"dummy".as_slice()));
    let other = claims.bind_tls(b"another certificate").map(|_| ());
    let fault = Check::Binding(BindingFault::TlsCertificate);
    assert_eq!(other, Err(Error::Reject(fault)));

    let hours_later = THEN.saturating_add(Duration::from_secs(3 * 3600));
    refused(check(&evidence, &policy, hours_later), Check::Expired);
    let mut impatient = policy.clone();
    impatient.max_age = Duration::from_secs(60);
    refused(check(&evidence, &impatient, THEN), Check::Stale);
    let mut other_code = policy.clone();
    other_code.measurements = Measurements::Allow(vec![B256::repeat_byte(1)]);
    refused(
        check(&evidence, &other_code, THEN),
        Check::UnknownMeasurement,
    );
    let mut revoked = policy.clone();
    revoked.revoked = vec![claims.pcr_hash];
    refused(check(&evidence, &revoked, THEN), Check::Revoked);
    let mut other_nonce = policy;
    other_nonce.nonce = NonceRule::Expect(vec![0; 20]);
    refused(check(&evidence, &other_nonce, THEN), Check::Nonce);
}

#[test]
fn a_challenge_that_was_not_answered_is_refused() {
    // This document carries no nonce, and 64 bytes of user data that are no binding.
    let Some(evidence) = evidence(DSTACK) else {
        return;
    };
    let mut challenged = any();
    challenged.nonce = NonceRule::Expect(vec![0; 20]);
    refused(check(&evidence, &challenged, made(&evidence)), Check::Nonce);
    let mut bound = any();
    bound.binding = BindingRule::Nitriding;
    let length = Check::Binding(BindingFault::Length);
    refused(check(&evidence, &bound, made(&evidence)), length);
}

#[test]
fn the_hardware_chain_does_not_reach_another_root() {
    let Some(evidence) = evidence(NITRIDING) else {
        return;
    };
    let outcome = verify(&evidence, &TrustRoots::none(), &any(), THEN);
    refused(outcome, Check::UntrustedRoot);
}

#[test]
fn a_flipped_bit_in_any_window_is_refused() {
    for name in [NITRIDING, DSTACK, PROD_2022] {
        let Some(mut evidence) = evidence(name) else {
            return;
        };
        let now = made(&evidence);
        for at in (0..evidence.len()).step_by(8) {
            let bit = 1 << (at / 8 % 8);
            evidence[at] ^= bit;
            let outcome = check(&evidence, &any(), now).map(|_| ());
            assert!(
                matches!(outcome, Err(Error::Malformed { .. } | Error::Reject(_))),
                "{name} {at}"
            );
            evidence[at] ^= bit;
        }
    }
}

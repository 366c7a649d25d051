//! Evidence and signatures that come late or are old.

use super::*;
use crate::SourceClass;

#[test]
fn evidence_stale() {
    let cases = [
        (500, NONE),
        (501, NOTICE),
        (900, NOTICE),
        (901, WARN),
        (1_000, WARN),
        (1_001, ERROR),
    ];
    boundaries(Code::AttStale, &cases, |age| {
        vec![(0, fetched(false, age, 1_000))]
    });
}

#[test]
fn evidence_cached() {
    let cases = [(0, NOTICE), (3_600_000, NOTICE), (3_600_001, WARN)];
    boundaries(Code::AttCached, &cases, |age| {
        vec![(0, fetched(false, age, u64::MAX))]
    });
    assert_eq!(found(&[(0, fetched(true, 9, 10))], Code::AttCached), None);
}

#[test]
fn certificate_near_its_end() {
    const MINUTE: u64 = 60_000;
    let cases = [
        (30 * MINUTE, NONE),
        (30 * MINUTE - 1, NOTICE),
        (5 * MINUTE, NOTICE),
        (5 * MINUTE - 1, WARN),
        (0, WARN),
    ];
    let verdict = |leaf_not_after_ms| {
        let verdict = Attested {
            node: node(1),
            source: SourceClass::Dev,
            kind: "software-dev".into(),
            measurement: B256::ZERO,
            tls_cert_sha256: B256::ZERO,
            signing_key_sha256: B256::ZERO,
            leaf_not_after_ms,
            doc_timestamp_ms: 0,
        };
        Event::from(verdict)
    };
    // Two seconds into the call.
    let now = NOW.as_millis() + 2_000;
    boundaries(Code::CertNear, &cases, |left| {
        vec![(0, opened(1)), (2_000_000, verdict(now + left))]
    });
    let expired = [(0, opened(1)), (2_000_000, verdict(now - 1))];
    assert_eq!(
        found(&expired, Code::CertNear),
        Some((Severity::Error, -1, 0))
    );
}

#[test]
fn signature_late() {
    let checked = |ok, after_use_bytes| {
        let checked = SignatureChecked {
            node: node(1),
            input_hash: B256::ZERO,
            output_hash: B256::ZERO,
            timestamp_s: 0,
            signature: Vec::new(),
            signing_key: B256::ZERO,
            ok,
            after_use_bytes,
        };
        Event::from(checked)
    };
    let cases = [
        ((true, 0), NONE),
        ((false, 0), NONE),
        ((true, 1), NOTICE),
        ((true, 1_024), NOTICE),
        ((true, 1_025), WARN),
        ((false, 1), ERROR),
    ];
    boundaries(Code::SigLate, &cases, |(ok, bytes)| {
        vec![(0, checked(ok, bytes))]
    });
}

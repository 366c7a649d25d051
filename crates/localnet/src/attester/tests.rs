use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seamline_attest::{
    Check, Error as Refusal, Measurements, NonceRule, Policy, TrustRoots, verify,
};
use seamline_core::{SourceClass, Timestamp};

use super::*;
use crate::authority::NoHardware;

const START_MS: u64 = 1_795_000_000_123;
const NONCE: [u8; 20] = [7; 20];

struct Bench {
    authority: Arc<DevAuthority>,
    attester: DevAttester,
    now: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        let now = Arc::new(AtomicU64::new(START_MS));
        let no_hardware = NoHardware::probe(|_| false).unwrap();
        let start = Timestamp::from_millis(START_MS);
        let authority = Arc::new(DevAuthority::generate(&no_hardware, start).unwrap());
        let clock = Arc::clone(&now);
        let attester = DevAttester::new(
            Arc::clone(&authority),
            "quick",
            DevMeasurement::of(b"quick, guide"),
            Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst))),
        )
        .unwrap();
        Self {
            authority,
            attester,
            now,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn advance(&self, span: Duration) {
        let later = self.now().saturating_add(span);
        self.now.store(later.as_millis(), Ordering::SeqCst);
    }

    fn document(&self) -> Vec<u8> {
        self.attester.document(&NONCE, &user_data(), &[]).unwrap()
    }

    fn roots(&self) -> TrustRoots {
        TrustRoots::none()
            .danger_accept_dev(self.authority.root_der())
            .unwrap()
    }

    fn policy(&self) -> Policy {
        Policy::live(
            NonceRule::Expect(NONCE.to_vec()),
            Measurements::Allow(vec![self.attester.measurement().pcr_hash()]),
        )
    }

    /// The reason for which `document` is refused under `roots` now.
    fn refusal(&self, document: &[u8], roots: &TrustRoots) -> Option<Refusal> {
        verify(document, roots, &self.policy(), self.now()).err()
    }
}

fn user_data() -> Vec<u8> {
    [[0x12, 0x20].as_slice(), &[1; 32], &[0x12, 0x20], &[2; 32]].concat()
}

#[test]
fn a_document_is_evidence_of_class_dev() {
    let bench = Bench::new();
    let claims = verify(
        &bench.document(),
        &bench.roots(),
        &bench.policy(),
        bench.now(),
    )
    .unwrap();
    assert_eq!(claims.source, SourceClass::Dev);
    assert_eq!(claims.kind, dev::KIND);
    assert_eq!(claims.module_id, bench.attester.module_id());
    assert_eq!(claims.timestamp, bench.now());
    assert_eq!(claims.pcr_hash, bench.attester.measurement().pcr_hash());
    assert_eq!(claims.nonce.as_deref(), Some(NONCE.as_slice()));
    let binding = claims.binding.as_ref().unwrap();
    assert_eq!(binding.tls_cert_sha256.0, [1; 32]);
    assert_eq!(binding.app_sha256.0, [2; 32]);
}

#[test]
fn the_dev_root_does_not_displace_the_hardware_root() {
    let bench = Bench::new();
    let roots = TrustRoots::aws()
        .danger_accept_dev(bench.authority.root_der())
        .unwrap();
    let claims = verify(&bench.document(), &roots, &bench.policy(), bench.now()).unwrap();
    assert_eq!(claims.source, SourceClass::Dev);
}

#[test]
fn hardware_roots_alone_refuse_it() {
    let bench = Bench::new();
    let refused = bench.refusal(&bench.document(), &TrustRoots::aws());
    assert_eq!(refused, Some(Refusal::Reject(Check::UntrustedRoot)));
}

#[test]
fn no_roots_refuse_it() {
    let bench = Bench::new();
    let refused = bench.refusal(&bench.document(), &TrustRoots::none());
    assert_eq!(refused, Some(Refusal::Reject(Check::UntrustedRoot)));
}

#[test]
fn the_root_of_another_installation_refuses_it() {
    let (bench, other) = (Bench::new(), Bench::new());
    let refused = bench.refusal(&bench.document(), &other.roots());
    assert_eq!(refused, Some(Refusal::Reject(Check::UntrustedRoot)));
}

#[test]
fn another_nonce_is_refused() {
    let bench = Bench::new();
    let document = bench
        .attester
        .document(&[8; 20], &user_data(), &[])
        .unwrap();
    let refused = bench.refusal(&document, &bench.roots());
    assert_eq!(refused, Some(Refusal::Reject(Check::Nonce)));
}

#[test]
fn the_leaf_is_shared_and_renewed_in_time() {
    let bench = Bench::new();
    let roots = bench.roots();
    let leaf_until = |document: &[u8]| {
        verify(document, &roots, &bench.policy(), bench.now())
            .unwrap()
            .leaf_not_after
    };
    let first = leaf_until(&bench.document());
    assert_eq!(
        first.saturating_since(bench.now()).as_secs(),
        3 * 60 * 60 - 1,
        "three hours, in whole seconds"
    );
    bench.advance(Duration::from_secs(2 * 60 * 60));
    assert_eq!(leaf_until(&bench.document()), first);
    bench.advance(Duration::from_secs(31 * 60));
    assert!(leaf_until(&bench.document()) > first);
}

#[test]
fn evidence_is_given_for_the_root_s_whole_life_and_not_after() {
    let bench = Bench::new();
    while bench.authority.is_valid_at(bench.now()) {
        let refused = bench.refusal(&bench.document(), &bench.roots());
        assert!(refused.is_none(), "{refused:?} at {:?}", bench.now());
        bench.advance(Duration::from_secs(7 * 60 * 60));
    }
    let late = bench.attester.issue(&NONCE, &user_data(), &[]);
    assert!(matches!(late, Err(Error::Expired)));
}

#[test]
fn a_clock_that_goes_back_gets_a_chain_of_its_own() {
    let bench = Bench::new();
    bench.advance(Duration::from_secs(24 * 60 * 60));
    bench.document();
    bench.now.store(START_MS, Ordering::SeqCst);
    let refused = bench.refusal(&bench.document(), &bench.roots());
    assert!(refused.is_none(), "{refused:?}");
}

#[test]
fn the_wire_format_is_the_security_module_s() {
    let document = Bench::new().document();
    // An untagged array of four, ES384, no unprotected header, a payload of 16-bit length that is a
    // map of indefinite length.
    assert_eq!(document[..8], *b"\x84\x44\xa1\x01\x38\x22\xa0\x59");
    assert_eq!(document[10..21], *b"\xbf\x69module_id");
    assert_eq!(document[document.len() - 98..][..2], *b"\x58\x60");
}

#[test]
fn fields_beyond_the_module_s_limits_are_refused() {
    let bench = Bench::new();
    let fields = |nonce, user_data, public_key| match bench.attester.issue(
        &vec![1; nonce],
        &vec![1; user_data],
        &vec![1; public_key],
    ) {
        Err(Error::FieldTooLong { field, .. }) => Some(field),
        _ => None,
    };
    assert_eq!(fields(512, 512, 1024), None);
    assert_eq!(fields(513, 1, 1), Some("nonce"));
    assert_eq!(fields(1, 513, 1), Some("user_data"));
    assert_eq!(fields(1, 1, 1025), Some("public_key"));
}

#[test]
fn names_that_would_blur_the_module_id_are_refused() {
    let bench = Bench::new();
    let made = |name: &str| {
        DevAttester::new(
            Arc::clone(&bench.authority),
            name,
            DevMeasurement::of(b""),
            Arc::new(|| Timestamp::from_millis(START_MS)),
        )
        .map(|_| ())
    };
    made("a").unwrap();
    made(&"a".repeat(32)).unwrap();
    for name in ["", "a-enc1", "A", "a b", "a.b", "é", &"a".repeat(33)] {
        assert!(matches!(made(name), Err(Error::InstanceName)), "{name:?}");
    }
}

#[test]
fn measurements_follow_the_description() {
    let one = DevMeasurement::of(b"one");
    assert_eq!(one, DevMeasurement::of(b"one"));
    assert_ne!(one.pcr_hash(), DevMeasurement::of(b"two").pcr_hash());
    let [pcr0, pcr1, pcr2] = one.pcrs();
    assert!(pcr0 != pcr1 && pcr1 != pcr2 && pcr0 != pcr2);
}

//! The evidence: its root, its age, and what it binds.

use core::time::Duration;

use seamline_core::receipt::{Event, EvidenceType};
use seamline_core::{B256, NodeId, SourceClass, binding};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Outcome, Status};

use super::{incomplete, refuted, refuted_among};
use crate::attestation::Attester;
use crate::fixture::{World, document, event_mut};

#[test]
fn evidence_under_another_root() {
    let mut world = World::new();
    let other = Attester::new(NOW).sign(&document(&binding::evidence_nonce(&world.h_bind)));
    let hash = world.replace(EvidenceType::Attestation, other);
    event_mut!(world, EvidenceFetched).evidence = hash;
    incomplete(&world, Claim::EvidenceVerified, Outcome::Absent);
}

#[test]
fn evidence_edited() {
    let mut world = World::new();
    let mut document = world.blob_of(EvidenceType::Attestation).to_vec();
    let last = document.len() - 1;
    document[last] ^= 1;
    let hash = world.replace(EvidenceType::Attestation, document);
    event_mut!(world, EvidenceFetched).evidence = hash;
    refuted(&world, Claim::EvidenceVerified);
}

#[test]
fn evidence_from_before_the_call() {
    let mut world = World::new();
    let mut stale = document(&binding::evidence_nonce(&world.h_bind));
    stale.timestamp = NOW.saturating_sub(Duration::from_secs(30));
    world.reattest(&stale);
    assert_eq!(world.verify().first_failure(), None);
    // The leaf begins one minute before: older documents cannot even be its own.
    world.opened.wall_ms += 400_000;
    event_mut!(world, Decided).now_ms += 400_000;
    refuted_among(&world, Claim::EvidenceVerified);
}

#[test]
fn evidence_with_the_nonce_of_another_call() {
    let mut world = World::new();
    world.reattest(&document(&[9; 20]));
    refuted(&world, Claim::EvidenceNonce);
}

#[test]
fn evidence_nonce_edited() {
    let mut world = World::new();
    event_mut!(world, EvidenceFetched).evidence_nonce = [9; 20];
    refuted(&world, Claim::EvidenceNonce);
}

#[test]
fn cached_evidence_may_carry_an_older_nonce() {
    let mut world = World::new();
    world.reattest(&document(&[9; 20]));
    let fetched = event_mut!(world, EvidenceFetched);
    fetched.fetched_for_this_call = false;
    fetched.age_ms = 60_000;
    let verdict = world.verify();
    assert_eq!(verdict.status, Status::Satisfied, "{verdict:#?}");
}

#[test]
fn other_code_in_the_enclave() {
    let mut world = World::new();
    let mut other = document(&binding::evidence_nonce(&world.h_bind));
    other.pcrs = [[7; 48], [2; 48], [3; 48]];
    world.reattest(&other);
    refuted(&world, Claim::EvidenceMeasurement);
}

#[test]
fn code_that_only_the_policy_allows() {
    let mut world = World::new();
    world.trust.measurements = Vec::new();
    incomplete(&world, Claim::EvidenceMeasurement, Outcome::Absent);
}

#[test]
fn connection_to_another_certificate() {
    let mut world = World::new();
    event_mut!(world, TlsBound).cert_sha256 = B256::repeat_byte(1);
    refuted(&world, Claim::EvidenceTls);
}

#[test]
fn evidence_for_another_key() {
    let mut world = World::new();
    let mut other = document(&binding::evidence_nonce(&world.h_bind));
    other.app_sha256 = B256::repeat_byte(1);
    world.reattest(&other);
    event_mut!(world, Attested).signing_key_sha256 =
        event_mut!(world, SignatureChecked).signing_key;
    refuted(&world, Claim::EvidenceSigningKey);
}

#[test]
fn evidence_for_another_node() {
    let mut world = World::new();
    let other = NodeId::new(B256::repeat_byte(0xb0));
    event_mut!(world, EvidenceFetched).node = other;
    event_mut!(world, Attested).node = other;
    event_mut!(world, TlsBound).node = other;
    refuted(&world, Claim::EvidenceSigningKey);
}

#[test]
fn development_evidence_called_hardware() {
    let mut world = World::new();
    event_mut!(world, Attested).source = SourceClass::Hardware;
    refuted(&world, Claim::EvidenceReading);
    // The reader is told all the same, although the core carries no marker.
    assert!(world.verify().dev);
}

#[test]
fn end_of_validity_edited() {
    let mut world = World::new();
    event_mut!(world, Attested).leaf_not_after_ms += 1;
    refuted(&world, Claim::EvidenceReading);
}

#[test]
fn answer_without_evidence() {
    let mut world = World::new();
    let attested = |event: &Event| matches!(event, Event::Attested(_));
    world.events.retain(|(_, event)| !attested(event));
    event_mut!(world, Admitted).offer_event -= 1;
    incomplete(&world, Claim::EvidenceVerified, Outcome::Absent);
}

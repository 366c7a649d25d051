//! Answers of nobody, and evidence that does not cover the answer.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use seamline_core::canonical::message_hash;
use seamline_core::receipt::{EventKind, EvidenceType, SignatureChecked};
use seamline_core::{Charged, NodeId};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Outcome};

use super::{open, place, refuted};
use crate::fixture::{ANSWER, World, event_mut, sign_response};

/// Keeps only events of these kinds.
fn keep(world: &mut World, kinds: &[EventKind]) {
    world
        .events
        .retain(|(_, event)| kinds.contains(&event.kind()));
}

/// A signature over the answer by a key that the recorder has just made.
fn own_signature(world: &mut World, node: Option<NodeId>) -> SignatureChecked {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let spki = spki.as_ref().to_vec();
    let honest = sign_response(ANSWER, NOW.as_secs());
    let message = message_hash(honest.input_hash, honest.output_hash, honest.timestamp_s);
    let mut signature = vec![0; 256];
    let rng = SystemRandom::new();
    rsa.sign(&RSA_PSS_SHA256, &rng, message.as_slice(), &mut signature)
        .unwrap();
    SignatureChecked {
        node: node.unwrap_or_else(|| NodeId::of_signing_key(&spki)),
        signature,
        signing_key: world.blob(EvidenceType::SigningKey, spki),
        ..honest
    }
}

#[test]
fn answer_signed_by_a_key_of_the_recorder() {
    let mut world = World::new();
    let forged = own_signature(&mut world, None);
    *event_mut!(world, SignatureChecked) = forged;
    refuted(&world.verify(), Claim::ResponseSignature);
}

#[test]
fn answer_signed_by_another_key_in_the_name_of_the_node() {
    let mut world = World::new();
    let node = world.node;
    let forged = own_signature(&mut world, Some(node));
    *event_mut!(world, SignatureChecked) = forged;
    refuted(&world.verify(), Claim::EvidenceSigningKey);
}

#[test]
fn answer_that_nobody_was_asked_for() {
    let mut world = World::new();
    let forged = own_signature(&mut world, None);
    *event_mut!(world, SignatureChecked) = forged;
    event_mut!(world, Closed).charged = Charged::No;
    keep(
        &mut world,
        &[EventKind::SignatureChecked, EventKind::Closed],
    );
    refuted(&world.verify(), Claim::ResponseSignature);
    keep(&mut world, &[EventKind::Closed]);
    world.blobs.clear();
    refuted(&world.verify(), Claim::DecisionFollowed);
}

#[test]
fn signature_under_a_key_that_no_evidence_binds() {
    let mut world = World::new();
    let at = place(&world, EventKind::Attested);
    world.events.remove(at);
    event_mut!(world, Admitted).offer_event -= 1;
    let verdict = world.verify();
    open(&verdict, Claim::ResponseSignature, Outcome::Absent);
    open(&verdict, Claim::EvidenceVerified, Outcome::Absent);
}

#[test]
fn signature_of_an_earlier_answer() {
    let mut world = World::new();
    let mut sent = event_mut!(world, RequestSent).clone();
    (sent.attempt, sent.paid) = (2, true);
    let last = world.events.len() - 1;
    world.events.insert(last, (505_000, sent.into()));
    open(&world.verify(), Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn refused_signature_before_a_good_one() {
    let mut world = World::new();
    let mut bad = event_mut!(world, SignatureChecked).clone();
    bad.signature[5] ^= 1;
    bad.ok = false;
    let at = place(&world, EventKind::SignatureChecked);
    world.events.insert(at, (405_000, bad.into()));
    open(&world.verify(), Claim::ResponseSignature, Outcome::Absent);
    let good = place(&world, EventKind::SignatureChecked);
    world.events.swap(good, good + 1);
    world.events[good].0 = 405_000;
    world.events[good + 1].0 = 410_000;
    refuted(&world.verify(), Claim::ResponseSignature);
}

#[test]
fn evidence_that_comes_after_the_prompt() {
    let mut world = World::new();
    let at = place(&world, EventKind::Attested);
    let (_, verdict) = world.events.remove(at);
    let sent = place(&world, EventKind::SignatureChecked);
    world.events.insert(sent, (405_000, verdict));
    event_mut!(world, Admitted).offer_event -= 1;
    open(&world.verify(), Claim::EvidenceVerified, Outcome::Absent);
}

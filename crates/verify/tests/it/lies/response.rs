//! The response: its signature, its time, and the contents attached.

use seamline_core::receipt::{Event, EvidenceType};
use seamline_core::{B256, binding};
use seamline_testkit::NOW;
use seamline_verify::{Claim, Outcome};

use super::{incomplete, refuted, refuted_among};
use crate::fixture::{ANSWER, World, event_mut, sign_response};

#[test]
fn answer_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).output_hash = B256::repeat_byte(1);
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn request_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).input_hash = B256::repeat_byte(1);
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn response_signature_edited() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).signature[5] ^= 1;
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn good_signature_called_bad() {
    let mut world = World::new();
    event_mut!(world, SignatureChecked).ok = false;
    refuted(&world, Claim::ResponseSignature);
}

#[test]
fn bad_signature_recorded_as_bad_in_a_failed_call() {
    let mut world = World::new();
    let checked = event_mut!(world, SignatureChecked);
    checked.signature[5] ^= 1;
    checked.ok = false;
    refuted(&world, Claim::ResponseSignature);
    let closed = event_mut!(world, Closed);
    closed.outcome = seamline_core::receipt::Outcome::Failed;
    closed.error_code = Some("response_signature".into());
    incomplete(&world, Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn recording_of_an_older_answer() {
    let mut world = World::new();
    *event_mut!(world, SignatureChecked) = sign_response(ANSWER, NOW.as_secs() - 301);
    refuted(&world, Claim::ResponseTime);
}

#[test]
fn refused_recording_is_an_honest_receipt_of_a_lying_node() {
    let mut world = World::new();
    *event_mut!(world, SignatureChecked) = sign_response(ANSWER, NOW.as_secs() - 301);
    event_mut!(world, SignatureChecked).ok = false;
    let closed = event_mut!(world, Closed);
    closed.outcome = seamline_core::receipt::Outcome::Failed;
    closed.error_code = Some("signature_time".into());
    incomplete(&world, Claim::ResponseTime, Outcome::Absent);
}

#[test]
fn unsigned_answer() {
    let mut world = World::new();
    let signed = |event: &Event| matches!(event, Event::SignatureChecked(_));
    world.events.retain(|(_, event)| !signed(event));
    incomplete(&world, Claim::ResponseSignature, Outcome::Absent);
}

#[test]
fn another_request_attached() {
    let mut world = World::new();
    let mut blob = world.blob_of(EvidenceType::Request).to_vec();
    blob.push(b' ');
    world.replace(EvidenceType::Request, blob);
    refuted(&world, Claim::RequestContent);
}

#[test]
fn request_that_was_committed_but_not_signed() {
    let mut world = World::new();
    let body = br#"{"model":"seamline/guide","messages":[{"role":"user","content":"other"}]}"#;
    let blob = [[0x5a; 16].as_slice(), body].concat();
    world.replace(EvidenceType::Request, blob);
    // A request commitment of its own changes the binding and with it the whole payment.
    world.opened.req_commitment = binding::request_commitment(&[0x5a; 16], body);
    refuted_among(&world, Claim::RequestContent);
}

#[test]
fn another_answer_attached() {
    let mut world = World::new();
    let blob = [[0x5a; 16].as_slice(), b"No."].concat();
    world.replace(EvidenceType::Output, blob);
    refuted(&world, Claim::OutputContent);
}

#[test]
fn answer_that_was_committed_but_not_signed() {
    let mut world = World::new();
    let blob = [[0x5a; 16].as_slice(), b"No."].concat();
    world.replace(EvidenceType::Output, blob);
    event_mut!(world, ResponseEnded).output_commitment =
        binding::output_commitment(&[0x5a; 16], b"No.");
    refuted(&world, Claim::OutputContent);
}

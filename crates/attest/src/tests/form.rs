//! The form of a document: cuts, flips, other framings, keys and values. Nothing panics, nothing
//! that differs from what was signed is accepted.

use proptest::prelude::*;

use super::builder::{
    Draft, LEAF, MODULE_ID, Pki, REGIONAL, array, bytes, envelope, head, pcr_map, text, uint,
};
use crate::error::{Check, Error, Part, Problem};
use crate::nitro::{Document, MAX_EVIDENCE};
use crate::{Measurements, NonceRule, Policy, TrustRoots, verify};

#[track_caller]
fn malformed(evidence: &[u8], part: Part, problem: Problem) {
    match Document::parse(evidence) {
        Err(Error::Malformed {
            part: at,
            problem: what,
            ..
        }) => assert_eq!((at, what), (part, problem)),
        other => panic!("{part}, {problem}: {other:?}"),
    }
}

/// An envelope around a payload; the signature is not looked at by the parser.
fn around(payload: &[u8]) -> Vec<u8> {
    envelope(b"\x44\xa1\x01\x38\x22", payload, &[1; 96])
}

fn with(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::hardware();
    change(&mut draft);
    around(&draft.payload())
}

#[test]
fn every_cut_is_refused_and_one_byte_more_too() {
    for indefinite in [true, false] {
        let mut draft = Draft::hardware();
        draft.indefinite = indefinite;
        let evidence = draft.sign();
        for length in 0..evidence.len() {
            malformed(&evidence[..length], Part::Envelope, Problem::Truncated);
        }
        malformed(
            &[evidence.as_slice(), &[0]].concat(),
            Part::Envelope,
            Problem::Trailing,
        );
        let payload = draft.payload();
        for length in 1..payload.len() {
            let cut = Document::parse(&around(&payload[..length])).map(|_| ());
            assert_eq!(cut.map_err(|err| err.code()), Err("MALFORMED"), "{length}");
        }
        let longer = [payload.as_slice(), &[0]].concat();
        malformed(&around(&longer), Part::Payload, Problem::Trailing);
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_refused() {
    // A short chain and few registers, and every third bit, which hits every byte and in turn
    // every place in it: each flip costs signature verifications.
    let mut pki = Pki::hardware();
    pki.certs.drain(REGIONAL..LEAF);
    let mut draft = Draft::of(&pki, MODULE_ID);
    draft.pcrs.truncate(5);
    let mut evidence = draft.sign();
    for bit in (0..evidence.len() * 8).step_by(3) {
        evidence[bit / 8] ^= 1 << (bit % 8);
        let outcome = draft.verify_bytes(&evidence).map(|_| ());
        let refused = matches!(outcome, Err(Error::Malformed { .. } | Error::Reject(_)));
        assert!(refused, "bit {bit}");
        evidence[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(draft.verify_bytes(&evidence).map(|_| ()), Ok(()));
}

#[test]
fn one_framing_per_document() {
    let draft = Draft::hardware();
    let payload = draft.payload();
    let protected = b"\x44\xa1\x01\x38\x22".as_slice();
    let signature = bytes(&[1; 96]);
    let build = |parts: &[&[u8]]| parts.concat();
    let body = bytes(&payload);
    let envelope = Part::Envelope;
    let tag = build(&[&[0xd2, 0x84], protected, &[0xa0], &body, &signature]);
    malformed(&tag, envelope, Problem::Type);
    let indefinite = build(&[&[0x9f], protected, &[0xa0], &body, &signature, &[0xff]]);
    malformed(&indefinite, envelope, Problem::Type);
    let long_array = build(&[&[0x98, 4], protected, &[0xa0], &body, &signature]);
    malformed(&long_array, envelope, Problem::NonMinimal);
    let long_header = build(&[b"\x84\x58\x04\xa1\x01\x38\x22\xa0", &body, &signature]);
    malformed(&long_header, envelope, Problem::NonMinimal);
    let extended = build(&[&[0x84], protected, &[0xa1, 4, 0x40], &body, &signature]);
    malformed(&extended, envelope, Problem::UnknownKey);
    let long_map = build(&[&[0x84], protected, &[0xb8, 0], &body, &signature]);
    malformed(&long_map, envelope, Problem::NonMinimal);
    let size = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let head = [&[0x5a], size.as_slice()].concat();
    let long_body = build(&[&[0x84], protected, &[0xa0], &head, &payload, &signature]);
    malformed(&long_body, envelope, Problem::NonMinimal);
    let chunked = build(&[
        &[0x84],
        protected,
        &[0xa0, 0x5f],
        &body,
        &[0xff],
        &signature,
    ]);
    malformed(&chunked, envelope, Problem::Type);
    let five = build(&[&[0x85], protected, &[0xa0], &body, &signature, &[0xf6]]);
    malformed(&five, envelope, Problem::Length);
    let no_payload = build(&[&[0x84], protected, &[0xa0, 0x40], &signature]);
    malformed(&no_payload, envelope, Problem::Length);
    let detached = build(&[&[0x84], protected, &[0xa0, 0xf6], &signature]);
    malformed(&detached, envelope, Problem::Type);
}

#[test]
fn other_algorithms_in_the_protected_header_are_refused() {
    let payload = Draft::hardware().payload();
    let headers: [&[u8]; 7] = [
        b"",
        b"\xa0",
        b"\xa1\x01\x26",
        b"\xa1\x01\x20",
        b"\xa1\x01\x65ES384",
        b"\xa2\x01\x38\x22\x02\x81\x01",
        b"\xa1\x01\x39\x00\x22",
    ];
    for protected in headers {
        let evidence = envelope(&bytes(protected), &payload, &[1; 96]);
        let refused = Document::parse(&evidence).map(|_| ());
        assert_eq!(refused, Err(Error::Reject(Check::Algorithm)));
    }
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    malformed(
        &vec![0x84; MAX_EVIDENCE + 1],
        Part::Envelope,
        Problem::Length,
    );
    malformed(
        &around(&[0xbf; 16 * 1024 + 1]),
        Part::Envelope,
        Problem::Length,
    );
    // A length that promises more than memory holds.
    malformed(
        b"\x84\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        Part::Envelope,
        Problem::Truncated,
    );
    let nine = vec![[1_u8].as_slice(); 9];
    for (key, value, part) in [
        ("certificate", bytes(&[]), Part::Certificate),
        ("certificate", bytes(&[1; 1025]), Part::Certificate),
        ("cabundle", array(&[]), Part::CaBundle),
        ("cabundle", array(&nine), Part::CaBundle),
        ("cabundle", array(&[&[]]), Part::CaBundle),
        ("cabundle", array(&[&[1; 1025]]), Part::CaBundle),
        ("cabundle", head(4, u64::MAX), Part::CaBundle),
        ("module_id", text(""), Part::ModuleId),
        ("module_id", text(&"a".repeat(129)), Part::ModuleId),
        ("nonce", bytes(&[1; 1025]), Part::Nonce),
        ("user_data", bytes(&[1; 1025]), Part::UserData),
        ("public_key", bytes(&[1; 1025]), Part::PublicKey),
    ] {
        malformed(&with(|draft| draft.set(key, value)), part, Problem::Length);
    }
}

#[test]
fn every_key_once_and_no_other() {
    for (key, part) in [
        ("module_id", Part::ModuleId),
        ("digest", Part::Digest),
        ("timestamp", Part::Timestamp),
        ("certificate", Part::Certificate),
        ("cabundle", Part::CaBundle),
    ] {
        malformed(&with(|draft| draft.remove(key)), part, Problem::Missing);
    }
    malformed(
        &with(|draft| draft.pairs.push(("other_pcrs".to_owned(), uint(1)))),
        Part::Payload,
        Problem::UnknownKey,
    );
    for key in [
        "module_id",
        "digest",
        "timestamp",
        "certificate",
        "cabundle",
        "nonce",
    ] {
        let twice = with(|draft| {
            let pair = draft.pairs.iter().find(|(name, _)| name == key).cloned();
            draft.pairs.push(pair.expect("a pair"));
        });
        let refused = Document::parse(&twice).map(|_| ());
        let Err(Error::Malformed { problem, .. }) = refused else {
            panic!("{key}: {refused:?}");
        };
        assert_eq!(problem, Problem::Duplicate, "{key}");
    }
    // Null first does not make room for a second value.
    let null_first = with(|draft| {
        draft.set("nonce", vec![0xf6]);
        draft.pairs.push(("nonce".to_owned(), bytes(b"later")));
    });
    malformed(&null_first, Part::Nonce, Problem::Duplicate);
    let two_registers = with(|draft| draft.pcrs.push((0, vec![1; 48])));
    malformed(&two_registers, Part::Pcrs, Problem::Duplicate);
    let renamed = with(|draft| draft.rename("nonce", "Nonce"));
    malformed(&renamed, Part::Payload, Problem::UnknownKey);
}

#[test]
fn values_have_one_type() {
    let map = pcr_map(&[(0, vec![1; 48])]);
    let indefinite_map = [&[0xbf], &map[1..], &[0xff]].concat();
    for (key, value, part) in [
        ("module_id", bytes(b"i-0-enc0"), Part::ModuleId),
        ("digest", bytes(b"SHA384"), Part::Digest),
        ("timestamp", text("1"), Part::Timestamp),
        ("timestamp", vec![0x20], Part::Timestamp),
        ("certificate", text("a"), Part::Certificate),
        ("certificate", vec![0xf6], Part::Certificate),
        ("cabundle", map, Part::CaBundle),
        ("cabundle", b"\x9f\x41\x01\xff".to_vec(), Part::CaBundle),
        ("user_data", text("a"), Part::UserData),
        ("user_data", b"\x5f\x41\x01\xff".to_vec(), Part::UserData),
        ("nonce", vec![0xf7], Part::Nonce),
        ("public_key", uint(1), Part::PublicKey),
        ("pcrs", indefinite_map, Part::Pcrs),
        ("pcrs", vec![0xf6], Part::Pcrs),
        (
            "evidence_type",
            bytes(b"software-dev/v1"),
            Part::EvidenceType,
        ),
    ] {
        malformed(&with(|draft| draft.set(key, value)), part, Problem::Type);
    }
    for (key, value, part) in [
        ("digest", text("SHA256"), Part::Digest),
        ("module_id", text("i-0 -enc0"), Part::ModuleId),
        ("module_id", text("i-0\u{e9}-enc0"), Part::ModuleId),
        ("module_id", b"\x62\xff\xfe".to_vec(), Part::ModuleId),
    ] {
        malformed(&with(|draft| draft.set(key, value)), part, Problem::Value);
    }
    for value in [vec![0x18, 23], b"\x1b\0\0\0\0\0\0\0\x01".to_vec()] {
        let long = with(|draft| draft.set("timestamp", value));
        malformed(&long, Part::Timestamp, Problem::NonMinimal);
    }
    for not_a_map in [vec![0x80], vec![0xf6], vec![0x9f, 0xff], vec![0x01]] {
        malformed(&around(&not_a_map), Part::Payload, Problem::Type);
    }
    // A break where a value should be, and a declared length that is one too many.
    malformed(&around(b"\xbf\x65nonce\xff"), Part::Nonce, Problem::Type);
    malformed(&around(b"\xa1\xff"), Part::Payload, Problem::Type);
    malformed(&around(b"\xa1"), Part::Payload, Problem::Truncated);
}

fn accepts_nothing(evidence: &[u8]) {
    let mut policy = Policy::historical(NonceRule::Any, Measurements::AnyReported);
    policy.binding = crate::BindingRule::Any;
    let outcome = verify(evidence, &TrustRoots::aws(), &policy, seamline_testkit::NOW);
    let refused = matches!(outcome, Err(Error::Malformed { .. } | Error::Reject(_)));
    assert!(refused, "accepted: {}", hex::encode(evidence));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(evidence in proptest::collection::vec(any::<u8>(), 0..2048)) {
        accepts_nothing(&evidence);
    }

    #[test]
    fn random_payloads_are_refused(payload in proptest::collection::vec(any::<u8>(), 1..2048)) {
        accepts_nothing(&around(&payload));
    }

    #[test]
    fn random_certificates_are_refused(leaf in proptest::collection::vec(any::<u8>(), 1..900)) {
        let aws = include_bytes!("../roots/aws-nitro-g1.der");
        let payload = [
            b"\xa6\x69module_id\x68i-0-enc0\x66digest\x66SHA384\x69timestamp\x01\x64pcrs\xa3".to_vec(),
            pcr_map(&[(0, vec![1; 48]), (1, vec![1; 48]), (2, vec![1; 48])])[1..].to_vec(),
            b"\x6bcertificate".to_vec(),
            bytes(&leaf),
            b"\x68cabundle".to_vec(),
            array(&[aws]),
        ];
        let evidence = around(&payload.concat());
        prop_assert!(Document::parse(&evidence).is_ok());
        accepts_nothing(&evidence);
    }

    #[test]
    fn what_parses_has_one_framing(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut evidence = around(&Draft::hardware().payload());
        let at = at.index(evidence.len());
        evidence[at] = byte;
        if let Ok(document) = Document::parse(&evidence) {
            let again = envelope(b"\x44\xa1\x01\x38\x22", document.payload(), document.signature());
            prop_assert_eq!(again, evidence);
        }
    }
}

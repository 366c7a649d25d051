//! Evidence of any bytes: nothing panics, what parses has one framing, and what is accepted is
//! no longer accepted with another signature. The vectors of `spec/vectors/nitro` and real
//! documents make a corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seamline_attest::nitro::Document;
use seamline_attest::{BindingRule, Measurements, NonceRule, Policy, TrustRoots, verify};
use seamline_core::Timestamp;

fuzz_target!(|evidence: &[u8]| {
    if let Ok(document) = Document::parse(evidence) {
        assert_eq!(framed(&document), evidence, "two framings of one document");
    }
    if is_accepted(evidence) {
        let mut other = evidence.to_vec();
        *other.last_mut().expect("accepted evidence has bytes") ^= 1;
        assert!(!is_accepted(&other), "accepted without a valid signature");
    }
});

fn is_accepted(evidence: &[u8]) -> bool {
    let mut policy = Policy::historical(NonceRule::Any, Measurements::AnyReported);
    policy.binding = BindingRule::Any;
    let end_of_time = Timestamp::from_millis(u64::MAX);
    verify(evidence, &TrustRoots::aws(), &policy, end_of_time).is_ok()
}

fn framed(document: &Document<'_>) -> Vec<u8> {
    let mut out = b"\x84\x44\xa1\x01\x38\x22\xa0".to_vec();
    for part in [document.payload(), document.signature()] {
        match u16::try_from(part.len()).expect("evidence has at most 32 KiB") {
            short @ 0..24 => out.push(0x40 | short as u8),
            byte @ 24..0x100 => out.extend([0x58, byte as u8]),
            word => out.extend([&[0x59][..], &word.to_be_bytes()].concat()),
        }
        out.extend(part);
    }
    out
}

//! Any bytes, as a receipt file: decoding is exact, verification never panics and never accepts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seamline_core::Timestamp;
use seamline_core::receipt::{Bundle, Recorded, log};
use seamline_verify::{Status, Trust, findings_text, story, verify, view};

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::from_secs(1_780_358_400);
    let verdict = verify(data, &Trust::nobody(), now);
    assert_ne!(verdict.status, Status::Satisfied);
    let _ = findings_text(&verdict);
    let _ = view::verdict_json(&verdict);
    if let Ok(bundle) = Bundle::decode(data) {
        assert_eq!(bundle.encode(), data);
        let text = story(&verdict, &bundle, &[]);
        assert!(text.lines().count() <= 24);
        let _ = view::receipt_json(&bundle);
    }
    if let Ok(recorded) = Recorded::decode(data) {
        assert_eq!(recorded.encode(), data);
    }
    if let Ok(entry) = log::Entry::decode(data) {
        assert_eq!(entry.encode(), data);
    }
});

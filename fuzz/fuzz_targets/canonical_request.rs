//! Request bodies of any bytes: nothing panics, the canonical form is ASCII, and it is its own
//! canonical form. The bodies in `spec/vectors/canonical-request` make a corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seamline_core::canonical::{ChatRequest, CompletionRequest, output_preimage};
use seamline_core::json::{self, Keys};

fuzz_target!(|body: &[u8]| {
    if let Ok(value) = json::parse(body) {
        let printed = value.to_json(Keys::Insertion);
        if printed.len() <= json::MAX_BYTES {
            let again = json::parse(printed.as_bytes()).expect("what was printed is read");
            assert_eq!(again.to_json(Keys::Insertion), printed, "printed otherwise");
        }
        let _ = output_preimage(&value);
    }
    if let Ok(request) = ChatRequest::parse(body) {
        let canonical = request.canonical_bytes();
        assert!(canonical.is_ascii(), "not ASCII");
        // Escapes may have made it longer than what the reader takes.
        if canonical.len() <= json::MAX_BYTES {
            let again = ChatRequest::parse(&canonical).expect("the canonical form is a request");
            assert_eq!(again.canonical_bytes(), canonical, "not its own canonical form");
        }
    }
    let _ = CompletionRequest::parse(body);
});

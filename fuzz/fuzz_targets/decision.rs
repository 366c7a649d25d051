//! Policies, catalogues and decisions of any bytes: nothing panics, what decodes encodes to the
//! same bytes, and any catalogue can be decided over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seamline_core::decision::{Catalogue, Decision, RoutePolicy, decide};
use seamline_core::{B256, Timestamp};

fuzz_target!(|input: (&[u8], &[u8], [u8; 32], u64)| {
    let (policy, catalogue, draw, now) = input;
    let policy = RoutePolicy::decode(policy).inspect(|decoded| {
        assert_eq!(decoded.encode(), policy, "two encodings of one policy");
    });
    let catalogue = Catalogue::decode(catalogue).inspect(|decoded| {
        assert_eq!(decoded.encode(), catalogue, "two encodings of one catalogue");
    });
    if let (Ok(policy), Ok(catalogue)) = (policy, catalogue) {
        let decision = decide(&policy, &catalogue, Timestamp::from_millis(now), &B256::from(draw));
        assert_eq!(Decision::decode(&decision.encode()), Ok(decision));
    }
    if let Ok(decision) = Decision::decode(input.0) {
        assert_eq!(decision.encode(), input.0, "two encodings of one decision");
    }
});

//! Whatever a peer sends is read as it came or refused, and never a panic.

use proptest::prelude::*;
use seamline_evm::Signature;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::upto::{Authorization, Permit};
use seamline_evm::x402::{
    FacilitatorRequest, Offer, PaymentPayload, PaymentRequired, SettleResponse, Supported,
    VerifyResponse, decode_header, encode_header,
};

/// A header that every rule of its format accepts, to be damaged.
fn payment() -> Vec<u8> {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let json = vectors.pointer("/x402_upto_permit2/decoded_header_json");
    json.and_then(|json| json.as_str())
        .map(|json| json.as_bytes().to_vec())
        .unwrap_or_default()
}

fn read_as_everything(bytes: &[u8]) {
    if let Ok(required) = PaymentRequired::parse(bytes) {
        assert_eq!(required.raw(), bytes);
    }
    if let Ok(payload) = PaymentPayload::parse(bytes) {
        assert_eq!(payload.raw().as_bytes(), bytes.trim_ascii());
        // Nobody but the payer's key makes an authorization of it.
        let permit = Permit::of(&payload);
        if let Ok(read) = Authorization::from_payload(payload) {
            assert_eq!(permit.map(|permit| permit.from), Ok(read.payer));
        }
    }
    if let Ok(offer) = Offer::parse(bytes) {
        assert_eq!(offer.raw().as_bytes(), bytes.trim_ascii());
    }
    if let Ok(policy) = SpendPolicy::decode(bytes) {
        assert_eq!(policy.encode(), bytes);
    }
    if let Ok(signature) = Signature::parse(bytes) {
        assert_eq!(signature.as_bytes().as_slice(), bytes);
    }
    let _ = FacilitatorRequest::parse(bytes);
    let _ = SettleResponse::parse(bytes);
    let _ = VerifyResponse::parse(bytes);
    let _ = Supported::parse(bytes);
    let _ = decode_header(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn a_damaged_payment_is_read_or_refused(
        place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = payment();
        let place = place.index(bytes.len());
        if let Some(at) = bytes.get_mut(place) {
            *at = byte;
        }
        read_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_as_everything(&bytes);
    }

    #[test]
    fn headers_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(decode_header(encode_header(&bytes).as_bytes()), Ok(bytes));
    }
}

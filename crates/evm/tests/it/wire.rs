//! Whatever a peer sends is read as it came or refused, and never a panic.

use proptest::prelude::*;
use seamline_evm::Signature;
use seamline_evm::policy::SpendPolicy;
use seamline_evm::policy::origin_matches;
use seamline_evm::scheme::{Authorization, SignedAuthorization};
use seamline_evm::x402;
use seamline_evm::x402::extensions::{self, eip2612, offer_receipt, payment_identifier};
use seamline_evm::x402::{
    FacilitatorRequest, Offer, PaymentPayload, PaymentRequired, SettleResponse, Supported,
    VerifyResponse, decode_header, encode_header, v1,
};

/// A header that every rule of its format accepts, to be damaged.
fn payment() -> Vec<u8> {
    let vectors = seamline_testkit::json_vector("x402/opengradient.json");
    let json = vectors.pointer("/x402_upto_permit2/decoded_header_json");
    json.and_then(|json| json.as_str())
        .map(|json| json.as_bytes().to_vec())
        .unwrap_or_default()
}

/// Extensions of any shape are read or refused, and a merge is always an honest echo.
fn read_extensions(all: &serde_json::Value) {
    let _ = payment_identifier::of(Some(all));
    let _ = payment_identifier::asked(Some(all));
    let _ = eip2612::of(Some(all));
    let _ = offer_receipt::offers_of(Some(all));
    let _ = offer_receipt::receipt_of(Some(all));
    let merged = extensions::merge(Some(all), &serde_json::Map::new());
    let merged = serde_json::Value::Object(merged);
    if all.is_object() {
        assert_eq!(&merged, all);
    }
}

fn read_as_everything(bytes: &[u8]) {
    if let Ok(required) = PaymentRequired::parse(bytes) {
        assert_eq!(required.raw(), bytes);
    }
    if let Ok(payload) = PaymentPayload::parse(bytes) {
        assert_eq!(payload.raw().as_bytes(), bytes.trim_ascii());
        // Nobody but the payer's key makes an authorization of it.
        let promise = Authorization::of(&payload);
        if let Ok(read) = SignedAuthorization::from_payload(payload) {
            assert_eq!(promise.map(|promise| promise.payer()), Ok(read.payer));
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
    if let Ok(required) = v1::PaymentRequired::parse(bytes) {
        assert_eq!(required.raw(), bytes);
        let second = required.to_v2();
        assert_eq!(second.offers.len(), required.accepts.len());
        // What was converted is a message of version 2.
        assert_eq!(PaymentRequired::parse(second.raw()), Ok(second));
    }
    if let Ok(payload) = v1::Payload::parse(bytes) {
        assert_eq!(payload.raw().as_bytes(), bytes.trim_ascii());
    }
    if let Ok(request) = FacilitatorRequest::parse(bytes) {
        // Read in either version, it is handed on in version 2 and says the same.
        let again = FacilitatorRequest::parse(request.to_json().as_bytes());
        let again = again.map(|it| (it.version(), it.payment_requirements));
        let expected = (x402::VERSION, request.payment_requirements);
        assert_eq!(again, Ok(expected));
    }
    if let Ok(all) = serde_json::from_slice::<serde_json::Value>(bytes) {
        read_extensions(&all);
    }
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
    fn a_damaged_message_of_version_1_is_read_or_refused(
        which in 0_usize..3, place in any::<prop::sample::Index>(), byte in any::<u8>(),
        cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = first_version(which);
        let place = place.index(bytes.len());
        if let Some(at) = bytes.get_mut(place) {
            *at = byte;
        }
        read_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_as_everything(&bytes);
    }

    #[test]
    fn json_of_any_shape_is_read_or_refused(json in json()) {
        read_as_everything(json.to_string().as_bytes());
        let sent = serde_json::json!({ "a": { "info": json } });
        read_as_everything(sent.to_string().as_bytes());
    }

    #[test]
    fn an_honest_echo_is_always_taken(declared in json(), added in json()) {
        let declared = serde_json::json!({ "a": { "info": declared, "schema": {} } });
        let mut additions = serde_json::Map::new();
        additions.insert("a".to_owned(), serde_json::json!({ "info": &added }));
        additions.insert("b".to_owned(), serde_json::json!({ "info": added }));
        let sent = serde_json::Value::Object(extensions::merge(Some(&declared), &additions));
        prop_assert_eq!(extensions::check_echo(Some(&declared), Some(&sent)), Ok(()));
    }

    #[test]
    fn an_amount_is_ascii_digits_or_nothing(amount in "\\PC{0,80}|[-+ ]?[0-9]{1,40}([.eE][0-9]{1,3})?") {
        let mut terms = offer_terms();
        terms.amount.clone_from(&amount);
        let read = Offer::new(terms).terms().amount();
        if let Some(read) = read {
            prop_assert_eq!(read.to_string(), amount);
        } else {
            let digits = !amount.is_empty() && amount.bytes().all(|it| it.is_ascii_digit());
            let leading = amount.len() > 1 && amount.starts_with('0');
            let small = amount.len() <= 38;
            prop_assert!(!digits || leading || !small, "{}", amount);
        }
    }

    #[test]
    fn an_origin_is_its_own_or_none(url in "\\PC{0,60}|https?://[a-z0-9.:@\\[\\]/%-]{0,40}") {
        let own = origin_matches(&url, &url);
        if own {
            let elsewhere = format!("{url}.evil");
            // A longer path is the same origin; a longer host or port never is.
            let path = url.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
            prop_assert_eq!(origin_matches(&url, &elsewhere), path);
        }
    }

    #[test]
    fn headers_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(decode_header(encode_header(&bytes).as_bytes()), Ok(bytes));
    }
}

/// A message of version 1 that every rule accepts: the 402, the payment, the facilitator's request.
fn first_version(which: usize) -> Vec<u8> {
    let vectors = seamline_testkit::json_vector("x402/v1.json");
    let name = ["payment_required", "payment", "request"];
    let part = name.get(which).and_then(|name| vectors.get(name));
    part.map(|part| part.to_string().into_bytes())
        .unwrap_or_default()
}

fn offer_terms() -> x402::OfferTerms {
    x402::OfferTerms {
        scheme: "exact".to_owned(),
        network: "eip155:1".to_owned(),
        asset: String::new(),
        amount: String::new(),
        pay_to: String::new(),
        max_timeout_seconds: 0,
        extra: serde_json::Map::new(),
    }
}

/// JSON values of every kind, with the names that the readers look for.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop::sample::select(vec![
        "x402Version",
        "accepts",
        "accepted",
        "payload",
        "extensions",
        "info",
        "id",
        "required",
        "offers",
        "receipt",
        "format",
        "signature",
        "builder-code",
        "a",
        "s",
        "network",
        "nonce",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        "\\PC{0,20}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        let members = prop::collection::btree_map(name.clone(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::from),
            members.prop_map(|members| {
                let members = members.into_iter().map(|(name, it)| (name.to_owned(), it));
                serde_json::Value::Object(members.collect())
            }),
        ]
    })
}

/// What would let two readers see two payments, or one reader use up its stack or its memory.
#[test]
fn hostile_documents_are_refused() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let huge = format!("1{}", "0".repeat(1_000));
    let texts = [
        deep.clone(),
        format!("{{\"x402Version\":1,\"accepts\":[],\"deep\":{deep}}}"),
        format!("{{\"x402Version\":{huge},\"accepts\":[]}}"),
        "{\"x402Version\":1,\"x402Version\":2,\"accepts\":[]}".to_owned(),
        "{\"x402Version\":1,\"\\u0078402Version\":2,\"accepts\":[]}".to_owned(),
        "{\"x402Version\":+1}".to_owned(),
        "{\"x402Version\":01}".to_owned(),
        "{\"x402Version\":\u{661}}".to_owned(),
        "{\"x402Version\":1e0}".to_owned(),
        "{\"x402Version\":1}{}".to_owned(),
        "\u{feff}{\"x402Version\":1}".to_owned(),
        "{\"x402Version\":NaN}".to_owned(),
        String::new(),
    ];
    for text in texts {
        let bytes = text.as_bytes();
        let cut: String = text.chars().take(40).collect();
        assert!(
            v1::PaymentRequired::parse(bytes).is_err_and(|_| true),
            "{cut}"
        );
        assert!(v1::Requirements::parse(bytes).is_err_and(|_| true), "{cut}");
        assert!(v1::Payload::parse(bytes).is_err_and(|_| true), "{cut}");
        assert!(PaymentRequired::parse(bytes).is_err_and(|_| true), "{cut}");
        assert!(PaymentPayload::parse(bytes).is_err_and(|_| true), "{cut}");
        assert!(
            FacilitatorRequest::parse(bytes).is_err_and(|_| true),
            "{cut}"
        );
        assert!(SettleResponse::parse(bytes).is_err_and(|_| true), "{cut}");
        assert!(VerifyResponse::parse(bytes).is_err_and(|_| true), "{cut}");
    }
}

/// The vectors of version 1 convert as they say.
#[test]
fn version_1_is_version_2_as_the_vectors_say() {
    let vectors = seamline_testkit::json_vector("x402/v1.json");
    let required = v1::PaymentRequired::parse(&first_version(0)).unwrap();
    let offer = Offer::new(required.to_v2().offers.remove(0).terms().clone());
    let expected = Offer::parse(vectors["offer"].to_string().as_bytes()).unwrap();
    assert_eq!(offer.terms(), expected.terms());
    let request = FacilitatorRequest::parse(&first_version(2)).unwrap();
    assert_eq!(request.version(), 1);
    assert_eq!(request.payment_payload.accepted().terms(), expected.terms());
    // The signature holds for what the conversion says.
    let promise = seamline_evm::scheme::Authorization::of(&request.payment_payload).unwrap();
    assert_eq!(promise.recover(84_532), Ok(promise.payer()));
    for case in vectors["networks"].as_array().unwrap() {
        let (name, network) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        assert_eq!(x402::network_of_name(name).as_deref(), Some(network));
        assert_eq!(x402::name_of_network(network), Some(name));
    }
    for case in vectors["reject"].as_array().unwrap() {
        let body = case["body"].to_string();
        let read = v1::PaymentRequired::parse(body.as_bytes());
        assert!(read.is_err_and(|_| true), "{}", case["name"]);
    }
}

use base64::Engine as _;
use http::HeaderMap;
use seamline_evm::x402::PAYMENT_REQUIRED;

use super::offers;

fn header(json: &str) -> http::HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    http::HeaderValue::from_str(&text).unwrap()
}

const OFFER: &str = r#"{"x402Version":2,"resource":{"url":"https://n.example/"},"accepts":[{"scheme":"upto","network":"eip155:1","asset":"0x7070707070707070707070707070707070707070","amount":"5","payTo":"0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e","maxTimeoutSeconds":60}]}"#;

#[test]
fn one_offer_header_reads() {
    let mut headers = HeaderMap::new();
    assert!(offers(&headers).is_none());
    headers.append(PAYMENT_REQUIRED, header(OFFER));
    let required = offers(&headers).unwrap().unwrap();
    assert_eq!(required.raw(), OFFER.as_bytes());
}

#[test]
fn two_offer_headers_are_none_even_if_they_agree() {
    let mut headers = HeaderMap::new();
    headers.append(PAYMENT_REQUIRED, header(OFFER));
    headers.append(PAYMENT_REQUIRED, header(OFFER));
    assert!(offers(&headers).is_none());
}

#[test]
fn what_is_no_offer_is_refused() {
    let doubled = OFFER.replacen("\"amount\"", "\"amount\":\"1\",\"amount\"", 1);
    let none = OFFER.split("[{").next().unwrap().to_owned() + "[]}";
    let long = format!("{OFFER}{}", " ".repeat(40_000));
    for (what, json) in [
        ("no JSON", "{"),
        ("another version", &OFFER.replacen(":2", ":3", 1)),
        ("a member twice", &doubled),
        ("no offers", &none),
        ("too long", &long),
        ("bytes after it", &format!("{OFFER}x")),
    ] {
        let mut headers = HeaderMap::new();
        headers.append(PAYMENT_REQUIRED, header(json));
        assert!(offers(&headers).unwrap().is_err(), "{what}");
    }
    let mut headers = HeaderMap::new();
    headers.append(PAYMENT_REQUIRED, http::HeaderValue::from_static("*"));
    offers(&headers).unwrap().unwrap_err();
}

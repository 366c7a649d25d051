//! The paths that cost nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Request, StatusCode};
use seamline_attest::verify_rsa_pss;
use seamline_core::canonical::heartbeat_hash;
use seamline_core::{Address, B256, NodeId, Timestamp, sha256};
use seamline_enclave::{AttesterKind, Enclave, EnclaveIdentity, Error, GuideUpstream};
use serde_json::json;

use crate::shop::{Echo, NOW_S, PAY_TO, Shop, config, identity};

const NONCE: &str = "000102030405060708090a0b0c0d0e0f10111213";

#[tokio::test]
async fn evidence_is_base64_of_the_document_and_a_newline() {
    let shop = Shop::open();
    let answer = shop
        .get(&format!("/enclave/attestation?nonce={NONCE}"))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/plain"));
    let document = BASE64
        .decode(answer.text().strip_suffix('\n').unwrap())
        .unwrap();
    let (nonce, user_data) = document.split_at(20);
    assert_eq!(hex::encode(nonce), NONCE);
    let identity = identity();
    let cert = sha256(&[identity.tls_certificate()]);
    let key = sha256(&[identity.signing_key_spki()]);
    let expected = [&[0x12, 0x20], &cert[..], &[0x12, 0x20], &key[..]];
    assert_eq!(user_data, expected.concat());
    assert_eq!(user_data, identity.user_data());
}

#[tokio::test]
async fn evidence_needs_a_nonce_of_40_hex_digits() {
    let shop = Shop::open();
    let short = format!("?nonce={}", &NONCE[..38]);
    let prefixed = format!("?nonce=0x{}", &NONCE[..38]);
    let long = format!("?nonce={NONCE}00");
    let not_hex = format!("?nonce={}zz", &NONCE[..38]);
    for (query, text) in [
        ("", "could not find nonce in URL query parameters\n"),
        ("?other=1", "could not find nonce in URL query parameters\n"),
        (
            "?nonce=",
            "unexpected nonce format; must be 40-digit hex string\n",
        ),
        (
            &short,
            "unexpected nonce format; must be 40-digit hex string\n",
        ),
        (
            &prefixed,
            "unexpected nonce format; must be 40-digit hex string\n",
        ),
        (
            &long,
            "unexpected nonce format; must be 40-digit hex string\n",
        ),
        (
            &not_hex,
            "unexpected nonce format; must be 40-digit hex string\n",
        ),
    ] {
        let answer = shop.get(&format!("/enclave/attestation{query}")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::BAD_REQUEST, text),
            "{query}"
        );
    }
}

#[tokio::test]
async fn software_evidence_is_said_on_every_answer() {
    for (kind, said) in [
        (AttesterKind::Software, "dev"),
        (AttesterKind::Hardware, ""),
    ] {
        let shop = Shop::attested(config(), Arc::new(GuideUpstream::new(None)), kind);
        for path in [
            "/enclave",
            "/health",
            "/signing-key",
            "/v1/models",
            "/nothing",
        ] {
            let answer = shop.get(path).await;
            assert_eq!(answer.header("x-seamline-evidence"), said, "{path}");
        }
        let unpaid = shop.send(crate::shop::chat("{}")).await;
        assert_eq!(unpaid.header("x-seamline-evidence"), said);
        assert_eq!(
            shop.get("/health").await.json()["tee_enabled"],
            json!(said.is_empty())
        );
        assert_eq!(
            shop.get("/enclave").await.text().contains("Nitro"),
            said.is_empty()
        );
    }
}

#[tokio::test]
async fn the_signing_key_is_the_nodes() {
    let answer = Shop::open().get("/signing-key").await;
    let json = answer.json();
    let pem = json["public_key"].as_str().unwrap();
    let body: Vec<&str> = pem.lines().collect();
    assert_eq!(body.first(), Some(&"-----BEGIN PUBLIC KEY-----"));
    assert_eq!(body.last(), Some(&"-----END PUBLIC KEY-----"));
    assert!(pem.ends_with('\n'));
    let base64 = body[1..body.len() - 1].concat();
    assert!(body[1..].iter().all(|line| line.len() <= 64));
    let spki = BASE64.decode(base64).unwrap();
    assert_eq!(spki, identity().signing_key_spki());
    assert_eq!(json["tee_id"], NodeId::of_signing_key(&spki).to_string());
    assert_eq!(json["wallet_address"], PAY_TO.to_checksum(None));
    assert_eq!(json["timestamp"], "2026-06-01T00:00:00+00:00");
    assert_eq!(json["enclave_info"]["platform"], "software-dev");
}

#[tokio::test]
async fn models_are_listed_with_their_prices() {
    let shop = Shop::open();
    let list = shop.get("/v1/models").await.json();
    let model = json!({
        "id": "seamline/guide", "object": "model", "created": NOW_S, "owned_by": "seamline",
        "seamline": {
            "price_input": "2000000", "price_output": "5000000",
            "price_unit": "base units per million tokens", "max_tokens": 1024,
            "asset": Address::repeat_byte(0x11).to_checksum(None), "network": "eip155:31610",
            "facilitator": "http://127.0.0.1:3002",
        },
    });
    assert_eq!(list, json!({"object": "list", "data": [model]}));
    assert_eq!(shop.get("/v1/models/seamline/guide").await.json(), model);
    assert_eq!(shop.get("/v1/models/seamline%2Fguide").await.json(), model);
    let unknown = shop.get("/v1/models/gpt-5").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_web_search_is_refused_in_words_and_not_asked_money_for() {
    let shop = Shop::open();
    for body in [r#"{"query": "receipts", "num_results": 3}"#, "", "no json"] {
        let request = Request::post("/v1/web_search")
            .header("content-type", "application/json")
            .header("authorization", "Bearer x")
            .body(body.into());
        let answer = shop.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(text.contains("no search engine"), "{text}");
        assert!(!answer.headers.contains_key("payment-required"));
    }
    let answer = shop.get("/v1/web_search").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(shop.settled().await, []);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let shop = Shop::open();
    let missing = shop.get("/v1/responses").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.header("content-type"), "application/problem+json");
    assert_eq!(missing.json()["status"], 404);
    let get = shop.get("/v1/chat/completions").await;
    assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        shop.get("/v1/completions").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    // Keys are handed over on a listener of their own.
    let keys = Request::post("/v1/keys").body(axum::body::Body::from("{}"));
    let keys = shop.send(keys.unwrap()).await;
    assert_eq!(keys.status, StatusCode::NOT_FOUND);
    assert_eq!(get.header("content-type"), "application/problem+json");
    let post = Request::post("/health")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(shop.send(post).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn heartbeats_are_signed_and_counted() {
    let shop = Shop::open();
    let before = shop.get("/heartbeat/status").await.json();
    assert_eq!(
        (&before["running"], &before["last_tx_hash"]),
        (&json!(false), &json!(null))
    );
    let beat = shop
        .enclave
        .heartbeat(Timestamp::from_millis(NOW_S * 1_000 + 999))
        .unwrap();
    assert_eq!((beat.tee_id, beat.timestamp), (identity().node_id(), NOW_S));
    let hash = heartbeat_hash(beat.tee_id, beat.timestamp);
    verify_rsa_pss(identity().signing_key_spki(), &hash, &beat.signature).unwrap();
    shop.enclave.note_heartbeat(Err("rpc unreachable"));
    shop.enclave.note_heartbeat(Ok(B256::repeat_byte(7)));
    let after = shop.get("/heartbeat/status").await.json();
    assert_eq!(
        (&after["total_sent"], &after["total_errors"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(after["last_success_timestamp"], json!(NOW_S));
    assert_eq!(after["last_tx_hash"], B256::repeat_byte(7).to_string());
}

#[test]
fn identities_survive_their_bytes_and_nothing_else_does() {
    let identity = identity();
    let bytes = identity.to_bytes().unwrap();
    let read = EnclaveIdentity::from_bytes(&bytes).unwrap();
    assert_eq!(read.node_id(), identity.node_id());
    assert_eq!(read.tls_certificate(), identity.tls_certificate());
    assert_eq!(read.tls_private_key(), identity.tls_private_key());
    let hash = B256::repeat_byte(1);
    verify_rsa_pss(
        identity.signing_key_spki(),
        &hash,
        &read.sign(&hash).unwrap(),
    )
    .unwrap();
    let refused = |bytes: &[u8], why: &'static str| {
        let outcome = EnclaveIdentity::from_bytes(bytes).map(|identity| identity.node_id());
        let Err(Error::Identity { reason }) = outcome else {
            panic!("{why}: {outcome:?}");
        };
        assert_eq!(reason, why);
    };
    refused(b"", "wrong magic");
    refused(&bytes[..40], "cut off");
    refused(&bytes[..bytes.len() - 1], "cut off");
    refused(&[&bytes[..], &[0]].concat(), "trailing bytes");
    let mut broken = bytes.to_vec();
    let last = broken.len() - 1_000;
    broken[last] ^= 1;
    refused(&broken, "broken signing key");
}

#[test]
fn the_certificate_is_the_one_that_nitriding_makes() {
    let now = Timestamp::from_secs(NOW_S);
    let identity = EnclaveIdentity::generate(now).unwrap();
    let (rest, cert) = x509_parser::parse_x509_certificate(identity.tls_certificate()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(cert.subject().to_string(), "O=localhost");
    assert_eq!(cert.issuer(), cert.subject());
    let names = &cert
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(
        names,
        &[x509_parser::prelude::GeneralName::DNSName("localhost")]
    );
    assert!(!cert.is_ca());
    let usage = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let validity = cert.validity();
    let start = i64::try_from(NOW_S).unwrap();
    assert_eq!(validity.not_before.timestamp(), start);
    assert_eq!(validity.not_after.timestamp() - start, 356 * 24 * 60 * 60);
    let key = cert.public_key().parsed().unwrap();
    assert!(
        matches!(key, x509_parser::public_key::PublicKey::EC(point) if point.key_size() == 256)
    );
}

#[test]
fn contradictory_configurations_are_refused() {
    let open = |edit: fn(&mut seamline_enclave::EnclaveConfig)| {
        let mut config = config();
        edit(&mut config);
        let upstream = Arc::new(GuideUpstream::new(None));
        let attester = Arc::new(Echo(AttesterKind::Software));
        let clock = Arc::new(|| Timestamp::from_secs(NOW_S));
        match Enclave::new(config, identity(), attester, upstream, clock) {
            Err(Error::Config { reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let slash = "the endpoint is empty or ends with a slash";
    assert_eq!(open(|config| config.endpoint.clear()), slash);
    assert_eq!(open(|config| config.endpoint.push('/')), slash);
    assert_eq!(
        open(|config| config.max_tokens = 0),
        "answers are bounded to no token at all"
    );
    assert_eq!(
        open(|config| config.prices.clear()),
        "no model of the upstream has a price"
    );
}

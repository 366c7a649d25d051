//! Response signing keys: what is bound, which keys are accepted, which signatures verify.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use seamline_core::{B256, NodeId, SourceClass, sha256};
use seamline_testkit::json_vector;
use serde_json::Value;

use super::builder::{Draft, TLS_CERT, bytes, spki_of_size, user_data};
use crate::error::BindingFault;
use crate::{At, Check, Error, verify_rsa_pss};

fn spki(key: &RsaKeyPair) -> Vec<u8> {
    let der = key.public_key().as_der().expect("a public key");
    der.as_ref().to_vec()
}

fn sign(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &B256) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        encoding,
        &SystemRandom::new(),
        message.as_slice(),
        &mut signature,
    )
    .expect("a signature");
    signature
}

fn bound_to(spki_der: &[u8]) -> Draft {
    let mut draft = Draft::dev();
    let data = user_data(TLS_CERT, &sha256(&[spki_der]));
    draft.set("user_data", bytes(&data));
    draft
}

#[test]
fn a_bound_key_verifies_responses() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let spki_der = spki(&key);
    let claims = bound_to(&spki_der).verify().expect("claims");
    let response_key = claims.bind_signing_key(&spki_der).expect("the key");
    assert_eq!(response_key.node_id(), NodeId::of_signing_key(&spki_der));
    assert_eq!(response_key.source(), SourceClass::Dev);
    assert_eq!(response_key.at(), At::Live);
    assert_eq!(response_key.spki_der(), spki_der);

    let message = B256::repeat_byte(7);
    let signature = sign(&key, &RSA_PSS_SHA256, &message);
    assert_eq!(response_key.verify(&message, &signature), Ok(()));
    assert_eq!(verify_rsa_pss(&spki_der, &message, &signature), Ok(()));

    let refused = Err(Error::Reject(Check::ResponseSignature));
    assert_eq!(
        response_key.verify(&B256::repeat_byte(8), &signature),
        refused
    );
    for other in [
        &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding,
        &RSA_PSS_SHA384,
    ] {
        let signature = sign(&key, other, &message);
        assert_eq!(response_key.verify(&message, &signature), refused);
    }
    assert_eq!(response_key.verify(&message, b""), refused);
    assert_eq!(response_key.verify(&message, &signature[..255]), refused);
    let padded = [&[0], signature.as_slice()].concat();
    assert_eq!(response_key.verify(&message, &padded), refused);
}

#[test]
fn an_archived_response_is_checked_with_a_key_that_says_so() {
    let spki_der = spki_of_size(256);
    let mut draft = bound_to(&spki_der);
    draft.policy.time = At::Historical;
    let claims = draft.verify().expect("claims");
    let key = claims.bind_signing_key(&spki_der).expect("the key");
    assert_eq!(key.at(), At::Historical);
}

#[test]
fn another_key_or_certificate_is_refused() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let other = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let claims = bound_to(&spki(&key)).verify().expect("claims");
    let refused = claims.bind_signing_key(&spki(&other)).map(|_| ());
    assert_eq!(
        refused,
        Err(Error::Reject(Check::Binding(BindingFault::SigningKey)))
    );

    let tls = claims.bind_tls(TLS_CERT).expect("the certificate");
    assert_eq!(tls.cert_der(), TLS_CERT);
    assert_eq!(*tls.cert_sha256(), sha256(&[TLS_CERT]));
    let refused = claims.bind_tls(b"another certificate").map(|_| ());
    assert_eq!(
        refused,
        Err(Error::Reject(Check::Binding(BindingFault::TlsCertificate)))
    );
}

#[test]
fn a_bound_key_of_another_kind_is_refused() {
    let good = spki(&RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"));
    // The exponent is the last integer; 3 in place of 65537 changes no length but one.
    let exponent_17 = [&good[..good.len() - 3], &[1, 0, 17]].concat();
    let trailing = [good.as_slice(), &[0]].concat();
    // BER: the outer length in three bytes where two suffice.
    let long_form = [&[0x30, 0x83, 0, 1, 0x22], &good[4..]].concat();
    let no_parameters = replace(&good, b"\x05\x00", b"\x05\x01");
    let top_bit_clear = {
        let mut spki = good;
        // 4 outer, 15 algorithm, 5 bit string, 4 key, 4 modulus head, then 00 and the modulus.
        assert_eq!(spki[32], 0);
        spki[33] &= 0x7f;
        spki
    };
    let mut keys = vec![
        exponent_17,
        trailing,
        long_form,
        no_parameters,
        top_bit_clear,
    ];
    keys.push(b"not a key".to_vec());
    keys.push(Draft::hardware().issued.key.public_key_raw().to_vec());
    for key in keys {
        let claims = bound_to(&key).verify().expect("claims");
        let refused = claims.bind_signing_key(&key).map(|_| ());
        assert_eq!(
            refused,
            Err(Error::Reject(Check::SigningKey)),
            "{}",
            hex::encode(&key)
        );
    }
}

#[test]
fn the_size_of_a_key_is_bounded() {
    for (size, accepted) in [
        (128, false),
        (255, false),
        (256, true),
        (384, true),
        (512, true),
        (513, false),
        (1024, false),
    ] {
        let key = spki_of_size(size);
        let claims = bound_to(&key).verify().expect("claims");
        let outcome = claims.bind_signing_key(&key).map(|_| ());
        let refused = Err(Error::Reject(Check::SigningKey));
        assert_eq!(outcome, if accepted { Ok(()) } else { refused }, "{size}");
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from);
    let at = at.expect("the bytes to replace");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn hex_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

#[test]
fn published_signatures_verify_and_other_schemes_do_not() {
    let vectors = json_vector("nitro/response-signature.json");
    let spki_der = hex_of(&vectors["spki_der"]);
    assert_eq!(hex::encode(sha256(&[&spki_der])), vectors["spki_sha256"]);

    let mut draft = Draft::dev();
    draft.set("user_data", bytes(&hex_of(&vectors["user_data"])));
    let claims = draft.verify().expect("claims");
    let tls = claims.bind_tls(&hex_of(&vectors["tls_cert_der"]));
    assert_eq!(tls.map(|_| ()), Ok(()));
    let key = claims.bind_signing_key(&spki_der).expect("the key");
    assert_eq!(key.node_id().to_string(), vectors["node_id"]);

    let cases = vectors["cases"].as_array().expect("a list");
    assert!(cases.len() > 15);
    for case in cases {
        let message = B256::from_slice(&hex_of(&case["message_hash"]));
        let signature = hex_of(&case["signature"]);
        let outcome = match key.verify(&message, &signature) {
            Ok(()) => "ok",
            Err(err) => err.code(),
        };
        assert_eq!(outcome, case["expect"], "{}", case["name"]);
        let on_chain = crate::precompile::verify_rsa_pss(&spki_der, &message, &signature);
        assert_eq!(on_chain, outcome == "ok", "{}", case["name"]);
    }
}

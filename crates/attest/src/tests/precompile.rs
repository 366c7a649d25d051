//! The on-chain verifier's arguments, limits and ages.

use seamline_core::{B256, Timestamp, sha256};

use super::builder::{Draft, Pki, TLS_CERT, bytes, spki_of_size, text, uint, user_data};
use crate::TrustRoots;
use crate::dev;
use crate::precompile::{verify_attestation, verify_rsa_pss};

struct Call {
    document: Vec<u8>,
    signing_key: Vec<u8>,
    tls_cert: Vec<u8>,
    root: Vec<u8>,
    roots: TrustRoots,
    block_time: Timestamp,
}

impl Call {
    fn run(&self) -> (bool, B256) {
        verify_attestation(
            &self.document,
            &self.signing_key,
            &self.tls_cert,
            &self.root,
            &self.roots,
            self.block_time,
        )
    }
}

const REFUSED: (bool, B256) = (false, B256::ZERO);

fn pem(der: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = base64(der)
        .as_bytes()
        .chunks(64)
        .map(<[u8]>::to_vec)
        .collect();
    let body = lines.join(b"\n".as_slice());
    [
        b"-----BEGIN CERTIFICATE-----\n",
        body.as_slice(),
        b"\n-----END CERTIFICATE-----\n",
    ]
    .concat()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * place) & 63]);
            out.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    out
}

fn draft(change: impl FnOnce(&mut Draft)) -> (Draft, Call) {
    let signing_key = spki_of_size(256);
    let mut draft = Draft::dev();
    draft.set(
        "user_data",
        bytes(&user_data(TLS_CERT, &sha256(&[&signing_key]))),
    );
    change(&mut draft);
    let call = prepared(&draft, signing_key);
    (draft, call)
}

fn prepared(draft: &Draft, signing_key: Vec<u8>) -> Call {
    let roots = TrustRoots::none().danger_accept_dev(draft.root());
    Call {
        document: draft.sign(),
        signing_key,
        tls_cert: TLS_CERT.to_vec(),
        root: pem(draft.root()),
        roots: roots.expect("a development root"),
        block_time: draft.now,
    }
}

fn call(change: impl FnOnce(&mut Call)) -> (bool, B256) {
    let (_, mut call) = draft(|_| ());
    change(&mut call);
    call.run()
}

#[test]
fn a_bound_document_yields_its_measurement() {
    let (draft, call) = draft(|_| ());
    assert_eq!(call.run(), (true, draft.pcr_hash()));
}

#[test]
fn only_configured_roots_count() {
    assert_eq!(call(|call| call.root = vec![]), REFUSED);
    let other = Draft::dev();
    assert_eq!(call(|call| call.root = pem(other.root())), REFUSED);
    assert_eq!(call(|call| call.roots = TrustRoots::aws()), REFUSED);
    // PEM, as the published precompile: DER and text around it are no root.
    let (draft, mut der) = draft(|_| ());
    der.root = draft.root().to_vec();
    assert_eq!(der.run(), REFUSED);
    assert_eq!(call(|call| call.root.extend(b"x")), REFUSED);
    assert_eq!(call(|call| call.root = call.root.repeat(2)), REFUSED);
    let other_label = |pem: &[u8]| {
        let pem = String::from_utf8(pem.to_vec()).expect("text");
        pem.replace("CERTIFICATE", "PUBLIC KEY").into_bytes()
    };
    assert_eq!(call(|call| call.root = other_label(&call.root)), REFUSED);
    assert_eq!(
        call(|call| call.root = b"-----BEGIN CERTIFICATE-----".to_vec()),
        REFUSED
    );
    let aws = include_bytes!("../roots/aws-nitro-g1.der");
    assert_eq!(call(|call| call.root = pem(aws)), REFUSED);
}

#[test]
fn keys_and_certificates_must_be_the_bound_ones() {
    assert_eq!(call(|call| call.tls_cert.push(0)), REFUSED);
    assert_eq!(call(|call| call.signing_key.push(0)), REFUSED);
    let text = b"not a key";
    let (_, mut not_a_key) = draft(|draft| {
        draft.set("user_data", bytes(&user_data(TLS_CERT, &sha256(&[text]))));
    });
    not_a_key.signing_key = text.to_vec();
    assert_eq!(not_a_key.run(), REFUSED);
}

#[test]
fn the_document_has_an_age() {
    let made = Draft::dev().now.as_millis() - 500;
    let at = |millis| call(|call| call.block_time = Timestamp::from_millis(millis)).0;
    assert!(at(made + 300_000));
    assert!(!at(made + 300_001));
    let ahead = |millis| {
        let (draft, call) =
            draft(|draft| draft.set("timestamp", uint(draft.now.as_millis() + millis)));
        assert_eq!(call.block_time, draft.now);
        call.run().0
    };
    assert!(ahead(60_000));
    assert!(!ahead(60_001));
}

#[test]
fn documents_from_before_the_first_plausible_day_are_refused() {
    let mut pki = Pki::dev();
    for cert in &mut pki.certs {
        cert.not_before = 1_738_281_000;
    }
    let spki_der = spki_of_size(256);
    for (made, accepted) in [(1_738_281_599_999, false), (1_738_281_600_000, true)] {
        let mut draft = Draft::of(&pki, "dev-localhost-enc01");
        draft.set(dev::EVIDENCE_TYPE_KEY, text(dev::EVIDENCE_TYPE));
        draft.set("timestamp", uint(made));
        draft.set(
            "user_data",
            bytes(&user_data(TLS_CERT, &sha256(&[&spki_der]))),
        );
        draft.now = Timestamp::from_millis(made);
        assert_eq!(prepared(&draft, spki_der.clone()).run().0, accepted);
    }
}

#[test]
fn any_nonce_and_no_debug_mode() {
    let (_, any_nonce) = draft(|draft| draft.remove("nonce"));
    assert!(any_nonce.run().0);
    let (_, debug) = draft(|draft| draft.pcrs[0].1 = vec![0; 48]);
    assert_eq!(debug.run(), REFUSED);
}

#[test]
fn arguments_are_bounded() {
    assert_eq!(
        call(|call| call.document = vec![0x84; 16 * 1024 + 1]),
        REFUSED
    );
    assert_eq!(call(|call| call.tls_cert = vec![1; 8 * 1024 + 1]), REFUSED);
    assert_eq!(
        call(|call| call.signing_key = vec![1; 8 * 1024 + 1]),
        REFUSED
    );
    assert_eq!(
        call(|call| call.root.extend(vec![b'\n'; 8 * 1024])),
        REFUSED
    );
    assert_eq!(call(|call| call.document.clear()), REFUSED);
    assert!(!verify_rsa_pss(&[1; 8 * 1024 + 1], &B256::ZERO, &[1; 256]));
    assert!(!verify_rsa_pss(b"", &B256::ZERO, &[1; 1025]));
}

//! The synthetic vectors of `spec/vectors/nitro`: each yields what its manifest says.

use seamline_core::Timestamp;
use seamline_testkit::{json_vector, vector};
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;

use crate::{Measurements, NonceRule, Policy, TrustRoots, nitro::Document, verify};

/// The root that the vectors were made under, trusted as if it were hardware's: they are older
/// than the marks of development roots.
fn roots(name: &Value) -> TrustRoots {
    if name == "aws" {
        return TrustRoots::aws();
    }
    let pem = vector("nitro/dev-root.pem");
    let (_, pem) = parse_x509_pem(&pem).expect("PEM");
    TrustRoots::test_hardware(&pem.contents)
}

fn outcome(manifest: &Value, case: &Value) -> (String, Vec<u8>) {
    let evidence = vector(&format!("nitro/{}", case["file"].as_str().expect("a name")));
    let digest = seamline_core::sha256(&[&evidence]);
    assert_eq!(hex::encode(digest), case["sha256"], "{}", case["file"]);
    let nonce = hex::decode(manifest["nonce"].as_str().expect("hex")).expect("hex");
    let policy = Policy::live(NonceRule::Expect(nonce), Measurements::AnyReported);
    let now = Timestamp::from_secs(case["eval_unix"].as_u64().expect("a time"));
    let outcome = match verify(&evidence, &roots(&case["root"]), &policy, now) {
        Ok(_) => "accept".to_owned(),
        Err(err) => format!("reject:{}", err.code()),
    };
    (outcome, evidence)
}

#[test]
fn every_vector_yields_its_expected_reason() {
    let manifest = json_vector("nitro/manifest.json");
    let cases = manifest["vectors"].as_array().expect("a list");
    assert_eq!(cases.len(), 40);
    for case in cases {
        let (outcome, evidence) = outcome(&manifest, case);
        let expected = case["expect"].as_str().expect("a word");
        if expected == "accept-but-same-id" {
            assert_eq!(outcome, "accept", "{}", case["file"]);
            let twin = case["same_id_as"].as_str().expect("a name");
            let twin = vector(&format!("nitro/{twin}"));
            let id = |bytes: &[u8]| Document::parse(bytes).expect("a document").id();
            assert_eq!(id(&evidence), id(&twin));
            assert_ne!(evidence, twin);
        } else {
            assert_eq!(outcome, expected, "{}", case["file"]);
        }
    }
}

#[test]
fn the_test_root_is_no_development_root() {
    let pem = vector("nitro/dev-root.pem");
    let (_, pem) = parse_x509_pem(&pem).expect("PEM");
    let refused = TrustRoots::none().danger_accept_dev(&pem.contents);
    assert_eq!(refused.expect_err("no marks").code(), "DEV_UNMARKED");
}

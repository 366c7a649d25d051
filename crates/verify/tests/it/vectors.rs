//! Receipts for verifiers in other languages: each with what must be concluded from it.
//!
//! ECDSA and RSA-PSS signatures are random, so the files cannot be made again bit for bit; they are
//! written once, by `cargo test -p seamline-verify write_vectors -- --ignored`, and then only read.

use seamline_core::Timestamp;
use seamline_testkit::{json_vector, project_root};
use seamline_verify::{Outcome, Trust, TrustFile, Verdict, verify};
use serde_json::{Value, json};

use crate::fixture::{World, facilitator, keys, later, route_policy};
use crate::forge::Forge;
use crate::shapes::MUTATIONS;

mod late;

const FILE: &str = "receipt/receipts.json";

/// Structural changes that are worth a vector: one per check.
const CHOSEN: [&str; 22] = [
    "other magic",
    "truncated",
    "longer head than needed",
    "repeated key",
    "terminal escape",
    "event with a field too many",
    "other algorithm",
    "unprotected header",
    "signature with s + L",
    "key of small order",
    "event dropped",
    "event moved in time",
    "hidden leaf edited",
    "evidence edited",
    "receipt taken over by another key",
    "open leaf edited",
    "binding value edited",
    "margin edited in the summary",
    "cost edited in the summary",
    "dev marker removed",
    "hesitation removed",
    "hesitation added",
];

fn trust_file(world: &World) -> TrustFile {
    let network = world.trust.network.unwrap();
    let measurements = route_policy().measurements;
    TrustFile {
        version: 1,
        recorders: vec![world.seal_key.public_key().to_string()],
        measurements: measurements.iter().map(ToString::to_string).collect(),
        chain_id: Some(network.chain_id),
        registry: Some(network.registry.to_string()),
        facilitators: vec![facilitator().to_string()],
        danger_accept_dev_roots: vec![hex::encode(&keys().attester.root)],
        ..TrustFile::default()
    }
}

fn summary(verdict: &Verdict) -> Value {
    let failing = verdict.first_failure().map(|finding| finding.claim.id());
    let findings = verdict.findings.iter();
    let open = findings
        .filter(|finding| finding.claim.level().is_some() && finding.outcome != Outcome::Pass);
    let open: Vec<_> = open
        .map(|finding| json!([finding.claim.id(), finding.outcome.as_str()]))
        .collect();
    json!({
        "status": verdict.status.as_str(),
        "level": verdict.level.as_str(),
        "dev": verdict.dev,
        "failing": failing,
        "not_passed": open,
    })
}

fn case(world: &World, name: &str, file: &[u8]) -> Value {
    let expected = summary(&world.check(file));
    json!({ "name": name, "file": hex::encode(file), "expected": expected })
}

#[test]
fn vectors_hold() {
    let vectors = json_vector(FILE);
    let file: TrustFile = serde_json::from_value(vectors["trust"].clone()).unwrap();
    let trust = Trust::try_from(&file).unwrap();
    let now = Timestamp::from_millis(vectors["now_ms"].as_u64().unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > CHOSEN.len());
    for case in cases {
        let bytes = hex::decode(case["file"].as_str().unwrap()).unwrap();
        let verdict = verify(&bytes, &trust, now);
        assert_eq!(summary(&verdict), case["expected"], "{}", case["name"]);
    }
}

#[test]
#[ignore = "writes spec/vectors/receipt/receipts.json"]
fn write_vectors() {
    let world = World::new();
    let bundle = world.seal();
    let last = bundle.leaves().len() - 1;
    let all: Vec<usize> = (1..last).collect();
    let private = bundle.redact(&bundle.private_events()).unwrap();
    let mut cases = vec![
        case(&world, "complete", &bundle.encode()),
        case(&world, "private events hidden", &private.encode()),
        case(
            &world,
            "everything hidden",
            &bundle.redact(&all).unwrap().encode(),
        ),
    ];
    let forge = Forge::open(&bundle.encode());
    for name in CHOSEN {
        let mut mutations = MUTATIONS.iter();
        let (_, _, mutate) = mutations.find(|(it, ..)| *it == name).unwrap();
        cases.push(case(&world, name, &mutate(forge.clone())));
    }
    let vectors = json!({
        "note": "verify each file with this trust and clock; `failing` is the first claim that is wrong",
        "now_ms": later().as_millis(),
        "trust": trust_file(&world),
        "cases": cases,
    });
    let path = project_root().join("spec/vectors").join(FILE);
    let text = serde_json::to_string_pretty(&vectors).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}

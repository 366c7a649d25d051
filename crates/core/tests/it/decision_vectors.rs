//! Decisions against `spec/vectors/decision/`.
//!
//! What a case must yield was computed by this code and is checked by `check.py` beside the vectors,
//! which shares none of it. After a change of the rules: run the tests, look at the files that
//! they name, copy them over the vectors, run `check.py`.

use std::path::Path;
use std::process::Command;

use seamline_core::decision::{Candidate, Catalogue, Decision, Flip, RoutePolicy, Verdict, decide};
use seamline_core::{Address, Amount, B256, NodeId, Timestamp, sha256};
use seamline_testkit::{json_vector, project_root};
use serde_json::{Map, Value, json};

#[track_caller]
fn check_file(name: &str) {
    let file = json_vector(&format!("decision/{name}"));
    let mut regenerated = file.clone();
    for case in regenerated["cases"].as_array_mut().unwrap() {
        let expected = expected(&file, case);
        case["expect"] = expected;
    }
    if regenerated != file {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let text = serde_json::to_string_pretty(&regenerated).unwrap();
        std::fs::write(&copy, text + "\n").unwrap();
        let copy = copy.display();
        panic!("spec/vectors/decision/{name} differs from what the rules yield: see {copy}");
    }
}

#[test]
fn decisions_at_the_edges_of_the_rules() {
    check_file("cases.json");
}

#[test]
fn decisions_of_random_inputs() {
    check_file("cases-random.json");
}

#[test]
fn the_independent_check_agrees() {
    let script = project_root().join("spec/vectors/decision/check.py");
    match Command::new("python3").arg(&script).output() {
        Ok(run) => assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        ),
        Err(err) => skip(&err),
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(err: &std::io::Error) {
    eprintln!("skipped: no python3 to run spec/vectors/decision/check.py: {err}");
}

#[test]
fn encodings_that_are_none_are_refused() {
    let file = json_vector("decision/reject.json");
    for case in file["vectors"].as_array().unwrap() {
        let name = text(case, "name");
        let bytes = hex::decode(text(case, "encoded")).unwrap();
        let outcome = match text(case, "type") {
            "policy" => RoutePolicy::decode(&bytes).err(),
            "catalogue" => Catalogue::decode(&bytes).err(),
            "decision" => Decision::decode(&bytes).err(),
            other => panic!("{name}: unknown type {other}"),
        };
        let code = outcome.map(|err| err.code());
        assert_eq!(code, case["expect"].as_str(), "{name}");
    }
}

fn expected(file: &Value, case: &Value) -> Value {
    let policy = policy(&merged(&file["policy"], &case["policy"]));
    let candidates = case["candidates"].as_array().unwrap().iter();
    let catalogue = Catalogue::new(
        candidates
            .map(|given| candidate(&merged(&file["candidate"], given)))
            .collect(),
    )
    .unwrap();
    let now = Timestamp::from_millis(file["now_ms"].as_u64().unwrap());
    let decision = decide(&policy, &catalogue, now, &hash(case, "draw"));
    let (policy_bytes, catalogue_bytes) = (policy.encode(), catalogue.encode());
    // What is written down must also come back.
    assert_eq!(RoutePolicy::decode(&policy_bytes).as_ref(), Ok(&policy));
    assert_eq!(Catalogue::decode(&catalogue_bytes).as_ref(), Ok(&catalogue));
    assert_eq!(Decision::decode(&decision.encode()).as_ref(), Ok(&decision));
    json!({
        "policy_encoded": hex::encode(policy_bytes),
        "policy_hash": hex::encode(policy.policy_hash()),
        "catalogue_sha256": hex::encode(sha256(&[&catalogue_bytes])),
        "catalogue_root": hex::encode(catalogue.root()),
        "decision": to_json(&decision),
    })
}

fn to_json(decision: &Decision) -> Value {
    let candidates: Vec<Value> = decision
        .candidates
        .iter()
        .map(|considered| {
            let node = considered.node.to_string();
            match considered.verdict {
                Verdict::Usable { score } => json!({"node": node, "score": score}),
                Verdict::Rejected {
                    reason,
                    observed,
                    bound,
                } => json!({
                    "node": node, "rejected": reason.name(),
                    "observed": observed.to_string(), "bound": bound.to_string(),
                }),
            }
        })
        .collect();
    let flip = |flip: &Flip| {
        json!({
            "what": flip.what.name(), "node": flip.node.to_string(),
            "from": flip.from.to_string(), "to": flip.to.to_string(),
        })
    };
    let rank: Vec<String> = decision.rank.iter().map(NodeId::to_string).collect();
    json!({
        "candidates": candidates,
        "chosen": decision.chosen.map(|node| node.to_string()),
        "runner_up": decision.runner_up.map(|node| node.to_string()),
        "margin_ppm": decision.margin_ppm,
        "deciding": decision.deciding.name(),
        "propensity": [decision.propensity.0, decision.propensity.1],
        "usable": decision.usable,
        "rank": rank,
        "flips": decision.flips.iter().map(flip).collect::<Vec<Value>>(),
        "encoded": hex::encode(decision.encode()),
    })
}

/// The defaults of the file, with what the case says otherwise.
fn merged(defaults: &Value, given: &Value) -> Map<String, Value> {
    let mut merged = defaults.as_object().unwrap().clone();
    merged.extend(given.as_object().cloned().unwrap_or_default());
    merged
}

fn policy(given: &Map<String, Value>) -> RoutePolicy {
    let given = &Value::Object(given.clone());
    let weight = |name: &str| u32::try_from(number(given, name)).unwrap();
    let texts = |name: &str| -> Vec<String> {
        let items = given[name].as_array().unwrap().iter();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    RoutePolicy {
        model: text(given, "model").to_owned(),
        cap: amount(given, "cap"),
        weight_price: weight("weight_price"),
        weight_latency: weight("weight_latency"),
        weight_health: weight("weight_health"),
        latency_bound_us: number(given, "latency_bound_us"),
        explore_ppm: weight("explore_ppm"),
        max_heartbeat_age_s: number(given, "max_heartbeat_age_s"),
        measurements: texts("measurements")
            .iter()
            .map(|text| text.parse().unwrap())
            .collect(),
        network: text(given, "network").to_owned(),
        asset: address(given, "asset"),
        avoid: texts("avoid")
            .iter()
            .map(|text| NodeId::parse(text).unwrap())
            .collect(),
    }
}

fn candidate(given: &Map<String, Value>) -> Candidate {
    let given = &Value::Object(given.clone());
    Candidate {
        node: NodeId::new(hash(given, "node")),
        endpoint: text(given, "endpoint").to_owned(),
        pay_to: address(given, "pay_to"),
        measurement: hash(given, "measurement"),
        offers_model: given["offers_model"].as_bool().unwrap(),
        network: text(given, "network").to_owned(),
        asset: address(given, "asset"),
        cost: amount(given, "cost"),
        latency_us: number(given, "latency_us"),
        health_ppm: u32::try_from(number(given, "health_ppm")).unwrap(),
        heartbeat_age_s: number(given, "heartbeat_age_s"),
        observed_age_ms: number(given, "observed_age_ms"),
        cooling_until_ms: number(given, "cooling_until_ms"),
        enabled: given["enabled"].as_bool().unwrap(),
    }
}

fn text<'a>(given: &'a Value, name: &str) -> &'a str {
    given[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {given}"))
}

fn number(given: &Value, name: &str) -> u64 {
    given[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name} in {given}"))
}

fn hash(given: &Value, name: &str) -> B256 {
    text(given, name).parse().unwrap()
}

fn address(given: &Value, name: &str) -> Address {
    text(given, name).parse().unwrap()
}

fn amount(given: &Value, name: &str) -> Amount {
    Amount::parse(text(given, name)).unwrap()
}

//! `seamline settlement`: what it proves, what it does not, and what it could not find out.

use std::fs;
use std::path::PathBuf;

use seamline_core::Address;
use seamline_evm::settlement::{InclusionProof, Tree};
use serde_json::{Value, json};

use crate::harness::{Home, closed_port, text};

const CONTRACT: &str = "0x00000000000000000000000000000000000000cc";

/// A proof from a tree that OpenZeppelin's library made.
fn proof() -> InclusionProof {
    let vectors = include_str!("../../../../spec/vectors/merkle/standard-v1.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let trees = vectors["trees"].as_array().unwrap();
    let with_dump = trees.iter().rev().find(|it| it["dump_json"].is_string());
    let dump = with_dump.unwrap()["dump_json"].as_str().unwrap();
    let tree = Tree::parse(dump.as_bytes()).unwrap();
    InclusionProof::of(&tree, 1, 31_337, Address::repeat_byte(0xcc), None).unwrap()
}

fn written(home: &Home, name: &str, proof: &Value) -> PathBuf {
    let path = home.beside(name);
    fs::write(&path, proof.to_string()).unwrap();
    path
}

/// The outcome of a check.
fn outcome(answer: &Value, check: &str) -> String {
    let findings = answer["findings"].as_array().unwrap();
    let found = findings.iter().find(|it| it["check"] == check);
    found.unwrap()["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_proof_is_checked_against_a_root_without_asking_anybody() {
    let home = Home::new();
    let proof = proof();
    let good: Value = serde_json::from_str(&proof.to_json()).unwrap();
    let root = proof.root.to_string();
    let file = written(&home, "good.json", &good);
    let answer = home.json(&[
        "settlement",
        "verify",
        text(&file),
        "--root",
        &root,
        "--json",
    ]);
    assert_eq!(answer["id"], json!(proof.inference.id()));
    assert_eq!(outcome(&answer, "inclusion"), "yes");
    assert_eq!(outcome(&answer, "root"), "yes");
    // The registry's key is on the chain.
    assert_eq!(outcome(&answer, "signature"), "unknown");
    assert_eq!(answer["settled"], Value::Null);

    let other = json!(format!("0x{}", "5a".repeat(32)));
    let leaf = |member: &str, value: Value| {
        let mut file = good.clone();
        file["inference"][member] = value;
        file
    };
    let with = |path: &str, value: Value| {
        let mut file = good.clone();
        *file.pointer_mut(path).unwrap() = value;
        file
    };
    let time = proof.inference.timestamp.wrapping_add(1);
    let altered = [
        ("tee_id", leaf("tee_id", other.clone()), "yes"),
        ("input", leaf("input_hash", other.clone()), "yes"),
        ("output", leaf("output_hash", other.clone()), "yes"),
        ("signature", leaf("tee_signature", json!("AAAA")), "yes"),
        ("time", leaf("tee_timestamp", json!(time)), "yes"),
        ("sibling", with("/proof/0", other.clone()), "yes"),
        ("shorter", with("/proof", json!([])), "yes"),
        ("root", with("/root", other.clone()), "no"),
    ];
    for (name, file, rooted) in altered {
        let file = written(&home, "altered.json", &file);
        let ran = home.run(&[
            "settlement",
            "verify",
            text(&file),
            "--root",
            &root,
            "--json",
        ]);
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        let answer = ran.json();
        assert_eq!(outcome(&answer, "inclusion"), "no", "{name}");
        assert_eq!(outcome(&answer, "root"), rooted, "{name}");
    }
    // A proof of another tree proves nothing about this root.
    let root = other.as_str().unwrap();
    let ran = home.run(&[
        "settlement",
        "verify",
        text(&file),
        "--root",
        root,
        "--json",
    ]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(outcome(&ran.json(), "inclusion"), "yes");
    assert_eq!(outcome(&ran.json(), "root"), "no");
    assert!(!home.path().exists(), "nothing was begun");
}

#[test]
fn what_is_no_proof_is_a_usage_error() {
    let home = Home::new();
    let root = proof().root.to_string();
    let verify = |file: &str| home.run(&["settlement", "verify", file, "--root", &root]);
    verify(text(&home.beside("nothing"))).fails(2, "settlement.unreadable");
    let good: Value = serde_json::from_str(&proof().to_json()).unwrap();
    let mut without = vec![json!({}), json!([])];
    for member in [
        "format",
        "chain_id",
        "contract",
        "root",
        "inference",
        "proof",
    ] {
        let mut file = good.clone();
        file.as_object_mut().unwrap().remove(member);
        without.push(file);
    }
    for file in without {
        verify(text(&written(&home, "bad.json", &file))).fails(2, "settlement.malformed");
    }
    // A root is enough, or a chain: not both.
    let file = written(&home, "good.json", &good);
    let both = [
        "settlement",
        "verify",
        text(&file),
        "--root",
        &root,
        "--contract",
        CONTRACT,
    ];
    assert_eq!(home.run(&both).code, 2);
}

#[test]
fn without_a_chain_nothing_is_found_out() {
    let home = Home::new();
    let good: Value = serde_json::from_str(&proof().to_json()).unwrap();
    let file = written(&home, "good.json", &good);
    let id = proof().inference.id().to_string();
    let commands = [
        vec!["settlement", "list"],
        vec!["settlement", "prove", "--id", &id],
        vec!["settlement", "verify", text(&file)],
    ];
    let rpc = format!("http://127.0.0.1:{}", closed_port());
    for command in commands {
        home.run(&command).fails(2, "settlement.network");
        let mut there = command.clone();
        there.extend(["--rpc", &rpc, "--contract", CONTRACT]);
        home.run(&there).fails(3, "chain.unreachable");
    }
}

//! Receipts together with what became known later, and the kinds of events that no other vector has.

use std::path::PathBuf;

use seamline_core::receipt::log::{Body, Entry};
use seamline_core::receipt::{
    Amendment, RecordMode, RecordSeen, RecordStage, Recorded, SealingKey, SessionNamed,
    SettlementSeen, SettlementState,
};
use seamline_core::{Amount, B256, Timestamp};
use seamline_testkit::{json_vector, project_root};
use seamline_verify::{Claim, Trust, TrustFile, Verdict, verify_amended};
use serde_json::{Value, json};

use super::{summary, trust_file};
use crate::fixture::{World, channel_offer, channel_policy, event_mut, later};
use crate::lies::records::{amendment, asked, included, recorded};
use crate::lies::{purchased, settled_later};

const FILE: &str = "receipt/amendments.json";

/// What is said about the record and the amendments, beside the summary.
fn late(verdict: &Verdict) -> Value {
    let about = [
        Claim::ReceiptAmended,
        Claim::RecordStates,
        Claim::RecordInclusion,
        Claim::RecordOnChain,
        Claim::SettlementFinal,
    ];
    let findings = verdict.findings.iter();
    let findings = findings.filter(|it| about.contains(&it.claim));
    findings
        .map(|it| json!([it.claim.id(), it.source.as_str(), it.outcome.as_str()]))
        .collect()
}

/// A case; its file is replaced by its place later.
fn case(world: &World, name: &str, amendments: &[Vec<u8>]) -> Value {
    let file = world.seal().encode();
    let verdict = verify_amended(&file, amendments, &world.trust, later());
    let amendments: Vec<_> = amendments.iter().map(hex::encode).collect();
    json!({
        "name": name, "file": hex::encode(file), "amendments": amendments,
        "expected": summary(&verdict), "late": late(&verdict),
    })
}

#[test]
fn vectors_hold() {
    let vectors = json_vector(FILE);
    let file: TrustFile = serde_json::from_value(vectors["trust"].clone()).unwrap();
    let trust = Trust::try_from(&file).unwrap();
    let now = Timestamp::from_millis(vectors["now_ms"].as_u64().unwrap());
    let cases = vectors["cases"].as_array().unwrap();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let files: Vec<_> = vectors["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(bytes)
        .collect();
    let mut refused = 0;
    for case in cases {
        let amendments = case["amendments"].as_array().unwrap();
        let amendments: Vec<_> = amendments.iter().map(bytes).collect();
        let file = &files[usize::try_from(case["file"].as_u64().unwrap()).unwrap()];
        let verdict = verify_amended(file, &amendments, &trust, now);
        assert_eq!(summary(&verdict), case["expected"], "{}", case["name"]);
        assert_eq!(late(&verdict), case["late"], "{}", case["name"]);
        let aside = json!(["receipt.amended", "not checked", "absent"]);
        let aside = case["late"].as_array().unwrap().contains(&aside);
        refused += usize::from(verdict.first_failure().is_some() || aside);
    }
    assert!(refused * 2 > cases.len(), "most vectors are lies");
}

fn channel() -> World {
    World::with_policy(&channel_offer("eip3009"), &channel_policy())
}

/// Amendments whose form is wrong, or that are somebody else's.
fn foreign(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let honest = amendment(world, 9, recorded(world));
    let entry = |receipt_hash, seq| Entry {
        index: 9,
        prev: B256::repeat_byte(1),
        wall_ms: world.opened.wall_ms + 300_000,
        body: Body::Amend {
            seq,
            receipt_hash,
            event: Box::new(Recorded {
                dt_us: 300_000_000,
                event: recorded(world).into(),
            }),
        },
    };
    let (hash, seq) = (world.seal().receipt_hash(), world.opened.seq);
    let sealed = |entry, key: &SealingKey| Amendment::seal(entry, key).unwrap().encode();
    let flipped = |at: usize| {
        let mut bytes = honest.clone();
        bytes[at] ^= 1;
        bytes
    };
    let last = honest.len() - 1;
    let mut longer = honest.clone();
    longer.push(0);
    let mut huge = honest.clone();
    huge.resize(4_097, 0);
    let stranger = SealingKey::from_seed(&[9; 32]);
    let other = B256::repeat_byte(3);
    vec![
        ("amendment with other magic", flipped(0)),
        ("amendment with another signature", flipped(last)),
        ("amendment cut short", honest[..last].to_vec()),
        ("amendment with a byte more", longer),
        ("amendment beyond the limit", huge),
        ("amendment of nothing", Vec::new()),
        (
            "amendment by another key",
            sealed(entry(hash, seq), &stranger),
        ),
        (
            "amendment of another receipt",
            sealed(entry(other, seq), &world.seal_key),
        ),
        (
            "amendment of another call",
            sealed(entry(hash, seq + 1), &world.seal_key),
        ),
    ]
}

/// Records of the answer, told the truth about and not.
fn records(world: &World) -> Vec<Value> {
    let one = |name: &str, seen: RecordSeen| case(world, name, &[amendment(world, 9, seen)]);
    let honest = recorded(world);
    let word = |stage, via: &str| RecordSeen {
        stage,
        via: via.into(),
        ..asked(RecordMode::Individual)
    };
    let transaction = Some(B256::repeat_byte(0xd1));
    let named = RecordSeen {
        transaction,
        ..word(RecordStage::Named, "header")
    };
    let missing = RecordSeen {
        transaction,
        chain_id: honest.chain_id,
        contract: honest.contract,
        ..word(RecordStage::Missing, "chain")
    };
    let lone = RecordSeen {
        mode: RecordMode::Individual,
        root: None,
        siblings: None,
        ..honest.clone()
    };
    let many = |name: &str, seen: &[&RecordSeen]| {
        let files = (9..).zip(seen);
        let files = files.map(|(index, seen)| amendment(world, index, (*seen).clone()));
        case(world, name, &files.collect::<Vec<_>>())
    };
    let mut cases = vec![
        one("batch that holds the answer", included(world)),
        one("batch that was read on the chain", honest.clone()),
        one("transaction that a node names", named.clone()),
        one("record that failed", word(RecordStage::Failed, "frame")),
        many("named, missing, recorded", &[&named, &missing, &lone]),
    ];
    let change = |change: &dyn Fn(&mut RecordSeen)| {
        let mut seen = honest.clone();
        change(&mut seen);
        seen
    };
    for (name, lie) in [
        (
            "root of another batch",
            change(&|it| it.root = Some(B256::repeat_byte(1))),
        ),
        (
            "siblings of another answer",
            change(&|it| it.siblings = Some(vec![1; 96])),
        ),
        (
            "siblings that are no hashes",
            change(&|it| it.siblings = Some(vec![1; 33])),
        ),
        (
            "too many siblings",
            change(&|it| it.siblings = Some(vec![1; 65 * 32])),
        ),
        (
            "batch without a proof",
            change(&|it| (it.root, it.siblings) = (None, None)),
        ),
        ("record without a block", change(&|it| it.block_hash = None)),
        (
            "record without a transaction",
            change(&|it| it.transaction = None),
        ),
        (
            "record without a contract",
            change(&|it| it.contract = None),
        ),
        (
            "individual record with a batch's proof",
            change(&|it| it.mode = RecordMode::Individual),
        ),
        (
            "private record that is on the chain",
            change(&|it| it.mode = RecordMode::Private),
        ),
        (
            "private record that is named",
            RecordSeen {
                mode: RecordMode::Private,
                ..named.clone()
            },
        ),
        (
            "named record with a block",
            RecordSeen {
                block_number: Some(1),
                ..named.clone()
            },
        ),
    ] {
        cases.push(one(name, lie));
    }
    let again = RecordSeen {
        transaction: Some(B256::repeat_byte(0xee)),
        ..lone.clone()
    };
    let elsewhere = change(&|it| it.chain_id = Some(1));
    cases.extend([
        many("recorded, then only named", &[&lone, &named]),
        many("recorded in two transactions", &[&lone, &again]),
        many("batch, then individual", &[&honest, &lone]),
        many("recorded on two chains", &[&honest, &elsewhere]),
    ]);
    cases
}

#[test]
#[ignore = "writes spec/vectors/receipt/amendments.json"]
fn write_vectors() {
    let world = World::new();
    let mut cases = records(&world);
    for (name, file) in foreign(&world) {
        cases.push(case(&world, name, &[file]));
    }
    cases.extend(money());
    cases.extend(sessions());
    cases.extend(purchases());
    // Many cases are about the same receipt.
    let mut files: Vec<Value> = Vec::new();
    for case in &mut cases {
        let file = case["file"].take();
        let known = files.iter().position(|it| *it == file);
        case["file"] = json!(known.unwrap_or(files.len()));
        if known.is_none() {
            files.push(file);
        }
    }
    let vectors = json!({
        "note": "verify each of the files, by its place, with its amendments, this trust and clock; `late` lists the findings about what became known later",
        "now_ms": later().as_millis(),
        "trust": trust_file(&world),
        "files": files,
        "cases": cases,
    });
    let path: PathBuf = project_root().join("spec/vectors").join(FILE);
    let text = serde_json::to_string_pretty(&vectors).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}

/// Settlements that amend.
fn money() -> Vec<Value> {
    let world = channel();
    let settled = |amount| SettlementSeen {
        state: SettlementState::Settled,
        transaction: Some(B256::repeat_byte(0xc1)),
        block_number: Some(77),
        block_hash: Some(B256::repeat_byte(0xb1)),
        amount: Some(Amount::new(amount)),
        waited_ms: 300_000,
    };
    let one = |name: &str, seen| case(&world, name, &[settled_later(&world, 9, seen)]);
    let unnamed = SettlementSeen {
        amount: None,
        ..settled(300)
    };
    let taken_back = SettlementSeen {
        state: SettlementState::NotSettled,
        ..settled(300)
    };
    vec![
        one("claim of what was charged", settled(300)),
        one("claim beyond the promise", settled(501)),
        one("claim below the charge", settled(299)),
        one("claim without an amount", unnamed),
        one("charge taken back", taken_back),
    ]
}

/// Kind 23.
fn sessions() -> Vec<Value> {
    let mut nonce = channel();
    event_mut!(nonce, SessionNamed).session_nonce = B256::repeat_byte(1);
    let mut other = channel();
    event_mut!(other, SessionNamed).channel = B256::repeat_byte(1);
    let mut bind = channel();
    event_mut!(bind, SessionNamed).bind = B256::repeat_byte(1);
    let mut without = channel();
    without
        .events
        .retain(|(_, event)| event.get::<SessionNamed>().is_none());
    vec![
        case(&channel(), "voucher with its session", &[]),
        case(&nonce, "session of another nonce", &[]),
        case(&other, "session of another channel", &[]),
        case(&bind, "session that binds another call", &[]),
        case(&without, "voucher without a session", &[]),
    ]
}

/// Kind 24.
fn purchases() -> Vec<Value> {
    let mut origin = purchased();
    event_mut!(origin, Purchased).origin = "https://other.example".into();
    let mut payee = purchased();
    event_mut!(payee, Purchased).payee = "believed".into();
    let mut twice = purchased();
    let first = twice.events[0].clone();
    twice.events.insert(0, first);
    event_mut!(twice, Admitted).offer_event += 1;
    let mut late = purchased();
    let (_, purchase) = late.events.remove(0);
    let place = late.events.len() - 1;
    let at_us = late.events[place].0;
    late.events.insert(place, (at_us, purchase));
    event_mut!(late, Admitted).offer_event -= 1;
    vec![
        case(&purchased(), "purchase", &[]),
        case(&origin, "purchase from another origin", &[]),
        case(&payee, "purchase with another word for why it is paid", &[]),
        case(&twice, "two purchases", &[]),
        case(&late, "purchase said afterwards", &[]),
    ]
}

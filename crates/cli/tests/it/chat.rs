use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{BINARY, Home, finish, in_time, text, works};

const QUESTION: &str = "How do I cap what a call may cost?";

/// The summary: node, choice, cost against cap, settlement, evidence, level, receipt.
#[track_caller]
fn assert_summary(stderr: &str) {
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line, no progress: {stderr}");
    let line = lines[0];
    assert!(line.starts_with("ok: node "), "{line}");
    for part in [
        " usable",
        " of at most ",
        " OPG, settled; ",
        "DEV evidence (no hardware), level L3; receipt ",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
}

#[test]
fn the_answer_is_all_that_standard_output_gets() {
    let home = Home::new();
    let ran = home.run(&["chat", QUESTION]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("--max-price"), "{ran:?}");
    assert!(!ran.stdout.contains("ok: node"));
    assert!(ran.stdout.ends_with('\n'));
    assert_summary(&ran.stderr);

    // The receipt that it left is accepted offline, and the same question gets the same answer.
    let receipt = home.receipt();
    assert_eq!(home.run(&["receipt", "verify", text(&receipt)]).code, 0);
    let again = home.run(&["chat", QUESTION, "--stream"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(again.stdout, ran.stdout);
    assert_summary(&again.stderr);
}

#[test]
fn json_has_the_documented_shape() {
    let home = Home::new();
    let view = home.json(&["chat", QUESTION, "--json"]);
    assert!(view["text"].as_str().unwrap().contains("--max-price"));
    assert_eq!(view["model"], "seamline/guide");
    let path = view["receipt_path"].as_str().unwrap();
    let id = view["receipt_id"].as_str().unwrap();
    assert_eq!(path, text(&home.receipt()));
    assert!(path.ends_with(&format!("{id}.seam")));

    let cost = &view["cost"];
    let amount = |field: &str| cost[field].as_str().unwrap().parse::<u128>().unwrap();
    assert!(cost["asset"].as_str().unwrap().starts_with("0x"));
    assert!(0 < amount("settled") && amount("settled") <= amount("authorized"));
    assert_eq!(cost["state"], "settled");

    let node = &view["node"];
    assert_eq!(node["id"].as_str().unwrap().len(), 66);
    assert!(
        node["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );

    let verdict = &view["verdict"];
    assert_eq!(verdict["level"], "L3");
    let findings = verdict["findings"].as_array().unwrap();
    for field in ["claim", "source", "outcome"] {
        assert!(
            findings.iter().all(|finding| finding[field].is_string()),
            "{field}"
        );
    }
    let sources: Vec<_> = findings.iter().map(|finding| &finding["source"]).collect();
    assert!(sources.contains(&&Value::from("dev")));
    assert!(
        !sources.contains(&&Value::from("hardware")),
        "software evidence is never hardware"
    );

    for hesitation in view["hesitations"].as_array().unwrap() {
        assert!(hesitation["code"].is_string() && hesitation["severity"].is_string());
    }
    assert_eq!(view["dev_evidence"], true);
}

#[test]
fn a_dash_reads_the_question_from_standard_input() {
    let home = Home::new();
    let named = home.run_with_input(&["chat", "-", "--json"], QUESTION.as_bytes());
    assert_eq!(named.code, 0, "{named:?}");
    assert!(
        named.json()["text"]
            .as_str()
            .unwrap()
            .contains("--max-price")
    );
    // Without a question, a pipe is read as well.
    let piped = home.run_with_input(&["chat"], QUESTION.as_bytes());
    assert_eq!(piped.code, 0, "{piped:?}");
    assert!(piped.stdout.contains("--max-price"));
}

#[test]
fn the_receipt_is_copied_and_the_story_told() {
    let home = Home::new();
    let copy = home.beside("copy.seam");
    let ran = home.run(&["chat", QUESTION, "--receipt", text(&copy), "--explain"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(home.receipt()).unwrap());
    assert!(
        !ran.stdout.contains("verdict"),
        "the story goes to standard error"
    );
    ran.says("ok: node ")
        .says("route")
        .says("verdict: satisfied")
        .says("no hardware");
}

#[test]
fn a_copy_that_cannot_be_written_does_not_lose_the_receipt() {
    let home = Home::new();
    let nowhere = home.beside("no/such/folder/copy.seam");
    let ran = home.run(&["chat", QUESTION, "--receipt", text(&nowhere)]);
    assert_eq!(ran.code, 2, "{ran:?}");
    ran.says("[receipt.copy]").says(text(&home.receipt()));
}

#[test]
fn a_cap_below_every_price_is_refused_before_anything_is_signed() {
    let home = Home::new();
    let ran = home.run(&["chat", QUESTION, "--max-price", "0.000001"]);
    ran.fails(2, "route.none")
        .says("over_cap")
        .says("charged: no")
        .says("hint: the cheapest node asks for at most 0.00");
    // What the hint names is enough.
    let enough = ran
        .stderr
        .split("--max-price ")
        .last()
        .unwrap()
        .trim()
        .to_owned();
    let other = Home::new();
    let ran = other.run(&["chat", QUESTION, "--max-price", &enough]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The failure has a receipt too, which verifies and names the rule.
    let receipt = home.receipt();
    let explained = home.run(&["receipt", "explain", text(&receipt)]);
    assert_eq!(explained.code, 0, "{explained:?}");
    assert!(explained.stdout.contains("charged: no"), "{explained:?}");
    let listed = home.json(&["receipt", "list", "--json"]);
    assert_eq!(listed["calls"][0]["state"], "failed");
    assert_eq!(listed["calls"][0]["step"], "decide");
    assert_eq!(listed["calls"][0]["error"], "route.none");
    assert_eq!(listed["calls"][0]["payment"], Value::Null);
}

#[test]
fn a_failure_with_json_is_an_object_too() {
    let home = Home::new();
    let ran = home.run(&["chat", QUESTION, "--model", "nobody/has-this", "--json"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["code"], "model.unknown");
    assert_eq!(error["fault"], "caller");
    assert_eq!(error["retry"], "never");
    assert_eq!(error["charged"], "no");
    assert!(error["hint"].as_str().unwrap().contains("seamline/guide"));
    ran.says("error: no node offers the model `nobody/has-this`");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = Home::new();
    for args in [&["chat", QUESTION][..], &["chat", QUESTION, "--stream"]] {
        let mut child = home
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let (status, stderr) = in_time(move || {
            let mut stderr = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut stderr)
                .unwrap();
            (child.wait().unwrap(), stderr)
        });
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("ok: node "), "{stderr}");
    }
}

#[test]
fn progress_goes_to_a_terminal_only() {
    if !works("script", &["-qec", "true", "/dev/null"]) {
        println!("skipped: no `script` that makes a terminal");
        return;
    }
    let home = Home::new();
    let inner = home.command(&[]);
    let mut command = Command::new("script");
    let asked = format!("'{BINARY}' chat 'What is a receipt?'");
    command.args(["-qec", &asked, "/dev/null"]);
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    command.stdin(Stdio::null());
    let ran = finish(command);
    assert_eq!(ran.code, 0, "{ran:?}");
    for step in ["open", "attest", "authorize", "settle", "seal"] {
        assert!(
            ran.stdout.contains(&format!("~ {step}")),
            "{step} is not in {ran:?}"
        );
    }
}

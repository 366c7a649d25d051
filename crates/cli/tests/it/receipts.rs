use std::fs;
use std::process::Command;

use crate::harness::{BINARY, Home, finish, text, works};

#[test]
fn verify_accepts_and_says_what_it_checked() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let ran = home.run(&["receipt", "verify", text(&receipt)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr, "");
    for part in [
        "no hardware",
        "receipt.signature",
        "[recomputed]",
        "[dev, event ",
        "[signed by node, event ",
        "not proven:",
        "verdict: satisfied (L3",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let view = home.json(&["receipt", "verify", text(&receipt), "--json"]);
    assert_eq!(view["status"], "satisfied");
    assert_eq!(view["level"], "L3");
    assert_eq!(view["dev"], true);
    let sources = view["findings"].as_array().unwrap();
    assert!(
        sources
            .iter()
            .all(|finding| finding["source"] != "hardware")
    );
}

#[test]
fn verify_refuses_a_flipped_bit() {
    let home = Home::with_a_receipt();
    let bytes = fs::read(home.receipt()).unwrap();
    // One in each sixteenth of the file; `crates/verify` flips every bit.
    for part in 0..16 {
        let at = bytes.len() * part / 16;
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (part % 8);
        let file = home.beside("changed.seam");
        fs::write(&file, changed).unwrap();
        let ran = home.run(&["receipt", "verify", text(&file)]);
        assert_eq!(ran.code, 1, "byte {at}: {ran:?}");
        assert!(
            ran.stdout.contains("verdict: refuted"),
            "byte {at}: {ran:?}"
        );
    }
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let file = home.beside("cut.seam");
        fs::write(&file, &bytes[..cut]).unwrap();
        assert_eq!(
            home.run(&["receipt", "verify", text(&file)]).code,
            1,
            "{cut} bytes"
        );
    }
}

#[test]
fn verify_under_foreign_trust_is_not_a_success() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let foreign = home.beside("foreign.toml");
    let own = fs::read_to_string(home.path().join("trust.toml")).unwrap();

    // Another recorder: the signature is somebody's, and nothing says whose.
    let stranger = "11".repeat(32);
    let recorder = fs::read_to_string(home.path().join("trust.toml")).unwrap();
    let recorder = recorder.split("recorders = [\"").nth(1).unwrap();
    let recorder = recorder.split('"').next().unwrap();
    fs::write(&foreign, own.replace(recorder, &stranger)).unwrap();
    let ran = home.run(&[
        "receipt",
        "verify",
        text(&receipt),
        "--trust",
        text(&foreign),
    ]);
    assert!(matches!(ran.code, 1..=3), "{ran:?}");
    assert_ne!(ran.code, 0);

    // No roots at all: the evidence cannot be checked, or is refused; never accepted.
    let rootless: Vec<_> = own
        .lines()
        .filter(|line| !line.starts_with("danger_accept_dev_roots"))
        .collect();
    fs::write(&foreign, rootless.join("\n")).unwrap();
    let ran = home.run(&[
        "receipt",
        "verify",
        text(&receipt),
        "--trust",
        text(&foreign),
    ]);
    assert!(matches!(ran.code, 1 | 3), "{ran:?}");
    assert!(!ran.stdout.contains("verdict: satisfied"), "{ran:?}");
}

#[test]
fn verify_without_its_files_is_a_usage_error() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let nothing = home.beside("nothing");
    home.run(&["receipt", "verify", text(&nothing)])
        .fails(2, "receipt.unreadable");
    home.run(&[
        "receipt",
        "verify",
        text(&receipt),
        "--trust",
        text(&nothing),
    ])
    .fails(2, "trust.missing");
    home.run(&["receipt", "verify", text(&home.path())])
        .fails(2, "receipt.unreadable");
    assert_eq!(home.run(&["receipt", "verify"]).code, 2);
    // A fresh home trusts nobody, and verifying does not make one.
    let fresh = Home::new();
    fresh
        .run(&["receipt", "verify", text(&receipt)])
        .fails(2, "trust.missing");
    assert!(!fresh.path().exists());
}

#[test]
fn verify_opens_no_socket() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let wrapped = |tool: &str, args: &[&str]| {
        let inner = home.command(&["receipt", "verify", text(&receipt)]);
        let mut command = Command::new(tool);
        command.args(args).arg(BINARY).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        finish(command)
    };
    if works("strace", &["-o", "/dev/null", "true"]) {
        let log = home.beside("calls");
        let ran = wrapped("strace", &["-f", "-e", "trace=%network", "-o", text(&log)]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let calls = fs::read_to_string(&log).unwrap();
        assert!(!calls.contains("socket("), "{calls}");
        assert!(!calls.contains("connect("), "{calls}");
    } else {
        println!("skipped: no strace that may trace");
    }
    if works("unshare", &["-rn", "true"]) {
        let ran = wrapped("unshare", &["-rn"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    } else {
        println!("skipped: no network namespace may be made");
    }
}

#[test]
fn show_and_explain_take_a_file_or_the_beginning_of_an_id() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let id = receipt.file_stem().unwrap().to_str().unwrap().to_owned();
    for named in [text(&receipt), &id, &id[..6]] {
        let shown = home.run(&["receipt", "show", named]);
        assert_eq!(shown.code, 0, "{shown:?}");
        for part in [
            "DEV evidence",
            "authorized",
            "settlement",
            "evidence     attestation",
        ] {
            assert!(shown.stdout.contains(part), "{part:?} is not in {shown:?}");
        }
        let explained = home.run(&["receipt", "explain", named]);
        assert_eq!(explained.code, 0, "{explained:?}");
        assert!(
            explained.stdout.lines().count() <= 24,
            "one screen: {explained:?}"
        );
        for part in [
            "no hardware",
            "route",
            "next ",
            "cap",
            "settle",
            "verdict: satisfied",
            "ceiling",
        ] {
            assert!(
                explained.stdout.contains(part),
                "{part:?} is not in {explained:?}"
            );
        }
    }
    let shown = home.json(&["receipt", "show", &id, "--json"]);
    assert_eq!(shown["call_id"], id.as_str());
    assert_eq!(shown["dev"], true);
    let explained = home.json(&["receipt", "explain", &id, "--json"]);
    assert_eq!(explained["verdict"]["status"], "satisfied");
    assert!(explained["story"].as_str().unwrap().contains("no hardware"));

    home.run(&["receipt", "show", "ffffffffffff"])
        .fails(2, "receipt.missing");
    home.run(&["receipt", "explain", "no such call"])
        .fails(2, "receipt.missing");
    // A second call with the same beginning makes the beginning useless.
    let twin = receipt.with_file_name(format!("{}{}.seam", &id[..6], "0".repeat(26)));
    fs::copy(&receipt, twin).unwrap();
    home.run(&["receipt", "show", &id[..6]])
        .fails(2, "receipt.ambiguous");
    // Something else than a receipt is said to be so.
    let other = home.beside("other");
    fs::write(&other, "not a receipt").unwrap();
    home.run(&["receipt", "show", text(&other)])
        .fails(1, "receipt.malformed");
}

#[test]
fn list_names_every_call() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let id = receipt.file_stem().unwrap().to_str().unwrap();
    let ran = home.run(&["receipt", "list"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    for part in [
        &id[..12],
        "#0",
        "answered",
        "settled 0.",
        " OPG, DEV evidence",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let calls = home.json(&["receipt", "list", "--json"]);
    let call = &calls["calls"][0];
    assert_eq!(call["id"], id);
    assert_eq!(call["receipt_path"], text(&receipt));
    assert_eq!(call["payment"]["state"], "settled");
    assert_eq!(call["dev_evidence"], true);

    let fresh = Home::new();
    let none = fresh.run(&["receipt", "list"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    none.says("no calls yet");
    assert!(!fresh.path().exists(), "looking makes nothing");
}

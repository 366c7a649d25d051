use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seamline_core::receipt::{Bundle, EvidenceType};

use crate::harness::{Home, finish};

const CANARY: &str = "zanzibar-heliotrope-4711";

#[test]
fn logs_hold_no_prompt_no_answer_and_no_key() {
    let home = Home::new();
    let question = format!("How do I cap what a call may cost? {CANARY}");
    let mut command = home.command(&["chat", &question]);
    command.env("SEAMLINE_LOG", "trace");
    let ran = finish(command);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("settlement sent"),
        "logs are on: {}",
        ran.stderr
    );

    let mut secrets = vec![("the question", CANARY.to_owned())];
    let answer = ran.stdout.split_whitespace().collect::<Vec<_>>();
    for words in answer.chunks(5).filter(|words| words.len() == 5) {
        secrets.push(("the answer", words.join(" ")));
    }
    for key in ["wallet.key", "recorder.key"] {
        let key = fs::read_to_string(home.path().join(key)).unwrap();
        secrets.push(("a key", key.trim().to_owned()));
    }
    for key in ["operator.key", "facilitator.key", "developer.key"] {
        let key = fs::read(home.path().join("localnet").join(key)).unwrap();
        let digits = key.iter().map(|byte| format!("{byte:02x}")).collect();
        secrets.push(("a key of the network", digits));
    }
    let receipt = fs::read(home.receipt()).unwrap();
    let bundle = Bundle::decode(&receipt).unwrap();
    let entry = bundle
        .core()
        .evidence
        .iter()
        .find(|entry| entry.kind == EvidenceType::Authorization)
        .unwrap();
    let payload = bundle.evidence(&entry.hash).unwrap();
    // The header as it was sent, and the signature inside it.
    secrets.push(("the authorization", STANDARD.encode(payload)));
    let payload: serde_json::Value = serde_json::from_slice(payload).unwrap();
    let signature = payload["payload"]["signature"].as_str().unwrap();
    assert!(signature.len() >= 130, "a whole signature");
    secrets.push(("the signature", signature[2..].to_owned()));

    let logs = ran.stderr.to_lowercase();
    for (what, secret) in &secrets {
        assert!(
            !logs.contains(&secret.to_lowercase()),
            "{what} is in the log: {secret}"
        );
    }
    // Nothing of the conversation stays in the home either.
    for (path, bytes) in files(&home.path()) {
        let found = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!found, "the question is in {}", path.display());
    }
}

#[test]
fn log_directives_that_do_not_read_are_refused() {
    let home = Home::new();
    let mut command = home.command(&["receipt", "list"]);
    command.env("SEAMLINE_LOG", "seamline=loudest=9");
    finish(command)
        .fails(2, "log.malformed")
        .says("SEAMLINE_LOG");
    // Off unless asked for; an empty variable asks for nothing.
    let mut command = home.command(&["receipt", "list"]);
    command.env("SEAMLINE_LOG", "").env("SEAMLINE_NETWORK", "");
    assert_eq!(finish(command).code, 0);
}

#[cfg(unix)]
#[test]
fn everything_in_the_home_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    assert_eq!(home.run(&["chat", "What is a receipt?"]).code, 0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path()), 0o700);
    assert_eq!(mode(&home.path().join("receipts")), 0o700);
    assert_eq!(mode(&home.path().join("localnet")), 0o700);
    let files = files(&home.path());
    assert!(files.len() > 10);
    for (path, _) in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_exists_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    fs::create_dir(home.path()).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(home.run(&["wallet", "show"]).code, 0);
    let mode = fs::metadata(home.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o755, "whoever made it decides who may look into it");
}

/// All files under a folder with their bytes.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

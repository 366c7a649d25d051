//! A signer that is another program: it talks to the test through two pipes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use seamline_evm::Wallet;
use serde_json::{Value, json};

use crate::harness::{Home, Ran, text};
use crate::wallet::{ADDRESS, KEY};

/// A program that answers as the test says, and what it was asked.
struct Program {
    path: PathBuf,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Program {
    fn start(home: &Home, answer: impl Fn(&Value) -> String + Send + 'static) -> Self {
        let folder = home.beside("signer");
        fs::create_dir_all(&folder).unwrap();
        let (question, reply) = (folder.join("question"), folder.join("reply"));
        let made = Command::new("mkfifo").args([&question, &reply]).status();
        assert!(made.unwrap().success());
        let path = folder.join("sign");
        let script = format!(
            "#!/bin/sh\ntest -z \"${{SEAMLINE_WALLET_KEY-}}\" || exit 1\ncat > '{}'\nexec cat '{}'\n",
            question.display(),
            reply.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        // Ends with the test's process: a pipe that nobody opens keeps it waiting.
        thread::spawn(move || {
            while let Ok(text) = fs::read(&question) {
                let question: Value = serde_json::from_slice(&text).unwrap();
                let said = answer(&question);
                heard.lock().unwrap().push(question);
                if fs::write(&reply, said).is_err() {
                    return;
                }
            }
        });
        Self { path, asked }
    }

    #[track_caller]
    fn run(&self, home: &Home, args: &[&str]) -> Ran {
        home.run_with(args, b"", |command| {
            command.env("SEAMLINE_WALLET_COMMAND", &self.path);
        })
    }

    fn purposes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let purpose = |it: &Value| it["purpose"].as_str().unwrap().to_owned();
        asked.iter().map(purpose).collect()
    }
}

fn honest(question: &Value) -> String {
    signed_by(KEY, question)
}

fn signed_by(key: &str, question: &Value) -> String {
    if question["purpose"] == "address" {
        assert_eq!(*question, json!({ "version": 1, "purpose": "address" }));
        return json!({ "address": ADDRESS }).to_string();
    }
    assert_eq!(question["address"], ADDRESS);
    let digest = question["digest"].as_str().unwrap().parse().unwrap();
    let wallet = Wallet::from_hex(key).unwrap();
    json!({ "signature": wallet.sign_hash(&digest).to_hex() }).to_string()
}

#[test]
fn another_program_signs() {
    let home = Home::new();
    let program = Program::start(&home, honest);
    // Its key is not here, so the local network approves nothing for it: the approval of this payment is
    // signed along with it.
    let first = program.run(&home, &["chat", "What is a receipt?"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(program.purposes(), ["address", "payment", "payment"]);
    let approved = program.run(&home, &["wallet", "approve", "2", "--json"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    assert_eq!(approved.json()["address"], ADDRESS);
    assert_eq!(approved.json()["allowance"], "2000000000000000000");
    let paid = program.run(&home, &["chat", "What is a receipt?", "--json"]);
    assert_eq!(paid.code, 0, "{paid:?}");
    assert_ne!(paid.json()["cost"]["settled"], Value::Null);
    let shown = program.run(&home, &["wallet", "show", "--json"]).json();
    assert_eq!(shown["key"], "command");
    assert_eq!(
        program.purposes().split_off(3),
        ["address", "approval", "address", "payment", "address"]
    );
    let keys = |name: &str| home.path().join(name).exists();
    assert!(
        !keys("wallet.key") && !keys("wallet.json"),
        "no key is kept"
    );
}

#[test]
fn a_signature_of_another_key_is_not_used() {
    let home = Home::new();
    let program = Program::start(&home, |question| signed_by(&"11".repeat(32), question));
    let ran = program.run(&home, &["wallet", "approve", "2"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    ran.says("[transaction.sign]").says("another key");
}

#[test]
fn an_answer_that_does_not_read_is_not_used() {
    for answer in [
        "",
        "{}",
        "[]",
        "{\"signature\":\"0x00\"}",
        "{\"signature\":7}",
    ] {
        let home = Home::new();
        let program = Program::start(&home, move |question| {
            if question["purpose"] == "address" {
                honest(question)
            } else {
                answer.to_owned()
            }
        });
        let ran = program.run(&home, &["wallet", "approve", "2"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        ran.says("[transaction.sign]");
    }
}

#[test]
fn a_program_that_does_not_answer_is_named() {
    let home = Home::new();
    let fails = |value: &str| {
        home.run_with(&["wallet", "show"], b"", |command| {
            command.env("SEAMLINE_WALLET_COMMAND", value);
        })
        .fails(2, "wallet.command");
    };
    for value in [
        "/no/such/program",
        "false",
        "true",
        "[]",
        "[\"\"]",
        r#"["echo","{}"]"#,
    ] {
        fails(value);
    }
    // The settings name it as well, and a key of the home is not used in its stead.
    fs::write(home.path().join("wallet.key"), KEY).unwrap();
    fs::write(
        home.path().join("settings.toml"),
        "version = 1\n[wallet]\nsigner_command = [\"false\"]\n",
    )
    .unwrap();
    for args in [&["wallet", "show"][..], &["chat", "hi"]] {
        home.run(args).fails(2, "wallet.command");
    }
    assert!(Path::new(text(&home.path())).exists());
}

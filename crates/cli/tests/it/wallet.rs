//! Keys, approvals, budgets and the books of payments.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, finish, text};

/// A key that holds nothing anywhere, and its address.
pub(crate) const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
pub(crate) const ADDRESS: &str = "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b";
const PASSWORD: &str = "canary correct horse battery";

impl Home {
    /// A file beside the home that holds a password.
    fn password_file(&self, password: &str) -> PathBuf {
        let path = self.beside("password");
        fs::write(&path, format!("{password}\n")).unwrap();
        path
    }

    /// Runs a command with the password of [`Home::password_file`], telling everything it logs.
    #[track_caller]
    fn run_unlocked(&self, args: &[&str], input: &[u8]) -> Ran {
        let ran = self.run_with(args, input, |command| {
            command
                .env("SEAMLINE_WALLET_PASSWORD_FILE", self.beside("password"))
                .env("SEAMLINE_LOG", "trace");
        });
        for secret in [PASSWORD, KEY] {
            assert!(
                !ran.stdout.contains(secret),
                "a secret is printed: {args:?}"
            );
            assert!(!ran.stderr.contains(secret), "a secret is told: {args:?}");
        }
        ran
    }

    fn keystore(&self) -> PathBuf {
        self.path().join("wallet.json")
    }
}

/// A file that describes another network than the local one. Nothing is there.
fn other_network(home: &Home) -> PathBuf {
    let path = home.beside("other.json");
    let network = json!({
        "version": 1,
        "chain_id": 8453,
        "network": "eip155:8453",
        "rpc_url": "http://127.0.0.1:9",
        "facilitator_url": "http://127.0.0.1:9",
        "facilitator": ADDRESS,
        "registry": ADDRESS,
        "token": ADDRESS,
        "token_symbol": "USDC",
        "token_decimals": 6,
        "evidence": "nitro",
    });
    fs::write(&path, network.to_string()).unwrap();
    path
}

#[test]
fn a_key_is_made_once_and_kept_for_its_owner() {
    let home = Home::new();
    home.run(&["wallet", "create"])
        .fails(2, "wallet.password_missing")
        .says("SEAMLINE_WALLET_PASSWORD_FILE");
    home.password_file("seven77");
    home.run_unlocked(&["wallet", "create"], b"")
        .fails(2, "wallet.password_short");
    assert!(!home.keystore().exists(), "nothing was written");

    home.password_file(PASSWORD);
    let made = home.run_unlocked(&["wallet", "create", "--json"], b"");
    assert_eq!(made.code, 0, "{made:?}");
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let mode = fs::metadata(home.keystore()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(home.keystore()).unwrap();
    for command in ["create", "import"] {
        home.run_unlocked(&["wallet", command], KEY.as_bytes())
            .fails(2, "wallet.exists");
    }
    assert_eq!(fs::read(home.keystore()).unwrap(), before);

    // To look needs no password, and to pay does.
    let shown = home.json(&["wallet", "show", "--json"]);
    assert_eq!(shown["address"], made["address"]);
    assert_eq!(shown["key"], "keystore");
    home.run(&["chat", "What is a receipt?"])
        .fails(2, "wallet.password_missing");
    assert!(!home.path().join("wallet.key").exists(), "no plain key");
    let paid = home.run_unlocked(&["chat", "What is a receipt?"], b"");
    assert_eq!(paid.code, 0, "{paid:?}");
    home.password_file("not the password");
    home.run_unlocked(&["chat", "What is a receipt?"], b"")
        .fails(2, "wallet.password_wrong");
}

#[test]
fn only_a_key_is_imported() {
    let home = Home::new();
    home.password_file(PASSWORD);
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let zero = "0".repeat(64);
    let long = "a".repeat(20_000);
    for input in [
        "",
        "0x",
        &KEY[1..],
        &format!("{KEY}00"),
        "xyz",
        order,
        &zero,
        &long,
    ] {
        home.run_unlocked(&["wallet", "import"], input.as_bytes())
            .fails(2, "wallet.import");
    }
    home.run_unlocked(&["wallet", "import"], b"\xff\xfe")
        .fails(2, "wallet.import");
    home.run_unlocked(&["wallet", "import"], b"{}")
        .fails(2, "key.damaged");
    let argument = home.run(&["wallet", "import", "a-key"]);
    assert_eq!(argument.code, 2, "a key is no argument: {argument:?}");
    assert!(!home.keystore().exists(), "nothing was written");

    let kept = home.run_unlocked(&["wallet", "import"], format!("0x{KEY}\n").as_bytes());
    assert_eq!(kept.code, 0, "{kept:?}");
    assert!(kept.stdout.to_lowercase().contains(ADDRESS), "{kept:?}");

    // The file opens elsewhere with its own password, and with no other.
    let other = Home::new();
    let file = fs::read(home.keystore()).unwrap();
    other.password_file("not the password");
    other
        .run_unlocked(&["wallet", "import"], &file)
        .fails(2, "wallet.password_wrong");
    other.password_file(PASSWORD);
    let kept = other.run_unlocked(&["wallet", "import"], &file);
    assert_eq!(kept.code, 0, "{kept:?}");
    assert_ne!(fs::read(other.keystore()).unwrap(), file, "salted anew");
}

#[test]
fn a_damaged_keystore_is_never_replaced() {
    let home = Home::new();
    fs::create_dir_all(home.path()).unwrap();
    home.password_file(PASSWORD);
    for damaged in ["", "{}", "no json"] {
        fs::write(home.keystore(), damaged).unwrap();
        for command in [
            &["chat", "hi"][..],
            &["wallet", "show"],
            &["wallet", "approve", "1"],
        ] {
            home.run_unlocked(command, b"").fails(2, "key.damaged");
        }
        assert_eq!(fs::read_to_string(home.keystore()).unwrap(), damaged);
    }
}

#[test]
fn the_plain_key_pays_on_the_local_network_only() {
    let home = Home::new();
    let network = other_network(&home);
    let chat = [
        "chat",
        "hi",
        "--max-price",
        "0.01",
        "--network",
        text(&network),
    ];
    home.run(&chat).fails(2, "wallet.missing");
    fs::write(home.path().join("wallet.key"), KEY).unwrap();
    home.run(&chat)
        .fails(2, "wallet.plain")
        .says("seamline wallet import <");
    home.run(&["wallet", "approve", "1", "--network", text(&network)])
        .fails(2, "wallet.plain");
    // Importing it says what is left to do.
    home.password_file(PASSWORD);
    let kept = home.run_unlocked(&["wallet", "import"], KEY.as_bytes());
    assert_eq!(kept.code, 0, "{kept:?}");
    kept.says("delete it");
}

#[test]
fn the_environment_can_hold_the_key() {
    let home = Home::new();
    let with = |key: &str, args: &[&str]| {
        home.run_with(args, b"", |command| {
            command.env("SEAMLINE_WALLET_KEY", key);
        })
    };
    for wrong in [&KEY[1..], "canary", "0x"] {
        let ran = with(wrong, &["wallet", "show"]);
        ran.fails(2, "wallet.environment");
        assert!(!ran.stderr.contains(wrong) || wrong == "0x", "{ran:?}");
    }
    let shown = with(KEY, &["wallet", "show", "--json"]).json();
    assert_eq!(shown["address"], ADDRESS);
    assert_eq!(shown["key"], "environment");
    assert!(!home.path().join("wallet.key").exists(), "no other key");
    assert_eq!(with(KEY, &["chat", "What is a receipt?"]).code, 0);
}

#[test]
fn an_approval_is_bounded() {
    let home = Home::new();
    for (args, code) in [
        (&["0"][..], "approve.zero"),
        (&["much"], "budget.malformed"),
        (&["151"], "approve.too_much"),
        (
            &["151", "--danger-allow-up-to", "150.5"],
            "approve.too_much",
        ),
        (&["1", "--max-fee", "0"], "fee.malformed"),
    ] {
        let args = [&["wallet", "approve"], args].concat();
        home.run(&args).fails(2, code);
    }
    for args in [&[][..], &["1", "--revoke"], &["-1"]] {
        let args = [&["wallet", "approve"], args].concat();
        assert_eq!(home.run(&args).code, 2, "{args:?}");
    }
    let all = "100000000000000000000";
    home.run(&["wallet", "approve", all, "--danger-allow-up-to", all])
        .fails(2, "approve.unlimited");
    home.run(&["wallet", "approve", "1", "--max-fee", "0.000000001"])
        .fails(1, "transaction.fees");

    let allowance = || home.json(&["wallet", "show", "--json"])["permit2_allowance"].clone();
    let approved = home.run(&[
        "wallet",
        "approve",
        "151",
        "--danger-allow-up-to",
        "151",
        "--json",
    ]);
    assert_eq!(approved.code, 0, "{approved:?}");
    approved.says("gas costs at most");
    assert_eq!(approved.json()["allowance"], "151000000000000000000");
    assert_eq!(allowance(), "151000000000000000000");
    let revoked = home.json(&["wallet", "approve", "--revoke", "--json"]);
    assert_eq!(revoked["allowance_before"], "151000000000000000000");
    assert_eq!(revoked["allowance"], "0");
}

#[test]
fn the_budget_is_settled_and_holds() {
    let home = Home::new();
    let set = |args: &[&str]| home.run(&[&["wallet", "budget", "set"], args].concat());
    for (args, code) in [
        (&["--per-call", "0"][..], "budget.zero"),
        (&["--per-day", "1e3"], "budget.malformed"),
        (&["--per-hour", "0.0000000000000000001"], "budget.malformed"),
    ] {
        set(args).fails(2, code);
    }
    assert_eq!(set(&[]).code, 2);
    assert!(!home.path().join("settings.toml").exists());

    let paid = home.json(&["chat", "What is a receipt?", "--json"]);
    let settled = set(&[
        "--per-call",
        "0.01",
        "--per-hour",
        "1",
        "--per-day",
        "2",
        "--per-node-day",
        "0.5",
        "--per-model-day",
        "0.4",
        "--json",
    ]);
    let windows = settled.json()["windows"].clone();
    let caps: Vec<_> = windows
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["window"].as_str().unwrap(), it["cap"].as_str().unwrap()))
        .collect();
    assert_eq!(
        caps,
        [
            ("call", "10000000000000000"),
            ("hour", "1000000000000000000"),
            ("day", "2000000000000000000"),
            ("node_day", "500000000000000000"),
            ("model_day", "400000000000000000"),
        ]
    );
    for window in &windows.as_array().unwrap()[1..] {
        assert_eq!(window["spent"], paid["cost"]["settled"]);
        let number = |field: &str| window[field].as_str().unwrap().parse::<u128>().unwrap();
        assert_eq!(
            number("cap"),
            number("spent") + number("reserved") + number("left")
        );
        assert_ne!(window["frees_ms"], Value::Null);
    }
    home.run(&["chat", "hi", "--max-price", "0.02"])
        .fails(2, "budget.over");
    set(&["--per-hour", "0.001"]);
    home.run(&["chat", "What is a receipt?"])
        .fails(2, "offer.per_hour")
        .says("charged: no");
    set(&["--per-hour", "none", "--per-model-day", "0.001"]);
    home.run(&["chat", "What is a receipt?"])
        .fails(2, "offer.per_model_day");

    let network = other_network(&home);
    let other = home.json(&["wallet", "budget", "--json", "--network", text(&network)]);
    let windows = other["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 1, "another token has caps of its own");
    assert_eq!(windows[0]["cap"], "5000000");
    fs::write(
        home.path().join("settings.toml"),
        "version = 1\nper_call = 1\n",
    )
    .unwrap();
    for args in [
        &["wallet", "budget"][..],
        &["chat", "hi"],
        &["wallet", "show"],
    ] {
        home.run(args).fails(2, "settings.malformed");
    }
}

#[test]
fn the_history_lists_what_was_paid() {
    let home = Home::new();
    let none = home.run(&["wallet", "history"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
    assert!(!home.path().exists(), "to look makes nothing");
    let first = home.json(&["chat", "What is a receipt?", "--json"]);
    let second = home.json(&["chat", "How is a node chosen?", "--json"]);
    let history = home.json(&["wallet", "history", "--json"]);
    let payments = history["payments"].as_array().unwrap();
    assert_eq!(payments.len(), 2);
    for (payment, reply) in payments.iter().zip([&second, &first]) {
        assert_eq!(payment["settled"], reply["cost"]["settled"]);
        assert_eq!(payment["state"], "settled");
        assert_eq!(payment["scheme"], "upto");
        assert_eq!(payment["transaction"].as_str().unwrap().len(), 66);
        assert_eq!(payment["call"].as_str().unwrap().len(), 32);
    }
    let limited = home.json(&["wallet", "history", "--limit", "1", "--json"]);
    assert_eq!(limited["payments"].as_array().unwrap().len(), 1);
    assert_eq!(limited["total"], 2);
    let rows = home.run(&["wallet", "history", "--limit", "1"]);
    assert_eq!(rows.stdout.lines().count(), 1, "{rows:?}");
    assert!(rows.stdout.contains(" OPG "), "{rows:?}");
    rows.says("1 of 2 payments");
    assert_eq!(home.run(&["wallet", "history", "--limit", "-1"]).code, 2);
}

/// A password is asked of a program without a shell, which gets no secret on its way.
#[test]
fn a_program_can_know_the_password() {
    let home = Home::new();
    let folder = home.beside("tools");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("know password");
    fs::write(
        &program,
        format!(
            "#!/bin/sh\nprintf %s \"${{SEAMLINE_WALLET_KEY-unset}}\" > '{0}/env'\n\
             tr '\\0' ' ' < /proc/$PPID/cmdline > '{0}/cmdline' 2>/dev/null\necho '{PASSWORD}'\n",
            folder.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let with = |value: &str, args: &[&str], input: &[u8]| {
        home.run_with(args, input, |command| {
            command
                .env("SEAMLINE_WALLET_PASSWORD_COMMAND", value)
                .env("SEAMLINE_WALLET_KEY", KEY);
        })
    };
    let kept = with(text(&program), &["wallet", "import"], KEY.as_bytes());
    assert_eq!(kept.code, 0, "{kept:?}");
    assert_eq!(fs::read_to_string(folder.join("env")).unwrap(), "unset");
    let cmdline = fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
    assert!(!cmdline.contains(PASSWORD) && !cmdline.contains(KEY));

    fs::remove_file(home.keystore()).unwrap();
    for wrong in ["/no/such/program", "[]", "false", "true"] {
        with(wrong, &["wallet", "import"], KEY.as_bytes()).fails(
            2,
            if wrong == "[]" {
                "wallet.command"
            } else {
                "wallet.password_source"
            },
        );
    }
    assert!(!home.keystore().exists());
    let file = home.run_with(&["wallet", "import"], KEY.as_bytes(), |command| {
        command.env("SEAMLINE_WALLET_PASSWORD_FILE", "/no/such/file");
    });
    file.fails(2, "wallet.password_source");
    // The harness closes what it no longer needs.
    assert_eq!(finish(home.command(&["wallet", "history"])).code, 0);
}

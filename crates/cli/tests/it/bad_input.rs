use std::fs;

use crate::harness::{Home, closed_port, text, works};

#[test]
fn the_question_must_say_something() {
    let home = Home::new();
    for prompt in ["", "  \n\t "] {
        home.run(&["chat", prompt]).fails(2, "request.empty");
        home.run_with_input(&["chat", "-"], prompt.as_bytes())
            .fails(2, "request.empty");
    }
    home.run_with_input(&["chat", "-"], b"\xff\xfe")
        .fails(2, "request.unreadable");
    home.run_with_input(&["chat", "-"], &vec![b'a'; 600 * 1024])
        .fails(2, "request.too_long");
    assert!(!home.path().exists(), "nothing was begun");
}

#[test]
fn an_unknown_model_names_the_known_ones() {
    let home = Home::new();
    home.run(&["chat", "hi", "-m", "nobody/has-this"])
        .fails(2, "model.unknown")
        .says("hint: nodes offer: seamline/guide")
        .says("charged: no");
}

#[test]
fn a_budget_must_be_an_amount_above_zero() {
    let home = Home::new();
    for zero in ["0", "0.000"] {
        home.run(&["chat", "hi", "--max-price", zero])
            .fails(2, "budget.zero");
    }
    for malformed in [
        "much",
        "",
        "1,5",
        "1e3",
        "0x10",
        " 1",
        "+1",
        "0.0000000000000000001",
    ] {
        home.run(&["chat", "hi", "--max-price", malformed])
            .fails(2, "budget.malformed")
            .says("such as 0.05");
    }
    // clap takes a leading dash for an option; it is a usage error all the same.
    assert_eq!(home.run(&["chat", "hi", "--max-price", "-1"]).code, 2);
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors() {
    let home = Home::new();
    for args in [
        &["chat", "--no-such-option"][..],
        &["receipt", "verify"],
        &["fly"],
        &["up", "--rpc-port", "70000"],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_eq!(ran.stdout, "", "{ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    }
    // Without a command, the help is the message.
    for args in [&[][..], &["receipt"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        ran.says("Usage: seamline");
    }
    let help = home.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(!home.path().exists());
}

#[test]
fn a_home_that_is_a_file_is_refused_by_every_command() {
    let home = Home::new();
    fs::write(home.path(), "a file").unwrap();
    for args in [
        &["chat", "hi"][..],
        &["receipt", "list"],
        &["registry", "list"],
        &["wallet", "show"],
        &["up"],
    ] {
        home.run(args)
            .fails(2, "home.unusable")
            .says("SEAMLINE_HOME");
    }
    let doctor = home.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.stdout.starts_with("FAIL home"), "{doctor:?}");
    assert_eq!(fs::read(home.path()).unwrap(), b"a file");
}

#[test]
fn a_home_that_cannot_be_written_is_refused() {
    let home = Home::with_a_receipt();
    if works("sh", &["-c", "test $(id -u) -eq 0"]) {
        println!("skipped: the superuser may write everywhere");
        return;
    }
    let mut mode = fs::metadata(home.path()).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(home.path(), mode).unwrap();
    home.run(&["chat", "hi"]).fails(2, "home.unusable");
}

#[test]
fn a_damaged_journal_is_left_as_it_is() {
    let home = Home::with_a_receipt();
    let journal = home.path().join("journal.redb");
    let good = fs::read(&journal).unwrap();
    let mut headless = good.clone();
    headless[..64].fill(0xa5);
    for damaged in [b"not a journal".to_vec(), vec![0; 4096], headless] {
        fs::write(&journal, &damaged).unwrap();
        for args in [
            &["chat", "hi"][..],
            &["receipt", "list"],
            &["wallet", "show"],
        ] {
            home.run(args)
                .fails(2, "journal.damaged")
                .says("move it away");
            assert_eq!(fs::read(&journal).unwrap(), damaged, "byte for byte");
        }
    }
    // With the books back nothing is lost.
    fs::write(&journal, good).unwrap();
    assert_eq!(
        home.json(&["receipt", "list", "--json"])["calls"][0]["state"],
        "answered"
    );
}

#[test]
fn a_damaged_key_is_never_replaced() {
    let home = Home::with_a_receipt();
    for key in ["wallet.key", "recorder.key"] {
        let path = home.path().join(key);
        let good = fs::read(&path).unwrap();
        fs::write(&path, "0123").unwrap();
        home.run(&["chat", "hi"]).fails(2, "key.damaged").says(key);
        assert_eq!(fs::read(&path).unwrap(), b"0123");
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_trust_file_that_does_not_read_is_a_usage_error() {
    let home = Home::with_a_receipt();
    let receipt = home.receipt();
    let trust = home.beside("trust.toml");
    for malformed in [
        "not toml",
        "version = 2\n",
        "version = 1\nrecorders = [\"xyz\"]\n",
        "version = 1\nmeasurements = [\"0x00\"]\n",
        "version = 1\ndanger_accept_dev_roots = [\"00\"]\n",
        "version = 1\nno_such_field = true\n",
    ] {
        fs::write(&trust, malformed).unwrap();
        for command in ["verify", "explain"] {
            home.run(&["receipt", command, text(&receipt), "--trust", text(&trust)])
                .fails(2, "trust.malformed");
        }
        assert_eq!(fs::read_to_string(&trust).unwrap(), malformed);
    }
    // Chat does not pass over it either: it would have to be overwritten.
    fs::write(home.path().join("trust.toml"), "not toml").unwrap();
    home.run(&["chat", "hi"]).fails(2, "trust.malformed");
    assert_eq!(
        fs::read(home.path().join("trust.toml")).unwrap(),
        b"not toml"
    );
}

#[test]
fn a_network_that_is_down_charges_nothing() {
    let home = Home::with_a_receipt();
    let file = home.beside("network.json");
    let network = serde_json::json!({
        "version": 1,
        "chain_id": 31610,
        "network": "eip155:31610",
        "rpc_url": format!("http://127.0.0.1:{}", closed_port()),
        "facilitator_url": format!("http://127.0.0.1:{}", closed_port()),
        "facilitator": format!("0x{}", "11".repeat(20)),
        "registry": "0x5ea1000000000000000000000000000000000001",
        "token": "0x5ea1000000000000000000000000000000000002",
        "token_symbol": "OPG",
        "token_decimals": 18,
        "evidence": "dev",
    });
    fs::write(&file, network.to_string()).unwrap();
    let args = &[
        "chat",
        "hi",
        "--network",
        text(&file),
        "--max-price",
        "0.02",
    ];
    home.run(args)
        .fails(3, "chain.unreachable")
        .says("charged: no")
        .says("fault: chain");
    home.run(&["wallet", "show", "--network", text(&file)])
        .fails(3, "chain.unreachable");
    home.run(&["registry", "list", "--network", text(&file)])
        .fails(3, "chain.unreachable");
    let doctor = home.run(&["doctor", "--network", text(&file)]);
    assert_eq!(doctor.code, 1, "{doctor:?}");

    for (wrong, code) in [
        ("{}".to_owned(), "network.malformed"),
        (
            network
                .to_string()
                .replace("http://127.0.0.1", "http://192.0.2.1"),
            "network.rpc",
        ),
    ] {
        fs::write(&file, wrong).unwrap();
        home.run(args).fails(2, code);
    }
    home.run(&[
        "registry",
        "list",
        "--network",
        text(&home.beside("nothing")),
    ])
    .fails(2, "network.unreadable");
}

//! `up --opengradient`, the registry's commands and `request hash`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{Home, Up, in_time};

const KEY: &str = "0x4242424242424242424242424242424242424242424242424242424242424242";

#[test]
fn a_home_with_another_key_rehearses_nothing() {
    for (name, value) in [
        ("SEAMLINE_WALLET_KEY", KEY),
        ("SEAMLINE_WALLET_COMMAND", "true"),
    ] {
        let home = Home::new();
        let ran = home.run_with(&["up", "--opengradient"], b"", |command| {
            command.env(name, value);
        });
        ran.fails(2, "wallet.rehearsal")
            .says("valid there")
            .says("--home");
        assert!(!home.path().join("opengradient").exists(), "{name}");
    }
    // A keystore is refused by its presence: no password is asked for.
    let home = Home::new();
    fs::create_dir_all(home.path()).unwrap();
    let keystore = home.run_with(&["wallet", "import", "--json"], KEY.as_bytes(), |command| {
        let password = home.beside("password");
        fs::write(&password, "correct horse battery staple").unwrap();
        command.env("SEAMLINE_WALLET_PASSWORD_FILE", password);
    });
    assert_eq!(keystore.code, 0, "{keystore:?}");
    home.run(&["up", "--opengradient"])
        .fails(2, "wallet.rehearsal")
        .says("keystore");
}

#[test]
fn a_rehearsal_prints_its_own_key_and_pays_with_no_other() {
    let home = Home::new();
    let mut up = Up::start_with(&home, &["--opengradient"]);
    assert_eq!(up.view["chain_id"], 8453);
    assert_eq!(
        up.text("registry").to_lowercase(),
        "0x703cb174aeadb35d611858369b4b1111dc9abda6"
    );
    let environment = &up.view["environment"];
    assert_eq!(environment["BASE_MAINNET_RPC"], up.view["rpc_url"]);
    assert_eq!(environment["OG_PRIVATE_KEY"], up.view["funded_key"]);
    assert_ne!(up.view["empty_key"], up.view["funded_key"]);
    assert_eq!(up.view["python"].as_array().unwrap().len(), 3);
    let network = up.text("network_file").to_owned();

    // 1. Seamline itself pays there with the network's key, and refuses any other before it signs.
    let shown = home.json(&["wallet", "show", "--network", &network, "--json"]);
    assert_eq!(shown["address"], up.view["funded_address"]);
    let refused = home.run_with(&["wallet", "show", "--network", &network], b"", |command| {
        command.env("SEAMLINE_WALLET_KEY", KEY);
    });
    refused.fails(2, "wallet.rehearsal").says("throwaway keys");
    // Another home has no key of it.
    Home::new()
        .run(&["wallet", "show", "--network", &network])
        .fails(2, "wallet.rehearsal");

    // 2. Commands of the home do not take it for the network that they call by themselves.
    assert!(!home.path().join("network.json").exists());

    // 3. A second one waits for nobody, and says who has the folder.
    home.run(&["up", "--opengradient"]).fails(3, "localnet");

    assert_eq!(up.stop("INT"), 0);
    assert!(!std::path::Path::new(&network).exists());
}

#[test]
fn the_registry_is_shown_watched_and_administered() {
    let home = Home::new();
    let up = Up::start(&home);
    let node = &up.view["nodes"][0];
    let (id, measurement) = (
        node["id"].as_str().unwrap(),
        node["measurement"].as_str().unwrap(),
    );
    // 1. show, by the start of the id
    let shown = home.json(&["registry", "show", &id[..10], "--json"]);
    assert_eq!(shown["id"], id);
    assert_eq!(shown["active"], true);
    assert_eq!(shown["endpoint"], node["endpoint"]);
    assert_eq!(shown["measurement_approved"], true);
    home.run(&["registry", "show", "0xzz"])
        .fails(2, "node.malformed");
    home.run(&["registry", "show", "0xffffffffff"])
        .fails(1, "node.unknown");

    // 2. watch says everything from the first block, then what happens
    let mut watch = home
        .command(&["registry", "watch", "--from", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();

    // 3. another account may not, the network's administrator may
    let refused = home.run_with(&["registry", "revoke", measurement], b"", |command| {
        command.env("SEAMLINE_NETWORK", foreign(&home, &up));
        command.env("SEAMLINE_HOME", home.beside("other"));
        command.env("SEAMLINE_WALLET_KEY", KEY);
    });
    refused.fails(1, "registry.role").says("nothing was sent");
    let revoked = home.json(&["registry", "revoke", measurement, "--json"]);
    assert_eq!(revoked["nodes"][0], id);
    home.run(&["registry", "revoke", measurement])
        .fails(1, "registry.measurement");
    let shown = home.json(&["registry", "show", id, "--json"]);
    assert_eq!(
        (&shown["active"], &shown["enabled"]),
        (&false.into(), &false.into())
    );
    let listed = home.json(&["registry", "list", "--json"]);
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 2);

    // 4. approve, twice
    let pcr = "11".repeat(48);
    let approve = &[
        "registry", "approve", &pcr, &pcr, &pcr, "--name", "1.2", "--json",
    ];
    let first = home.json(approve);
    assert!(first["transaction"].is_string());
    let again = home.json(approve);
    assert!(again["transaction"].is_null());
    assert_eq!(again["measurement"], first["measurement"]);
    let zero = "00".repeat(48);
    home.run(&["registry", "approve", &zero, &pcr, &pcr])
        .fails(2, "measurement.debug");
    home.run(&["registry", "approve", &pcr])
        .fails(2, "measurement.missing");
    home.run(&["registry", "approve", "11", &pcr, &pcr])
        .fails(2, "measurement.malformed");

    // 5. all of it was watched, in order
    let wanted = first["measurement"].clone();
    let seen = in_time(move || {
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            let last = event["event"] == "approved" && event["measurement"] == wanted;
            seen.push(event);
            if last {
                break;
            }
        }
        seen
    });
    let of = |name: &str| seen.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("registered"), of("revoked"), of("disabled")), (3, 1, 1));
    assert_eq!(seen.last().unwrap()["version"], "1.2");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// The network's description, for a home that has not its keys.
fn foreign(home: &Home, up: &Up) -> std::path::PathBuf {
    let file = home.beside("foreign.json");
    fs::write(&file, up.view.to_string()).unwrap();
    file
}

#[test]
fn a_node_registers_once() {
    let home = Home::new();
    let up = Up::start(&home);
    let node = &up.view["nodes"][1];
    let (url, pay_to) = (
        node["endpoint"].as_str().unwrap(),
        node["pay_to"].as_str().unwrap(),
    );
    let again = home.json(&["node", "register", url, "--pay-to", pay_to, "--json"]);
    assert_eq!(again["id"], node["id"]);
    assert_eq!(again["registered_now"], false);
    assert_eq!(again["measurement"], node["measurement"]);

    let other = "0x00000000000000000000000000000000000000aa";
    home.run(&["node", "register", url, "--pay-to", other])
        .fails(1, "node.differs")
        .says("payment address");
    home.run(&["node", "register", "http://127.0.0.1:1", "--pay-to", other])
        .fails(2, "node.url");
    let closed = format!("https://127.0.0.1:{}", crate::harness::closed_port());
    home.run(&["node", "register", &closed, "--pay-to", other])
        .fails(3, "node.unreachable");
    // Evidence under a root that this home does not believe.
    let trust = home.beside("trust.toml");
    fs::write(&trust, "version = 1\n").unwrap();
    let trust = trust.to_str().unwrap();
    home.run(&[
        "node", "register", url, "--pay-to", pay_to, "--trust", trust,
    ])
    .fails(1, "node.evidence");
}

#[test]
fn without_a_network_the_registry_is_nowhere() {
    let home = Home::new();
    for args in [
        &["registry", "show", "12345678"][..],
        &["registry", "watch"],
        &["registry", "revoke", KEY],
    ] {
        home.run(args).fails(2, "network.none").says("seamline up");
    }
}

#[test]
fn requests_are_hashed_from_files_and_pipes() {
    let home = Home::new();
    let body = br#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}],"n":2}"#;
    let wanted = "e11bb533dd303f46ae4c8f0babe666bcb96ac969fd19d31780a8308bfe9c24e7";
    let ran = home.run_with_input(&["request", "hash", "-"], body);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.ends_with(&format!("{wanted}\n")), "{ran:?}");
    assert!(ran.stderr.contains("not covered by the hash: n"), "{ran:?}");
    let file = home.beside("request.json");
    fs::write(&file, body).unwrap();
    let hashed = home.json(&["request", "hash", file.to_str().unwrap(), "--json"]);
    assert_eq!(hashed["hash"], wanted);
    assert_eq!(hashed.as_object().unwrap().len(), 2);

    let mut lines = body.to_vec();
    lines.extend(b"\n{\"model\":7}\n[\n");
    let ran = home.run_with_input(&["request", "hash", "--lines", "-"], &lines);
    assert_eq!(ran.code, 2, "{ran:?}");
    let said: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(said[0]["hash"], wanted);
    assert_eq!(said[1]["error"]["field"], "model");
    assert_eq!(said[2]["error"]["code"], "json_unexpected_end");
    home.run(&["request", "hash", "/nonexistent"])
        .fails(2, "request.unreadable");
    home.run_with_input(&["request", "hash", "-"], b"{\n \"model\" \"m\"}")
        .fails(2, "request.json_unexpected_byte")
        .says("line 2, column 10");
}

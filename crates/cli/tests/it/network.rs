use std::fs;
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Home, Up};

#[test]
fn up_says_everything_first_and_leaves_nothing_behind() {
    let home = Home::new();
    let mut up = Up::start(&home);

    // 1. everything that a program needs
    for address in [
        "registry",
        "token",
        "settlement",
        "facilitator",
        "permit2",
        "upto_proxy",
        "verifier",
        "funded_address",
    ] {
        let text = up.text(address);
        assert!(
            text.starts_with("0x") && text.len() == 42,
            "{address}: {text}"
        );
    }
    assert_eq!(up.view["chain_id"], 31610);
    assert_eq!(up.text("network"), "eip155:31610");
    assert_eq!(up.text("evidence"), "dev");
    assert_eq!(up.text("funded_key").len(), 66);
    assert!(fs::metadata(up.text("trust_file")).unwrap().is_file());
    let nodes = up.view["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    let mut urls = vec![up.text("rpc_url"), up.text("facilitator_url")];
    urls.extend(nodes.iter().map(|node| node["endpoint"].as_str().unwrap()));
    let addresses: Vec<_> = urls
        .iter()
        .map(|url| url.split("//").nth(1).unwrap().to_owned())
        .collect();
    for address in &addresses {
        TcpStream::connect(address).unwrap_or_else(|err| panic!("{address}: {err}"));
    }

    // 2. other commands of the home join it
    assert!(home.path().join("network.json").is_file());
    let reply = home.json(&["chat", "What is a receipt?", "--json"]);
    let endpoint = reply["node"]["endpoint"].as_str().unwrap();
    assert!(
        urls.contains(&endpoint),
        "{endpoint} is not one of {urls:?}"
    );
    home.run(&["up"])
        .fails(2, "network.running")
        .says(up.text("rpc_url"));

    // 3. it has no children, and Ctrl-C ends all of it
    let pid = up.child.as_ref().unwrap().id();
    if let Ok(children) = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        assert_eq!(children, "");
    }
    assert_eq!(up.stop("INT"), 0);
    assert!(!home.path().join("network.json").exists());
    for address in &addresses {
        assert!(
            TcpStream::connect(address).is_err(),
            "{address} still listens"
        );
    }

    // 4. chain and books are where they were
    let listed = home.json(&["receipt", "list", "--json"]);
    assert_eq!(listed["calls"].as_array().unwrap().len(), 1);
    let wallet = home.json(&["wallet", "show", "--json"]);
    assert_eq!(wallet["spent_today"], reply["cost"]["settled"]);
}

#[test]
fn up_stops_for_a_supervisor_too() {
    let home = Home::new();
    let mut up = Up::start(&home);
    assert_eq!(up.stop("TERM"), 0);
    assert!(!home.path().join("network.json").exists());
}

#[test]
fn a_killed_network_is_not_believed() {
    let home = Home::new();
    let mut up = Up::start(&home);
    let mut child = up.child.take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        home.path().join("network.json").is_file(),
        "nobody removed it"
    );
    // The next command sees that nothing answers there, and starts its own network on the same chain.
    let ran = home.run(&["chat", "What is a receipt?"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut again = Up::start(&home);
    assert_eq!(again.stop("INT"), 0);
}

#[test]
fn the_network_file_of_another_home_can_be_named() {
    let home = Home::new();
    let up = Up::start(&home);
    let file = home.beside("network.json");
    fs::write(&file, up.view.to_string()).unwrap();
    let (file, trust) = (file.to_str().unwrap(), up.text("trust_file").to_owned());

    let other = Home::new();
    let reads = &["registry", "list", "--network", file, "--trust", &trust];
    let ran = other.run(reads);
    assert_eq!(ran.code, 0, "{ran:?}");
    // There is no budget for a network that is not one's own play money.
    other
        .run(&["chat", "hi", "--network", file, "--trust", &trust])
        .fails(2, "budget.missing")
        .says("--max-price");
    // Its wallet holds nothing there, which is seen before anything is signed.
    other
        .run(&[
            "chat",
            "hi",
            "--network",
            file,
            "--trust",
            &trust,
            "--max-price",
            "0.02",
        ])
        .fails(1, "payment.funds")
        .says("charged: no")
        .says("seamline wallet show");
}

#[test]
fn registry_list_shows_nodes_and_prices() {
    let home = Home::new();
    let ran = home.run(&["registry", "list"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 4, "{ran:?}");
    assert!(ran.stdout.contains("DEV evidence (no hardware)"), "{ran:?}");
    assert_eq!(
        ran.stdout.matches("seamline/guide at ").count(),
        3,
        "{ran:?}"
    );
    let view = home.json(&["registry", "list", "--json"]);
    assert_eq!(view["evidence"], "dev");
    let nodes = view["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!(node["enabled"], true);
        assert_eq!(node["models"][0]["id"], "seamline/guide");
        let price = node["models"][0]["price_input"].as_str().unwrap();
        assert_ne!(price.parse::<u128>(), Ok(0));
    }
}

#[test]
fn wallet_show_says_what_may_be_spent() {
    let home = Home::new();
    let ran = home.run(&["wallet", "show"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "address    0x",
        "DEV network",
        "balance    100 OPG",
        "allowance  10 OPG",
        "spent      0 OPG",
        "reserved   0 OPG",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let key = fs::read_to_string(home.path().join("wallet.key")).unwrap();
    assert!(!ran.stdout.contains(key.trim()));
    let view = home.json(&["wallet", "show", "--json"]);
    assert_eq!(view["evidence"], "dev");
    assert_eq!(view["reserved"], "0");
    assert!(!view.to_string().contains(key.trim()));
}

#[test]
fn doctor_finds_a_fresh_home_healthy() {
    let home = Home::new();
    let ran = home.run(&["doctor"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout
            .lines()
            .filter(|line| line.starts_with("ok  "))
            .count(),
        5,
        "{ran:?}"
    );
    assert!(ran.stdout.contains("DEV evidence (no hardware)"), "{ran:?}");
    let view = home.json(&["doctor", "--json"]);
    assert_eq!(view["ok"], true);
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do() {
    let home = Home::with_a_receipt();
    fs::write(home.path().join("journal.redb"), "not a journal").unwrap();
    fs::write(home.path().join("trust.toml"), "version = \"one\"").unwrap();
    let ran = home.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["ok   home", "FAIL journal", "FAIL trust", "hint: "] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let ran = home.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 1);
    let view = ran.json();
    assert_eq!(view["ok"], false);
    let failed: Vec<_> = view["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|check| check["hint"] != Value::Null));
}

//! `seamline relay`: what it refuses, and what a restart remembers.

use std::fs;

use crate::harness::{Home, Up, text};
use crate::service::{Answer, Service, ask};

const TOKEN: &str = "a token of forty random characters, say";
/// SHA-256 of it.
const HASH: &str = "f87cc5c5817a0dccf6f17ce09dc6ac113259c9da471ec37480f7fad697d375f2";

fn account(per_day: &str) -> String {
    format!(
        "[[account]]\ntoken_sha256 = \"{HASH}\"\nper_day = \"{per_day}\"\nper_minute = 60\nat_once = 4\n"
    )
}

fn accounts(home: &Home, toml: &str) -> String {
    let path = home.beside("accounts.toml");
    fs::write(&path, toml).unwrap();
    text(&path).to_owned()
}

/// All arguments; the last one is `--json`.
fn args<'a>(accounts: &'a str, max_price: &'a str) -> [&'a str; 8] {
    [
        "relay",
        "--accounts",
        accounts,
        "--max-price",
        max_price,
        "--listen",
        "127.0.0.1:0",
        "--json",
    ]
}

#[test]
fn what_says_who_may_use_it_is_read_strictly() {
    let home = Home::new();
    let up = Up::start(&home);
    let one = account("20");
    let unknown = format!("{one}colour = \"blue\"\n");
    for (toml, code, word) in [
        ("", "relay.accounts", "it has none"),
        ("[[account]", "relay.accounts", "cannot read the accounts"),
        (&unknown, "relay.accounts", "colour"),
        (
            &one.replace("per_minute = 60\n", ""),
            "relay.accounts",
            "per_minute",
        ),
        (&one.replace(HASH, "ab"), "relay.accounts", "64 hex digits"),
        (&one.replace("20", "a lot"), "relay.amount", "a lot"),
        (&one.replace("20", "-1"), "relay.amount", "-1"),
        (&format!("{one}{one}"), "relay.accounts", "same token"),
    ] {
        let path = accounts(&home, toml);
        home.run(&args(&path, "0.5")[..7]).fails(2, code).says(word);
    }
    let nowhere = text(&home.beside("nowhere.toml")).to_owned();
    home.run(&args(&nowhere, "0.5")[..7])
        .fails(2, "relay.accounts");
    let path = accounts(&home, &one);
    // More than the budget allows, nothing, and no amount: before anything is served.
    home.run(&args(&path, "1e3")[..7])
        .fails(2, "budget.malformed");
    home.run(&args(&path, "0")[..7]).fails(2, "budget.zero");
    let without = home.run(&["relay", "--accounts", &path]);
    assert_eq!(without.code, 2, "{without:?}");
    drop(up);
}

fn post(relay: &Service, node: &str, headers: &str, body: &str) -> Answer {
    let url = format!("{}/api/v1/chat/ohttp", relay.url());
    let node = node.trim_start_matches("0x");
    ask(
        &url,
        "POST",
        &format!("{headers}x-tee-id: {node}\r\n"),
        body,
    )
}

#[test]
fn it_carries_for_its_accounts_within_their_budgets_also_after_a_crash() {
    let home = Home::new();
    let up = Up::start(&home);
    let node = up.view["nodes"][0]["id"].as_str().unwrap().to_owned();
    // Room for one request at a time: what it could cost is reserved.
    let path = accounts(&home, &account("0.6"));
    let relay = Service::start(&home, &args(&path, "0.5"));
    assert_eq!(relay.view["accounts"], 1);
    assert!(relay.view["nodes"].as_u64().unwrap() >= 1);

    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let sealed = format!("{bearer}content-type: message/ohttp-req\r\n");
    let garbage = "x".repeat(100);
    let stranger = "authorization: Bearer stranger\r\ncontent-type: message/ohttp-req\r\n";
    let nobody = "11".repeat(32);
    for (node, headers, status) in [
        (&node, "", 401),
        (&node, stranger, 401),
        (&nobody, sealed.as_str(), 502),
        (&node, bearer.as_str(), 415),
    ] {
        let answer = post(&relay, node, headers, &garbage);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // Carried and refused by the enclave, which could settle it for a while: its price is reserved.
    let answer = post(&relay, &node, &sealed, &garbage);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.body.contains("malformed encapsulated request"),
        "{answer:?}"
    );
    let answer = post(&relay, &node, &sealed, &garbage);
    assert_eq!(answer.status, 402, "{answer:?}");

    // One home has one relay.
    let second = home.run(&args(&path, "0.5"));
    assert_ne!(second.code, 0, "{second:?}");
    drop(relay);
    // A crash does not fill the account up.
    let mut relay = Service::start(&home, &args(&path, "0.5"));
    let answer = post(&relay, &node, &sealed, &garbage);
    assert_eq!(answer.status, 402, "{answer:?}");
    assert_eq!(relay.stop("INT"), 0);
}

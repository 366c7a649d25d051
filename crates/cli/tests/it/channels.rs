//! Payment channels, as a person uses them.

use crate::harness::{Home, text};

const QUESTION: &str = "How do I cap what a call may cost?";

#[test]
fn the_first_call_deposits_and_the_second_costs_a_voucher() {
    let home = Home::new();
    let first = home.run(&["chat", "--channels", "1", QUESTION]);
    assert_eq!(first.code, 0, "{first:?}");
    first
        .says("ok: node ")
        .says("the node's claim is still to come")
        .says("; channel ")
        .says(": deposited ");
    // The environment says so as well.
    let second = home.run_with(&["chat", QUESTION, "--json"], b"", |command| {
        command.env("SEAMLINE_CHANNELS", "1");
    });
    assert_eq!(second.code, 0, "{second:?}");
    second.says(": one voucher, no deposit, ");
    let view = second.json();
    assert!(view["channel"]["deposit"].is_null(), "{view}");
    assert_eq!(view["cost"]["state"], "charged");

    // Both are in the books, in one channel.
    let listed = home.json(&["wallet", "channels", "--json"]);
    let channels = listed["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 1, "{listed}");
    let channel = &channels[0];
    assert_eq!(channel["channel"], view["channel"]["id"]);
    assert_eq!(channel["state"], "open");
    let amount = |name: &str| channel[name].as_str().unwrap().parse::<u128>().unwrap();
    assert!(amount("charged") > 0);
    assert_eq!(amount("left"), amount("balance") - amount("charged"));
    assert_eq!(channel["chain"]["balance"], channel["balance"]);
    let listed = home.run(&["wallet", "channels"]);
    assert!(listed.stdout.contains(" open"), "{listed:?}");

    // Receipts of one channel bear each other out.
    let folder = home.path().join("receipts");
    let receipts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut args = vec!["receipt", "verify", "--json"];
    args.extend(receipts.iter().map(|path| text(path)));
    let verified = home.run(&args);
    // Each is incomplete until the claim.
    assert_eq!(verified.code, 3, "{verified:?}");
    let verified = verified.json();
    assert_eq!(verified["receipts"].as_array().unwrap().len(), 2);
    assert_eq!(verified["sessions"][0]["outcome"], "pass");
}

#[test]
fn channels_are_off_unless_somebody_says_so() {
    let home = Home::new();
    let ran = home.run(&["chat", QUESTION, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json()["channel"].is_null());
    let listed = home.json(&["wallet", "channels", "--json"]);
    assert_eq!(listed["channels"].as_array().unwrap().len(), 0);
    // The settings say so for good.
    let settings = "version = 1\n\n[wallet]\nchannels = 1\n";
    std::fs::write(home.path().join("settings.toml"), settings).unwrap();
    let ran = home.run(&["chat", QUESTION, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json()["channel"]["deposit"].is_string());
    // And the command line wins.
    let ran = home.run(&["chat", QUESTION, "--json", "--channels", "0"]);
    assert!(ran.json()["channel"].is_null());
}

#[test]
fn a_channel_is_left_in_two_steps() {
    let home = Home::new();
    let paid = home.json(&["chat", "--channels", "1", QUESTION, "--json"]);
    let id = paid["channel"]["id"].as_str().unwrap();
    let left = home.json(&["wallet", "channels", "withdraw", &id[..10], "--json"]);
    assert_eq!(left["state"], "asked");
    assert_eq!(left["amount"], paid["channel"]["left"]);
    let again = home.json(&["wallet", "channels", "withdraw", id, "--json"]);
    assert_eq!(again["state"], "waiting");
    let listed = home.json(&["wallet", "channels", "--json"]);
    assert_eq!(listed["channels"][0]["state"], "withdrawing");
    // Nothing more is paid with it.
    let ran = home.run(&["chat", "--channels", "1", QUESTION]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("payment.channel"), "{ran:?}");
}

#[test]
fn what_is_no_channel_or_no_number_is_refused() {
    let home = Home::new();
    home.run(&["wallet", "channels", "withdraw", "0x12"])
        .fails(2, "channel.unknown");
    home.run_with(&["chat", QUESTION], b"", |command| {
        command.env("SEAMLINE_CHANNELS", "many");
    })
    .fails(2, "channels.malformed");
    let ran = home.run(&["chat", "--channels", "17", QUESTION]);
    assert_eq!(ran.code, 2, "{ran:?}");
    std::fs::write(
        home.path().join("settings.toml"),
        "version = 1\n\n[wallet]\nchannels = 17\n",
    )
    .unwrap();
    home.run(&["chat", QUESTION]).fails(2, "settings.malformed");
}

//! The three commands of the README's section on x402, as they stand there.

use crate::fetch::{PRICE, Upstream, balance};
use crate::harness::{Home, Up};
use crate::service::Service;

/// The arguments of the README's command `name`, with the places of this test in them.
fn arguments(name: &str, places: &[(&str, &str)]) -> Vec<String> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("\n## Every side of x402\n").nth(1).unwrap();
    let start = format!("seamline {name} ");
    let mut blocks = section.split("```\n").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(&start)).unwrap();
    let command = block.split("seamline ").nth(1).unwrap();
    let mut args: Vec<String> = command
        .split_whitespace()
        .filter(|word| *word != "\\")
        .map(str::to_owned)
        .collect();
    for arg in &mut args {
        for (from, to) in places {
            *arg = arg.replace(from, to);
        }
    }
    args
}

#[test]
fn the_three_roles_work_as_the_readme_says() {
    let network = Home::new();
    let up = Up::start(&network);
    let upstream = Upstream::start();
    let rpc = up.text("rpc_url");
    let serve = ["--listen", "127.0.0.1:0", "--json"];
    let (desk, shop) = (network.beside("desk"), network.beside("shop"));
    let run = |name: &str, places: &[(&str, &str)]| {
        let args = arguments(name, places);
        let args: Vec<_> = args.iter().map(String::as_str).chain(serve).collect();
        let mut command = network.command(&args);
        command.env("SEAMLINE_WALLET_KEY", up.text("funded_key"));
        Service::of(command)
    };
    let desk = desk.to_str().unwrap();
    let facilitator = run(
        "facilitator",
        &[("desk", desk), ("http://127.0.0.1:8545", rpc)],
    );
    let paywall = run(
        "paywall",
        &[
            ("shop", shop.to_str().unwrap()),
            ("http://127.0.0.1:8080", &upstream.url),
            ("http://127.0.0.1:4021", facilitator.url()),
        ],
    );
    let fetch = arguments("fetch", &[("http://127.0.0.1:4020", paywall.url())]);
    let fetch: Vec<_> = fetch.iter().map(String::as_str).collect();
    let ran = network.run(&fetch);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "an answer"), "{ran:?}");
    ran.says("paid 0.001 OPG");
    let pay_to = "0x00000000000000000000000000000000005e11e7";
    assert_eq!(balance(&up, pay_to), PRICE);
}

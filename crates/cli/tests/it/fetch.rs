use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::facilitator;
use crate::harness::{Home, Up, closed_port, text};
use crate::service::{Service, ask};

/// The seller's address, which nobody else pays.
const PAY_TO: &str = "0x00000000000000000000000000000000005e11e7";

/// A service that knows nothing of payments, and remembers what it was asked.
pub(crate) struct Upstream {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    request.push(byte[0]);
                }
                let head = String::from_utf8(request).unwrap().to_ascii_lowercase();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(head);
                let (status, more, body) = match path.as_str() {
                    "/broken" => ("500 Oops", "", "no"),
                    "/moved" => ("302 Found", "location: /elsewhere\r\n", ""),
                    "/metered" => (
                        "200 OK",
                        "settlement-overrides: {\"amount\":\"25%\"}\r\npayment-response: forged\r\n",
                        "a quarter",
                    ),
                    _ => ("200 OK", "x-kept: yes\r\n", "an answer"),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\n{more}content-length: {length}\r\n\r\n{body}"
                );
                // A client that left is no matter of this test.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, asked }
    }
}

/// A chain, a facilitator and a paywall in front of a service, each a process.
struct Shop {
    network: Home,
    up: Up,
    upstream: Upstream,
    _facilitator: Service,
    paywall: Service,
    _homes: [Home; 2],
}

impl Shop {
    /// `more` replaces or adds flags with their values.
    fn open(more: &[&str]) -> Self {
        let network = Home::new();
        let up = Up::start(&network);
        let upstream = Upstream::start();
        let desk = facilitator::funded_home(&up);
        let args = facilitator::arguments(up.text("rpc_url"), up.text("token"));
        let facilitator = Service::start(&desk, &args);
        let seller = Home::new();
        let mut args = paywall(&upstream.url, up.text("token"), facilitator.url());
        for pair in more.chunks(2) {
            // A setting that is there already gets the new value.
            match args.iter().skip_while(|arg| **arg != pair[0]).nth(1) {
                Some(_) => {
                    let after = args.iter_mut().skip_while(|arg| **arg != pair[0]);
                    after.skip(1).take(1).for_each(|value| *value = pair[1]);
                }
                None => args.extend(pair),
            }
        }
        let paywall = Service::start(&seller, &args);
        Self {
            network,
            up,
            upstream,
            _facilitator: facilitator,
            paywall,
            _homes: [desk, seller],
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.paywall.url())
    }

    fn balance(&self, address: &str) -> u128 {
        balance(&self.up, address)
    }

    fn payer(&self) -> String {
        let wallet = self.network.json(&["wallet", "show", "--json"]);
        wallet["address"].as_str().unwrap().to_owned()
    }

    fn served(&self) -> usize {
        self.upstream.asked.lock().unwrap().len()
    }
}

/// What an address holds of the token, base units.
pub(crate) fn balance(up: &Up, address: &str) -> u128 {
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "eth_call",
        "params": [{
            "to": up.text("token"),
            "data": format!("0x70a08231{:0>64}", address.trim_start_matches("0x")),
        }, "latest"],
    });
    let json = "content-type: application/json\r\n";
    let answer = ask(up.text("rpc_url"), "POST", json, &call.to_string());
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let word = answer["result"].as_str().unwrap();
    u128::from_str_radix(word.trim_start_matches("0x"), 16).unwrap()
}

fn paywall<'a>(upstream: &'a str, token: &'a str, facilitator: &'a str) -> Vec<&'a str> {
    let mut args = vec!["paywall", "--listen", "127.0.0.1:0", "--json"];
    args.extend([
        "--price",
        "0.001",
        "--decimals",
        "18",
        "--chain-id",
        "31610",
    ]);
    args.extend(["--upstream", upstream, "--asset", token, "--pay-to", PAY_TO]);
    args.extend(["--facilitator", facilitator]);
    args
}

pub(crate) const PRICE: u128 = 1_000_000_000_000_000;

#[test]
fn an_answer_is_bought_and_the_seller_gets_its_price() {
    let shop = Shop::open(&[]);
    let payer = shop.payer();
    let before = shop.balance(&payer);

    // Without a payment there is a price and no answer.
    let asked = ask(&shop.url("/x"), "GET", "", "");
    assert_eq!(asked.status, 402, "{asked:?}");
    assert!(asked.head.contains("payment-required: "), "{asked:?}");
    assert_eq!(shop.served(), 0);

    let ran = shop.network.run(&["fetch", &shop.url("/x?q=1")]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "an answer"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    ran.says("paid 0.001 OPG of at most 0.001 OPG, settled, transaction 0x");
    assert_eq!(shop.balance(PAY_TO), PRICE);
    assert_eq!(shop.balance(&payer), before - PRICE);

    // The service saw who pays, and nothing of the payment.
    let seen = shop.upstream.asked.lock().unwrap().concat();
    assert!(seen.starts_with("get /x?q=1 http/1.1"), "{seen}");
    let who = format!("seamline-payer: {}", payer.to_ascii_lowercase());
    assert!(seen.contains(&who), "{seen}");
    assert!(!seen.contains("payment-"), "{seen}");

    // With a body and a header, into a file, as JSON.
    let file = shop.network.beside("answer");
    let url = shop.url("/y");
    let view = shop.network.json(&[
        "fetch",
        &url,
        "-d",
        "{\"q\":1}",
        "-H",
        "X-Mine: yes",
        "-o",
        text(&file),
        "--json",
    ]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "an answer");
    assert_eq!(view["status"], 200);
    assert_eq!(view["charged"], "yes");
    assert_eq!(view["payment"]["settled"], PRICE.to_string());
    assert_eq!(view["payment"]["claim"], "confirmed");
    assert_eq!(view.get("body"), None);
    assert!(
        fs::metadata(view["receipt_path"].as_str().unwrap())
            .unwrap()
            .is_file()
    );
    let seen = shop.upstream.asked.lock().unwrap().concat();
    assert!(seen.contains("x-mine: yes") && seen.contains("content-type: application/json"));
    assert_eq!(shop.balance(PAY_TO), 2 * PRICE);
}

#[test]
fn only_an_answer_costs_anything() {
    let shop = Shop::open(&[]);
    // Its authorization is out, until the chain shows that it can no longer be settled.
    let refused = shop.network.run(&["fetch", &shop.url("/broken")]);
    refused.fails(4, "server.status").says("charged: unknown");
    let moved = shop.network.run(&["fetch", &shop.url("/moved")]);
    assert_ne!(moved.code, 0, "{moved:?}");
    assert!(shop.served() >= 2, "the service was asked");
    assert_eq!(shop.balance(PAY_TO), 0);
    // A path that a parser would read as another one is not forwarded.
    let above = ask(&shop.url("/a/%2e%2e/admin"), "GET", "", "");
    assert_eq!(
        above.status, 402,
        "nobody learns more without paying: {above:?}"
    );
}

#[test]
fn a_service_that_is_away_costs_nothing() {
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let shop = Shop::open(&["--upstream", &nobody]);
    let ran = shop.network.run(&["fetch", &shop.url("/x")]);
    ran.fails(4, "server.status").says("502");
    assert_eq!((shop.served(), shop.balance(PAY_TO)), (0, 0));
}

#[test]
fn a_metered_answer_costs_what_the_service_says() {
    let shop = Shop::open(&["--scheme", "upto"]);
    let view = shop
        .network
        .json(&["fetch", &shop.url("/metered"), "--json"]);
    assert_eq!(view["body"], "a quarter");
    assert_eq!(view["payment"]["authorized"], PRICE.to_string());
    assert_eq!(view["payment"]["settled"], (PRICE / 4).to_string());
    assert_eq!(shop.balance(PAY_TO), PRICE / 4);
    // A service that says nothing is free.
    let ran = shop.network.run(&["fetch", &shop.url("/silent")]);
    assert_eq!(ran.stdout, "an answer", "{ran:?}");
    assert_eq!(shop.balance(PAY_TO), PRICE / 4);
}

#[test]
fn a_budget_and_a_payee_are_kept() {
    let shop = Shop::open(&[]);
    let url = shop.url("/x");
    shop.network
        .run(&["fetch", &url, "--max-amount", "0.0009"])
        .fails(2, "offer.per_call")
        .says("charged: no")
        .says("--max-amount");
    let other = format!("0x{}", "77".repeat(20));
    shop.network
        .run(&["fetch", &url, "--pay-to", &other])
        .fails(1, "offer.refused")
        .says("charged: no");
    assert_eq!((shop.served(), shop.balance(PAY_TO)), (0, 0));

    // The chain named on the command line; a budget is asked for then.
    let chain = [
        "--rpc",
        shop.up.text("rpc_url"),
        "--chain-id",
        "31610",
        "--asset",
        shop.up.text("token"),
    ];
    let mut args = vec!["fetch", url.as_str()];
    args.extend(chain);
    shop.network.run(&args).fails(2, "budget.missing");
    args.extend(["--max-amount", "0.001", "--pay-to", PAY_TO]);
    let ran = shop.network.run(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(shop.balance(PAY_TO), PRICE);
}

#[test]
fn an_answer_that_asks_for_nothing_is_free() {
    let network = Home::new();
    let _up = Up::start(&network);
    let upstream = Upstream::start();
    let ran = network.run(&["fetch", &format!("{}/x", upstream.url)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "an answer"), "{ran:?}");
    ran.says("free: status 200");
    let ran = network.run(&["fetch", &format!("{}/broken", upstream.url)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "no"), "{ran:?}");
}

#[test]
fn mistakes_of_a_fetch_send_nothing() {
    let home = Home::new();
    let url = format!("http://127.0.0.1:{}", closed_port());
    for (args, code) in [
        (&["-X", "HEAD"][..], "fetch.method"),
        (&["-X", "a b"], "fetch.method"),
        (&["-H", "no colon SECRET"], "fetch.header"),
        (&["-H", "a b: SECRET"], "fetch.header"),
        (&["-d", "@/no/such/file"], "fetch.body"),
        (&["-o", "/no/such/folder/file"], "fetch.output"),
    ] {
        let mut all = vec!["fetch", url.as_str()];
        all.extend(args);
        let ran = home.run(&all);
        ran.fails(2, code);
        assert!(!ran.stderr.contains("SECRET"), "{ran:?}");
    }
    let long = vec![b'a'; 1024 * 1024 + 1];
    home.run_with_input(&["fetch", &url, "-d", "-"], &long)
        .fails(2, "fetch.body");
    assert!(!home.path().exists(), "nothing was begun");
    home.run(&["fetch", &url]).fails(2, "network.missing");
    assert_eq!(
        home.run(&["fetch", &url, "--rpc", "http://127.0.0.1:1"])
            .code,
        2
    );

    let network = Home::new();
    let _up = Up::start(&network);
    let file = network.beside("answer");
    network
        .run(&["fetch", &url, "-o", text(&file)])
        .fails(1, "server.unreachable")
        .says("charged: no");
    assert!(!file.exists(), "there was no answer to write");
    for url in [
        "http://192.0.2.1/",
        "ftp://127.0.0.1/",
        "https://me:pw@shop.example/",
        "x",
    ] {
        network.run(&["fetch", url]).fails(2, "purchase.url");
    }
    for amount in ["much", "0.0000000000000000001"] {
        network
            .run(&["fetch", &url, "--max-amount", amount])
            .fails(2, "budget.malformed");
    }
    network
        .run(&["fetch", &url, "--max-amount", "0"])
        .fails(2, "budget.zero");
}

#[test]
fn mistakes_of_a_paywall_are_seen_before_it_serves() {
    let home = Home::new();
    let token = format!("0x{}", "5e".repeat(20));
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let run = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut args = paywall("http://127.0.0.1:1", &token, &nobody);
        args.retain(|arg| *arg != "--json");
        change(&mut args);
        home.run(&args)
    };
    fn set<'a>(args: &mut Vec<&'a str>, flag: &str, value: &'a str) {
        let at = args.iter().position(|arg| *arg == flag).unwrap();
        args[at + 1] = value;
    }
    for price in ["0", "", "much", "0.0000000000000000001"] {
        run(&|args| set(args, "--price", price)).fails(2, "price.malformed");
    }
    let zero = "0x0000000000000000000000000000000000000000";
    run(&|args| set(args, "--pay-to", zero)).fails(2, "pay_to.zero");
    for upstream in [
        "http://192.0.2.1",
        "https://127.0.0.1",
        "http://127.0.0.1/a/../b",
        "x",
    ] {
        run(&|args| set(args, "--upstream", upstream)).fails(2, "url.refused");
    }
    run(&|args| set(args, "--facilitator", "http://192.0.2.1")).fails(2, "url.refused");
    run(&|args| args.extend(["--method", "eip3009"])).fails(2, "price.method");
    run(&|args| args.extend(["--method", "eip3009", "--scheme", "upto"])).fails(2, "price.method");
    run(&|args| args.extend(["--upstream-cert", "/no/such/file"])).fails(2, "cert.unreadable");
    run(&|_| {}).fails(3, "facilitator.unreachable");
    assert_eq!(run(&|args| set(args, "--asset", "0x5e")).code, 2);
    assert_eq!(run(&|args| args.extend(["--token-name", "USDC"])).code, 2);
    assert!(!home.path().exists(), "nothing was begun");
}

use std::fs;

use serde_json::Value;

use crate::harness::{Home, Up, closed_port, finish};
use crate::service::{Service, ask};

/// The arguments of a facilitator for a chain.
pub(crate) fn arguments<'a>(rpc: &'a str, token: &'a str) -> Vec<&'a str> {
    let fixed = ["facilitator", "--listen", "127.0.0.1:0", "--json"];
    let chain = ["--chain-id", "31610", "--max-fee", "1"];
    let mut args = fixed.to_vec();
    args.extend(chain);
    args.extend(["--rpc", rpc, "--asset", token]);
    args
}

/// Payers reach what listens beyond this machine, and would be taken for sellers.
#[test]
fn sellers_are_listed_where_strangers_can_come() {
    let home = Home::new();
    let token = format!("0x{}", "5e".repeat(20));
    let with = |more: &[&str]| {
        let mut args = arguments("ftp://127.0.0.1", &token);
        let listen = args.iter().position(|arg| *arg == "127.0.0.1:0").unwrap();
        args[listen] = "0.0.0.0:0";
        args.retain(|arg| *arg != "--json");
        args.extend(more);
        home.run(&args)
    };
    with(&[]).fails(2, "sellers.missing");
    // What comes next is the endpoint, which is none.
    with(&["--danger-any-seller"]).fails(2, "url.refused");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sellers.toml");
    let path = file.to_str().unwrap().to_owned();
    let entry = |pay_to: &str, hash: &str| {
        format!("[[seller]]\npay_to = \"{pay_to}\"\ntoken_sha256 = \"{hash}\"\n")
    };
    let hash = "ab".repeat(32);
    for bad in [
        String::new(),
        "seller".to_owned(),
        entry("everybody", &hash),
        entry(&token, &hash[1..]),
        format!("{}more = 1\n", entry(&token, &hash)),
    ] {
        fs::write(&file, &bad).unwrap();
        with(&["--sellers", &path]).fails(2, "sellers.malformed");
    }
    for good in [entry(&token, &hash), entry("any", &hash)] {
        fs::write(&file, good).unwrap();
        with(&["--sellers", &path]).fails(2, "url.refused");
    }
    let both = with(&["--sellers", &path, "--danger-any-seller"]);
    assert_eq!(both.code, 2);
    assert!(!home.path().exists(), "nothing was begun");
}

/// A home whose wallet has coin for gas on the chain of `up`.
pub(crate) fn funded_home(up: &Up) -> Home {
    let home = Home::new();
    fs::create_dir_all(home.path()).unwrap();
    let key = up.text("funded_key").trim_start_matches("0x").to_owned();
    fs::write(home.path().join("wallet.key"), key).unwrap();
    home
}

#[test]
fn mistakes_are_seen_before_a_key_is_touched() {
    let home = Home::new();
    let token = format!("0x{}", "5e".repeat(20));
    let with = |more: &[&str]| {
        let mut args = arguments("http://127.0.0.1:1", &token);
        args.extend(more);
        home.run(&args)
    };
    for missing in [
        &["facilitator"][..],
        &[
            "facilitator",
            "--rpc",
            "http://127.0.0.1:1",
            "--chain-id",
            "1",
        ],
    ] {
        assert_eq!(home.run(missing).code, 2);
    }
    for wrong in [
        &["--confirmations", "0"][..],
        &["--asset", "0x12"],
        &["--listen", "nowhere"],
        &["--settle-wait", "0"],
    ] {
        assert_eq!(with(wrong).code, 2, "{wrong:?}");
    }
    for fee in ["0", "", "much", "0.0000000001", "1e3"] {
        with(&["--max-tip", fee]).says("[fee.malformed]");
    }
    for url in [
        "postgres://me:secret@db.example/x402",
        "postgresql://db.example/x402?user=me&password=secret",
    ] {
        let ran = with(&["--database", url]);
        ran.says("[database.password]").says("SEAMLINE_DATABASE");
        assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"));
    }
    for rpc in [
        "http://192.0.2.1:8545",
        "ftp://127.0.0.1",
        "https://",
        "https://me:pw@rpc.example",
    ] {
        let ran = home.run(&arguments(rpc, &token));
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.says("[url.refused]");
        assert!(!ran.stderr.contains("pw"), "{ran:?}");
    }
    assert!(!home.path().exists(), "nothing was begun");
}

#[test]
fn a_chain_that_is_away_or_another_is_said() {
    let home = Home::new();
    let token = format!("0x{}", "5e".repeat(20));
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let ran = home.run(&arguments(&nobody, &token));
    assert_eq!(ran.code, 3, "{ran:?}");
    ran.says("[chain.unreachable]").says("hint: ");

    let network = Home::new();
    let up = Up::start(&network);
    let mut args = arguments(up.text("rpc_url"), &token);
    let id = args.iter().position(|arg| *arg == "31610").unwrap();
    args[id] = "8453";
    // The plain key of a home is for the local network only.
    let ran = home.run(&args);
    assert_eq!(ran.code, 2, "{ran:?}");
    ran.says("[wallet.plain]");
    let mut command = home.command(&args);
    command.env("SEAMLINE_WALLET_KEY", up.text("funded_key"));
    let ran = finish(command);
    assert_eq!(ran.code, 2, "{ran:?}");
    ran.says("[chain.mismatch]").says("--chain-id 31610");
}

#[test]
fn it_says_where_it_listens_and_ends_when_asked() {
    let network = Home::new();
    let up = Up::start(&network);
    let home = funded_home(&up);
    let args = arguments(up.text("rpc_url"), up.text("token"));
    let mut service = Service::start(&home, &args);
    assert_eq!(service.view["signer"], up.view["funded_address"]);
    assert_eq!(service.view["network"], "eip155:31610");
    let database = home.path().join("facilitator.redb");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&database).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let supported = ask(&format!("{}/supported", service.url()), "GET", "", "");
    assert_eq!(supported.status, 200, "{supported:?}");
    let supported: Value = serde_json::from_str(&supported.body).unwrap();
    let signers = supported["signers"]["eip155:*"].as_array().unwrap();
    assert_eq!(signers.len(), 1);
    let health = ask(&format!("{}/health", service.url()), "GET", "", "");
    let health: Value = serde_json::from_str(&health.body).unwrap();
    assert_eq!(health["status"], "ok");
    let refused = ask(&format!("{}/verify", service.url()), "POST", "", "{}");
    assert_eq!(refused.status, 400, "{refused:?}");

    // One process holds the file.
    let ran = home.run(&args);
    assert_eq!(ran.code, 3, "{ran:?}");
    ran.says("[database.failed]")
        .says("one process holds a file");

    assert_eq!(service.stop("TERM"), 0);
    let mut again = Service::start(&home, &args);
    assert_eq!(again.stop("INT"), 0);
}

#[test]
fn its_home_shows_nothing_of_the_key() {
    let network = Home::new();
    let up = Up::start(&network);
    let home = funded_home(&up);
    let mut args = arguments(up.text("rpc_url"), up.text("token"));
    args.retain(|arg| *arg != "--json");
    let mut command = home.command(&args);
    command.env("SEAMLINE_LOG", "trace");
    let log = fs::File::create(home.beside("log")).unwrap();
    command.stderr(log.try_clone().unwrap()).stdout(log);
    let mut child = command.spawn().unwrap();
    let key = up.text("funded_key").trim_start_matches("0x");
    let said = crate::harness::in_time({
        let path = home.beside("log");
        move || loop {
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("Ctrl-C ends it") {
                return text;
            }
            std::thread::yield_now();
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!said.contains(key), "{said}");
    assert!(
        said.lines()
            .any(|line| line.starts_with("http://127.0.0.1:")),
        "{said}"
    );
}

#[test]
fn it_settles_channels_where_asked() {
    let network = Home::new();
    let up = Up::start(&network);
    let home = funded_home(&up);
    let mut args = arguments(up.text("rpc_url"), up.text("token"));
    args.push("--channels");

    let kind = |service: &Service| {
        let supported = ask(&format!("{}/supported", service.url()), "GET", "", "");
        let supported: Value = serde_json::from_str(&supported.body).unwrap();
        let kinds = supported["kinds"].as_array().unwrap();
        let kind = kinds.iter().find(|it| it["scheme"] == "batch-settlement");
        assert!(kinds.iter().any(|it| it["scheme"] == "upto"));
        let signers = supported["signers"]["eip155:*"].as_array().unwrap();
        // One account for everything.
        assert_eq!(signers.len(), 1);
        let spelt = |address: &Value| address.as_str().unwrap().to_ascii_lowercase();
        assert_eq!(spelt(&signers[0]), spelt(&service.view["signer"]));
        assert_eq!(service.view["channels"], true);
        kind.unwrap().clone()
    };
    let mut service = Service::start(&home, &args);
    assert!(kind(&service)["extra"].is_null(), "it signs for nobody");
    assert_eq!(service.stop("TERM"), 0);

    args.push("--sign-claims");
    let mut service = Service::start(&home, &args);
    let kind = kind(&service);
    let said = kind["extra"]["receiverAuthorizer"].as_str().unwrap();
    let account = service.view["signer"].as_str().unwrap();
    assert!(said.eq_ignore_ascii_case(account), "{said}");
    let health = ask(&format!("{}/health", service.url()), "GET", "", "");
    assert_eq!(health.status, 200, "{health:?}");
    let refused = ask(&format!("{}/settle", service.url()), "POST", "", "{}");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(service.stop("TERM"), 0);
}

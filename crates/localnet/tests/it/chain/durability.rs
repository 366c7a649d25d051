use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alloy_primitives::{Bytes, U256};
use seamline_localnet::chain::{Chain, ChainConfig, Error};
use serde_json::json;

use super::{
    COUNTER, STRANGER, balance, config, ether, genesis, get, number, open_at, send, signed,
    transfer, wallet,
};

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("chain.redb")
}

fn reopened(path: &Path, bend: impl FnOnce(&mut ChainConfig)) -> Result<Chain, Error> {
    let mut config = ChainConfig {
        path: Some(path.to_owned()),
        ..config()
    };
    bend(&mut config);
    Chain::open(config)
}

#[test]
fn a_chain_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open_at(file(&folder));
    send(&chain, &signed(&wallet(1), transfer(0))).expect("sent");
    let sent = chain
        .transact(&wallet(1), Some(COUNTER), U256::ZERO, Bytes::new())
        .expect("sent");
    let shown = |chain: &Chain| {
        (
            get(chain, "eth_getBlockByNumber", json!(["latest", true])),
            get(chain, "eth_getTransactionReceipt", json!([sent.hash])),
            get(chain, "eth_getLogs", json!([{ "fromBlock": "0x0" }])),
            get(chain, "eth_getCode", json!([COUNTER])),
            balance(chain, STRANGER),
        )
    };
    let before = shown(&chain);
    drop(chain);
    let chain = open_at(file(&folder));
    assert_eq!(shown(&chain), before);
    // Also with another genesis time: the stored one counts.
    drop(chain);
    let chain = reopened(&file(&folder), |config| {
        config.genesis.time = seamline_core::Timestamp::from_secs(9);
    })
    .expect("the same accounts");
    send(&chain, &signed(&wallet(1), transfer(2))).expect("sent");
    assert_eq!(chain.head().expect("a head").number, 3);
}

#[test]
fn another_chain_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open_at(file(&folder)));
    let err = reopened(&file(&folder), |config| config.chain_id = 1).expect_err("refused");
    assert!(
        matches!(
            err,
            Error::OtherChain {
                found: 31_610,
                expected: 1
            }
        ),
        "{err}"
    );
    let richer = genesis().fund(STRANGER, ether(1));
    let digest = richer.digest();
    let err = reopened(&file(&folder), |config| config.genesis = richer).expect_err("refused");
    assert!(
        matches!(err, Error::OtherGenesis { expected, .. } if expected == digest),
        "{err}"
    );
}

#[test]
fn a_file_that_is_no_chain_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        file(&folder),
        b"not a database, but longer than a header".repeat(20),
    )
    .expect("written");
    let err = reopened(&file(&folder), |_| {}).expect_err("refused");
    assert!(matches!(err, Error::Open { .. }), "{err}");
    let missing = folder.path().join("no/such/folder/chain.redb");
    let err = reopened(&missing, |_| {}).expect_err("refused");
    assert!(matches!(err, Error::Open { .. }), "{err}");
}

#[test]
fn a_chain_in_use_is_not_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = open_at(file(&folder));
    let err = reopened(&file(&folder), |_| {}).expect_err("in use");
    assert!(matches!(err, Error::Open { .. }), "{err}");
    drop(chain);
}

/// Blocks of the killed process before its end, one round each.
const ROUNDS: [u64; 3] = [1, 7, 23];

/// Names the file of the process that is to be killed.
const VICTIM: &str = "SEAMLINE_TEST_CHAIN";

#[test]
fn a_killed_chain_ends_at_a_block_that_was_announced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    drop(open_at(path.clone()));
    for blocks in ROUNDS {
        let announced = kill_after(&path, blocks);
        let chain = open_at(path.clone());
        let head = chain.head().expect("a head").number;
        assert!(
            head >= announced,
            "block {announced} was announced, the chain ends at {head}"
        );
        // Each block holds one transfer of one wei and nothing is half there.
        assert_eq!(balance(&chain, STRANGER), U256::from(head));
        let nonce = get(
            &chain,
            "eth_getTransactionCount",
            json!([wallet(1).address(), "latest"]),
        );
        assert_eq!(number(&nonce), U256::from(head));
        let block = get(&chain, "eth_getBlockByNumber", json!(["latest", false]));
        let receipt = get(
            &chain,
            "eth_getTransactionReceipt",
            json!([block["transactions"][0]]),
        );
        assert_eq!(receipt["blockHash"], block["hash"]);
    }
}

/// Starts a process that makes blocks without end, kills it once it has announced `blocks`, and returns
/// the number of the last block that it announced.
fn kill_after(path: &Path, blocks: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "chain::durability::victim",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut announced = lines.map_while(Result::ok).filter_map(|line| {
        line.strip_prefix("block ")
            .and_then(|height| height.parse::<u64>().ok())
    });
    let last = announced
        .nth(usize::try_from(blocks).expect("small"))
        .expect("blocks");
    child.kill().expect("killed");
    // What it announced between our reading and its end.
    let last = announced.last().unwrap_or(last);
    child.wait().expect("gone");
    last
}

#[test]
#[ignore = "started, and killed, by the test above"]
fn victim() {
    #[expect(clippy::disallowed_methods, reason = "the parent says where")]
    let path = PathBuf::from(std::env::var_os(VICTIM).expect("a path"));
    let chain = open_at(path);
    let mut out = std::io::stdout();
    for account_nonce in chain.head().expect("a head").number.. {
        send(&chain, &signed(&wallet(1), transfer(account_nonce))).expect("sent");
        writeln!(out, "\nblock {}", chain.head().expect("a head").number).expect("written");
    }
}

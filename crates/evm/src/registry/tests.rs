use alloy_primitives::keccak256;
use serde_json::{Value, json};

use super::*;
use crate::bindings::IRegistryWithOHTTP;
use crate::fixtures::{Script, all_ok, ready};
use crate::rpc::hex;

const REGISTRY: Address = Address::repeat_byte(0x70);

fn record(name: &str) -> TEEInfo {
    TEEInfo {
        owner: Address::repeat_byte(1),
        paymentAddress: Address::repeat_byte(2),
        endpoint: format!("https://{name}.example:8443/"),
        publicKey: Bytes::from(name.as_bytes().to_vec()),
        tlsCertificate: Bytes::from(vec![0x30, 0x03]),
        pcrHash: B256::repeat_byte(3),
        teeType: 0,
        enabled: true,
        registeredAt: U256::from(10),
        lastHeartbeatAt: U256::from(20),
    }
}

fn with_config(name: &str) -> TEEInfoWithOHTTP {
    let mut record = without_ohttp(record(name));
    record.ohttpConfig = OHTTPConfig {
        keyId: 1,
        kemId: 32,
        kdfId: 1,
        aeadId: 3,
        publicKey: Bytes::from(vec![7; 32]),
        keyConfig: Bytes::from(vec![8; 41]),
        registeredAt: U256::from(30),
    };
    record
}

fn ten(records: &[TEEInfo]) -> Vec<u8> {
    IRegistry::getActiveTEEsCall::abi_encode_returns(&records.to_vec())
}

fn eleven(records: &[TEEInfoWithOHTTP]) -> Vec<u8> {
    IRegistryWithOHTTP::getActiveTEEsCall::abi_encode_returns(&records.to_vec())
}

fn block() -> Value {
    json!({ "number": "0x9", "hash": keccak256("nine").to_string(), "timestamp": "0x64" })
}

fn snapshot(answer: &[u8]) -> Result<Snapshot, Error> {
    let script = Script::new([
        all_ok([json!("0x7b7a"), block()]),
        all_ok([json!(hex(answer)), block()]),
    ]);
    let snapshot = ready(read(&script, REGISTRY, 0));
    // Two batches, the second at the block of the first.
    assert_eq!(script.asked().len(), 2);
    assert_eq!(script.asked()[1][0].params[1], json!("0x9"));
    snapshot
}

#[test]
fn both_layouts_are_read() {
    let ten = snapshot(&ten(&[record("a"), record("b")])).unwrap();
    let eleven = snapshot(&eleven(&[
        without_ohttp(record("a")),
        without_ohttp(record("b")),
    ]))
    .unwrap();
    assert_eq!(ten, eleven);
    assert_eq!(
        (ten.chain_id, ten.block_number, ten.block_time_s),
        (31_610, 9, 100)
    );
    assert_eq!(ten.block_hash, keccak256("nine"));
    assert_eq!(ten.registry, REGISTRY);
    assert_eq!(ten.nodes.len(), 2);
    let find = NodeId::of_signing_key(b"a");
    let node = ten.nodes.iter().find(|node| node.node == find).unwrap();
    assert_eq!(node.endpoint, "https://a.example:8443");
    assert_eq!(node.pay_to, Address::repeat_byte(2));
    assert_eq!((node.registered_at, node.last_heartbeat_at), (10, 20));
    assert_eq!(node.ohttp, None);
}

#[test]
fn an_ohttp_configuration_is_read() {
    let snapshot = snapshot(&eleven(&[with_config("a")])).unwrap();
    let ohttp = snapshot.nodes[0].ohttp.clone().unwrap();
    assert_eq!(
        (ohttp.key_id, ohttp.kem_id, ohttp.kdf_id, ohttp.aead_id),
        (1, 32, 1, 3)
    );
    assert_eq!(ohttp.registered_at, 30);
    assert_eq!(ohttp.key_config.len(), 41);
}

#[test]
fn an_empty_registry_is_an_answer() {
    let snapshot = snapshot(&ten(&[])).unwrap();
    assert_eq!((snapshot.nodes, snapshot.skipped), (Vec::new(), Vec::new()));
}

#[test]
fn nodes_are_sorted_by_id() {
    let records = ["d", "a", "c", "b"].map(record);
    let nodes = snapshot(&ten(&records)).unwrap().nodes;
    assert!(nodes.windows(2).all(|pair| pair[0].node < pair[1].node));
}

/// Solidity stores any bytes in a `string`: whoever may register must not make the list unreadable.
#[test]
fn an_endpoint_that_is_no_text_hides_no_other_node() {
    let broken = |answer: Vec<u8>| {
        let mark = b"https://broken";
        let mut found = answer.windows(mark.len()).enumerate();
        let (at, _) = found.find(|(_, it)| it == mark).unwrap();
        let mut answer = answer;
        answer[at + 8] = 0xff;
        answer
    };
    let mut long = with_config("broken");
    long.endpoint = "https://broken".to_owned();
    let mut short = record("broken");
    short.endpoint = "https://broken".to_owned();
    for answer in [
        eleven(&[with_config("good"), long.clone()]),
        eleven(&[long, with_config("good")]),
        ten(&[record("good"), short.clone()]),
        ten(&[short, record("good")]),
    ] {
        let snapshot = snapshot(&broken(answer)).unwrap();
        assert_eq!(snapshot.nodes.len(), 1);
        assert_eq!(snapshot.nodes[0].node, NodeId::of_signing_key(b"good"));
        let broken = Skipped {
            node: NodeId::of_signing_key(b"broken"),
            reason: SkipReason::Endpoint,
        };
        assert_eq!(snapshot.skipped, [broken]);
    }
}

#[test]
fn a_broken_entry_is_skipped_and_never_fatal() {
    let skipped = |change: &dyn Fn(&mut TEEInfo)| {
        let mut broken = record("broken");
        change(&mut broken);
        let snapshot = snapshot(&ten(&[record("good"), broken])).unwrap();
        assert_eq!(snapshot.nodes.len(), 1);
        assert_eq!(snapshot.nodes[0].node, NodeId::of_signing_key(b"good"));
        let [skipped] = snapshot.skipped.as_slice() else {
            panic!("one entry is skipped");
        };
        skipped.reason
    };
    assert_eq!(
        skipped(&|it| it.publicKey = Bytes::new()),
        SkipReason::PublicKey
    );
    assert_eq!(
        skipped(&|it| it.publicKey = vec![1; 1_101].into()),
        SkipReason::PublicKey
    );
    assert_eq!(
        skipped(&|it| it.tlsCertificate = Bytes::new()),
        SkipReason::TlsCertificate
    );
    assert_eq!(
        skipped(&|it| it.tlsCertificate = vec![1; 16_385].into()),
        SkipReason::TlsCertificate
    );
    assert_eq!(
        skipped(&|it| it.paymentAddress = Address::ZERO),
        SkipReason::PayTo
    );
    assert_eq!(skipped(&|it| it.registeredAt = U256::MAX), SkipReason::Time);
    assert_eq!(
        skipped(&|it| it.lastHeartbeatAt = U256::MAX),
        SkipReason::Time
    );
    assert_eq!(
        skipped(&|it| it.publicKey = b"good".to_vec().into()),
        SkipReason::Duplicate
    );
    assert_eq!(
        skipped(&|it| it.endpoint = String::new()),
        SkipReason::Endpoint
    );
}

#[test]
fn a_list_that_was_filled_up_keeps_those_who_were_there_before() {
    let names: Vec<String> = (0..=MAX_NODES).map(|index| format!("n{index}")).collect();
    let records: Vec<TEEInfo> = names.iter().map(|name| record(name)).collect();
    let last = NodeId::of_signing_key(names.last().unwrap().as_bytes());
    let surplus = Skipped {
        node: last,
        reason: SkipReason::Surplus,
    };
    let fits = snapshot(&ten(&records[..MAX_NODES])).unwrap();
    assert_eq!((fits.nodes.len(), fits.skipped.len()), (MAX_NODES, 0));
    let long = ten(&records);
    let records: Vec<_> = records.into_iter().map(without_ohttp).collect();
    for answer in [long, eleven(&records)] {
        let cut = snapshot(&answer).unwrap();
        assert_eq!(cut.nodes, fits.nodes);
        assert_eq!(cut.skipped, std::slice::from_ref(&surplus));
    }
}

#[test]
fn endpoints_are_https_and_nothing_else() {
    for endpoint in [
        "https://a.example",
        "https://a.example/",
        "https://1.2.3.4:8443",
        "https://[::1]:8443",
        "https://a.example/v2/",
    ] {
        let plain = check_endpoint(endpoint).unwrap();
        assert!(
            endpoint.starts_with(&plain) && !plain.ends_with('/'),
            "{plain}"
        );
    }
    let long = format!("https://{}", "a".repeat(512));
    for endpoint in [
        "",
        "https://",
        "https:///path",
        "https://:8443",
        "http://127.0.0.1:8443",
        "http://a.example",
        "HTTPS://a.example",
        "ftp://a.example",
        "a.example",
        "https://user@a.example",
        "https://user:key@a.example",
        "https://a.example?x=1",
        "https://a.example#x",
        "https://a .example",
        "https://a.example\n",
        "https://a\\b.example",
        "https://\u{e4}.example",
        long.as_str(),
    ] {
        assert_eq!(check_endpoint(endpoint), None, "{endpoint:?}");
    }
}

#[test]
fn other_answers_are_errors() {
    let good = ten(&[record("a")]);
    let refused = Err(Error::Answer("a list of nodes"));
    assert_eq!(snapshot(&[]), refused);
    for cut in [1, 31, 32, 64, 100, good.len() - 32] {
        assert_eq!(snapshot(&good[..cut]), refused, "{cut}");
    }
    // An address with bits above its 160.
    let mut dirty = good;
    dirty[32 * 3] = 1;
    assert_eq!(snapshot(&dirty), refused);
    assert_eq!(
        snapshot(&vec![0; MAX_ANSWER + 1]),
        Err(Error::Answer("a list of nodes of bounded size"))
    );
}

#[test]
fn a_reorganisation_between_two_reads_is_noticed() {
    let other = json!({ "number": "0x9", "hash": keccak256("x").to_string(), "timestamp": "0x64" });
    let script = Script::new([
        all_ok([json!("0x1"), block()]),
        all_ok([json!(hex(&ten(&[]))), other]),
    ]);
    let refused = ready(read(&script, REGISTRY, 0));
    assert_eq!(refused, Err(Error::BlockChanged { number: 9 }));
}

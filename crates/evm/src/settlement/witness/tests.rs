use alloy_primitives::Bytes;
use alloy_sol_types::SolEvent as _;
use seamline_core::NodeId;
use serde_json::json;

use super::*;
use crate::fixtures::{Script, all_ok, ready};

const CONTRACT: Address = Address::repeat_byte(0x5e);
const TRANSACTION: B256 = B256::repeat_byte(0x77);

fn inference() -> SignedInference {
    SignedInference {
        node: NodeId::new(B256::repeat_byte(1)),
        input_hash: B256::repeat_byte(2),
        output_hash: B256::repeat_byte(3),
        signature: Bytes::from_static(b"signed"),
        timestamp: 1_763_596_800,
    }
}

fn log_of(address: Address, inference: &SignedInference) -> Value {
    let event = ISettlement::IndividualSettlement {
        teeId: *inference.node.as_b256(),
        ethAddress: Address::repeat_byte(9),
        inputHash: inference.input_hash,
        outputHash: inference.output_hash,
        timestamp: U256::from(inference.timestamp),
        walrusBlobId: Bytes::from_static(b"blob"),
        signature: inference.signature.clone(),
    };
    let data = event.encode_log_data();
    json!({ "address": address, "topics": data.topics(), "data": data.data })
}

fn receipt(logs: &[Value]) -> Value {
    json!({
        "transactionHash": TRANSACTION, "status": "0x1", "logs": logs,
        "blockNumber": "0xc", "blockHash": B256::repeat_byte(0xb1),
    })
}

fn asked(answer: Value) -> Result<Witnessed, Error> {
    let rpc = Script::new([all_ok([answer])]);
    let result = ready(witness(&rpc, CONTRACT, TRANSACTION, &inference()));
    assert_eq!(rpc.asked().len(), 1, "one round trip");
    result
}

#[test]
fn record_of_the_answer_is_found_among_other_logs() {
    let other = json!({ "address": CONTRACT, "topics": [B256::repeat_byte(4)], "data": "0x" });
    let mine = log_of(CONTRACT, &inference());
    let found = asked(receipt(&[other, mine])).unwrap();
    let block_hash = B256::repeat_byte(0xb1);
    let recorded = Witnessed::Recorded {
        block_number: 12,
        block_hash,
    };
    assert_eq!(found, recorded);
}

#[test]
fn transaction_without_a_receipt_says_nothing() {
    assert_eq!(asked(Value::Null).unwrap(), Witnessed::Absent);
}

#[test]
fn record_of_another_answer_is_another() {
    let mut others = Vec::new();
    for change in 0..4 {
        let mut it = inference();
        match change {
            0 => it.node = NodeId::new(B256::repeat_byte(8)),
            1 => it.input_hash = B256::repeat_byte(8),
            2 => it.output_hash = B256::repeat_byte(8),
            _ => it.timestamp += 1,
        }
        others.push(log_of(CONTRACT, &it));
    }
    assert_eq!(asked(receipt(&others)).unwrap(), Witnessed::Other);
    // The right words by another contract.
    let elsewhere = log_of(Address::repeat_byte(6), &inference());
    assert_eq!(asked(receipt(&[elsewhere])).unwrap(), Witnessed::Other);
    assert_eq!(asked(receipt(&[])).unwrap(), Witnessed::Other);
}

#[test]
fn transaction_that_failed_records_nothing() {
    let mut failed = receipt(&[log_of(CONTRACT, &inference())]);
    failed["status"] = json!("0x0");
    assert_eq!(asked(failed).unwrap(), Witnessed::Other);
}

#[test]
fn what_is_no_receipt_is_refused() {
    let whole = receipt(&[log_of(CONTRACT, &inference())]);
    for (name, value) in [
        ("transactionHash", json!(B256::repeat_byte(8))),
        ("transactionHash", Value::Null),
        ("status", Value::Null),
        ("status", json!(1)),
        ("logs", json!({})),
        ("logs", json!([{}])),
        ("blockNumber", Value::Null),
        ("blockHash", json!("0x12")),
    ] {
        let mut broken = whole.clone();
        broken[name] = value;
        assert!(matches!(asked(broken), Err(Error::Answer(_))), "{name}");
    }
    let mut cut = whole;
    cut["logs"][0]["data"] = json!("0x00");
    assert!(matches!(asked(cut), Err(Error::Answer(_))));
}

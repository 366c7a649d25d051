use alloy_primitives::{Address, keccak256};

use super::*;
use crate::fixtures::{Script, all_ok, ready};
use seamline_core::Timestamp;

const CHANNEL: B256 = B256::repeat_byte(0xc4);

fn log(total: u128, block: u64) -> Value {
    let event = Event {
        channelId: CHANNEL,
        sender: Address::repeat_byte(1),
        claimAmount: 1,
        newTotalClaimed: total,
    };
    let data = event.encode_data();
    json!({
        "address": BATCH_SETTLEMENT,
        "topics": [Event::SIGNATURE_HASH, CHANNEL, Address::repeat_byte(1).into_word()],
        "data": alloy_primitives::hex::encode_prefixed(data),
        "blockNumber": format!("{block:#x}"),
        "blockHash": keccak256(block.to_be_bytes()),
        "transactionHash": keccak256(total.to_be_bytes()),
        "removed": false,
    })
}

fn block(number: u64) -> Block {
    Block {
        number,
        hash: B256::ZERO,
        time_s: Timestamp::from_secs(1).as_secs(),
    }
}

fn found(logs: Value) -> Result<Vec<Claimed>, Error> {
    let script = Script::new([all_ok([logs])]);
    ready(find_claims(&script, &CHANNEL, Amount::ZERO, &block(90), 1))
}

#[test]
fn claims_are_found_oldest_first_until_they_are_too_old() {
    let logs = json!([log(100, 5), log(400, 7), log(900, 9)]);
    let script = Script::new([all_ok([logs])]);
    let above = Amount::new(100);
    let claims = ready(find_claims(&script, &CHANNEL, above, &block(90), 9)).unwrap();
    let totals: Vec<_> = claims.iter().map(|it| it.total.get()).collect();
    assert_eq!(totals, [400, 900]);
    assert_eq!(claims[0].block_number, 7);
    assert_eq!(claims[0].transaction, keccak256(400_u128.to_be_bytes()));
}

#[test]
fn a_look_back_is_made_of_bounded_steps() {
    let script = Script::new([all_ok([json!([])]), all_ok([json!([])])]);
    let until = block(10_000);
    let claims = find_claims(&script, &CHANNEL, Amount::ZERO, &until, 2);
    assert_eq!(ready(claims).unwrap(), []);
    let asked = script.asked();
    let range = |at: usize, name: &str| asked[at][0].params[0][name].clone();
    assert_eq!(range(0, "fromBlock"), "0x1f41");
    assert_eq!(range(0, "toBlock"), "0x2710");
    assert_eq!(range(1, "fromBlock"), "0x1771");
    assert_eq!(range(1, "toBlock"), "0x1f40");
}

#[test]
fn a_log_that_was_not_asked_for_is_refused() {
    let changes: [(&str, Value); 8] = [
        ("address", json!(Address::repeat_byte(2))),
        (
            "topics",
            json!([Event::SIGNATURE_HASH, B256::ZERO, B256::ZERO]),
        ),
        ("topics", json!([B256::ZERO, CHANNEL, B256::ZERO])),
        ("topics", json!([Event::SIGNATURE_HASH, CHANNEL])),
        ("data", json!("0x01")),
        ("blockNumber", json!("7")),
        ("transactionHash", json!("0x07")),
        ("removed", json!(true)),
    ];
    for (member, value) in changes {
        let mut changed = log(100, 5);
        changed[member] = value;
        let refused = found(json!([changed]));
        assert!(matches!(refused, Err(Error::Answer(_))), "{member}");
    }
    assert!(matches!(found(json!("0x")), Err(Error::Answer(_))));
}

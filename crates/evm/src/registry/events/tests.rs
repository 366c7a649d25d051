use super::*;

fn log(event: &impl SolEvent) -> Value {
    let data = event.encode_log_data();
    json!({
        "blockNumber": "0x10", "logIndex": "0x2", "blockHash": B256::repeat_byte(1),
        "transactionHash": B256::repeat_byte(2), "topics": data.topics(), "data": data.data,
    })
}

#[test]
fn events_are_read_with_their_place() {
    let seen = seen(&log(&IRegistry::PCRApproved {
        pcrHash: B256::repeat_byte(7),
        teeType: 0,
        version: "1.2".to_owned(),
    }))
    .unwrap();
    assert_eq!((seen.block_number, seen.log_index), (16, 2));
    assert_eq!(seen.block_hash, B256::repeat_byte(1));
    assert_eq!(
        seen.event,
        Event::Approved {
            measurement: B256::repeat_byte(7),
            tee_type: 0,
            version: "1.2".to_owned()
        }
    );
}

#[test]
fn an_unknown_or_garbled_event_keeps_its_topic() {
    let mut unknown = log(&IRegistry::TEEDisabled {
        teeId: B256::repeat_byte(7),
    });
    unknown["topics"][0] = json!(B256::repeat_byte(9));
    let topic = B256::repeat_byte(9);
    assert_eq!(seen(&unknown).unwrap().event, Event::Other { topic });
    let mut short = log(&IRegistry::PCRApproved {
        pcrHash: B256::ZERO,
        teeType: 0,
        version: String::new(),
    });
    short["data"] = json!("0x");
    assert!(matches!(seen(&short).unwrap().event, Event::Other { .. }));
}

#[test]
fn what_is_no_log_is_not_read() {
    let good = log(&IRegistry::TEEDisabled { teeId: B256::ZERO });
    assert!(seen(&good).is_some());
    for name in [
        "blockNumber",
        "blockHash",
        "transactionHash",
        "logIndex",
        "topics",
        "data",
    ] {
        for wrong in [json!(null), json!("0xz"), json!(7)] {
            let mut bad = good.clone();
            bad[name] = wrong;
            assert_eq!(seen(&bad), None, "{name}");
        }
    }
}

use serde_json::{Value, json};

use super::*;

/// What OpenGradient's gateway sends about the first vector.
fn good() -> Value {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    let item = &vectors["items"][0];
    let plain = |name: &str| item[name].as_str().unwrap().trim_start_matches("0x");
    let signature = hex::decode(plain("signature")).unwrap();
    json!({
        "tee_id": item["teeId"],
        "input_hash": plain("inputHash"),
        "output_hash": plain("outputHash"),
        "tee_signature": STANDARD.encode(signature),
        "tee_timestamp": 1_763_596_800,
        "timestamp": 1_763_596_800,
    })
}

fn individual() -> Value {
    let mut data = good();
    data["input"] = json!({"model": "gpt-5"});
    data["output"] = json!({"id": "x"});
    data["timestamp"] = json!("1763596800");
    data["eth_address"] = json!("0x000000000022D473030F116dDEE9F6B43aC78BA3");
    data
}

fn read(mode: SettlementType, data: &Value) -> Result<SettlementData, Malformed> {
    SettlementData::from_header(mode, &STANDARD.encode(data.to_string()))
}

#[test]
fn the_gateways_data_has_the_leaf_of_the_vector() {
    let vectors = seamline_testkit::json_vector("merkle/standard-v1.json");
    let leaf = &vectors["trees"][0]["leaf_hashes_in_input_order"][0];
    let data = read(SettlementType::Batch, &good()).unwrap();
    assert_eq!(json!(data.inference.id().to_string()), *leaf);
    assert_eq!(data.mode(), SettlementType::Batch);
    assert_eq!(data.payment, None);
    // A batch publishes no text, whatever came along.
    assert_eq!(read(SettlementType::Batch, &individual()).unwrap(), data);
    let ours: Value = serde_json::from_str(&data.to_json()).unwrap();
    assert_eq!(ours, good());
    // Other spellings of the same.
    for (name, value) in [
        (
            "tee_id",
            json!(good()["tee_id"].as_str().unwrap().trim_start_matches("0x")),
        ),
        (
            "input_hash",
            json!(format!("0x{}", good()["input_hash"].as_str().unwrap())),
        ),
        ("tee_timestamp", json!("1763596800")),
        ("tee_timestamp", json!("0x691e5e00")),
        ("more", json!({"is": "ignored"})),
    ] {
        let mut spelled = good();
        spelled[name] = value;
        let same = read(SettlementType::Batch, &spelled).unwrap();
        assert_eq!(
            same.inference.input_hash, data.inference.input_hash,
            "{name}"
        );
    }
}

#[test]
fn an_individual_one_comes_back_as_it_was() {
    let mut data = individual();
    data["payment"] = json!(B256::repeat_byte(7).to_string());
    let read_back = read(SettlementType::Individual, &data).unwrap();
    assert_eq!(read_back.mode(), SettlementType::Individual);
    assert_eq!(read_back.payment, Some(B256::repeat_byte(7)));
    let again = SettlementData::from_header(SettlementType::Individual, &read_back.to_header());
    assert_eq!(again.unwrap(), read_back);
    let debugged = format!("{read_back:?}{:?}", read_back.content);
    assert!(!debugged.contains("gpt-5"), "{debugged}");
}

#[test]
fn each_member_is_looked_at() {
    let wrong = [
        json!(null),
        json!(""),
        json!("0x"),
        json!({}),
        json!("xyz"),
        json!(-1),
        json!(1.5),
    ];
    for name in [
        "tee_id",
        "input_hash",
        "output_hash",
        "tee_signature",
        "tee_timestamp",
    ] {
        for value in &wrong {
            let mut data = good();
            data[name] = value.clone();
            assert_eq!(
                read(SettlementType::Batch, &data),
                Err(Malformed::Member(name)),
                "{value}"
            );
        }
        let mut data = good();
        data.as_object_mut().unwrap().remove(name);
        assert_eq!(
            read(SettlementType::Batch, &data),
            Err(Malformed::Member(name))
        );
    }
    for name in ["input", "output", "eth_address"] {
        let mut data = individual();
        data[name] = json!(null);
        assert_eq!(
            read(SettlementType::Individual, &data),
            Err(Malformed::Member(name))
        );
    }
    let mut data = good();
    data["payment"] = json!("0x12");
    assert_eq!(
        read(SettlementType::Batch, &data),
        Err(Malformed::Member("payment"))
    );
    // The gateway's placeholder of a missing signature is one byte.
    data["tee_signature"] = json!("0w==");
    assert_eq!(
        read(SettlementType::Batch, &data),
        Err(Malformed::Member("tee_signature"))
    );
}

#[test]
fn what_is_no_object_is_refused() {
    let mode = SettlementType::Batch;
    assert_eq!(
        SettlementData::from_header(mode, "*"),
        Err(Malformed::Base64)
    );
    assert_eq!(SettlementData::from_json(mode, b"[]"), Err(Malformed::Json));
    let twice = good().to_string().replacen('{', r#"{"tee_id":"0x00","#, 1);
    assert_eq!(
        SettlementData::from_json(mode, twice.as_bytes()),
        Err(Malformed::Json)
    );
    let long = vec![b' '; SettlementData::MAX_BYTES + 1];
    assert_eq!(
        SettlementData::from_json(mode, &long),
        Err(Malformed::TooLong)
    );
}

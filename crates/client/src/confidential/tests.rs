use std::path::Path;

use alloy_primitives::{Address, B256};
use seamline_core::{NodeId, Timestamp};
use seamline_evm::registry::{NodeRecord, OhttpConfig};
use serde_json::{Value, json};

use super::key::{EnclaveKey, KeyRefused, Vouched};
use super::reply::{AnswerRefused, verify};
use super::{Opened, open};

const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);

fn vector() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/ohttp");
    let text = std::fs::read(root.join("signed-config.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn record(vector: &Value) -> NodeRecord {
    let signing_key = hex::decode(vector["signing_key"].as_str().unwrap()).unwrap();
    let public_key = hex::decode(vector["config"]["public_key"].as_str().unwrap()).unwrap();
    let mut key_config = vec![1, 0, 32];
    key_config.extend(&public_key);
    key_config.extend([0, 4, 0, 1, 0, 3]);
    NodeRecord {
        node: NodeId::of_signing_key(&signing_key),
        owner: Address::ZERO,
        pay_to: Address::repeat_byte(1),
        endpoint: "https://node.example".to_owned(),
        public_key: signing_key.into(),
        tls_certificate: vec![1].into(),
        pcr_hash: B256::ZERO,
        tee_type: 0,
        enabled: true,
        registered_at: 1,
        last_heartbeat_at: 1,
        ohttp: Some(OhttpConfig {
            key_id: 1,
            kem_id: 32,
            kdf_id: 1,
            aead_id: 3,
            public_key: public_key.into(),
            key_config: key_config.into(),
            registered_at: 1,
        }),
    }
}

fn key() -> EnclaveKey {
    let vector = vector();
    let config = vector["config"].to_string();
    EnclaveKey::check(config.as_bytes(), &record(&vector), None, NOW).unwrap()
}

#[test]
fn a_signed_key_of_the_registry_is_taken() {
    assert_eq!(key().vouched(), Vouched::ByRegistry);
    assert_eq!(key().node(), record(&vector()).node);
}

#[test]
fn a_substituted_key_is_refused_whatever_is_substituted() {
    type Alter = fn(&mut Value, &mut NodeRecord);
    let other = "01".repeat(32);
    let other_config = |config: &mut Value| {
        let mut bytes = vec![1, 0, 32];
        bytes.extend([1; 32]);
        bytes.extend([0, 4, 0, 1, 0, 3]);
        config["public_key"] = json!("01".repeat(32));
        let engine = base64::engine::general_purpose::STANDARD;
        config["key_config"] = json!(base64::Engine::encode(&engine, bytes));
    };
    assert_eq!(other.len(), 64);
    let cases: [(Alter, KeyRefused); 8] = [
        (
            |config, _| config["key_id"] = json!("1"),
            KeyRefused::Malformed,
        ),
        (
            |config, _| config["tee_id"] = json!(format!("0x{}", "11".repeat(32))),
            KeyRefused::Node,
        ),
        (|config, _| config["aead_id"] = json!(1), KeyRefused::Suite),
        (
            |config, _| config["public_key"] = json!("01".repeat(32)),
            KeyRefused::Contradiction,
        ),
        (
            |config, _| config["key_id"] = json!(2),
            KeyRefused::Contradiction,
        ),
        (|_, record| record.ohttp = None, KeyRefused::Registry),
        (
            |_, record| {
                let ohttp = record.ohttp.as_mut().unwrap();
                ohttp.public_key = vec![2; 32].into();
            },
            KeyRefused::Registry,
        ),
        (
            |config, _| {
                let signature = config["signature"].as_str().unwrap();
                config["signature"] = json!(signature.replacen("eJ6U", "eJ6V", 1));
            },
            KeyRefused::Signature,
        ),
    ];
    for (alter, reason) in cases {
        let vector = vector();
        let (mut config, mut record) = (vector["config"].clone(), record(&vector));
        alter(&mut config, &mut record);
        let checked = EnclaveKey::check(config.to_string().as_bytes(), &record, None, NOW);
        assert_eq!(checked.err(), Some(reason));
    }
    // A relay's own key, consistent in itself: the registry has another.
    let vector = vector();
    let (mut config, mut record) = (vector["config"].clone(), record(&vector));
    other_config(&mut config);
    let checked = EnclaveKey::check(config.to_string().as_bytes(), &record, None, NOW);
    assert_eq!(checked.err(), Some(KeyRefused::Registry));
    // And where the registry lies too, the signature is missing.
    let ohttp = record.ohttp.as_mut().unwrap();
    ohttp.public_key = vec![1; 32].into();
    let mut key_config = vec![1, 0, 32];
    key_config.extend([1; 32]);
    key_config.extend([0, 4, 0, 1, 0, 3]);
    ohttp.key_config = key_config.into();
    let checked = EnclaveKey::check(config.to_string().as_bytes(), &record, None, NOW);
    assert_eq!(checked.err(), Some(KeyRefused::Signature));
}

fn reply(change: impl FnOnce(&mut Value)) -> Opened {
    let text_hash = seamline_core::canonical::output_hash("hi");
    let mut body = json!({
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "tee_signature": "AAAA",
        "tee_request_hash": "22".repeat(32),
        "tee_output_hash": hex::encode(text_hash),
        "tee_timestamp": 1_780_272_000,
        "tee_id": key().node().to_string(),
    });
    change(&mut body);
    Opened::Whole(body.to_string().into_bytes().into())
}

#[test]
fn an_answer_that_proves_nothing_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, AnswerRefused); 9] = [
        (
            |body| body["choices"] = json!("x"),
            AnswerRefused::Malformed,
        ),
        (
            |body| body["choices"][0]["finish_reason"] = json!("tool_calls"),
            AnswerRefused::Malformed,
        ),
        (
            |body| body["tee_signature"] = json!(null),
            AnswerRefused::Missing,
        ),
        (|body| body["tee_id"] = json!("0x"), AnswerRefused::Missing),
        (
            |body| body["tee_id"] = json!(format!("0x{}", "11".repeat(32))),
            AnswerRefused::Node,
        ),
        (
            |body| body["tee_request_hash"] = json!("33".repeat(32)),
            AnswerRefused::Request,
        ),
        (
            |body| body["choices"][0]["message"]["content"] = json!("ho"),
            AnswerRefused::Output,
        ),
        (
            |body| body["tee_timestamp"] = json!(1_780_272_301),
            AnswerRefused::Time,
        ),
        (|_| {}, AnswerRefused::Signature),
    ];
    let now = Timestamp::from_secs(1_780_272_000);
    for (change, reason) in cases {
        let verified = verify(&reply(change), &key(), B256::repeat_byte(0x22), now);
        assert_eq!(verified.err(), Some(reason));
    }
    // A stream without its end, and one with something after it.
    for stream in [
        "data: {}\n\n",
        "data: [DONE]\n\ndata: {}\n\n",
        "data: [DONE]\n\ndata: {}",
    ] {
        let opened = Opened::Stream(stream.as_bytes().to_vec().into());
        let verified = verify(&opened, &key(), B256::ZERO, now);
        assert_eq!(verified.err(), Some(AnswerRefused::Malformed), "{stream}");
    }
}

#[test]
fn an_answer_of_another_media_type_is_not_opened() {
    let entropy = seamline_ohttp::Entropy::new([1; 32]);
    let (_, exchange) = seamline_ohttp::encapsulate(
        key().config(),
        seamline_ohttp::Profile::OpenGradient,
        b"{}",
        entropy,
    )
    .unwrap();
    let opened = open(b"application/json", b"{}", exchange);
    assert_eq!(opened.err(), Some(seamline_ohttp::Error::WrongFormat));
}

#[test]
fn an_error_shows_no_word_of_the_request() {
    let said = super::Said(b"canary".to_vec().into());
    assert_eq!(said.as_bytes(), b"canary");
    let error = super::Error::Refused {
        status: 400,
        said: Some(said),
    };
    for shown in [
        format!("{error:?}"),
        format!("{error:#?}"),
        error.to_string(),
    ] {
        assert!(
            !shown.contains("canary") && !shown.contains("99"),
            "{shown}"
        );
    }
}

#[test]
fn a_key_serves_for_five_minutes() {
    let key = key();
    let at = |seconds| NOW.saturating_add(core::time::Duration::from_secs(seconds));
    assert!(!key.is_stale(NOW) && !key.is_stale(at(300)));
    assert!(key.is_stale(at(301)));
    // A clock that was set back makes no key young.
    assert!(key.is_stale(Timestamp::from_secs(1_780_271_999)));
}

#[tokio::test]
async fn nothing_is_sent_under_a_stale_key() {
    let http = seamline_net::http_client(seamline_net::ClientOptions::default()).unwrap();
    // Nobody listens there: whoever sent something would fail otherwise.
    let relay = super::Relay::new(http, "http://127.0.0.1:9", "token");
    let env = crate::Env::new(
        || Timestamp::from_secs(1_780_272_301),
        |_| panic!("nothing is sealed"),
    );
    let chat = crate::Chat::model("m").user("x");
    let refused = relay.chat(&chat, &key(), &env).await;
    assert!(matches!(refused, Err(super::Error::KeyExpired)));
}

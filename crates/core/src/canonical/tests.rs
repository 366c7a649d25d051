use alloy_primitives::{B256, keccak256};
use seamline_testkit::json_vector;
use serde_json::Value as Vector;

use super::*;
use crate::json::{self, Object};
use crate::{NodeId, sha256};

fn vectors(file: &str) -> Vec<Vector> {
    let file = json_vector(&format!("canonical-request/{file}"));
    file["vectors"].as_array().unwrap().clone()
}

fn text<'a>(vector: &'a Vector, member: &str) -> &'a str {
    vector[member]
        .as_str()
        .unwrap_or_else(|| panic!("vector without {member}: {vector}"))
}

fn hash(vector: &Vector, member: &str) -> B256 {
    text(vector, member).parse().unwrap()
}

fn bytes(vector: &Vector, member: &str) -> Vec<u8> {
    hex::decode(text(vector, member)).unwrap()
}

fn node(vector: &Vector, member: &str) -> NodeId {
    NodeId::parse(text(vector, member)).unwrap()
}

fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The body of a negative vector: text, hex, or parts to repeat.
fn body(vector: &Vector) -> Vec<u8> {
    if let Some(text) = vector["body"].as_str() {
        return text.as_bytes().to_vec();
    }
    if vector["body_hex"].is_string() {
        return bytes(vector, "body_hex");
    }
    let parts = vector["body_parts"].as_array().unwrap();
    let repeat = |part: &Vector| {
        let times = usize::try_from(part[1].as_u64().unwrap()).unwrap();
        part[0].as_str().unwrap().repeat(times)
    };
    parts.iter().map(repeat).collect::<String>().into_bytes()
}

#[track_caller]
fn assert_rejected<T>(vector: &Vector, outcome: &Result<T, Error>) {
    let name = text(vector, "name");
    let Err(err) = outcome else {
        panic!("{name} was accepted");
    };
    assert_eq!(err.code(), text(vector, "expect"), "{name}");
    let member = err.member().map(Member::name);
    assert_eq!(member, vector["member"].as_str(), "{name}");
}

#[test]
fn chat_requests_have_the_canonical_bytes_and_hashes_of_the_network() {
    for vector in vectors("chat.json") {
        let name = text(&vector, "name");
        let request = ChatRequest::parse(text(&vector, "wire_request_json").as_bytes()).unwrap();
        let canonical = ascii(request.canonical_bytes());
        assert_eq!(canonical, text(&vector, "canonical_request"), "{name}");
        let length = u64::try_from(canonical.len()).ok();
        assert_eq!(length, vector["canonical_len"].as_u64(), "{name}");
        assert_eq!(request.input_hash(), hash(&vector, "input_hash"), "{name}");

        let choice = json::parse(vector["response_choice"].to_string().as_bytes()).unwrap();
        let preimage = output_preimage(&choice).unwrap();
        assert_eq!(preimage, text(&vector, "output_preimage"), "{name}");
        assert_eq!(
            output_hash(&preimage),
            hash(&vector, "output_hash"),
            "{name}"
        );

        let timestamp = vector["timestamp"].as_u64().unwrap();
        let signed = message_hash(request.input_hash(), output_hash(&preimage), timestamp);
        assert_eq!(signed, hash(&vector, "msg_hash"), "{name}");
    }
}

#[test]
fn chat_requests_are_reshaped_as_the_rules_say() {
    for vector in vectors("reshape.json") {
        let name = text(&vector, "name");
        let request = ChatRequest::parse(text(&vector, "wire_request_json").as_bytes())
            .unwrap_or_else(|err| panic!("{name}: {err}"));
        let canonical = ascii(request.canonical_bytes());
        assert_eq!(canonical, text(&vector, "canonical_request"), "{name}");
        // The canonical form is a request, and its own canonical form.
        let again = ChatRequest::parse(canonical.as_bytes()).unwrap();
        assert_eq!(ascii(again.canonical_bytes()), canonical, "{name}");
    }
}

#[test]
fn chat_requests_without_canonical_form_are_refused() {
    for vector in vectors("reject.json") {
        assert_rejected(&vector, &ChatRequest::parse(&body(&vector)));
    }
}

#[test]
fn temperatures_become_floats() {
    let file = json_vector("canonical-request/numbers.json");
    for vector in file["temperatures"].as_array().unwrap() {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"temperature":{}}}"#,
            text(vector, "json_in")
        );
        let canonical = ascii(
            ChatRequest::parse(body.as_bytes())
                .unwrap()
                .canonical_bytes(),
        );
        let member = format!("\"temperature\": {}}}", text(vector, "canonical"));
        assert!(canonical.ends_with(&member), "{canonical}");
    }
}

#[test]
fn completions_have_the_canonical_bytes_of_the_network() {
    for vector in vectors("completions.json") {
        let wire = text(&vector, "wire_request_json");
        let request = CompletionRequest::parse(wire.as_bytes()).unwrap();
        let canonical = ascii(request.canonical_bytes());
        assert_eq!(canonical, text(&vector, "canonical_request"));
        if vector["input_hash"].is_string() {
            assert_eq!(request.input_hash(), hash(&vector, "input_hash"));
        }
    }
    for vector in vectors("reject-completions.json") {
        assert_rejected(&vector, &CompletionRequest::parse(&body(&vector)));
    }
}

#[test]
fn a_web_search_is_hashed_as_it_is() {
    for vector in vectors("web-search.json") {
        let body = json::parse(vector["body"].to_string().as_bytes()).unwrap();
        let canonical = canonical_bytes(&body);
        assert_eq!(keccak256(&canonical), hash(&vector, "input_hash"));
        assert_eq!(ascii(canonical), text(&vector, "canonical"));
    }
}

#[test]
fn outputs_have_the_preimage_of_the_network() {
    let file = json_vector("canonical-request/output.json");
    let empty = &file["empty_output"];
    assert_eq!(
        output_hash(text(empty, "preimage")),
        hash(empty, "keccak256")
    );
    for vector in file["choices"].as_array().unwrap() {
        let choice = match vector["choice_json"].as_str() {
            Some(json) => json.to_owned(),
            None => vector["choice"].to_string(),
        };
        let preimage = output_preimage(&json::parse(choice.as_bytes()).unwrap());
        assert_eq!(preimage.as_deref(), vector["preimage"].as_str(), "{vector}");
    }
}

#[test]
fn tool_calls_of_a_stream_are_joined() {
    let file = json_vector("canonical-request/output.json");
    let stream = &file["stream_tool_calls"];
    let mut calls = StreamedToolCalls::new();
    assert!(calls.is_empty());
    for (place, fragment) in stream["arguments_fragments"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let function = Object::new()
            .with_some("name", (place == 0).then_some("get_weather"))
            .with("arguments", fragment.as_str().unwrap());
        let delta = Object::new()
            .with("index", 0)
            .with_some("id", (place == 0).then_some("call_s"))
            .with("function", function);
        calls.push(&Value::array([delta.into()]));
    }
    assert_eq!(calls.preimage(), text(stream, "output_preimage"));
    assert_eq!(output_hash(&calls.preimage()), hash(stream, "output_hash"));
}

#[test]
fn tool_calls_of_a_stream_are_ordered_by_index() {
    let fragment =
        |index: i32, id: &str| Value::from(Object::new().with("index", index).with("id", id));
    let mut calls = StreamedToolCalls::new();
    calls.push(&Value::array([fragment(10, "b"), fragment(2, "a")]));
    calls.push(&Value::array([fragment(10, ""), Value::Null, 5.into()]));
    calls.push(&Value::Null);
    let ids: Vec<&str> = calls.iter().map(|call| call.id).collect();
    // What has no index belongs to the first call.
    assert_eq!(ids, ["", "a", "b"]);
}

#[test]
fn tool_calls_outside_a_stream_are_escaped_twice() {
    let file = json_vector("canonical-request/output.json");
    let vector = &file["nonstream_tool_calls"];
    let arguments = r#"{"city": "Z\u00fcrich", "days": 1.5, "n": null, "ok": true}"#;
    let preimage = tool_calls_preimage([ToolCall {
        id: "call_abc",
        name: "get_weather",
        arguments,
    }]);
    assert_eq!(preimage, text(vector, "output_preimage"));
    assert_eq!(output_hash(&preimage), hash(vector, "output_hash"));
}

#[test]
fn signed_hashes_are_those_of_the_network() {
    let file = json_vector("canonical-request/hashes.json");

    let heartbeat = &file["heartbeat"];
    let timestamp = heartbeat["timestamp"].as_u64().unwrap();
    assert_eq!(
        heartbeat_hash(node(heartbeat, "tee_id"), timestamp),
        hash(heartbeat, "message_hash")
    );

    for vector in file["pcr_hash"].as_array().unwrap() {
        let [pcr0, pcr1, pcr2] = ["pcr0", "pcr1", "pcr2"].map(|pcr| bytes(vector, pcr));
        assert_eq!(pcr_hash(&pcr0, &pcr1, &pcr2), hash(vector, "pcr_hash"));
    }

    let binding = &file["attestation_user_data"];
    let certificate = bytes(binding, "tls_cert_der_hex(example)");
    let user_data = nitriding_user_data(sha256(&[&certificate]), hash(binding, "sha256_spki"));
    assert_eq!(user_data.to_vec(), bytes(binding, "user_data_hex"));

    let signing_key = &file["node_id"];
    assert_eq!(
        NodeId::of_signing_key(&bytes(signing_key, "spki_der_hex")),
        node(signing_key, "tee_id")
    );
}

#[test]
fn oblivious_http_configurations_hash_as_those_of_the_network() {
    let file = json_vector("canonical-request/hashes.json");
    let golden = &file["ohttp_config"]["golden_gateway_test"];
    let example = &file["ohttp_config"]["example"];
    for (vector, encoded) in [(golden, "key_config"), (example, "key_config_hex")] {
        let config = OhttpConfig {
            key_id: 1,
            kem_id: 0x20,
            kdf_id: 1,
            aead_id: 3,
            public_key: bytes(vector, "public_key").try_into().unwrap(),
        };
        assert_eq!(ohttp_key_config(&config), bytes(vector, encoded));
        assert_eq!(
            ohttp_config_hash(node(vector, "tee_id"), &config),
            hash(vector, "hash")
        );
    }
}

#[test]
fn readers_show_what_an_upstream_needs() {
    let body = br#"{"model": "m", "stream": true, "max_tokens": 7, "top_p": 1, "messages": [
        {"role": "developer", "content": "brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"},
            {"type": "text", "text": "b\ud800"}]},
        {"role": "assistant", "content": null}]}"#;
    let request = ChatRequest::parse(body).unwrap();
    assert_eq!((request.model(), request.stream()), ("m", true));
    assert_eq!(request.max_tokens(), Some(7));
    let messages: Vec<(Role, &str)> = request
        .messages()
        .iter()
        .map(|message| (message.role, message.text.as_str()))
        .collect();
    assert_eq!(
        messages,
        [
            (Role::System, "brief"),
            (Role::User, "a\nb\u{fffd}"),
            (Role::Assistant, "")
        ]
    );
    assert_eq!(request.body().get("top_p"), Some(&1.into()));
    assert_eq!(request.canonical().get("stream"), None);
}

#[test]
fn debug_shows_no_prompt() {
    let body = br#"{"model": "m", "messages": [{"role": "user", "content": "canary"}]}"#;
    let request = ChatRequest::parse(body).unwrap();
    let completion = CompletionRequest::parse(br#"{"model": "m", "prompt": "canary"}"#).unwrap();
    let shown = format!("{request:?} {:?} {completion:?}", request.messages());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn errors_print_as_a_chain() {
    let err = ChatRequest::parse(b"{").unwrap_err();
    assert_eq!(
        crate::chain(&err),
        "the request is not JSON: the text ends too early (byte 1)"
    );
}

proptest::proptest! {
    #[test]
    fn the_canonical_form_is_its_own_canonical_form(text in "\\PC{0,12}", temperature: u32) {
        let body = Value::object([
            ("model", "m".into()),
            ("messages", Value::array([Value::object([
                ("role", "user".into()),
                ("content", text.as_str().into()),
                ("name", "dropped".into()),
            ])])),
            ("temperature", temperature.into()),
        ]);
        let first = ChatRequest::from_value(body).unwrap();
        let second = ChatRequest::parse(&first.canonical_bytes()).unwrap();
        proptest::prop_assert_eq!(first.canonical_bytes(), second.canonical_bytes());
    }
}

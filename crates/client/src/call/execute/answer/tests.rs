use seamline_net::sse::Event;

use super::{Stream, parse_whole};

fn message(data: &str) -> Event {
    Event::Message {
        name: Vec::new(),
        data: data.as_bytes().to_vec(),
    }
}

const PROOF: &str = r#""tee_signature":"AAAA","tee_request_hash":"1111111111111111111111111111111111111111111111111111111111111111","tee_output_hash":"2222222222222222222222222222222222222222222222222222222222222222","tee_timestamp":7,"tee_id":"0x3333333333333333333333333333333333333333333333333333333333333333""#;

fn whole(rest: &str) -> String {
    format!(r#"{{"choices":[{{"message":{{"content":"hi"}},"finish_reason":"stop"}}]{rest}}}"#)
}

#[test]
fn a_whole_answer_reads_with_its_proof() {
    let read = parse_whole(whole(&format!(",{PROOF}")).as_bytes(), false).unwrap();
    assert_eq!((read.text.as_str(), read.used_bytes), ("hi", 0));
    assert_eq!(read.proof.unwrap().timestamp_s, 7);
}

#[test]
fn half_a_proof_is_none() {
    for gone in [
        "tee_signature",
        "tee_request_hash",
        "tee_output_hash",
        "tee_timestamp",
        "tee_id",
    ] {
        let rest = PROOF.replace(gone, "another_member");
        let read = parse_whole(whole(&format!(",{rest}")).as_bytes(), false).unwrap();
        assert!(read.proof.is_none(), "{gone}");
    }
    for (good, bad) in [("AAAA", "*"), ("1111", "zz"), ("0x33", "0x3")] {
        let rest = PROOF.replacen(good, bad, 1);
        let read = parse_whole(whole(&format!(",{rest}")).as_bytes(), false).unwrap();
        assert!(read.proof.is_none(), "{bad}");
    }
}

#[test]
fn what_is_no_completion_is_refused() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":{"content":7}}]}"#,
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"tool_calls"}]}"#,
        &whole(",\"tee_timestamp\":-1"),
        &whole("}"),
        &deep,
    ] {
        assert!(parse_whole(body.as_bytes(), false).is_err(), "{body:.40}");
    }
}

#[test]
fn a_stream_ends_at_its_end() {
    let mut stream = Stream::default();
    for piece in ["a", "b"] {
        let frame = format!(r#"{{"choices":[{{"delta":{{"content":"{piece}"}}}}]}}"#);
        stream.take(message(&frame)).unwrap();
    }
    assert!(!stream.is_complete());
    let proof = format!(r#"{{"choices":[],{PROOF}}}"#);
    stream.take(message(&proof)).unwrap();
    stream
        .take(Event::Comment(b" keep-alive".to_vec()))
        .unwrap();
    // {"success":true}
    let settled = b" seamline-settlement eyJzdWNjZXNzIjp0cnVlfQ==".to_vec();
    stream.take(Event::Comment(settled)).unwrap();
    assert_eq!(
        stream.take_settle_reply().unwrap().as_ref(),
        br#"{"success":true}"#
    );
    stream.take(message("[DONE]")).unwrap();
    assert!(stream.is_complete());
    for more in [
        message("[DONE]"),
        message("{}"),
        Event::Comment(b" late".to_vec()),
    ] {
        assert!(stream.take(more).is_err(), "it went on after its end");
    }
    let read = stream.finish(1, 1).unwrap();
    assert_eq!((read.text.as_str(), read.used_bytes), ("ab", 1));
    assert!(read.proof.is_some());
}

#[test]
fn broken_frames_are_refused() {
    for data in [
        "",
        "{",
        "7",
        r#"{"error":{"message":"x"}}"#,
        r#"{"choices":{}}"#,
        r#"{"choices":[{"delta":{"content":[]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ] {
        assert!(Stream::default().take(message(data)).is_err(), "{data}");
    }
}

#[test]
fn a_settlement_that_does_not_read_is_no_settlement() {
    let mut stream = Stream::default();
    let comment = b" seamline-settlement *not base64*".to_vec();
    stream.take(Event::Comment(comment)).unwrap();
    assert!(stream.take_settle_reply().is_none());
}

const CALL: &str =
    r#"{"index":0,"id":"call_7","type":"function","function":{"name":"f","arguments":"{}"}}"#;

#[test]
fn calls_of_functions_stand_for_the_text() {
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"beside","tool_calls":[{CALL}]}},"finish_reason":"tool_calls"}}],{PROOF}}}"#
    );
    assert!(parse_whole(body.as_bytes(), false).is_err(), "not offered");
    let read = parse_whole(body.as_bytes(), true).unwrap();
    assert_eq!((read.text.as_str(), read.tool_calls.len()), ("", 1));
    let signed =
        r#"[{"function": {"arguments": "{}", "name": "f"}, "id": "call_7", "type": "function"}]"#;
    assert_eq!(read.preimage(), signed);
    // Whoever turns the reason round only chooses what is held against the signature.
    let turned = body.replace("\"tool_calls\"}]", "\"stop\"}]");
    let read = parse_whole(turned.as_bytes(), true).unwrap();
    assert_eq!((&*read.preimage(), read.tool_calls.len()), ("beside", 0));
    let none = body.replace(CALL, "");
    assert!(parse_whole(none.as_bytes(), true).is_err(), "no calls");
    let many = body.replace(CALL, &vec![CALL; 129].join(","));
    assert!(parse_whole(many.as_bytes(), true).is_err(), "too many");
}

#[test]
fn fragments_of_calls_are_put_together() {
    let mut stream = Stream::new(true);
    for fragment in [
        r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":"}}"#,
        r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#,
        r#"{"index":1,"function":{"arguments":"1}"}}"#,
    ] {
        let frame = format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{fragment}]}}}}]}}"#);
        stream.take(message(&frame)).unwrap();
    }
    let last = r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#;
    stream.take(message(last)).unwrap();
    let read = stream.finish(0, 1).unwrap();
    let calls: Vec<_> = read
        .tool_calls
        .iter()
        .map(|call| {
            (
                call.id.as_str(),
                call.name.as_str(),
                call.arguments.as_str(),
            )
        })
        .collect();
    assert_eq!(calls, [("a", "f", ""), ("b", "g", "{\"x\":1}")]);
    let mut stream = Stream::new(true);
    stream.take(message(last)).unwrap();
    assert!(stream.finish(0, 1).is_err(), "it has no calls");
}

#[test]
fn a_time_may_be_digits_and_usage_counts() {
    let digits = PROOF.replace(":7,", ":\"7\",");
    let read = parse_whole(whole(&format!(",{digits}")).as_bytes(), false).unwrap();
    assert_eq!(read.proof.unwrap().timestamp_s, 7);
    for bad in [":true,", ":7.5,", ":-7,"] {
        let bad = PROOF.replace(":7,", bad);
        let read = parse_whole(whole(&format!(",{bad}")).as_bytes(), false);
        assert!(read.is_err(), "{bad}");
    }
    let words = whole(r#","usage":{"prompt_tokens":"many"}"#);
    assert!(parse_whole(words.as_bytes(), false).is_err());
}

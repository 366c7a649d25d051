//! `seamline chat` with functions, and with records on the chain.

use crate::harness::{Home, text};

const QUESTION: &str = "How do I cap what a call may cost?";
const NOW: &str = r#"{"type":"function","function":{"name":"now","parameters":{"type":"object"}}}"#;

#[test]
fn functions_are_offered_from_the_line_and_from_a_file() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tools.json");
    std::fs::write(&file, format!("[{NOW}]")).unwrap();
    // The handbook's model calls none: it answers in text, streamed or not.
    let view = home.json(&[
        "chat",
        QUESTION,
        "--tool",
        NOW,
        "--tool",
        text(&file),
        "--stream",
        "--json",
    ]);
    assert!(view["text"].as_str().unwrap().contains("--max-price"));
    assert_eq!(view["tool_calls"], serde_json::json!([]));
    assert_eq!(view["verdict"]["status"], "satisfied");
}

#[test]
fn what_is_no_function_is_refused_before_anything_is_spent() {
    let home = Home::new();
    for wrong in ["{", "{}", "/no/such/file", "[[]]"] {
        let ran = home.run(&["chat", QUESTION, "--tool", wrong]);
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
        assert!(ran.stderr.contains("request.tool"), "{ran:?}");
    }
    let ran = home.run(&["chat", QUESTION, "--settlement", "public"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("individual"), "{ran:?}");
}

#[test]
fn record_that_was_asked_for_is_in_the_receipt() {
    let home = Home::new();
    let ran = home.run(&["chat", QUESTION, "--settlement", "batch", "--explain"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("> record"), "{ran:?}");
    let shown = home.run(&["receipt", "show", text(&home.receipt())]);
    assert!(shown.stdout.contains("stage=asked mode=batch"), "{shown:?}");
    let private = Home::new();
    let ran = private.run(&["chat", QUESTION, "--explain"]);
    assert!(!ran.stderr.contains("> record"), "{ran:?}");
}

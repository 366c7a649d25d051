use super::*;

fn of(body: &str) -> Result<(String, String), (String, String)> {
    hash(body.as_bytes())
        .map(|hashed| (hashed.canonical, hashed.hash))
        .map_err(|refused| {
            let failure = refused.into_failure();
            (failure.code, failure.message)
        })
}

#[test]
fn chats_and_completions_have_the_hash_of_their_kind() {
    let chat = of(r#"{"messages":[{"role":"user","content":"hi"}],"model":"gpt-5"}"#).unwrap();
    assert_eq!(
        chat.0,
        r#"{"messages": [{"content": "hi", "role": "user"}], "model": "gpt-5", "temperature": 0.0}"#
    );
    assert_eq!(
        chat.1,
        "e11bb533dd303f46ae4c8f0babe666bcb96ac969fd19d31780a8308bfe9c24e7"
    );
    let completion = of(r#"{"model":"gpt-5","prompt":"hello"}"#).unwrap();
    assert_eq!(
        completion.1,
        "8391c44dcc6eeb68065ff5021792532ab6b76f0c4d12d4e94031e2bf34d10f1e"
    );
}

#[test]
fn what_is_wrong_is_named_where_it_is() {
    for (body, code, says) in [
        (
            "{\n  \"model\": gpt}",
            "request.json_unexpected_byte",
            "line 2, column 12",
        ),
        ("", "request.json_unexpected_end", "line 1, column 1"),
        ("[]", "request.not_an_object", "not a JSON object"),
        (r#"{"messages":[]}"#, "request.missing", "`model`"),
        (r#"{"model":"m"}"#, "request.missing", "`messages`"),
        (
            r#"{"model":"m","messages":[]}"#,
            "request.empty",
            "`messages`",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"},{"role":"owl"}]}"#,
            "request.unknown_role",
            "`messages[1].role`",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":"a"},7]}"#,
            "request.wrong_type",
            "`messages[1]`",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":["a",{"type":"text"},["é"]]}]}"#,
            "request.no_stable_text",
            "`messages[0].content`",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"tools":{}}"#,
            "request.wrong_type",
            "`tools`",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user"}],"max_tokens":-1}"#,
            "request.out_of_range",
            "`max_tokens`",
        ),
    ] {
        let (found, message) = of(body).unwrap_err();
        assert_eq!(found, code, "{body}");
        assert!(message.contains(says), "{body}: {message}");
    }
}

#[test]
fn columns_count_characters() {
    assert_eq!(place("\"äöü\" x".as_bytes(), 9), (1, 7));
    assert_eq!(place(b"\n\n", 2), (3, 1));
    assert_eq!(place(b"ab", 99), (1, 3));
}

#[test]
fn members_that_change_nothing_are_named() {
    let body = br#"{"model":"m","messages":[{"role":"user"}],"stream":true,"top_p":1}"#;
    let hashed = hash(body).ok().unwrap();
    assert_eq!(hashed.left_out, ["stream", "top_p"]);
}

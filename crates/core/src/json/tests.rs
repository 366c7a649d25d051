use proptest::prelude::*;
use seamline_testkit::json_vector;

use super::*;

/// Parses a text that must be accepted.
#[track_caller]
fn value(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|err| panic!("{text:.80}: {err}"))
}

fn reason(text: &[u8]) -> Option<Reason> {
    parse(text).err().map(|err| err.reason)
}

fn text_of<'a>(vector: &'a serde_json::Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap()
}

#[test]
fn numbers_print_as_python_prints_them() {
    let vectors = json_vector("canonical-request/numbers.json");
    for vector in vectors["numbers"].as_array().unwrap() {
        let printed = value(text_of(vector, "json_in")).to_json(Keys::Sorted);
        assert_eq!(printed, text_of(vector, "json_dumps"));
    }
}

#[test]
fn strings_and_containers_print_as_python_prints_them() {
    let vectors = json_vector("canonical-request/strings.json");
    for vector in vectors["strings"].as_array().unwrap() {
        let printed = value(text_of(vector, "json_in")).to_json(Keys::Sorted);
        assert_eq!(printed, text_of(vector, "json_dumps"));
    }
    for vector in vectors["values"].as_array().unwrap() {
        let value = value(text_of(vector, "json_in"));
        assert_eq!(value.to_json(Keys::Sorted), text_of(vector, "sorted"));
        assert_eq!(value.to_json(Keys::Insertion), text_of(vector, "insertion"));
        assert_eq!(
            value.to_json_pretty(Keys::Sorted),
            text_of(vector, "pretty")
        );
    }
    let keys = &vectors["key_sort"];
    let printed = value(text_of(keys, "in")).to_json(Keys::Sorted);
    assert_eq!(printed, text_of(keys, "out"));
}

#[test]
fn limits_are_inclusive() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(reason(nested(MAX_DEPTH).as_bytes()), None);
    assert_eq!(
        reason(nested(MAX_DEPTH + 1).as_bytes()),
        Some(Reason::TooDeep)
    );

    let padded = |bytes: usize| format!("1{}", " ".repeat(bytes - 1));
    assert_eq!(reason(padded(MAX_BYTES).as_bytes()), None);
    assert_eq!(
        reason(padded(MAX_BYTES + 1).as_bytes()),
        Some(Reason::TooLarge)
    );

    assert_eq!(reason("9".repeat(MAX_INTEGER_DIGITS).as_bytes()), None);
    assert_eq!(
        reason("9".repeat(MAX_INTEGER_DIGITS + 1).as_bytes()),
        Some(Reason::IntegerTooLong)
    );
    // A float has no such limit.
    let float = format!("{}.0", "9".repeat(MAX_INTEGER_DIGITS + 1));
    assert_eq!(value(&float).to_json(Keys::Sorted), "Infinity");
}

#[test]
fn errors_say_where() {
    let at = |text: &str| parse(text.as_bytes()).map_err(|err| err.offset);
    assert_eq!(at("[1, x]"), Err(4));
    assert_eq!(at("{} {}"), Err(3));
    assert_eq!(at("\"a\nb\""), Err(2));
    assert_eq!(
        parse(b"{} x").map_err(|err| err.to_string()),
        Err("something follows the value (byte 3)".to_owned())
    );
}

#[test]
fn a_large_object_takes_no_quadratic_time() {
    // 170,000 members; comparing each pair would take minutes.
    let members: Vec<String> = (0..90_000)
        .map(|n| format!("\"{n:x}\":{}", n % 2))
        .collect();
    let text = format!("{{{}}}", members.join(","));
    let value = value(&text);
    assert_eq!(value.as_object().map(Object::len), Some(90_000));
    assert_eq!(value.get("15f8f").and_then(Value::as_u64), Some(1));
}

#[test]
fn readers_answer_for_their_type_only() {
    let value = value(
        r#"{"s": "x", "u": 18446744073709551615, "i": -5, "f": 1.0, "b": true, "n": null,
            "a": [1, 2], "o": {"k": 1}, "lone": "\ud83d", "big": 18446744073709551616}"#,
    );
    let get = |key: &str| value.get(key).unwrap();
    assert_eq!(get("s").as_str(), Some("x"));
    assert_eq!(get("u").as_u64(), Some(u64::MAX));
    assert_eq!(get("u").as_i64(), None);
    assert_eq!((get("i").as_i64(), get("i").as_u64()), (Some(-5), None));
    assert_eq!((get("f").as_i64(), get("f").as_u64()), (None, None));
    assert_eq!(get("big").as_u64(), None);
    assert_eq!(get("b").as_bool(), Some(true));
    assert_eq!(get("a").at(1).and_then(Value::as_u64), Some(2));
    assert_eq!(get("a").at(2), None);
    assert_eq!(get("o").get("k").and_then(Value::as_u64), Some(1));
    assert_eq!(get("lone").as_str(), None);
    assert_eq!(get("lone").as_text().unwrap().to_str_lossy(), "\u{fffd}");
    assert!(get("n").is_null());
    assert_eq!(get("s").get("k"), None);
    assert_eq!(value.get("absent"), None);
}

#[test]
fn truth_is_python_truth() {
    for text in [
        "null", "false", "0", "-0", "0.0", "-0.0", "1e-400", "\"\"", "[]", "{}",
    ] {
        assert!(!value(text).is_truthy(), "{text}");
    }
    for text in [
        "true",
        "1",
        "-1",
        "1e-5",
        "NaN",
        "\"0\"",
        "[null]",
        "{\"\": 0}",
    ] {
        assert!(value(text).is_truthy(), "{text}");
    }
}

#[test]
fn objects_keep_the_order_of_their_first_insertion() {
    let object = Object::new()
        .with("b", 1)
        .with("a", "x")
        .with("b", Value::Null)
        .with_some("c", None::<bool>)
        .with_some("d", Some(2_u64));
    let value = Value::from(object);
    let json = r#"{"b": null, "a": "x", "d": 2}"#;
    assert_eq!(value.to_json(Keys::Insertion), json);
    assert_eq!(parse(json.as_bytes()), Ok(value));
}

#[test]
fn debug_shows_no_content() {
    let value = value(r#"{"secret": ["prompt", 42, true, "\ud800"]}"#);
    let shown = format!(
        "{value:?} {:?} {:?}",
        value.get("secret"),
        value.as_object()
    );
    for hidden in ["secret", "prompt", "42", "d800"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let unit = prop_oneof![
        any::<char>().prop_map(|scalar| format!("{scalar}")),
        (0xd800_u16..=0xdfff).prop_map(|unit| format!("\\u{unit:04x}")),
    ];
    let text = proptest::collection::vec(unit, 0..6).prop_map(|units| {
        let escaped: String = units
            .iter()
            .map(|unit| match unit.as_str() {
                escape if escape.len() == 6 && escape.starts_with("\\u") => escape.to_owned(),
                plain => plain
                    .encode_utf16()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect(),
            })
            .collect();
        let value = value(&format!("\"{escaped}\""));
        value.as_text().unwrap().clone()
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("NaN has many forms", |float| !float.is_nan())
            .prop_map(|float| Number::float(float).into()),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text.clone(), inner), 0..6).prop_map(Value::object),
        ]
    })
}

proptest! {
    #[test]
    fn printing_then_parsing_is_the_identity(value in any_value()) {
        let insertion = value.to_json(Keys::Insertion);
        prop_assert!(insertion.is_ascii());
        prop_assert_eq!(&parse(insertion.as_bytes()), &Ok(value.clone()));
        let pretty = value.to_json_pretty(Keys::Insertion);
        prop_assert_eq!(&parse(pretty.as_bytes()), &Ok(value.clone()));
        // Sorting is idempotent, whatever the order before.
        let sorted = value.to_json(Keys::Sorted);
        let again = parse(sorted.as_bytes()).unwrap().to_json(Keys::Insertion);
        prop_assert_eq!(sorted, again);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_json_like_text_makes_the_parser_panic(text in r#"[\[\]{}",:\\u0-9a-fdeE+.nrtls -]{0,64}"#) {
        if let Ok(value) = parse(text.as_bytes()) {
            let printed = value.to_json(Keys::Sorted);
            prop_assert!(parse(printed.as_bytes()).is_ok());
        }
    }
}

/// [`half_to_even`](super::number) without a range, from every digit that a double can have: slow.
fn even_by_all_digits(value: f64) -> String {
    let text = format!("{value:?}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let written = digits.bytes().filter(u8::is_ascii_digit);
    let count = written.skip_while(|digit| *digit == b'0').count();
    let all = format!("{:.767e}", value.abs());
    let (all, _) = all.split_once('e').unwrap();
    let mut rest = all.bytes().skip(count.saturating_add(1));
    let between = rest.next() == Some(b'5') && rest.all(|digit| digit == b'0');
    let last = digits.bytes().last().unwrap();
    let mut even = digits.to_owned();
    even.pop();
    even.push(char::from(last & !1));
    let same = format!("{even}e{exponent}").parse() == Ok(value);
    let digits = if between && same { &even } else { digits };
    if !text.contains('e') {
        return digits.to_owned();
    }
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[test]
fn digits_are_those_of_a_search_through_all_of_them() {
    let mut state: u64 = 7;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    // An odd whole number of 53 bits.
    let odd = |bits: u64| f64::from_bits((1_075 << 52) | (bits & ((1 << 52) - 1)) | 1);
    let mut ties = 0_usize;
    for round in 0..1_500_i32 {
        // Fractions of eighteen digits, some of which lie between; and the edges of where that can be.
        let fraction = odd(random()) / 2_f64.powi(round % 8);
        let small = odd(random()) * 2_f64.powi((round % 4).wrapping_sub(79));
        let large = odd(random()) * 2_f64.powi((round % 6).wrapping_add(80));
        let any = f64::from_bits(random() << 11 | random());
        for value in [fraction, -fraction, small, large, any] {
            if !value.is_finite() {
                continue;
            }
            let printed = Number::float(value).to_string();
            assert_eq!(printed, even_by_all_digits(value), "{value:?}");
            let rust = format!("{value:?}");
            let tie = !rust.contains('e') && printed != rust;
            ties = ties.saturating_add(usize::from(tie));
        }
    }
    assert!(ties > 20, "{ties} were between two");
}

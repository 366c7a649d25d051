use seamline_testkit::json_vector;
use serde_json::Value;

use super::*;
use crate::json;

/// Runs `rule` over every vector of a file, and holds what it yields against what is expected.
fn agree(file: &str, key: &str, rule: impl Fn(&Value) -> Result<Value, &'static str>) {
    let file = json_vector(&format!("infer/{file}"));
    let vectors = file["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let got = match rule(&vector[key]) {
            Ok(got) => got,
            Err(code) => serde_json::json!({ "error": code }),
        };
        assert_eq!(got, vector["expect"], "{}", vector["name"]);
    }
}

#[test]
fn ids_are_read_strictly() {
    agree("model-ids.json", "id", |text| {
        let text = text.as_str().unwrap();
        let id = ModelId::parse(text).map_err(ModelIdError::code)?;
        assert_eq!(id.to_string(), text);
        Ok(serde_json::json!({ "sha256": hex::encode(id.as_b256()) }))
    });
    let known = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_eq!(ModelId::of_bytes(b"hello world").to_string(), known);
}

#[test]
fn requests_have_one_form_and_each_refusal_its_code() {
    agree("requests.json", "body", |body| {
        let body = body.as_str().unwrap().as_bytes();
        let request = InferRequest::parse(body).map_err(|err| err.code())?;
        let form = core::str::from_utf8(request.canonical_bytes()).unwrap();
        // The form is a request too, and the same one.
        assert_eq!(InferRequest::parse(form.as_bytes()).as_ref(), Ok(&request));
        Ok(serde_json::json!({
            "canonical": form,
            "input_hash": hex::encode(request.input_hash()),
            "elements": request.inputs().elements(),
        }))
    });
}

#[test]
fn outputs_have_one_preimage() {
    agree("outputs.json", "outputs", |text| {
        let value = json::parse(text.as_str().unwrap().as_bytes()).unwrap();
        let outputs = Outputs::from_value(&value).map_err(|err| err.code())?;
        let preimage = outputs_preimage(&outputs).unwrap();
        let hash = crate::canonical::output_hash(&preimage);
        Ok(serde_json::json!({
            "preimage": preimage,
            "output_hash": hex::encode(hash),
            "elements": outputs.elements(),
        }))
    });
}

fn pair(number: Fixed) -> Value {
    serde_json::json!([number.value().to_string(), number.decimals().to_string()])
}

fn read(text: &str) -> Result<Fixed, FixedError> {
    let value = json::parse(text.as_bytes()).unwrap();
    Fixed::of_number(value.as_number().unwrap())
}

#[test]
fn numbers_are_converted_as_the_sdk_does() {
    agree("numbers.json", "number", |text| {
        let number = read(text.as_str().unwrap()).map_err(FixedError::code)?;
        Ok(serde_json::json!({ "pair": pair(number) }))
    });
    let file = json_vector("infer/fixed-point.json");
    for vector in file["vectors"].as_array().unwrap() {
        let text = vector["in"].as_str().unwrap();
        let inner = text.split_once('(').map_or(text, |(_, inner)| inner);
        let number = inner.trim_end_matches(')');
        let converted = match vector["type"].as_str().unwrap() {
            "float32" => Fixed::of_f32(number.parse().unwrap()),
            "float" | "float64" => Fixed::of_f64(number.parse().unwrap()),
            _ => read(number),
        };
        assert_eq!(pair(converted.unwrap()), vector["value_decimals"], "{text}");
    }
}

#[test]
fn numbers_come_back_as_the_sdks_singles() {
    agree("singles.json", "pair", |pair| {
        let part = |at: usize| pair[at].as_str().unwrap().parse().unwrap();
        let number = Fixed::new(part(0), part(1)).map_err(FixedError::code)?;
        let bits = number.to_f32().to_be_bytes();
        Ok(serde_json::json!({ "single_bits": hex::encode(bits) }))
    });
}

#[test]
fn what_is_no_number_is_refused() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(Fixed::of_f32(number).err(), Some(FixedError::NotFinite));
    }
    // The largest single is above 2^127.
    assert_eq!(Fixed::of_f32(f32::MAX).err(), Some(FixedError::OutOfRange));
    assert_eq!(Fixed::new(1, -1).err(), Some(FixedError::OutOfRange));
}

fn tensors(text: &str) -> Result<TensorSet, TensorError> {
    TensorSet::from_value(&json::parse(text.as_bytes()).unwrap())
}

#[test]
fn people_read_what_they_would_write() {
    for (written, plain) in [
        (
            r#"{"x": [[1, 2.5], [-0.125, 0]]}"#,
            r#"{"x": [[1, 2.5], [-0.125, 0]]}"#,
        ),
        (
            r#"{"x": {"shape": [], "values": [[-5, 3]]}}"#,
            r#"{"x": -0.005}"#,
        ),
        (
            r#"{"x": {"shape": [2, 0, 3], "values": []}}"#,
            r#"{"x": [[], []]}"#,
        ),
        (r#"{"x": {"shape": [0], "values": []}}"#, r#"{"x": []}"#),
        (r#"{"x": [5e-324]}"#, r#"{"x": [5e-324]}"#),
        (r#"{"s": ["a\"b"]}"#, r#"{"s": ["a\"b"]}"#),
        ("{}", "{}"),
    ] {
        assert_eq!(tensors(written).unwrap().to_plain_json(), plain);
    }
}

#[test]
fn limits_hold() {
    let zeros = |count: usize| vec![Fixed::ZERO; count];
    let length = |count: usize| vec![u32::try_from(count).unwrap()];
    let numbers =
        |name: &str, count: usize| Tensor::numbers(name, length(count), zeros(count)).unwrap();
    let most = vec![numbers("a", MAX_ELEMENTS)];
    assert_eq!(TensorSet::new(most.clone()).map(|it| it.len()), Ok(1));
    let over = [most, vec![numbers("b", 1)]].concat();
    assert_eq!(TensorSet::new(over).err(), Some(TensorError::Elements));
    let many = (0..=MAX_TENSORS).map(|at| numbers(&format!("t{at}"), 0));
    assert_eq!(
        TensorSet::new(many.collect()).err(),
        Some(TensorError::TooMany)
    );
    let long = vec!["x".repeat(MAX_STRING_BYTES + 1)];
    let long = Tensor::strings("s", vec![1], long).unwrap();
    assert_eq!(
        TensorSet::new(vec![long]).err(),
        Some(TensorError::StringBytes)
    );
    let twice = TensorSet::new(vec![numbers("a", 1), numbers("a", 2)]);
    assert_eq!(twice.err().map(|err| err.code()), Some("tensor_twice"));
    // Each within its limit, and together longer than a reader takes.
    let digits = Fixed::new(i128::MAX, 1).unwrap();
    let wide = Tensor::numbers("w", length(60_000), vec![digits; 60_000]).unwrap();
    let wide = TensorSet::new(vec![wide]).unwrap();
    let model = ModelId::of_bytes(b"");
    assert_eq!(outputs_preimage(&wide).err(), Some(InferError::TooLarge));
    assert_eq!(
        InferRequest::new(model, wide).err(),
        Some(InferError::TooLarge)
    );
}

#[test]
fn nothing_of_a_tensor_is_shown() {
    let request = InferRequest::new(
        ModelId::of_bytes(b""),
        tensors(r#"{"x": [271828], "s": ["CANARY"]}"#).unwrap(),
    );
    let shown = format!("{request:?} {:?}", request.as_ref().unwrap().inputs());
    assert!(
        !shown.contains("271828") && !shown.contains("CANARY"),
        "{shown}"
    );
    let mixed = tensors(r#"{"x": [271828, "CANARY"]}"#).unwrap_err();
    let shown = format!("{mixed:?} {mixed}");
    assert!(
        !shown.contains("271828") && !shown.contains("CANARY"),
        "{shown}"
    );
}

fn info() -> ModelInfo {
    let port = |name: &str, kind, element: &str, shape: &[Option<u32>]| PortInfo {
        name: name.to_owned(),
        kind,
        element: element.to_owned(),
        shape: shape.to_vec(),
    };
    ModelInfo {
        id: ModelId::of_bytes(b""),
        title: None,
        bytes: 1_025,
        inputs: vec![
            port("x", ElementKind::Number, "int8", &[None, Some(2)]),
            port("s", ElementKind::String, "string", &[Some(1)]),
        ],
        outputs: vec![port(
            "y",
            ElementKind::Number,
            "float32",
            &[Some(2), Some(3)],
        )],
    }
}

#[test]
fn inputs_are_held_against_the_model() {
    let info = info();
    assert_eq!(
        info.check(&tensors(r#"{"x": [[1, -128]], "s": "a"}"#).unwrap()),
        Ok(())
    );
    for (text, code) in [
        (r#"{"x": [[1, 2]]}"#, "input_missing"),
        (r#"{"x": [[1, 2]], "s": "a", "t": 1}"#, "input_unknown"),
        (r#"{"x": [1, 2], "s": "a"}"#, "input_shape"),
        (r#"{"x": [[1, 2, 3]], "s": "a"}"#, "input_shape"),
        (r#"{"x": [["1", "2"]], "s": "a"}"#, "input_kind"),
        (r#"{"x": [[1, 2]], "s": 1}"#, "input_kind"),
        (r#"{"x": [[1, 128]], "s": "a"}"#, "input_number"),
        (r#"{"x": [[1, 0.5]], "s": "a"}"#, "input_number"),
    ] {
        let refused = info.check(&tensors(text).unwrap()).unwrap_err();
        assert_eq!(
            (refused.code(), refused.fault()),
            (code, crate::Fault::Caller),
            "{text}"
        );
        assert_eq!(refused.retry(), crate::Retry::Never);
    }
    assert_eq!(
        (info.output_elements(), model_elements(info.bytes)),
        (Some(6), 2)
    );
    let mut open = info;
    open.outputs[0].shape[0] = None;
    assert_eq!(open.output_elements(), None);
}

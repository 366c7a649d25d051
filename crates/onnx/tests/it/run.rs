//! Models under `tract`, against what ONNX Runtime answered (`scripts/models`).

use seamline_core::infer::{
    Fixed, Inputs, ModelId, ModelRunner as _, Outputs, RunError, RunLimits, Stop, Tensor,
    TensorSet, Values,
};
use seamline_onnx::{ModelStore, OnnxRunner, RunnerOptions, StoreError};
use serde_json::Value;

const CASES: &str = include_str!("../../../../spec/vectors/models/cases.json");

macro_rules! models {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../../../spec/vectors/models/", $name, ".onnx")).as_slice())),*]
    };
}

fn file(name: &str) -> &'static [u8] {
    let all = models!(
        "choice",
        "conv",
        "double",
        "echo",
        "integers",
        "label",
        "linear",
        "lookup",
        "mlp",
        "pair",
        "unknown-operator"
    );
    all.iter().find(|(found, _)| *found == name).unwrap().1
}

struct Home {
    _folder: tempfile::TempDir,
    runner: OnnxRunner,
}

fn home(names: &[&str]) -> Home {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path());
    for name in names {
        store.add(file(name)).unwrap();
    }
    let (runner, refused) = OnnxRunner::open(store, RunnerOptions::default()).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    Home {
        _folder: folder,
        runner,
    }
}

fn limits() -> RunLimits {
    RunLimits {
        memory_bytes: 1 << 20,
        stop: Stop::new(),
    }
}

fn number(value: &Value) -> Fixed {
    match value {
        Value::Bool(truth) => Fixed::of_i64(i64::from(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Fixed::of_i64(whole),
            None => Fixed::of_f64(number.as_f64().unwrap()).unwrap(),
        },
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => panic!("{value}"),
    }
}

/// `{name: [kind, shape, values]}`
fn tensors(described: &Value) -> TensorSet {
    let one = |(name, tensor): (&String, &Value)| {
        let shape = tensor[1]
            .as_array()
            .unwrap()
            .iter()
            .map(|length| u32::try_from(length.as_u64().unwrap()).unwrap())
            .collect();
        let values = tensor[2].as_array().unwrap();
        match tensor[0].as_str().unwrap() {
            "string" => {
                let texts = values
                    .iter()
                    .map(|text| text.as_str().unwrap().to_owned())
                    .collect();
                Tensor::strings(name, shape, texts).unwrap()
            }
            _ => Tensor::numbers(name, shape, values.iter().map(number).collect()).unwrap(),
        }
    };
    TensorSet::new(described.as_object().unwrap().iter().map(one).collect()).unwrap()
}

fn numbers(name: &str, shape: &[u32], values: &[f64]) -> Tensor {
    let values = values
        .iter()
        .map(|value| Fixed::of_f64(*value).unwrap())
        .collect();
    Tensor::numbers(name, shape.to_vec(), values).unwrap()
}

fn inputs(tensors: impl IntoIterator<Item = Tensor>) -> Inputs {
    TensorSet::new(tensors.into_iter().collect()).unwrap()
}

fn same(found: &Outputs, expected: &Outputs) -> bool {
    let near = |a: &Fixed, b: &Fixed| {
        let (a, b) = (a.to_f64(), b.to_f64());
        (a - b).abs() <= 1e-5 * a.abs().max(b.abs()).max(1e-6)
    };
    found.len() == expected.len()
        && found.iter().zip(expected.iter()).all(|(a, b)| {
            a.name() == b.name()
                && a.shape() == b.shape()
                && match (a.values(), b.values()) {
                    (Values::Numbers(a), Values::Numbers(b)) => {
                        a.iter().zip(b).all(|(a, b)| near(a, b))
                    }
                    (a, b) => a == b,
                }
        })
}

#[test]
fn answers_are_those_of_onnx_runtime() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let home = home(&[
        "choice", "conv", "double", "echo", "integers", "label", "linear", "lookup", "mlp", "pair",
    ]);
    for case in &cases {
        let name = case["model"].as_str().unwrap();
        let id = ModelId::of_bytes(file(name));
        let found = home.runner.run(id, &tensors(&case["inputs"]), &limits());
        let found = found.unwrap_or_else(|err| panic!("{name}: {err}"));
        let expected = tensors(&case["outputs"]);
        assert!(same(&found, &expected), "{name}: {:?}", values(&found));
        // Again, from what is prepared by now: to the last bit.
        assert_eq!(
            home.runner.run(id, &tensors(&case["inputs"]), &limits()),
            Ok(found)
        );
    }
    assert!(cases.len() >= 12);
}

fn values(outputs: &Outputs) -> Vec<Vec<f64>> {
    let read = |tensor: &Tensor| match tensor.values() {
        Values::Numbers(values) => values.iter().map(|value| value.to_f64()).collect(),
        Values::Strings(_) => Vec::new(),
    };
    outputs.iter().map(read).collect()
}

fn refused(name: &str, given: impl core::borrow::Borrow<Inputs>) -> RunError {
    let home = home(&[name]);
    home.runner
        .run(ModelId::of_bytes(file(name)), given.borrow(), &limits())
        .unwrap_err()
}

#[test]
fn inputs_that_the_model_does_not_take_are_named() {
    let x = || "x".to_owned();
    assert_eq!(
        refused("linear", inputs([])),
        RunError::MissingInput { name: x() }
    );
    let both = inputs([numbers("x", &[1, 3], &[1.0; 3]), numbers("z", &[1], &[1.0])]);
    assert_eq!(
        refused("linear", both),
        RunError::UnknownInput {
            name: "z".to_owned()
        }
    );
    let wide = inputs([numbers("x", &[1, 4], &[1.0; 4])]);
    let expected = "[1, 3]".to_owned();
    assert_eq!(
        refused("linear", wide),
        RunError::WrongShape {
            name: x(),
            expected,
            found: vec![1, 4]
        }
    );
    let flat = inputs([numbers("x", &[3], &[1.0; 3])]);
    assert!(matches!(
        refused("linear", flat),
        RunError::WrongShape { .. }
    ));
    let text = inputs([Tensor::strings("x", vec![1, 3], vec![String::new(); 3]).unwrap()]);
    let expected = "float32".to_owned();
    assert_eq!(
        refused("linear", text),
        RunError::WrongKind {
            name: x(),
            expected
        }
    );
    let words = inputs([numbers("words", &[1], &[1.0])]);
    assert_eq!(
        refused("echo", words),
        RunError::WrongKind {
            name: "words".to_owned(),
            expected: "string".to_owned()
        }
    );
}

#[test]
fn numbers_must_be_of_the_models_kind() {
    let ids = |value: f64| inputs([numbers("ids", &[3], &[0.0, value, 1.0])]);
    let wrong = RunError::WrongNumber {
        name: "ids".to_owned(),
        expected: "int64".to_owned(),
    };
    assert_eq!(refused("lookup", ids(0.5)), wrong);
    assert_eq!(refused("lookup", ids(1e19)), wrong);
    let three = [
        numbers("which", &[3], &[0.0, 1.0, 2.0]),
        numbers("a", &[3], &[0.0; 3]),
        numbers("b", &[3], &[0.0; 3]),
    ];
    assert!(
        matches!(refused("choice", inputs(three)), RunError::WrongNumber { expected, .. } if expected == "bool")
    );
    let next = |m: f64| inputs([numbers("n", &[1], &[1.0]), numbers("m", &[2], &[m, 0.0])]);
    assert!(
        matches!(refused("integers", next(2_147_483_648.0)), RunError::WrongNumber { expected, .. } if expected == "int32")
    );
}

#[test]
fn a_row_that_is_not_there_is_the_models_failure() {
    // The runtime says so or panics: either ends this run alone, and no value of the inputs is told.
    let home = home(&["lookup", "linear"]);
    let far = inputs([numbers("ids", &[3], &[0.0, 77_123.0, 1.0])]);
    let failed = home
        .runner
        .run(ModelId::of_bytes(file("lookup")), &far, &limits())
        .unwrap_err();
    assert!(
        matches!(failed, RunError::Model { .. } | RunError::Runtime { .. }),
        "{failed}"
    );
    assert!(!failed.to_string().contains("77123"), "{failed}");
    let fine = inputs([numbers("ids", &[3], &[0.0, 1.0, 2.0])]);
    home.runner
        .run(ModelId::of_bytes(file("lookup")), &fine, &limits())
        .unwrap();
}

#[test]
fn what_is_not_a_number_is_no_answer() {
    let overflow = inputs([numbers("x", &[1, 3], &[1.6e38, -1.6e38, 0.0])]);
    assert_eq!(
        refused("linear", overflow),
        RunError::NotRepresentable {
            name: "y".to_owned()
        }
    );
}

#[test]
fn an_operator_that_the_runtime_lacks_is_named() {
    let failed = refused("unknown-operator", inputs([numbers("x", &[1], &[1.0])]));
    assert!(
        matches!(&failed, RunError::Model { reason } if reason.contains("Guess")),
        "{failed}"
    );
}

#[test]
fn memory_has_a_limit() {
    let home = home(&["mlp"]);
    let id = ModelId::of_bytes(file("mlp"));
    let rows = |count: u32| {
        inputs([numbers(
            "x",
            &[count, 4],
            &[0.5].repeat(4 * usize::try_from(count).unwrap()),
        )])
    };
    let tight = RunLimits {
        memory_bytes: 4_000,
        stop: Stop::new(),
    };
    home.runner.run(id, &rows(4), &tight).unwrap();
    assert_eq!(
        home.runner.run(id, &rows(400), &tight),
        Err(RunError::OutOfMemory)
    );
    home.runner.run(id, &rows(400), &limits()).unwrap();
}

#[test]
fn a_run_stops_when_it_is_asked_to() {
    let home = home(&["mlp"]);
    let stopped = limits();
    stopped.stop.request();
    let given = inputs([numbers("x", &[1, 4], &[0.5; 4])]);
    assert_eq!(
        home.runner
            .run(ModelId::of_bytes(file("mlp")), &given, &stopped),
        Err(RunError::Stopped)
    );
}

#[test]
fn an_unknown_model_is_not_found() {
    let home = home(&[]);
    let id = ModelId::of_bytes(file("mlp"));
    assert_eq!(
        home.runner.run(id, &inputs([]), &limits()),
        Err(RunError::UnknownModel)
    );
    assert_eq!(home.runner.describe(id), None);
    // It is added while the runner is there.
    home.runner.store().add(file("mlp")).unwrap();
    assert_eq!(home.runner.models(), []);
    home.runner.refresh().unwrap();
    assert_eq!(home.runner.models(), [id]);
    assert_eq!(
        home.runner.describe(id).unwrap().title.as_deref(),
        Some("mlp")
    );
    std::fs::remove_file(home.runner.store().path(id)).unwrap();
    home.runner.refresh().unwrap();
    assert_eq!(home.runner.models(), []);
}

#[test]
fn a_changed_file_is_not_served() {
    let home = home(&["mlp", "pair"]);
    let id = ModelId::of_bytes(file("mlp"));
    std::fs::write(home.runner.store().path(id), file("pair")).unwrap();
    // Known before it was changed: its bytes are checked when it is prepared.
    let given = inputs([numbers("x", &[1, 4], &[0.5; 4])]);
    let failed = home.runner.run(id, &given, &limits()).unwrap_err();
    assert!(
        matches!(&failed, RunError::Runtime { reason } if reason.contains("was changed")),
        "{failed}"
    );
    let refused = home.runner.refresh().unwrap();
    assert!(
        matches!(&refused[..], [one] if one.model == id && matches!(one.reason, StoreError::Changed { .. })),
        "{refused:?}"
    );
    assert_eq!(home.runner.models(), [ModelId::of_bytes(file("pair"))]);
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::new(folder.path());
    let id = store.add(file("mlp")).unwrap();
    let options = RunnerOptions {
        max_prepared: 2,
        ..RunnerOptions::default()
    };
    let (runner, _) = OnnxRunner::open(store, options).unwrap();
    for rows in [1_u32, 2, 3, 1, 4, 1] {
        let given = inputs([numbers(
            "x",
            &[rows, 4],
            &[0.25].repeat(4 * usize::try_from(rows).unwrap()),
        )]);
        let outputs = runner.run(id, &given, &limits()).unwrap();
        assert_eq!(outputs.get("probabilities").unwrap().shape(), [rows, 3]);
    }
}

//! The hub of models, and the precompile that it asks, with a model that adds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _, sol};
use seamline_core::Timestamp;
use seamline_core::infer::{
    ElementKind, Fixed, Inputs, ModelId, ModelInfo, ModelRunner, Outputs, PortInfo, RunError,
    RunLimits, Tensor, TensorSet, Values,
};
use seamline_localnet::chain::{Chain, ChainConfig, MODELS, RpcError};
use seamline_localnet::contracts::{self, INFERENCE_HUB};
use serde_json::{Value, json};

use super::{START, ask, config, get, wallet};

sol! {
    #[derive(Debug, PartialEq)]
    struct Number { int128 value; int128 decimals; }
    #[derive(Debug, PartialEq)]
    struct NumberTensor { string name; Number[] values; uint32[] shape; }
    #[derive(Debug, PartialEq)]
    struct StringTensor { string name; string[] values; }
    #[derive(Debug, PartialEq)]
    struct JsonScalar { string name; string value; }
    struct Input { NumberTensor[] numbers; StringTensor[] strings; }
    #[derive(Debug, PartialEq)]
    struct Output { NumberTensor[] numbers; StringTensor[] strings; JsonScalar[] jsons; bool is_simulation_result; }
    struct Request { uint8 mode; string modelCID; Input input; }
    function run(string modelId, uint8 inferenceMode, Input modelInput) external returns (Output);
    function runModelInference(Request request) external returns (Output);
    event InferenceResult(Output output);
    event ModelInferenceEvent(string inferenceID, Request request, Output response);
}

/// Adds what it is given, says each word twice, and counts how often it was asked.
#[derive(Default)]
struct Adder {
    runs: AtomicU32,
}

fn model() -> ModelId {
    ModelId::of_bytes(b"adder")
}

impl ModelRunner for Adder {
    fn models(&self) -> Vec<ModelId> {
        vec![model()]
    }

    fn describe(&self, id: ModelId) -> Option<ModelInfo> {
        let port = |name: &str, kind, shape| PortInfo {
            name: name.to_owned(),
            kind,
            element: String::new(),
            shape,
        };
        (id == model()).then(|| ModelInfo {
            id,
            title: None,
            bytes: 1,
            inputs: vec![
                port("x", ElementKind::Number, vec![None]),
                port("words", ElementKind::String, vec![Some(2), Some(1)]),
            ],
            outputs: Vec::new(),
        })
    }

    fn run(&self, _: ModelId, inputs: &Inputs, _: &RunLimits) -> Result<Outputs, RunError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let missing = |name: &str| RunError::MissingInput {
            name: name.to_owned(),
        };
        let x = inputs.get("x").ok_or_else(|| missing("x"))?;
        let words = inputs.get("words").ok_or_else(|| missing("words"))?;
        let (Values::Numbers(x), Values::Strings(said)) = (x.values(), words.values()) else {
            return Err(RunError::TooLarge);
        };
        assert_eq!(words.shape(), [2, 1], "strings have the model's shape");
        let sum = x.iter().map(|number| number.to_f64()).sum();
        let sum = Fixed::of_f64(sum).expect("a sum");
        let twice = said.iter().map(|word| word.repeat(2)).collect();
        let outputs = [
            Tensor::numbers("sum", vec![1, 1], vec![sum]),
            Tensor::strings("twice", vec![2], twice),
        ];
        let outputs = outputs.into_iter().collect::<Result<_, _>>();
        Ok(TensorSet::new(outputs.expect("tensors")).expect("outputs"))
    }
}

fn open(models: Option<Arc<dyn ModelRunner>>) -> Chain {
    let time = Timestamp::from_secs(START);
    let operator = wallet(1).address();
    let genesis = contracts::genesis(time, operator, &[]).expect("a genesis");
    Chain::open(ChainConfig {
        genesis,
        models,
        ..config()
    })
    .expect("a chain in memory")
}

fn with_adder() -> (Chain, Arc<Adder>) {
    let adder = Arc::new(Adder::default());
    (open(Some(Arc::<Adder>::clone(&adder))), adder)
}

fn input() -> Input {
    let number = |value, decimals| Number { value, decimals };
    Input {
        numbers: vec![NumberTensor {
            name: "x".to_owned(),
            values: vec![number(150, 2), number(-25, 1), number(4, 0)],
            shape: vec![3],
        }],
        strings: vec![StringTensor {
            name: "words".to_owned(),
            values: vec!["no".to_owned(), "la".to_owned()],
        }],
    }
}

fn run(mode: u8, model: &str, input: Input) -> Bytes {
    runCall {
        modelId: model.to_owned(),
        inferenceMode: mode,
        modelInput: input,
    }
    .abi_encode()
    .into()
}

fn call(chain: &Chain, input: &Bytes) -> Result<Value, RpcError> {
    let call = json!({ "from": wallet(1).address(), "to": INFERENCE_HUB, "data": input });
    ask(chain, "eth_call", json!([call, "latest"]))
}

fn output(chain: &Chain) -> Output {
    let out = call(chain, &run(0, &model().to_string(), input())).expect("an answer");
    let bytes = hex::decode(out.as_str().expect("text")).expect("hex");
    runCall::abi_decode_returns(&bytes).expect("an output")
}

#[test]
fn a_model_answers_calls_estimates_and_transactions() {
    let (chain, adder) = with_adder();
    // 1. A call.
    let said = output(&chain);
    let value = Number {
        value: 3,
        decimals: 0,
    };
    let sum = NumberTensor {
        name: "sum".to_owned(),
        values: vec![value],
        shape: vec![1, 1],
    };
    assert_eq!(said.numbers, [sum]);
    assert_eq!(said.strings[0].values, ["nono", "lala"]);
    assert!(!said.is_simulation_result && said.jsons.is_empty());
    // 2. An estimate, which runs the model no second time.
    let data = run(0, &model().to_string(), input());
    let asked = json!([{ "from": wallet(1).address(), "to": INFERENCE_HUB, "data": data }]);
    let gas = get(&chain, "eth_estimateGas", asked);
    let gas = U256::from_str_radix(&gas.as_str().expect("text")[2..], 16).expect("a number");
    assert!((100_000..400_000).contains(&gas.to::<u64>()), "{gas}");
    assert_eq!(adder.runs.load(Ordering::SeqCst), 1);
    // 3. A transaction, and what its logs say.
    let sent = chain.transact(&wallet(1), Some(INFERENCE_HUB), U256::ZERO, data);
    let sent = sent.expect("a transaction");
    let receipt = get(&chain, "eth_getTransactionReceipt", json!([sent.hash]));
    let [asked, answered] = receipt["logs"].as_array().expect("logs").as_slice() else {
        panic!("{receipt}");
    };
    assert_eq!(asked["address"], json!(MODELS));
    let data = hex::decode(asked["data"].as_str().expect("text")).expect("hex");
    let event = ModelInferenceEvent::abi_decode_data(&data).expect("an event");
    assert_eq!(event.1.modelCID, model().to_string());
    assert_eq!(event.2, said);
    assert!(event.0.starts_with("0x") && event.0.len() == 66);
    assert_eq!(answered["topics"], json!([InferenceResult::SIGNATURE_HASH]));
    let data = hex::decode(answered["data"].as_str().expect("text")).expect("hex");
    assert_eq!(
        InferenceResult::abi_decode_data(&data).expect("an event").0,
        said
    );
}

#[track_caller]
fn refused(chain: &Chain, data: &Bytes, reason: &str) {
    let refused = call(chain, data).expect_err("a refusal");
    assert!(refused.message.contains(reason), "{}", refused.message);
    let sent = chain.transact(&wallet(1), Some(INFERENCE_HUB), U256::ZERO, data.clone());
    assert!(sent.is_err(), "a refusal is a transaction that fails");
}

#[test]
fn refusals_say_why() {
    let (chain, adder) = with_adder();
    let known = model().to_string();
    let other = ModelId::of_bytes(b"other").to_string();
    refused(&chain, &run(0, &other, input()), "is not served here");
    let version0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
    refused(
        &chain,
        &run(0, version0, input()),
        "hash of a tree of blocks",
    );
    refused(
        &chain,
        &run(0, "a model", input()),
        "the id is not `bafkrei`",
    );
    // What is returned carries neither a proof nor a signature.
    refused(
        &chain,
        &run(1, &known, input()),
        "mode 1 (ZKML) asks for a proof",
    );
    refused(
        &chain,
        &run(2, &known, input()),
        "mode 2 (TEE) asks for an enclave's signature",
    );
    refused(
        &chain,
        &run(3, &known, input()),
        "the inference mode is none of",
    );
    let mut odd = input();
    odd.numbers[0].shape = vec![4];
    refused(
        &chain,
        &run(0, &known, odd),
        "its shape [4] does not ask for that many",
    );
    let mut negative = input();
    negative.numbers[0].values[0].decimals = -1;
    refused(
        &chain,
        &run(0, &known, negative),
        "input `x`: a number does not fit",
    );
    let mut twice = input();
    twice.strings[0].name = "x".to_owned();
    refused(&chain, &run(0, &known, twice), "two tensors are named `x`");
    assert_eq!(adder.runs.load(Ordering::SeqCst), 0);
    let mut missing = input();
    missing.strings.clear();
    refused(&chain, &run(0, &known, missing), "input `words` is missing");
}

#[test]
fn a_chain_without_models_says_so() {
    let chain = open(None);
    let data = run(0, &model().to_string(), input());
    refused(&chain, &data, "this chain runs no models");
}

#[test]
fn models_are_asked_by_plain_calls_with_enough_gas() {
    let (chain, _) = with_adder();
    let request = Request {
        mode: 0,
        modelCID: model().to_string(),
        input: input(),
    };
    let data = Bytes::from(runModelInferenceCall { request }.abi_encode());
    let direct = |fields: Value| {
        let mut call = json!({ "from": wallet(1).address(), "to": MODELS, "data": data });
        let fields = fields.as_object().expect("fields").clone();
        call.as_object_mut().expect("an object").extend(fields);
        ask(&chain, "eth_call", json!([call, "latest"]))
    };
    direct(json!({})).expect("an answer");
    let with_value = direct(json!({ "value": "0x1" })).expect_err("a refusal");
    assert!(
        with_value.message.contains("without value"),
        "{}",
        with_value.message
    );
    let short = direct(json!({ "gas": "0x1d4c0" })).expect_err("120,000 are too little");
    assert!(short.message.contains("OutOfGas"), "{}", short.message);
    let other = json!({ "to": MODELS, "data": "0x12345678" });
    let other = ask(&chain, "eth_call", json!([other, "latest"])).expect_err("a refusal");
    assert!(
        other.message.contains("not `runModelInference`"),
        "{}",
        other.message
    );
}

//! The models at [`MODELS`], OpenGradient's inference precompile, as far as its SDK's `alpha.infer` reaches it.
//!
//! A model runs while the transaction is executed, on this machine, and its outputs are the call's. The same inputs yield
//! the same outputs, so estimates, calls and the block agree.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{B256, Bytes, LogData};
use alloy_sol_types::{Revert, SolCall as _, SolError as _, SolEvent as _, sol};
use seamline_core::infer::{
    ElementKind, Fixed, Inputs, ModelId, ModelInfo, ModelRunner, Outputs, RunLimits, Stop, Tensor,
    TensorSet, Values,
};
use seamline_core::keccak256;

sol! {
    /// value / 10^decimals
    #[derive(Debug)]
    struct Number { int128 value; int128 decimals; }
    /// Numbers in row-major order.
    #[derive(Debug)]
    struct NumberTensor { string name; Number[] values; uint32[] shape; }
    /// Strings, without a shape.
    #[derive(Debug)]
    struct StringTensor { string name; string[] values; }
    /// What no model here makes.
    #[derive(Debug)]
    struct JsonScalar { string name; string value; }
    /// What goes in.
    #[derive(Debug)]
    struct Input { NumberTensor[] numbers; StringTensor[] strings; }
    /// What comes out.
    #[derive(Debug)]
    struct Output { NumberTensor[] numbers; StringTensor[] strings; JsonScalar[] jsons; bool is_simulation_result; }
    /// One inference.
    #[derive(Debug)]
    struct Request { uint8 mode; string modelCID; Input input; }
    /// Runs a model.
    #[derive(Debug)]
    function runModelInference(Request request) external returns (Output);
    /// What was asked and answered.
    #[derive(Debug)]
    event ModelInferenceEvent(string inferenceID, Request request, Output response);
}

/// Gas of a run, before its sizes.
const RUN_GAS: u64 = 100_000;
/// Gas for each byte of the call, and for each byte of its answer.
const BYTE_GAS: u64 = 16;
/// Bytes that a run's own tensors may hold: a block executes on the machine of whoever tries things out.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// How long a run may take. The chain waits for it.
const TIME: Duration = Duration::from_secs(10);
/// Answers that are remembered: an estimate executes one call about ten times.
const REMEMBERED: usize = 8;

/// What the precompile asks.
pub(super) struct Models {
    runner: Arc<dyn ModelRunner>,
    /// Calls and answers; the last one was made last.
    answers: Mutex<Vec<(B256, Answer)>>,
}

/// What a run is answered with, and what is written down of it.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) output: Bytes,
    pub(super) log: LogData,
    pub(super) gas: u64,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Less gas than the run costs.
    OutOfGas,
    /// The reason, which the caller gets as `Error(string)`.
    Reason(String),
}

impl Models {
    pub(super) fn new(runner: Arc<dyn ModelRunner>) -> Self {
        Self {
            runner,
            answers: Mutex::default(),
        }
    }

    /// Answers a call with this input in the block of this number, for at most `gas`. The price for the call's size is
    /// taken before the work.
    pub(super) fn answer(&self, input: &[u8], block: u64, gas: u64) -> Result<Answer, Refusal> {
        let price = RUN_GAS.saturating_add(gas_of(input));
        if gas < price {
            return Err(Refusal::OutOfGas);
        }
        let call = keccak256([&block.to_be_bytes(), input].concat());
        let remembered = self.answers().iter().find(|one| one.0 == call).cloned();
        let answer = match remembered {
            Some((_, answer)) => answer,
            None => {
                let answer = self.run(input, call, price).map_err(Refusal::Reason)?;
                let mut answers = self.answers();
                if answers.len() >= REMEMBERED {
                    answers.remove(0);
                }
                answers.push((call, answer.clone()));
                answer
            }
        };
        if gas < answer.gas {
            return Err(Refusal::OutOfGas);
        }
        Ok(answer)
    }

    fn run(&self, input: &[u8], call: B256, price: u64) -> Result<Answer, String> {
        let decoded = runModelInferenceCall::abi_decode_validate(input);
        let request = decoded.map_err(|_| "the call is not `runModelInference`".to_owned())?;
        let request = request.request;
        // 1. What is asked for is what can be given.
        supported(request.mode)?;
        let model = ModelId::parse(&request.modelCID).map_err(|err| err.to_string())?;
        let info = self.runner.describe(model);
        let info = info.ok_or_else(|| format!("model `{model}` is not served here"))?;
        let inputs = inputs(&request.input, &info)?;
        // 2. The run.
        let stop = Stop::new();
        let limits = RunLimits {
            memory_bytes: MEMORY_BYTES,
            stop: stop.clone(),
        };
        let outputs = within(TIME, stop, || self.runner.run(model, &inputs, &limits));
        let outputs = outputs.map_err(|err| err.to_string())?;
        // 3. The answer, and what the log says.
        let response = output(&outputs);
        let output: Bytes = runModelInferenceCall::abi_encode_returns(&response).into();
        let gas = price.saturating_add(gas_of(&output));
        let event = ModelInferenceEvent {
            inferenceID: hex::encode_prefixed(call),
            request,
            response,
        };
        Ok(Answer {
            output,
            log: event.encode_log_data(),
            gas,
        })
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Vec<(B256, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encodes a reason as a contract's `revert` does.
pub(super) fn revert(reason: &str) -> Bytes {
    Revert::from(reason).abi_encode().into()
}

fn gas_of(bytes: &[u8]) -> u64 {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    length.saturating_mul(BYTE_GAS)
}

/// An answer must not look like more than it is.
fn supported(mode: u8) -> Result<(), String> {
    let reason = match mode {
        0 => return Ok(()),
        1 => "mode 1 (ZKML) asks for a proof, and this chain makes none: ask with mode 0 (VANILLA)",
        2 => {
            "mode 2 (TEE) asks for an enclave's signature, and this chain makes none: ask with mode 0 (VANILLA), or an enclave of the network over HTTP"
        }
        _ => "the inference mode is none of 0 (VANILLA), 1 (ZKML) and 2 (TEE)",
    };
    Err(reason.to_owned())
}

/// Asks a run to stop once it has taken `time`, and waits for it.
fn within<T>(time: Duration, stop: Stop, run: impl FnOnce() -> T) -> T {
    let (running, ended) = channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            stop.request();
        }
    });
    let result = run();
    drop(running);
    result
}

fn inputs(input: &Input, info: &ModelInfo) -> Result<Inputs, String> {
    let mut tensors = Vec::new();
    for tensor in &input.numbers {
        let number = |number: &Number| Fixed::new(number.value, number.decimals);
        let values: Result<Vec<_>, _> = tensor.values.iter().map(number).collect();
        let values = values.map_err(|err| format!("input `{}`: {err}", tensor.name))?;
        tensors.push(Tensor::numbers(&tensor.name, tensor.shape.clone(), values));
    }
    for tensor in &input.strings {
        let shape = string_shape(&tensor.name, tensor.values.len(), info);
        tensors.push(Tensor::strings(&tensor.name, shape, tensor.values.clone()));
    }
    let tensors: Result<Vec<_>, _> = tensors.into_iter().collect();
    let tensors = tensors.and_then(TensorSet::new);
    tensors.map_err(|err| err.to_string())
}

/// The ABI gives strings no shape: they have the model's where that is fixed and asks for so many, otherwise they are a row.
fn string_shape(name: &str, count: usize, info: &ModelInfo) -> Vec<u32> {
    let port = info.inputs.iter().find(|port| port.name == name);
    let row = || vec![u32::try_from(count).unwrap_or(u32::MAX)];
    let Some(port) = port.filter(|port| port.kind == ElementKind::String) else {
        return row();
    };
    let fixed: Option<Vec<u32>> = port.shape.iter().copied().collect();
    let wanted = |shape: &Vec<u32>| {
        let product = shape.iter().try_fold(1_usize, |product, length| {
            product.checked_mul(usize::try_from(*length).ok()?)
        });
        product == Some(count)
    };
    fixed.filter(wanted).unwrap_or_else(row)
}

fn output(outputs: &Outputs) -> Output {
    let (mut numbers, mut strings) = (Vec::new(), Vec::new());
    for tensor in outputs.iter() {
        let name = tensor.name().to_owned();
        match tensor.values() {
            Values::Numbers(values) => numbers.push(NumberTensor {
                name,
                values: values.iter().copied().map(number).collect(),
                shape: tensor.shape().to_vec(),
            }),
            Values::Strings(values) => strings.push(StringTensor {
                name,
                values: values.clone(),
            }),
        }
    }
    Output {
        numbers,
        strings,
        jsons: Vec::new(),
        // Calls and estimates run the model too.
        is_simulation_result: false,
    }
}

fn number(number: Fixed) -> Number {
    Number {
        value: number.value(),
        decimals: number.decimals().into(),
    }
}

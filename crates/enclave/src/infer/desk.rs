//! Where runs take place: how many at a time, for how long, and what they count as.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use seamline_core::infer::{
    InferRequest, Inputs, MAX_ELEMENTS, ModelId, ModelInfo, ModelRunner, Outputs, RunError,
    RunLimits, Stop, model_elements,
};
use seamline_core::json::Object;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::config::ModelPrice;
use crate::upstream::Usage;

/// The models of an enclave, and what running them may take.
#[derive(Clone)]
pub struct InferConfig {
    /// Runs them.
    pub runner: Arc<dyn ModelRunner>,
    /// What a run costs: `input` per million elements of the model and of the inputs, `output` per
    /// million elements of the outputs, in base units. A model counts one element per started KiB of
    /// its file, so that one price serves small and large ones.
    pub price: ModelPrice,
    /// Most elements of an answer whose size the model does not fix; 4,096. The ceiling of an offer is
    /// computed with it.
    pub max_output_elements: u64,
    /// How long a run may take, its wait for a place included; 30 seconds.
    pub time: Duration,
    /// Bytes that one run may hold besides the weights; 512 MiB.
    pub memory_bytes: u64,
    /// Runs at a time; more wait. As many as the machine has processors.
    pub parallel: usize,
}

impl InferConfig {
    /// Serves the models of `runner` at `price`, with the limits that the fields name.
    pub fn new(runner: Arc<dyn ModelRunner>, price: ModelPrice) -> Self {
        Self {
            runner,
            price,
            max_output_elements: 4_096,
            time: Duration::from_secs(30),
            memory_bytes: 512 * 1024 * 1024,
            parallel: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl fmt::Debug for InferConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferConfig")
            .field("price", &self.price)
            .field("time", &self.time)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// What a run uses, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) model: u64,
    pub(crate) inputs: u64,
    pub(crate) outputs: u64,
}

impl Work {
    pub(crate) fn with_outputs(self, outputs: &Outputs) -> Self {
        Self {
            outputs: outputs.elements(),
            ..self
        }
    }

    /// As the price list counts: the model and its inputs go in.
    pub(crate) const fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.model.saturating_add(self.inputs),
            completion_tokens: self.outputs,
        }
    }

    pub(crate) fn to_object(self) -> Object {
        Object::new()
            .with("model_elements", self.model)
            .with("input_elements", self.inputs)
            .with("output_elements", self.outputs)
    }
}

/// Runs models, so many at a time.
pub(crate) struct Desk {
    config: InferConfig,
    places: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new(config: InferConfig) -> Self {
        let places = Arc::new(Semaphore::new(config.parallel.max(1)));
        Self { config, places }
    }

    pub(crate) const fn price(&self) -> ModelPrice {
        self.config.price
    }

    pub(crate) fn models(&self) -> Vec<ModelId> {
        self.config.runner.models()
    }

    pub(crate) fn info(&self, model: ModelId) -> Option<ModelInfo> {
        self.config.runner.describe(model)
    }

    /// The most elements that the answer of a model may have.
    pub(crate) fn most_outputs(&self, info: &ModelInfo) -> u64 {
        let most = u64::try_from(MAX_ELEMENTS).unwrap_or(u64::MAX);
        let said = info.output_elements();
        said.unwrap_or(self.config.max_output_elements).min(most)
    }

    /// The most that a run can use.
    pub(crate) fn most(&self, info: &ModelInfo, inputs: &Inputs) -> Work {
        Work {
            model: model_elements(info.bytes),
            inputs: inputs.elements(),
            outputs: self.most_outputs(info),
        }
    }

    /// Runs a request on a thread that may block.
    ///
    /// A runtime cannot be interrupted inside an operator: at the time limit the caller is answered, the
    /// run is asked to stop, and its place is free when it has. So there are never more runs than places.
    /// Dropping the future asks the run to stop too.
    pub(crate) async fn run(&self, request: InferRequest) -> Result<Outputs, RunError> {
        let deadline = Instant::now().checked_add(self.config.time);
        let deadline = deadline.ok_or(RunError::Stopped)?;
        // 1. A place.
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(RunError::Busy);
        };
        // 2. The run, with a way to end it.
        let stop = StopOnDrop(Stop::new());
        let limits = RunLimits {
            memory_bytes: self.config.memory_bytes,
            stop: stop.0.clone(),
        };
        let runner = Arc::clone(&self.config.runner);
        let run = tokio::task::spawn_blocking(move || {
            let _place = place;
            runner.run(request.model(), request.inputs(), &limits)
        });
        // 3. Its end, or the end of patience.
        match timeout_at(deadline, run).await {
            Ok(Ok(ran)) => ran,
            Ok(Err(_)) => Err(RunError::Runtime {
                reason: "the run panicked".to_owned(),
            }),
            Err(_) => Err(RunError::Stopped),
        }
    }
}

/// Ends the run of whoever stops waiting.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

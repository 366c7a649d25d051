//! The seam between the enclave, which is paid and signs, and a runtime, which computes.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::{Inputs, ModelId, Outputs};
use crate::{Fault, Retry};

/// Runs models. Implemented by a runtime such as the ONNX one; called by the enclave, which bounds how
/// many runs there are at a time, and takes each off its async threads.
pub trait ModelRunner: Send + Sync {
    /// Lists the models that [`run`](Self::run) takes, in a stable order. Called often: no disk access.
    fn models(&self) -> Vec<ModelId>;

    /// Describes one of them; `None` for any other. Called often: no disk access.
    fn describe(&self, model: ModelId) -> Option<ModelInfo>;

    /// Runs a model on the calling thread, and blocks it.
    ///
    /// Cancellation: look at [`RunLimits::stop`] wherever the work can be left, at least between two
    /// operators, and return [`RunError::Stopped`]. The caller has given up on the answer by then,
    /// but holds a place for the run until it returns. The same inputs yield the same outputs.
    ///
    /// # Errors
    ///
    /// [`RunError`], which says whose fault it is. Nothing is charged for a run that fails.
    fn run(&self, model: ModelId, inputs: &Inputs, limits: &RunLimits)
    -> Result<Outputs, RunError>;
}

/// What one run may take.
#[derive(Clone, Debug)]
pub struct RunLimits {
    /// Bytes that the run's own tensors may hold at a time; the weights are not counted.
    pub memory_bytes: u64,
    /// Set when nobody waits for the answer any more: the time limit has passed, or the caller left.
    pub stop: Stop,
}

/// Asks a run to end. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Makes one that is not requested.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end. It cannot be taken back.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run shall end.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// Which model.
    pub id: ModelId,
    /// What it is called, for people; nothing signs it.
    pub title: Option<String>,
    /// Bytes of its file.
    pub bytes: u64,
    /// Its inputs, in the model's order.
    pub inputs: Vec<PortInfo>,
    /// Its outputs, in the model's order.
    pub outputs: Vec<PortInfo>,
}

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub kind: ElementKind,
    /// The element type as the model's format names it, such as `float32`.
    pub element: String,
    /// Lengths of the dimensions, outermost first; `None` where any length goes.
    pub shape: Vec<Option<u32>>,
}

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementKind {
    /// Numbers.
    Number,
    /// Strings.
    String,
}

impl ElementKind {
    /// Returns the stable word for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::String => "string",
        }
    }
}

/// Why a model did not run. Names are those of the request's or the model's tensors; no value is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The runtime does not have the model.
    #[error("the model is not served here")]
    UnknownModel,
    /// The model needs an input that the request does not have.
    #[error("input `{name}` is missing")]
    MissingInput {
        /// The input.
        name: String,
    },
    /// The request has an input that the model does not know.
    #[error("the model has no input `{name}`")]
    UnknownInput {
        /// The input.
        name: String,
    },
    /// An input has another shape than the model takes.
    #[error("input `{name}` has the shape {found:?}, and the model takes {expected}")]
    WrongShape {
        /// The input.
        name: String,
        /// What the model takes, such as `[?, 3]`.
        expected: String,
        /// The request's.
        found: Vec<u32>,
    },
    /// An input holds strings where the model takes numbers, or the other way round.
    #[error("input `{name}` must hold {expected} elements")]
    WrongKind {
        /// The input.
        name: String,
        /// What the model takes, such as `float32`.
        expected: String,
    },
    /// A number of an input does not fit the element type of the model, such as a fraction for an
    /// integer.
    #[error("input `{name}` holds a number that is not a {expected}")]
    WrongNumber {
        /// The input.
        name: String,
        /// What the model takes, such as `int64`.
        expected: String,
    },
    /// The model gave what is not a number or does not fit an answer, for these inputs.
    #[error("output `{name}` holds a value that is infinite, NaN or too large")]
    NotRepresentable {
        /// The output.
        name: String,
    },
    /// The outputs break a limit of answers.
    #[error("the outputs are larger than an answer may be")]
    TooLarge,
    /// The run would hold more memory than it may.
    #[error("the run needs more memory than it may have")]
    OutOfMemory,
    /// All places for runs are taken.
    #[error("every place for a run is taken")]
    Busy,
    /// The run took longer than it may, or nobody waits for it.
    #[error("the run was stopped")]
    Stopped,
    /// The model is broken or uses what the runtime does not have.
    #[error("the model cannot be run: {reason}")]
    Model {
        /// What is wrong, without any value of the request.
        reason: String,
    },
    /// The runtime failed.
    #[error("the runtime failed: {reason}")]
    Runtime {
        /// What is wrong, without any value of the request.
        reason: String,
    },
}

impl RunError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownModel => "model_not_found",
            Self::MissingInput { .. } => "input_missing",
            Self::UnknownInput { .. } => "input_unknown",
            Self::WrongShape { .. } => "input_shape",
            Self::WrongKind { .. } => "input_kind",
            Self::WrongNumber { .. } => "input_number",
            Self::NotRepresentable { .. } => "output_not_representable",
            Self::TooLarge => "output_too_large",
            Self::OutOfMemory => "run_memory",
            Self::Busy => "run_busy",
            Self::Stopped => "run_time",
            Self::Model { .. } => "model_broken",
            Self::Runtime { .. } => "runtime_failed",
        }
    }

    /// Says whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::MissingInput { .. }
            | Self::UnknownInput { .. }
            | Self::WrongShape { .. }
            | Self::WrongKind { .. }
            | Self::WrongNumber { .. }
            | Self::NotRepresentable { .. }
            | Self::TooLarge => Fault::Caller,
            Self::UnknownModel
            | Self::OutOfMemory
            | Self::Busy
            | Self::Stopped
            | Self::Model { .. }
            | Self::Runtime { .. } => Fault::Node,
        }
    }

    /// Says whether another try can help: a node with more time, memory or another runtime may run what
    /// this one could not.
    pub const fn retry(&self) -> Retry {
        match self.fault() {
            Fault::Node => Retry::Other,
            Fault::Caller | Fault::Relay | Fault::Chain | Fault::Payment | Fault::Us => {
                Retry::Never
            }
        }
    }
}

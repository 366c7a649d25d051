//! Inference with models that are named by their bytes (`spec/infer.md`).

use core::fmt;

use seamline_core::Amount;
use seamline_core::infer::{InferError, InferRequest, Inputs, ModelId, Outputs, TensorSet};
use seamline_core::{Charged, json};

use crate::call::Call;
use crate::client::{Client, Reply};
use crate::error::{Error, ErrorKind};
use crate::step::{Step, Unwatched, Watch};

/// One request for an inference: a model, inputs and limits.
///
/// `Debug` shows the model and the shapes, never a value.
#[derive(Clone)]
pub struct Infer {
    pub(crate) request: InferRequest,
    /// The model's name, as nodes list it.
    pub(crate) model: String,
    pub(crate) max_price: Option<Amount>,
    pub(crate) contents: bool,
}

/// Proven outputs, and the call that brought them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inferred {
    /// The outputs by name.
    pub outputs: Outputs,
    /// The call. Its text is the outputs in the form that the node signed.
    pub reply: Reply,
}

impl Infer {
    /// Starts a request to a model.
    ///
    /// # Errors
    ///
    /// [`InferError::TooLarge`] where the inputs are longer than an enclave reads.
    pub fn new(model: ModelId, inputs: Inputs) -> Result<Self, InferError> {
        Ok(Self {
            request: InferRequest::new(model, inputs)?,
            model: model.to_string(),
            max_price: None,
            contents: false,
        })
    }

    /// Lowers the budget's cap for this call, in base units of the asset. It never raises it.
    #[must_use]
    pub fn max_price(mut self, cap: Amount) -> Self {
        self.max_price = Some(cap);
        self
    }

    /// Puts the inputs and the outputs into the receipt, so that whoever reads it can check that these
    /// are the ones that were signed; no. A receipt holds salted hashes of them otherwise.
    #[must_use]
    pub fn attach_contents(mut self, attach: bool) -> Self {
        self.contents = attach;
        self
    }
}

impl Client {
    /// Runs a model at a node and returns its proven outputs: the twelve steps of [`Client::chat`], with
    /// its promises about cost, retries and cancellation.
    ///
    /// Inputs are held against the model's description before anything is paid or sent.
    ///
    /// # Errors
    ///
    /// As [`Client::chat`]; [`ErrorKind::Inputs`] where the model does not take these inputs.
    pub async fn infer(&self, infer: &Infer) -> Result<Inferred, Error> {
        self.infer_watched(infer, &mut Unwatched).await
    }

    /// As [`Client::infer`], and lets `watch` follow its steps.
    ///
    /// # Errors
    ///
    /// As [`Client::infer`].
    pub async fn infer_watched(
        &self,
        infer: &Infer,
        watch: &mut dyn Watch,
    ) -> Result<Inferred, Error> {
        // Boxed: the state of a call is large, and callers should not carry it in theirs.
        let reply = Box::pin(Call::make(self, infer.into(), watch)).await?;
        match read(&reply.text) {
            Some(outputs) => Ok(Inferred { outputs, reply }),
            // The text was made out of outputs when the answer was read.
            None => {
                let (node, what) = (reply.node, "its outputs do not read");
                let kind = ErrorKind::Answer { node, what };
                let receipt = Some(reply.receipt_path);
                Err(Error::new(kind, Step::Execute, Charged::Yes, receipt))
            }
        }
    }
}

fn read(text: &str) -> Option<Outputs> {
    TensorSet::from_value(&json::parse(text.as_bytes()).ok()?).ok()
}

impl fmt::Debug for Infer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Infer")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

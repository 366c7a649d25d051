use core::fmt;

use alloy_primitives::{B256, keccak256};

use super::{Inputs, MAX_TEXT_BYTES, ModelId, ModelIdError, Outputs, TensorError};
use crate::canonical::canonical_bytes;
use crate::json::{self, Object};

/// The body of `POST /v1/infer`, checked.
///
/// `Debug` shows the model and the shapes, never a value.
#[derive(Clone, PartialEq, Eq)]
pub struct InferRequest {
    model: ModelId,
    inputs: Inputs,
    canonical: Vec<u8>,
}

/// Why a request for an inference is refused, or an answer cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The body is not JSON that the reader takes.
    #[error("the request is not JSON")]
    Json(#[source] json::Error),
    /// The body is JSON but not an object.
    #[error("the request is not a JSON object")]
    NotAnObject,
    /// A required member is absent.
    #[error("`{member}` is missing")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// A member has the wrong type.
    #[error("`{member}` has the wrong type")]
    WrongType {
        /// The member.
        member: &'static str,
    },
    /// The request has a member that no rule names: nothing of a request is left unsigned.
    #[error("the request has a member beside `model` and `inputs`")]
    UnknownMember,
    /// The model's name is no model id.
    #[error("`model` names no model")]
    Model(#[source] ModelIdError),
    /// The inputs are refused.
    #[error("the inputs are refused")]
    Inputs(#[source] TensorError),
    /// The canonical form is longer than a reader takes.
    #[error("the tensors are longer than {MAX_TEXT_BYTES} bytes as text")]
    TooLarge,
}

impl InferError {
    /// Returns the stable code of this error, as the vectors name it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(err) => err.reason.code(),
            Self::NotAnObject => "not_an_object",
            Self::Missing { .. } => "missing",
            Self::WrongType { .. } => "wrong_type",
            Self::UnknownMember => "unknown_member",
            Self::Model(err) => err.code(),
            Self::Inputs(err) => err.code(),
            Self::TooLarge => "too_large",
        }
    }
}

impl InferRequest {
    /// Makes a request.
    ///
    /// # Errors
    ///
    /// [`InferError::TooLarge`] where no enclave would read it.
    pub fn new(model: ModelId, inputs: Inputs) -> Result<Self, InferError> {
        let form = Object::new()
            .with("model", model.to_string())
            .with("inputs", inputs.to_value());
        let canonical = canonical_bytes(&form.into());
        if canonical.len() > MAX_TEXT_BYTES {
            return Err(InferError::TooLarge);
        }
        Ok(Self {
            model,
            inputs,
            canonical,
        })
    }

    /// Parses a request body.
    ///
    /// # Errors
    ///
    /// [`InferError`] with the first rule of `spec/infer.md` that the body breaks.
    pub fn parse(body: &[u8]) -> Result<Self, InferError> {
        let body = json::parse(body).map_err(InferError::Json)?;
        let object = body.as_object().ok_or(InferError::NotAnObject)?;
        let member =
            |member: &'static str| object.get(member).ok_or(InferError::Missing { member });
        let (model, inputs) = (member("model")?, member("inputs")?);
        if object.len() > 2 {
            return Err(InferError::UnknownMember);
        }
        let wrong_type = |member| InferError::WrongType { member };
        let model = model.as_str().ok_or_else(|| wrong_type("model"))?;
        let model = ModelId::parse(model).map_err(InferError::Model)?;
        if inputs.as_object().is_none() {
            return Err(wrong_type("inputs"));
        }
        let inputs = Inputs::from_value(inputs).map_err(InferError::Inputs)?;
        Self::new(model, inputs)
    }

    /// Returns the bytes that enclaves hash. They are a body of this request too.
    pub fn canonical_bytes(&self) -> &[u8] {
        &self.canonical
    }

    /// Returns the Keccak-256 of the canonical bytes, `tee_request_hash` on the wire.
    pub fn input_hash(&self) -> B256 {
        keccak256(&self.canonical)
    }

    /// Returns the model.
    pub const fn model(&self) -> ModelId {
        self.model
    }

    /// Returns what goes into the model.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }
}

/// Returns the text whose Keccak-256 is `tee_output_hash`: the outputs in canonical form.
///
/// # Errors
///
/// [`InferError::TooLarge`] where no caller would read it.
pub fn outputs_preimage(outputs: &Outputs) -> Result<String, InferError> {
    let text = outputs.to_value().to_json(json::Keys::Sorted);
    if text.len() > MAX_TEXT_BYTES {
        return Err(InferError::TooLarge);
    }
    Ok(text)
}

/// Counts what a run takes that no request says: one element per started KiB of the model's file.
pub const fn model_elements(model_bytes: u64) -> u64 {
    model_bytes.div_ceil(1_024)
}

impl fmt::Debug for InferRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferRequest")
            .field("model", &self.model)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

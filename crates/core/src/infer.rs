//! Inference with a model of the caller's choice, named by its bytes (`spec/infer.md`).
//!
//! What the caller, the enclave and the runtime share: [`Tensor`]s of fixed-point numbers or of
//! strings, the [`ModelId`] that is recomputed from a model's bytes, the request and the answer in
//! canonical form, and [`ModelRunner`], which a runtime implements.
//!
//! ```
//! use seamline_core::infer::{Fixed, ModelId, Tensor, TensorSet};
//!
//! let price = Fixed::new(253_579, 2)?;
//! assert_eq!(price.to_f32(), 2_535.79);
//! let inputs = TensorSet::new(vec![Tensor::numbers("price", vec![1], vec![price])?])?;
//! assert_eq!(inputs.elements(), 1);
//! let model = ModelId::of_bytes(b"the file of a model");
//! assert_eq!(ModelId::parse(&model.to_string()), Ok(model));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod check;
mod fixed;
mod model_id;
mod request;
mod runner;
mod tensor;
mod wire;

#[cfg(test)]
mod tests;

pub use fixed::{Fixed, FixedError, MAX_DECIMALS};
pub use model_id::{ModelId, ModelIdError};
pub use request::{InferError, InferRequest, model_elements, outputs_preimage};
pub use runner::{ElementKind, ModelInfo, ModelRunner, PortInfo, RunError, RunLimits, Stop};
pub use tensor::{Inputs, Outputs, Tensor, TensorError, TensorSet, Values};

/// Most tensors of one request or one answer.
pub const MAX_TENSORS: usize = 64;

/// Most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

/// Most elements of all tensors of one request or one answer. As text they stay below the size that
/// the reader of canonical requests takes ([`crate::json::MAX_BYTES`]) as long as they are not written
/// with more than a dozen digits each.
pub const MAX_ELEMENTS: usize = 65_536;

/// Longest name of a tensor, in bytes of UTF-8. ONNX names are paths of operators; 256 holds those of
/// deep networks.
pub const MAX_NAME_BYTES: usize = 256;

/// Longest canonical form of a request or of outputs, in bytes: a reader of JSON takes it with what stands
/// around it.
pub const MAX_TEXT_BYTES: usize = crate::json::MAX_BYTES - 16 * 1024;

/// Most bytes of all strings of one request or one answer.
pub const MAX_STRING_BYTES: usize = 512 * 1024;

//! Keeps ONNX models by their content, reads what they take, and runs them.
//!
//! A model is named by its bytes ([`ModelId`](seamline_core::infer::ModelId)), so a [`ModelStore`] needs nothing but a folder,
//! a [`RemoteStore`] nothing but a URL, and neither has to be trusted: what is loaded is hashed first. [`Graph`] reads the
//! inputs and outputs of a file. `OnnxRunner` (feature `run`, on by default) runs models with `tract` behind
//! [`ModelRunner`](seamline_core::infer::ModelRunner), which is what an enclave serves and what the embedded chain asks.
//!
//! | feature | brings |
//! |---|---|
//! | `run` | `OnnxRunner`, and with it `tract`: most of a cold build. The command leaves it out unless it is built with `--features onnx` |
//!
//! # Determinism
//!
//! The same inputs yield the same outputs, bit for bit, on the same build and machine: one thread runs a model, operators
//! that draw random numbers are refused ([`GraphError::Random`]), and a result does not depend on what ran before. Another
//! CPU may pick kernels that add in another order, and another runtime surely does: the last places of a float may then
//! differ (ONNX Runtime's answers differ from these by less than 1e-5 of themselves in the tests). Integers, booleans and
//! strings are the same everywhere.
//!
//! # What a model may do to its host
//!
//! A model is a program without input or output: it computes, and cannot reach files or sockets (weights in other files are
//! refused). It may compute long and need much memory while it is prepared, before a run's limits apply, so a store should
//! hold models that its operator chose. What callers choose, the inputs, is bounded by
//! [`RunLimits`](seamline_core::infer::RunLimits). A panic of the runtime ends its run and nothing else, where panics unwind; the profile
//! `dist` aborts instead.

mod graph;
mod remote;
#[cfg(feature = "run")]
mod runner;
mod store;
mod wire;

pub use graph::{Dimension, Element, Graph, GraphError, Port};
pub use remote::{RemoteError, RemoteStore};
#[cfg(feature = "run")]
pub use runner::{OnnxRunner, Refused, RunnerOptions};
pub use store::{Entry, MAX_MODEL_BYTES, ModelStore, StoreError};

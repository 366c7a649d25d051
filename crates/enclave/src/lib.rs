//! The OpenAI-compatible service that runs inside the enclave.
//!
//! An [`Enclave`] holds the two keys that its evidence binds (TLS and response signing), asks an
//! [`Attester`] for evidence, gets text from an [`Upstream`], takes payment over x402 and signs
//! every answer. [`Enclave::router`] is the whole HTTP surface; `docs/reference/enclave-http.md`
//! describes it path by path.
//!
//! ```
//! use seamline_enclave::GuideUpstream;
//!
//! let answer = GuideUpstream::new(None).answer("How do I cap what a call may cost?");
//! assert!(answer.contains("--max-price"));
//! ```
//!
//! Three upstreams exist: [`MockUpstream`], whose models are none, [`GuideUpstream`], a deterministic index of Seamline's handbook that needs
//! nothing else, and [`OpenAiUpstream`], which forwards to any OpenAI-compatible endpoint.

mod access;
mod attester;
mod call;
mod chat;
mod config;
mod data;
mod enclave;
mod error;
mod faults;
mod feed;
mod frames;
mod guide;
mod heartbeat;
mod identity;
mod infer;
mod iso8601;
mod keys;
mod mock;
mod offer;
mod ohttp;
mod openai;
mod price;
mod request;
mod routes;
mod serve;
mod streaming;
mod tariff;
mod upstream;

pub use attester::{AttestError, Attester, AttesterKind};
pub use config::{EnclaveConfig, ModelPrice};
pub use enclave::{Enclave, Heartbeat};
pub use error::Error;
pub use faults::Faults;
pub use feed::{
    FeedStatus, FixedPrice, HttpPriceFeed, HttpPriceFeedOptions, PriceFeed, Rate, Unpriced,
};
pub use guide::GuideUpstream;
pub use heartbeat::HeartbeatPlan;
pub use identity::EnclaveIdentity;
pub use infer::InferConfig;
pub use keys::{ProviderKeys, serve_keys};
pub use mock::MockUpstream;
pub use ohttp::OhttpRegistration;
pub use openai::{OpenAiOptions, OpenAiUpstream};
pub use seamline_core::infer::{ModelRunner, RunError, RunLimits};
/// The runtime of ONNX models (feature `onnx`), for [`InferConfig`].
#[cfg(feature = "onnx")]
pub use seamline_onnx as onnx;
pub use serve::serve;
pub use tariff::{DollarPrice, DollarPrices};
pub use upstream::{
    ChatJob, Finish, JobMessage, Piece, Pieces, ToolCall, Upstream, UpstreamError, UpstreamFuture,
    Usage,
};

//! Parses and verifies attestation evidence.
//!
//! Evidence is a document in which a piece of hardware (or, on a development network, a program
//! that says so in every byte) states what code runs and which keys belong to it. [`verify`]
//! checks a document up to a pinned root and returns [`Verified<Claims>`]; from there
//! [`Verified::bind_tls`] and [`Verified::bind_signing_key`] tie a connection and a response
//! signing key to it. Nothing else makes a [`Verified`].
//!
//! ```
//! use seamline_attest::{Measurements, NonceRule, Policy, TrustRoots, verify};
//! use seamline_core::Timestamp;
//!
//! let policy = Policy::live(NonceRule::Expect(vec![7; 20]), Measurements::Allow(vec![]));
//! let now = Timestamp::from_secs(1_780_272_000);
//! let refused = verify(b"not evidence", &TrustRoots::aws(), &policy, now);
//! assert_eq!(refused.map(|_| ()).map_err(|err| err.code()), Err("MALFORMED"));
//! ```
//!
//! The crate is pure: the time is an argument, and it opens no socket. The format and the order of
//! the checks are specified in `spec/evidence.md`.
//!
//! | module | what |
//! |---|---|
//! | [`nitro`] | the AWS Nitro document, parsed and not yet believed |
//! | [`dev`] | the marks that software evidence carries |
//! | [`precompile`] | the on-chain verifier at `0x…0900`, for the embedded chain |

mod chain;
mod claims;
mod crypto;
pub mod dev;
mod error;
pub mod nitro;
mod policy;
pub mod precompile;
mod response_key;
mod roots;
mod verify;

#[cfg(test)]
mod tests;

pub use claims::{Claims, KIND_NITRO, NitridingBinding, Pcr, TlsBinding, Verified};
pub use error::{BindingFault, ChainFault, Check, Error, Part, PcrFault, Problem, TimestampFault};
pub use policy::{At, BindingRule, Measurements, NonceRule, Policy};
pub use response_key::{ResponseKey, verify_rsa_pss};
pub use roots::TrustRoots;
pub use verify::verify;

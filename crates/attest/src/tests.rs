//! Unit tests that need a root of their own: the synthetic vectors and freshly signed documents.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "lengths and times of test documents are small"
)]

mod builder;
mod dev;
mod form;
mod keys;
mod mutations;
mod precompile;
mod vectors;

//! Models of `spec/vectors/models` in stores and under `tract`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_arithmetic,
    reason = "a helper of a test fails the test"
)]

mod remote;
#[cfg(feature = "run")]
mod run;

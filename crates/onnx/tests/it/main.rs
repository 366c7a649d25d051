//! Models of `spec/vectors/models` in stores and under `tract`.

mod remote;
#[cfg(feature = "run")]
mod run;

//! The vectors of `spec/vectors/` that need the public interface only.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a vector that cannot be read is a failed test"
)]

mod decision_vectors;

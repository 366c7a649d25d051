//! The verifier against a complete receipt, and against every way to falsify one that we know.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: a surprise is a failed test"
)]

mod attestation;
mod bits;
mod fabricated;
mod fixture;
mod forge;
mod honest;
mod lies;
mod shapes;
mod telling;
mod trust;
mod vectors;

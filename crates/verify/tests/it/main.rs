//! The verifier against a complete receipt, and against every way to falsify one that we know.

mod attestation;
mod bits;
mod fixture;
mod forge;
mod honest;
mod lies;
mod shapes;
mod trust;
mod vectors;

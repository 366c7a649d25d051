//! What the benchmarks measure on: a catalogue of any size, and a whole network with a client.
//!
//! `cargo bench -p seamline-bench --bench pure` measures the pure parts, `--bench call` whole calls. The
//! figures of the last run are in `docs/performance.md`.

mod market;
mod world;

pub use market::{catalogue, policy};
pub use world::World;

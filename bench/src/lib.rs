//! Benchmarks of Seamline; see `benches/`.

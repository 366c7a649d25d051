//! The whole network in one process: chain, attester, facilitator and enclaves.

pub mod attester;
pub mod authority;
pub mod chain;

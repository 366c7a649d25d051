//! Tests of the local network through its public interface.

mod call;
mod chain;
mod contracts;
mod liars;
mod support;

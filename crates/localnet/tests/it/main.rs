//! Tests of the local network through its public interface.

mod chain;
mod contracts;

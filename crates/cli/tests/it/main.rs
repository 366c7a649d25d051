//! The `seamline` command as a person meets it: the built binary, in homes of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and says what it skips"
)]

mod bad_input;
mod channels;
mod chat;
mod facilitator;
mod fetch;
mod harness;
mod models;
mod network;
mod opengradient;
mod privacy;
mod readme;
mod receipts;
mod relay;
mod service;
mod settlement;
#[cfg(unix)]
mod signer;
mod tools;
mod turns;
#[cfg(unix)]
mod wallet;

//! Tests of the local network through its public interface.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "helpers of tests: a panic is how they fail"
)]

mod beats;
mod call;
mod canary;
mod chain;
mod channel_call;
mod channel_sale;
mod channel_service;
mod contracts;
mod data;
mod gateway;
mod infer;
mod killed;
mod layout;
mod liars;
mod relay;
mod restart;
mod support;
mod upstream;

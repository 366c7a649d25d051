//! Integration tests of the services, with a scripted chain and without sockets.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test"
)]

mod canary;
mod chain;
mod crash;
mod facilitator;
mod faults;
mod griefing;
mod hostile;
mod lane;
mod lifecycle;
mod payments;
mod paywalls;
mod postgres;
mod relay;
mod replicas;
mod sale;
mod schemes;
mod sellers;
mod signer;

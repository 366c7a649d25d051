//! The enclave's HTTP surface: by router, and over TLS on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod canary;
mod channels;
mod chat;
mod faults;
mod heartbeat;
mod infer;
mod keys;
mod left;
mod ohttp;
mod opengradient;
mod payment;
mod sessions;
mod settlement;
mod shop;
mod surface;
mod tls;

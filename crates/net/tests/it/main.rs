//! Integration tests of net over loopback sockets and in-process services.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test fails the test"
)]

mod canary;
mod http;
mod paywall;
mod paywall_bodies;
mod paywall_cheat;
mod paywall_credit;
mod paywall_durable;
mod paywall_extensions;
mod paywall_guard;
mod paywall_left;
mod paywall_local;
mod paywall_many;
mod paywall_owing;
mod paywall_replicas;
mod paywall_schemes;
mod paywall_sessions;
mod paywall_settle;
mod paywall_strangers;
mod paywall_stream;
mod paywall_upfront;
mod paywall_wire;
mod rpc;
mod shop;
mod web_roots;

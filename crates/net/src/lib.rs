//! Adapters between Seamline's pure crates and the network: an HTTP client that trusts evidence
//! instead of names, JSON-RPC, server-sent events, graceful serving, problem bodies, and the
//! paywall that puts a price on any axum handler.
//!
//! Nothing here decides: who is trusted and what is paid comes in as arguments. Nothing here logs
//! a payment header, a request body or a response body.
//!
//! | feature | brings |
//! |---|---|
//! | `client` | [`http_client`], [`HttpRpc`], [`HttpFacilitator`] |
//! | `server` | [`serve`], [`serve_tls`], [`Paywall`], [`Channels`], responses of [`Problem`] |
//!
//! Without features there are [`limits`], [`sse`], [`Problem`] and the [`FacilitatorApi`] trait.

#[cfg(feature = "server")]
mod channel;
#[cfg(feature = "client")]
pub mod client;
mod clock;
#[cfg(any(feature = "client", feature = "server"))]
mod data;
mod facilitator;
pub mod limits;
#[cfg(feature = "server")]
pub mod news;
mod pace;
#[cfg(feature = "server")]
mod paywall;
mod problem;
#[cfg(feature = "client")]
mod rpc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
mod session;
pub mod sse;
#[cfg(feature = "server")]
mod tasks;

#[cfg(feature = "server")]
pub use channel::{ChannelConfig, ChannelFile, ChannelMemory, ChannelStore, Channels};
#[cfg(feature = "client")]
pub use client::{ClientOptions, HttpClient, TlsTrust, http_client, peer_certificate};
pub use clock::Clock;
#[cfg(any(feature = "client", feature = "server"))]
pub use data::{
    DataError, DataFuture, DataMode, DataSettlement, DataTicket, HeartbeatRelay, InferenceData,
};
pub use facilitator::{FacilitatorApi, FacilitatorError, FacilitatorFuture};
#[cfg(feature = "client")]
pub use facilitator::{HttpFacilitator, TokenRefused};
pub use pace::MinSpeed;
#[cfg(feature = "server")]
pub use paywall::{
    Debt, Duty, FileStore, FixedOffers, Held, LocalFuture, LocalPromise, LocalScheme, MemoryStore,
    Meter, PaymentContext, PaymentIdentifiers, Paywall, PaywallConfig, PaywallStore, Pricer,
    ReadOn, Record, StoreError, StoreFuture, Streamed, Verdict,
};
pub use problem::{Problem, Recourse, Shape};
#[cfg(feature = "client")]
pub use rpc::HttpRpc;
#[cfg(feature = "server")]
pub use server::{ServeOptions, TlsIdentity, serve, serve_tls, serve_with};
#[cfg(feature = "server")]
pub use session::SessionRules;
#[cfg(feature = "server")]
pub use tasks::Tasks;

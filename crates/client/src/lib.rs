//! The Seamline SDK: paid, verifiable AI inference in one call, with every hidden step in the
//! receipt.
//!
//! [`Client::chat`] chooses a node, verifies its evidence to a pinned root, holds its offer against
//! your budget, signs one authorization, checks the enclave's signature over the answer, asks the
//! chain what was settled, and seals a receipt that anyone can verify offline.
//!
//! | module | what |
//! |---|---|
//! | [`journal`] | the local books: calls, authorizations, the hash-chained log |
//!
//! A client needs a [`Config`]: signer, trust and budget have no defaults.

mod call;
mod chat;
mod client;
mod env;
mod error;
#[cfg(test)]
mod fixtures;
pub mod journal;
mod node;
mod recover;
mod step;

pub use chat::Chat;
pub use client::{Client, Config, Home, Network, Options, Reply};
pub use env::{EntropyError, Env};
pub use error::{Error, ErrorKind, SignatureFault};
pub use journal::{Journal, JournalError};
pub use node::{ListedModel, Listing};
pub use recover::Recovered;
pub use step::{Step, Unwatched, Watch};

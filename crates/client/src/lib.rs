//! The Seamline SDK: paid, verifiable AI inference in one call, with every hidden step in the
//! receipt.
//!
//! [`Client::chat`] chooses a node, verifies its evidence to a pinned root, holds its offer against
//! your budget, signs one authorization, checks the enclave's signature over the answer, asks the
//! chain what was settled, and seals a receipt that anyone can verify offline.
//!
//! | module | what |
//! |---|---|
//! | [`confidential`] | calls through a relay that hides who asks, sealed for the enclave |
//! | [`journal`] | the local books: calls, authorizations, budgets, the hash-chained log |
//! | [`amendments`] | what became known about sealed calls, as files beside their receipts |
//! | [`pay`] | purchases from plain x402 servers, out of the same budget |
//!
//! A client needs a [`Config`]: signer, trust and budget have no defaults.
//!
//! # Example
//!
//! One call, on a network that lives in this process. On a real network, trust, budget and
//! [`Network`] come from configuration.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use std::sync::Arc;
//!
//! use seamline::{Chat, Client, Config, Env, Home, Options};
//! use seamline_core::receipt::SealingKey;
//! use seamline_core::{Amount, Charged};
//! use seamline_evm::Wallet;
//! use seamline_localnet::{Localnet, NodeSpec};
//! use seamline_verify::Status;
//!
//! # let env = Env::system();
//! # let mut settings = seamline_localnet::Config::in_memory(Arc::new(move || env.now()));
//! # let price = Amount::new(10_u128.pow(18));
//! # settings.nodes = vec![NodeSpec::new("amber", price, price)];
//! # let home = tempfile::tempdir()?;
//! let net = Localnet::start(settings).await?;
//! let signer = Arc::new(Wallet::from_bytes(&[0x51; 32])?);
//! net.fund(&signer).await?;
//! let recorder = SealingKey::from_seed(&[0x52; 32]);
//!
//! let client = Client::open(Config {
//!     trust: net.danger_trust(recorder.public_key())?,
//!     budget: net.budget(Amount::from_decimal("0.01", 18)?, Amount::from_decimal("0.1", 18)?),
//!     network: net.network()?,
//!     home: Home {
//!         journal: home.path().join("journal.redb"),
//!         receipts: home.path().to_owned(),
//!     },
//!     signer,
//!     recorder,
//!     env: Env::system(),
//!     options: Options::default(),
//! })?;
//!
//! let question = Chat::model("seamline/guide").user("How do I cap what a call may cost?");
//! let reply = client.chat(&question).await?;
//! assert_eq!(reply.charged, Charged::Yes);
//! assert_eq!(reply.verdict.status, Status::Satisfied);
//! println!("{}\n{}", reply.text, reply.receipt_path.display());
//! # net.stop().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Errors
//!
//! [`Error`] answers four questions: what failed, whose fault, may I retry and where, was I charged.
//!
//! # What a crash leaves
//!
//! A call whose process died stays open in the [`Journal`], with its amount reserved.
//! [`Client::recover`] asks the chain what became of it; nothing is ever signed or sent again.

pub mod amendments;
mod ask;
mod books;
mod call;
mod channels;
mod chat;
mod claims;
mod client;
pub mod confidential;
mod config;
mod dialect;
mod env;
mod error;
#[cfg(test)]
mod fixtures;
mod infer;
pub mod journal;
mod leg;
mod node;
pub mod pay;
mod purse;
pub mod records;
mod recover;
mod sealing;
mod sign;
mod step;

pub use channels::{ChannelStatus, Withdrawal};
pub use chat::{Chat, ToolCall};
pub use client::{Client, Reply};
pub use config::{Config, Home, Network, Options};
pub use dialect::{Ceiling, OPENGRADIENT_GATEWAYS};
pub use env::{EntropyError, Env};
pub use error::{ClaimFault, Error, ErrorKind, SignatureFault};
pub use infer::{Infer, Inferred};
pub use journal::{Journal, JournalError};
pub use node::{ListedInfer, ListedModel, Listing};
pub use pay::{Payer, PayerConfig, Purchase, Purchased};
pub use purse::ChannelUse;
pub use recover::Recovered;
pub use step::{Step, Unwatched, Watch};

use std::path::PathBuf;

use seamline_core::Timestamp;

/// Why the local network did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The development attester refused.
    #[error("cannot prepare development evidence")]
    Authority(#[source] crate::authority::Error),
    /// A committed contract artifact does not read.
    #[error("a contract artifact does not read")]
    Artifact(#[source] crate::chain::ArtifactError),
    /// The chain did not open.
    #[error("the chain does not open")]
    Chain(#[source] crate::chain::Error),
    /// A transaction of the network's setup was refused.
    #[error("cannot {what}")]
    Setup {
        /// What it would have done.
        what: &'static str,
        /// What the chain said.
        #[source]
        source: crate::chain::SendError,
    },
    /// The chain could not be read.
    #[error("cannot read the chain")]
    Read(#[source] seamline_evm::Error),
    /// A file could not be read or written.
    #[error("cannot use `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another network runs in the folder.
    #[error("another network runs in `{}`", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the network does not read.
    #[error("`{}` is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// An enclave could not be put together.
    #[error("cannot start node `{name}`")]
    Enclave {
        /// The node.
        name: String,
        /// What failed.
        #[source]
        source: seamline_enclave::Error,
    },
    /// The attester made no evidence.
    #[error("node `{name}` has no evidence")]
    Evidence {
        /// The node.
        name: String,
        /// What failed.
        #[source]
        source: seamline_enclave::AttestError,
    },
    /// The facilitator did not start.
    #[error("the facilitator does not start")]
    Facilitator(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No HTTP client could be made for a caller.
    #[error("cannot make a client for this network")]
    Client(#[source] seamline_net::client::Error),
    /// No port on loopback.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for; 0 for any.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An account that is not this network's, where the network shares the chain id of a real one.
    #[error(
        "{account} is not an account of this local network, which shares the chain id of a real one: what its key signs here would be valid there"
    )]
    Stranger {
        /// The account.
        account: alloy_primitives::Address,
    },
    /// No random bytes for a key.
    #[error("the operating system gave no random bytes")]
    Entropy,
    /// The clock is behind what the network has seen: blocks and evidence cannot be dated.
    #[error("the clock says {} ms since 1970, but this network has seen {} ms", .now.as_millis(), .seen.as_millis())]
    Clock {
        /// What the clock says.
        now: Timestamp,
        /// The latest time that the network knows of.
        seen: Timestamp,
    },
}

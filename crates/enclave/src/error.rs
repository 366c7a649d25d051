/// Why an enclave could not be set up or could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("invalid enclave configuration: {reason}")]
    Config {
        /// What is wrong, in words.
        reason: &'static str,
    },
    /// A key could not be generated.
    #[error("cannot generate the {key}")]
    GenerateKey {
        /// Which key.
        key: &'static str,
    },
    /// The TLS certificate could not be made.
    #[error("cannot make the TLS certificate")]
    Certificate(#[source] rcgen::Error),
    /// Stored identity bytes are not an identity.
    #[error("stored identity is unreadable: {reason}")]
    Identity {
        /// What is wrong, in words.
        reason: &'static str,
    },
    /// A signature could not be made.
    #[error("cannot sign")]
    Sign,
}

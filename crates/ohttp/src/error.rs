/// Why bytes were refused or could not be made.
///
/// To whoever sent an encapsulated message, all failures to open it must look alike: a service answers
/// every variant of it with one status and one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message ends before it is complete. Of a chunked message: its final chunk never came.
    #[error("{0} is cut off")]
    Truncated(Part),
    /// Bytes follow a complete message.
    #[error("bytes follow {0}")]
    Trailing(Part),
    /// A message or a part of it is longer than its limit.
    #[error("{0} is too long")]
    TooLong(Part),
    /// A part has a value that its format does not allow.
    #[error("{0} is malformed")]
    Malformed(Part),
    /// An algorithm that is not implemented here, or that the key does not offer.
    #[error("{0} is not supported")]
    Unsupported(Part),
    /// The gateway has no key with this identifier for this format.
    #[error("no key has this identifier in this format")]
    UnknownKey,
    /// Two keys of a gateway share an identifier.
    #[error("two keys share an identifier")]
    DuplicateKey,
    /// Authentication failed: altered bytes, another key, another order of chunks.
    #[error("{0} does not authenticate")]
    Forged(Part),
    /// The exchange does not have this kind of response.
    #[error("the exchange has no such response")]
    WrongFormat,
    /// The same encapsulated request was executed before.
    #[error("the request was seen before")]
    Replayed,
    /// More was sealed or opened after the end or after a failure.
    #[error("the message is over")]
    Over,
    /// A key schedule or a seal failed, which its inputs cannot cause.
    #[error("cannot seal")]
    Seal,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The AEAD of a suite.
    Aead,
    /// A billing frame.
    Billing,
    /// One chunk.
    Chunk,
    /// Content of a binary HTTP message.
    Content,
    /// A field section or a field of a binary HTTP message.
    Fields,
    /// Framing indicator of a binary HTTP message.
    Framing,
    /// The KDF of a suite.
    Kdf,
    /// The KEM of a suite.
    Kem,
    /// A key configuration.
    KeyConfig,
    /// Method, scheme, authority or path of a binary HTTP request; status of a response.
    Control,
    /// Padding after a binary HTTP message.
    Padding,
    /// A public key.
    PublicKey,
    /// An encapsulated request.
    Request,
    /// An encapsulated response.
    Response,
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Aead => "the aead",
            Self::Billing => "the billing frame",
            Self::Chunk => "a chunk",
            Self::Content => "the content",
            Self::Fields => "a field section",
            Self::Framing => "the framing indicator",
            Self::Kdf => "the kdf",
            Self::Kem => "the kem",
            Self::KeyConfig => "the key configuration",
            Self::Control => "the control data",
            Self::Padding => "the padding",
            Self::PublicKey => "the public key",
            Self::Request => "the request",
            Self::Response => "the response",
        })
    }
}

//! Oblivious HTTP without sockets: a client encapsulates a request for a gateway, a relay carries it and
//! sees ciphertext only.
//!
//! Bytes go in, bytes come out; randomness is an argument ([`Entropy`]). Three formats exist, and none is
//! ever guessed from bytes: a [`GatewayKey`] belongs to one [`Profile`], and an exchange knows which
//! responses it may get.
//!
//! | profile | request | responses |
//! |---|---|---|
//! | [`Profile::Rfc9458`] | one message, Binary HTTP inside | one message |
//! | [`Profile::Chunked`] | chunks (draft-ietf-ohai-chunked-ohttp) | chunks |
//! | [`Profile::OpenGradient`] | one message, JSON inside | one message, or chunks with a billing frame for the relay |
//!
//! ```
//! use seamline_ohttp::{Aead, Entropy, Gateway, GatewayKey, Profile, SecretKey, encapsulate};
//!
//! # fn main() -> Result<(), seamline_ohttp::Error> {
//! let secret = SecretKey::derive(&[7; 32]);
//! let key = GatewayKey::new(1, secret, &[Aead::ChaCha20Poly1305], Profile::OpenGradient)?;
//! let gateway = Gateway::new(vec![key])?;
//!
//! let config = gateway.keys()[0].config();
//! let (request, client) = encapsulate(config, Profile::OpenGradient, b"{}", Entropy::new([1; 32]))?;
//! let (inner, server) = gateway.decapsulate(Profile::OpenGradient, &request)?;
//! assert_eq!(inner[..], *b"{}");
//! let response = server.seal(b"[]", Entropy::new([2; 32]))?;
//! assert_eq!(client.open(&response)?[..], *b"[]");
//! # Ok(())
//! # }
//! ```
//!
//! `spec/ohttp.md` has the bytes.

mod aead;
pub mod bhttp;
mod billing;
mod chunked;
mod context;
mod entropy;
mod error;
mod exchange;
mod gateway;
mod key_config;
mod pad;
mod replay;
mod varint;

pub use aead::Aead;
pub use billing::{Billing, RelayFrames, Relayed};
pub use chunked::{ChunkOpener, ChunkSealer, Limits, RequestOpener, RequestSealer};
pub use entropy::Entropy;
pub use error::{Error, Part};
pub use exchange::{ClientExchange, ServerExchange, encapsulate};
pub use gateway::{Gateway, GatewayKey, Profile, SecretKey};
pub use key_config::{KeyConfig, decode_list, encode_list};
pub use pad::{bucket, pad_json};
pub use replay::ReplayWindow;

/// Media type of an encapsulated request.
pub const MEDIA_REQUEST: &str = "message/ohttp-req";
/// Media type of an encapsulated response.
pub const MEDIA_RESPONSE: &str = "message/ohttp-res";
/// Media type of a chunked encapsulated request.
pub const MEDIA_CHUNKED_REQUEST: &str = "message/ohttp-chunked-req";
/// Media type of a chunked encapsulated response.
pub const MEDIA_CHUNKED_RESPONSE: &str = "message/ohttp-chunked-res";
/// Media type of a list of key configurations.
pub const MEDIA_KEYS: &str = "application/ohttp-keys";

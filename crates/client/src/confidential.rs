//! Confidential calls: a relay carries the sealed request, so that the enclave does not see who asks and
//! the relay does not see what.
//!
//! The relay pays, so nothing is authorized here: what a call costs is between the caller and its relay.
//! Everything else is checked on this side. A key that somebody else made would show the prompt to them,
//! so the enclave's key is taken only where its signature, by the key that the registry (and evidence,
//! where it is given) names, covers it, and where the registry does not name another.
//!
//! | step | what |
//! |---|---|
//! | key | the signed configuration, from anywhere: [`EnclaveKey::check`] is what makes it one |
//! | seal | the request, padded to one of few lengths, for one use |
//! | send | to the relay, over TLS; the answer is opened with what only this call knows |
//! | verify | both hashes, time, node and signature, as of an open call |
//!
//! A confidential call has no receipt: a receipt needs an event that says which relay carried it.

mod key;
mod reply;

use core::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use seamline_core::NodeId;
use seamline_core::canonical::ChatRequest;
use seamline_net::HttpClient;
use seamline_ohttp::{
    ClientExchange, Entropy, Limits, MEDIA_CHUNKED_RESPONSE, MEDIA_REQUEST, MEDIA_RESPONSE,
    Profile, bucket, encapsulate, pad_json,
};
use zeroize::Zeroizing;

use crate::chat::Chat;
use crate::env::Env;

pub use key::{EnclaveKey, KeyRefused, Vouched};
pub use reply::{AnswerRefused, Answered};

/// An account at a relay.
pub struct Relay {
    http: HttpClient,
    url: String,
    token: Zeroizing<String>,
}

/// Why a confidential call brought nothing. No variant holds a word of the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to ask, or the request cannot be hashed.
    #[error("the request cannot be sent")]
    Request,
    /// The system gave no random bytes.
    #[error("cannot draw random bytes")]
    Entropy(#[source] crate::env::EntropyError),
    /// The key was checked more than five minutes ago: its node may have been revoked since. Nothing was
    /// sent; read the registry again.
    #[error("the key was checked too long ago")]
    KeyExpired,
    /// The key cannot be used.
    #[error("cannot seal the request")]
    Seal(#[source] seamline_ohttp::Error),
    /// The relay's URL or the token is unusable.
    #[error("the relay's url or token is malformed")]
    Relay,
    /// The relay was not reached, or broke off. It may have carried and charged the request.
    #[error("the relay does not answer")]
    Unreachable(#[source] seamline_net::client::Error),
    /// The relay or the enclave refused.
    #[error("the relay answers {status}")]
    Refused {
        /// The status.
        status: u16,
        /// What the enclave said, sealed for us; `None` where only the relay spoke.
        said: Option<Said>,
    },
    /// The answer does not open: it was altered, cut off, or is for another request.
    #[error("the answer does not open")]
    Open(#[source] seamline_ohttp::Error),
    /// The answer opened and proves nothing.
    #[error("the answer is not proven")]
    Answer(#[source] AnswerRefused),
}

/// What an enclave said about a refusal. It quotes the request, so `Debug` shows its length alone.
#[derive(Clone)]
pub struct Said(Zeroizing<Vec<u8>>);

impl Said {
    /// The bytes: JSON with `status` and `body`, from our enclaves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Said").field(&self.0.len()).finish()
    }
}

/// Longest answer, as the relay of ours passes on.
const ANSWER: usize = 32 * 1024 * 1024;

impl Relay {
    /// An account at the relay `url`, such as `https://relay.example`, by its bearer token. `http` says
    /// whom to believe to be the relay.
    pub fn new(http: HttpClient, url: &str, token: &str) -> Self {
        Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            token: Zeroizing::new(token.to_owned()),
        }
    }

    /// Fetches a node's signed key configuration through the relay, so that the enclave does not learn
    /// who prepares a call. The relay is not believed: see [`EnclaveKey::check`].
    ///
    /// # Errors
    ///
    /// [`Error::Relay`], [`Error::Unreachable`], [`Error::Refused`].
    pub async fn key_config(&self, node: NodeId) -> Result<Bytes, Error> {
        let url = format!("{}/ohttp/{node}/config", self.url);
        let request = self.request(Method::GET, &url, Bytes::new())?;
        let answer = self.http.send(request).await.map_err(Error::Unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().bytes().await;
        if status != 200 {
            return Err(Error::Refused { status, said: None });
        }
        body.map_err(Error::Unreachable)
    }

    /// Makes one call to the enclave that holds `key`.
    ///
    /// # Retries
    ///
    /// None: a second attempt is a second request, sealed anew, and may be charged anew.
    ///
    /// # Cancellation
    ///
    /// The relay may carry and charge what was sent.
    ///
    /// # Errors
    ///
    /// See [`Error`]. An answer that is not proven is not returned.
    pub async fn chat(&self, chat: &Chat, key: &EnclaveKey, env: &Env) -> Result<Answered, Error> {
        if chat.is_empty() {
            return Err(Error::Request);
        }
        if key.is_stale(env.now()) {
            return Err(Error::KeyExpired);
        }
        // 1. The request, its hash, and its padding, which the hash does not see.
        let wire = Zeroizing::new(chat.to_wire());
        let asked = ChatRequest::parse(&wire).map_err(|_| Error::Request)?;
        let input_hash = asked.input_hash();
        // Room for the padding from the start: a buffer that grows leaves a copy behind, unwiped.
        let mut inner = Zeroizing::new(Vec::with_capacity(bucket(wire.len())));
        inner.extend_from_slice(&wire);
        pad_json(&mut inner);
        // 2. Sealed for one use.
        let seed = env.random().map_err(Error::Entropy)?;
        let sealed = encapsulate(
            key.config(),
            Profile::OpenGradient,
            &inner,
            Entropy::new(seed),
        );
        let (body, exchange) = sealed.map_err(Error::Seal)?;
        // 3. By the relay.
        let url = format!("{}/api/v1/chat/ohttp", self.url);
        let mut request = self.request(Method::POST, &url, body.into())?;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(MEDIA_REQUEST),
        );
        let node = key.node().to_string();
        let node = HeaderValue::from_str(node.trim_start_matches("0x"));
        headers.insert("x-tee-id", node.map_err(|_| Error::Relay)?);
        if asked.stream() {
            headers.insert("x-ohttp-stream", HeaderValue::from_static("true"));
        }
        let answer = self.http.send(request).await.map_err(Error::Unreachable)?;
        // 4. Opened with what only this call knows.
        let (head, body) = answer.into_parts();
        let body = body.bytes().await.map_err(Error::Unreachable)?;
        if head.status != http::StatusCode::OK {
            let status = head.status.as_u16();
            let said = reply::said(&body, exchange).map(Said);
            return Err(Error::Refused { status, said });
        }
        let media_type = head.headers.get(header::CONTENT_TYPE);
        let media_type = media_type.map_or(&b""[..], HeaderValue::as_bytes);
        let opened = open(media_type, &body, exchange).map_err(Error::Open)?;
        // 5. Proven, or not returned.
        reply::verify(&opened, key, input_hash, env.now()).map_err(Error::Answer)
    }

    fn request(&self, method: Method, url: &str, body: Bytes) -> Result<Request<Bytes>, Error> {
        let bearer = Zeroizing::new(format!("Bearer {}", *self.token));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Error::Relay)?;
        bearer.set_sensitive(true);
        let request = Request::builder().method(method).uri(url);
        let request = request.header(header::AUTHORIZATION, bearer).body(body);
        request.map_err(|_| Error::Relay)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}

/// An opened answer: one body, or the chunks of a stream.
enum Opened {
    Whole(Zeroizing<Vec<u8>>),
    Stream(Zeroizing<Vec<u8>>),
}

/// The media type says which of the two keys the answer is sealed with; a wrong one does not open.
fn open(
    media_type: &[u8],
    body: &[u8],
    exchange: ClientExchange,
) -> Result<Opened, seamline_ohttp::Error> {
    if media_type == MEDIA_CHUNKED_RESPONSE.as_bytes() {
        let limits = Limits {
            total: ANSWER,
            ..Limits::default()
        };
        let mut opener = exchange.open_chunked(limits)?;
        let mut text = Zeroizing::new(Vec::new());
        for chunk in opener.push(body)? {
            text.extend_from_slice(&chunk);
        }
        text.extend_from_slice(&opener.finish()?);
        return Ok(Opened::Stream(text));
    }
    if media_type == MEDIA_RESPONSE.as_bytes() {
        return exchange.open(body).map(Opened::Whole);
    }
    Err(seamline_ohttp::Error::WrongFormat)
}

#[cfg(test)]
mod tests;

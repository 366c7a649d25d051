//! The HTTP client: pinned TLS, loopback, or, where a caller says so, the web's authorities.
//!
//! A connection to a node is trusted because its certificate is the one that evidence names, never
//! because an authority vouches for a name. Servers without evidence are a choice of their own
//! ([`TlsTrust::WebRoots`]). There are no redirects (the next server would have other evidence, and
//! would get the authorization), no proxies from the environment and no cookies.

mod body;
mod peer;
mod tls;

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

pub use self::body::Body;
pub use self::peer::peer_certificate;
use crate::limits::{CONNECT_TIMEOUT, IDLE_TIMEOUT, RESPONSE_BODY_BYTES, TOTAL_TIMEOUT};

/// How a client connects and how much it accepts.
#[derive(Clone)]
pub struct ClientOptions {
    /// Whom the client believes, and with it which URLs it accepts; this machine alone by default.
    pub tls: TlsTrust,
    /// Limit on TCP connect and TLS handshake together; [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// Limit on the peer's silence, before its response head and between pieces of its body;
    /// [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// Limit on a whole exchange, body included; [`TOTAL_TIMEOUT`].
    pub total_timeout: Duration,
    /// Longest response body; [`RESPONSE_BODY_BYTES`].
    pub max_response_bytes: u64,
}

/// Whom a client believes to be the peer of a URL.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum TlsTrust {
    /// Nobody: `http` URLs of loopback hosts only.
    #[default]
    Loopback,
    /// The holder of this certificate (DER), whatever its name and dates: `https` URLs only.
    Pinned(Vec<u8>),
    /// Whoever an authority vouches for by name, as browsers do: `https` URLs of any host, and
    /// `http` URLs of loopback hosts. For servers that have no evidence to offer; what such a server
    /// says is asserted, not proven.
    ///
    /// The authorities are Mozilla's, compiled in: nothing is read from the machine or its
    /// environment, so that the same program trusts the same authorities everywhere.
    WebRoots {
        /// Further authorities, each a self-signed certificate in DER; for private networks.
        more: Vec<Vec<u8>>,
    },
}

impl TlsTrust {
    /// The web's authorities and no others.
    pub const fn web() -> Self {
        Self::WebRoots { more: Vec::new() }
    }
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "Loopback",
            Self::Pinned(_) => "Pinned(..)",
            Self::WebRoots { .. } => "WebRoots { .. }",
        })
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tls: TlsTrust::Loopback,
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            max_response_bytes: RESPONSE_BODY_BYTES,
        }
    }
}

impl ClientOptions {
    /// The defaults, for a peer that must present the certificate `cert_der`.
    pub fn pinned(cert_der: impl Into<Vec<u8>>) -> Self {
        Self {
            tls: TlsTrust::Pinned(cert_der.into()),
            ..Self::default()
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("max_response_bytes", &self.max_response_bytes)
            .finish()
    }
}

/// Why an exchange failed. No variant holds a URL, a header or a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The response body is longer than `limit` bytes.
    #[error("the response is longer than {limit} bytes")]
    BodyTooLong {
        /// The client's limit.
        limit: u64,
    },
    /// The TLS stack or the connector could not be set up.
    #[error("could not set up the http client")]
    Build(#[source] BoxError),
    /// No connection: refused, unreachable, or too slow. Nothing was sent.
    #[error("could not connect")]
    Connect(#[source] BoxError),
    /// The connection failed after the request may have been sent.
    #[error("the connection failed during the exchange")]
    Exchange(#[source] BoxError),
    /// The peer did not present the pinned certificate, or does not hold its key. Nothing was
    /// sent.
    #[error("the peer does not present the certificate that its evidence names")]
    PinMismatch,
    /// No authority that the client knows vouches for the peer under this name, now. Nothing was
    /// sent.
    #[error("no known authority vouches for the peer under this name")]
    Untrusted,
    /// The peer was silent, or the exchange took, for longer than the options allow. The request
    /// may have been sent.
    #[error("the peer took too long")]
    Timeout,
    /// The URL cannot be used with these options. Nothing was sent.
    #[error("{0}")]
    Url(UrlRefusal),
}

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlRefusal {
    /// It holds a user name or password.
    #[error("a url with credentials in it is not used")]
    Credentials,
    /// It is not a URL with a host.
    #[error("this is not an absolute http or https url")]
    Malformed,
    /// `http` towards another host than this machine.
    #[error("plain http is used on loopback only")]
    PlainHttp,
    /// `http` although a certificate is pinned.
    #[error("a certificate is pinned, and plain http presents none")]
    PlainHttpWithPin,
    /// `https` by a client that knows neither a certificate nor authorities.
    #[error("https without a pinned certificate is unsupported")]
    Unpinned,
}

/// A cause from the HTTP stack, with its URL removed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// Whether the peer may have seen the request. Where it is `false`, an authorization in the
    /// request has not left this machine.
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Build(_)
            | Self::Connect(_)
            | Self::PinMismatch
            | Self::Untrusted
            | Self::Url(_) => false,
            Self::BodyTooLong { .. } | Self::Exchange(_) | Self::Timeout => true,
        }
    }
}

/// A client for one peer (pinned), for this machine (loopback) or for the web's servers.
///
/// Clones share the connection pool.
#[derive(Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    trust: Trust,
    max_response_bytes: u64,
}

/// Whom a client trusts, without the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Loopback,
    Pinned,
    Web,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// Builds a client.
///
/// # Errors
///
/// [`Error::Build`] where the TLS stack refuses its configuration.
pub fn http_client(options: ClientOptions) -> Result<HttpClient, Error> {
    let ClientOptions {
        tls,
        connect_timeout,
        idle_timeout,
        total_timeout,
        max_response_bytes,
    } = options;
    let trust = match &tls {
        TlsTrust::Loopback => Trust::Loopback,
        TlsTrust::Pinned(_) => Trust::Pinned,
        TlsTrust::WebRoots { .. } => Trust::Web,
    };
    let tls = tls::client_config(tls).map_err(|error| Error::Build(error.into()))?;
    let inner = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect_timeout)
        .read_timeout(idle_timeout)
        .timeout(total_timeout)
        .build()
        .map_err(|error| Error::Build(error.without_url().into()))?;
    Ok(HttpClient {
        inner,
        trust,
        max_response_bytes,
    })
}

impl HttpClient {
    /// Sends a request and returns the response as soon as its head arrived; the body streams.
    ///
    /// # Retries
    ///
    /// None, ever: a request may carry an authorization.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection; the peer may have seen the request.
    ///
    /// # Errors
    ///
    /// Any [`Error`] except [`Error::BodyTooLong`]; a status of 400 or more is not an error here.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        let (head, body) = request.into_parts();
        let url = self.admit(&head.uri.to_string())?;
        let request = self
            .inner
            .request(head.method, url)
            .headers(head.headers)
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| classify(error, self.trust))?;
        let mut answer = http::Response::new(());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        let body = Body::new(response, self.trust, self.max_response_bytes)?;
        Ok(answer.map(|()| body))
    }

    /// Sends a GET request.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::send`].
    pub async fn get(&self, url: &str) -> Result<http::Response<Body>, Error> {
        self.send(build(Method::GET, url, HeaderMap::new(), Bytes::new())?)
            .await
    }

    /// Sends a POST request with a JSON body and `headers` besides its content type.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::send`].
    pub async fn post_json(
        &self,
        url: &str,
        mut headers: HeaderMap,
        json: impl Into<Bytes>,
    ) -> Result<http::Response<Body>, Error> {
        let content_type = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, content_type);
        self.send(build(Method::POST, url, headers, json.into())?)
            .await
    }

    fn admit(&self, url: &str) -> Result<reqwest::Url, Error> {
        let url = reqwest::Url::parse(url).map_err(|_| Error::Url(UrlRefusal::Malformed))?;
        let refusal = if !url.username().is_empty() || url.password().is_some() {
            Some(UrlRefusal::Credentials)
        } else {
            match (url.scheme(), self.trust) {
                ("https", Trust::Pinned | Trust::Web) => None,
                ("https", Trust::Loopback) => Some(UrlRefusal::Unpinned),
                ("http", Trust::Pinned) => Some(UrlRefusal::PlainHttpWithPin),
                ("http", Trust::Loopback | Trust::Web) if is_loopback(&url) => None,
                ("http", Trust::Loopback | Trust::Web) => Some(UrlRefusal::PlainHttp),
                _ => Some(UrlRefusal::Malformed),
            }
        };
        refusal.map_or(Ok(url), |refusal| Err(Error::Url(refusal)))
    }
}

fn build(
    method: Method,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<http::Request<Bytes>, Error> {
    let mut request = http::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().map_err(|_| Error::Url(UrlRefusal::Malformed))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Only addresses count: `localhost` is whatever the resolver says it is.
fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse::<core::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

fn classify(error: reqwest::Error, trust: Trust) -> Error {
    let error = error.without_url();
    if tls::is_certificate_refusal(&error) {
        match trust {
            Trust::Web => Error::Untrusted,
            Trust::Loopback | Trust::Pinned => Error::PinMismatch,
        }
    } else if error.is_connect() {
        Error::Connect(error.into())
    } else if error.is_timeout() {
        Error::Timeout
    } else {
        Error::Exchange(error.into())
    }
}
